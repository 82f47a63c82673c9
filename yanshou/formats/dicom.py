"""Studies out of DICOM files, from their headers: which study, whose, when and by what kind of device.

pydicom reads, and stops before the pixels; of the data set only the tags in TAGS are taken, no name and no finding. What is
compressed as a whole (deflated) is refused: it would have to be unpacked first. DICOM PS3.3 C.7.2, PS3.10. It must never write.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from yanshou.formats.visits import BadRecord, Row, row

TAGS = (
    "StudyInstanceUID",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "TimezoneOffsetFromUTC",
    "Modality",
    "InstitutionName",
)
DEFLATED = "1.2.840.10008.1.2.1.99"
RESAVE = "从 PACS 重新导出（不用整体压缩的传输语法）"


def is_dicom(path: Path) -> bool:
    """Whether a file begins as a DICOM file has to (PS3.10, 7.1). Raises OSError."""
    with path.open("rb") as f:
        return f.read(132)[128:] == b"DICM"


def read_header(path: Path) -> Row:
    """The row of the study that a file belongs to: many files have the same, and a file without a study gives none.

    Raises BadRecord, OSError.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    if not is_dicom(path):
        raise BadRecord("文件", "不是 DICOM（第 129 字节起不是 DICM）", RESAVE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that break a rule of their kind: they are taken as they stand
            meta = read_file_meta_info(path)
            if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
                raise BadRecord("文件", "是整体压缩的（Deflated）", RESAVE)
            found = dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
            cells = {tag: str(found.get(tag, "") or "").strip() for tag in TAGS}
    except (BadRecord, OSError):
        raise
    except InvalidDicomError:
        raise BadRecord("文件", "不是 DICOM", RESAVE) from None
    except Exception as error:  # pydicom lets through whatever broken bytes make it stumble over
        raise BadRecord("文件", f"文件头读不出（{type(error).__name__}）", RESAVE) from None
    return row(
        visit=cells["StudyInstanceUID"],
        patient=cells["PatientID"],
        time=_moment(cells["StudyDate"], cells["StudyTime"], cells["TimezoneOffsetFromUTC"]),
        status="",
        provider=cells["InstitutionName"],
    ) | {"class": cells["Modality"]}


def fold(rows: Iterable[Row]) -> Iterator[Row]:
    """One row per study, in the order in which they first appear: when it began, by all kinds of devices.

    A row without a study comes as it is. Memory grows with the number of studies.
    """
    studies: dict[str, Row] = {}
    for one in rows:
        if not one["visit"]:
            yield one
            continue
        known = studies.setdefault(one["visit"], one)
        kinds = {*known["class"].split("+"), one["class"]} - {""}
        studies[one["visit"]] = min(known, one, key=lambda r: r["time"]) | {"class": "+".join(sorted(kinds))}
    yield from studies.values()


def _moment(date: str, time: str, zone: str) -> str:
    """DA and TM as ISO 8601; as they stand where they are none."""
    if not (len(date) == 8 and date.isdigit()):
        return f"{date} {time}".strip()
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    whole, _, _ = time.partition(".")
    if not (len(whole) in (4, 6) and whole.isdigit()):
        return day
    clock = f"{whole[:2]}:{whole[2:4]}:{whole[4:] or '00'}"
    return f"{day}T{clock}{zone}"
