"""Made-up visits: an Encounter, an ADT message, a DICOM file. They belong to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def encounter(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": f"e{number}",
        "identifier": [{"system": "urn:his", "value": f"JZ{number:06d}"}],
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/p{number}", "display": "张三"},
        "period": {"start": "2025-03-01T09:30:00+08:00", "end": "2025-03-01T10:00:00+08:00"},
        "serviceProvider": {"reference": "Organization/h1"},
        "reasonCode": [{"text": "咳嗽"}],
    } | changes


def adt(
    event: str, visit: str, written: str, kind: str = "ADT", mode: str = "P", charset: str = "", name: str = "ZHANG^SAN"
) -> str:
    pv1 = ["PV1", "1", "O", *[""] * 16, f"{visit}^^^H1", *[""] * 24, "20250301092500"]
    return "\r".join(
        (
            f"MSH|^~\\&|HIS|H1|PLAT|WH|{written}||{kind}^{event}^ADT_A01|C{written}{event}|{mode}|2.5||||||{charset}",
            f"EVN|{event}|{written}",
            f"PID|1||PAT{visit}^^^H1^MR||{name}||19800101|M",
            "OBX|1|ED|x||" + "A" * 200_000,
            "|".join(pv1),
        )
    )


def dicom_file(path: Path, *, study: str = "1.2.3", **changes: Any) -> Path:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    found = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    cells = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": "1.2.3.4", "StudyDate": "20250301", "StudyTime": "093000.000",
        "Modality": "CT", "InstitutionName": "Hospital", "PatientID": "P1", "PatientName": "ZHANG^SAN",
        "StudyInstanceUID": study, "Rows": 16, "Columns": 16, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
        "PixelRepresentation": 0, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": b"\1\2" * 256,
    } | changes  # fmt: skip
    for name, value in cells.items():
        setattr(found, name, value)
    found.save_as(path, enforce_file_format=True)
    return path
