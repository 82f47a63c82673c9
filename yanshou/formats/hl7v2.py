"""Visits out of HL7 v2 ADT messages, as interface engines log them: MLLP frames, or segments on lines.

Of each message only MSH, EVN, PID-3 and PV1 are kept, everything else is stepped over unread. A visit is told by many messages
(registered, changed, cancelled, discharged): `fold` says what became of it. python-hl7 takes the segments apart. Segments and
events: HL7 v2.5 chapter 3. It must never open a socket. Pure.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from yanshou.formats.visits import BadRecord, Row, row

CHUNK = 1 << 16
LONGEST_SEGMENT = 64 << 10
"""What is kept of a segment: those that are read are far shorter."""
KEPT = (b"MSH", b"EVN", b"PID", b"PV1")
CHARACTER_SETS = {
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "GB 18030-2000": "gb18030",
    "ASCII": "ascii",
    "8859/1": "latin-1",
}
"""MSH-18 (table 0211) -> how it is decoded."""
BEGINS = frozenset({"A01", "A04", "A05", "A14"})
CANCELS = frozenset({"A11", "A27", "A38"})
"""Cancel admit or registration, cancel pending admit, cancel pre-admit."""
DISCHARGE, CANCEL_DISCHARGE = "A03", "A13"
_BREAK = re.compile(rb"[\r\n\x0b\x1c]+")
_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})([0-9]{2})?(?:\.[0-9]+)?)?([+-][0-9]{4})?")


@dataclass(frozen=True, slots=True)
class Message:
    """One ADT message: where it stands, its event, processing id and when it was written, and its visit."""

    number: int
    event: str
    processing: str
    written: str
    visit: str
    patient: str
    began: str
    kind: str
    provider: str
    file: str = ""

    def of(self, file: str) -> Message:
        """The same, and of which file it is."""
        return replace(self, file=file)


def read_messages(stream: BinaryIO, encoding: str = "utf-8") -> Iterator[Message]:
    """The ADT messages of a log, in bounded memory; other messages are passed over. `encoding` where MSH-18 is blank.

    Raises BadRecord with the number of the message.
    """
    for number, segments in enumerate(_messages(stream), 1):
        message = _read(number, segments, encoding)
        if message is not None:
            yield message


def fold(messages: Iterable[Message]) -> Iterator[Row]:
    """One row per visit, in the order in which they first appear: when it began, and what its last event made of it.

    A message that was sent again changes nothing. Memory grows with the number of visits (about 1 kB each). Messages without a
    visit number (PV1-19) come as rows without one, one each: they are no visits that can be told apart.
    """
    visits: dict[str, tuple[Message, Message | None]] = {}
    for message in messages:
        if not message.visit:
            yield _row(message, _state(message.event))
            continue
        began, last = visits.get(message.visit, (message, None))
        if _state(message.event):
            last = max(last or message, message, key=lambda m: (m.written, m.number))
        visits[message.visit] = min(began, message, key=lambda m: (m.event not in BEGINS, m.written, m.number)), last
    for began, last in visits.values():
        yield _row(began, _state(last.event) if last else "")


def _row(message: Message, status: str) -> Row:
    return row(
        visit=message.visit,
        patient=message.patient,
        time=_iso(message.began or message.written),
        status=status or "unknown",
        provider=message.provider,
        test="HTEST" if message.processing in ("T", "D") else "",
        origin=f"{message.file} 第 {message.number} 条消息".strip(),
    ) | {"class": message.kind}


def _state(event: str) -> str:
    """What an event makes of a visit, in the words of FHIR; "" where it changes nothing."""
    if event in CANCELS:
        return "cancelled"
    if event == DISCHARGE:
        return "finished"
    return "in-progress" if event in BEGINS or event == CANCEL_DISCHARGE else ""


def _iso(stamp: str) -> str:
    """A time of HL7 (YYYYMMDD[HHMM[SS]][±ZZZZ]) as ISO 8601; as it stands where it is none."""
    match = _TIME.fullmatch(stamp)
    if match is None:
        return stamp
    year, month, day, hour, minute, second, zone = match.groups()
    date = f"{year}-{month}-{day}"
    return date if hour is None else f"{date}T{hour}:{minute}:{second or '00'}{zone or ''}"


def _messages(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The kept segments of each message. What stands before the first MSH, batch headers and trailers are none."""
    segments: list[bytes] = []
    for segment in _segments(stream):
        if segment.startswith(b"MSH"):
            if segments:
                yield segments
            segments = [segment]
        elif segments and segment.startswith(KEPT):
            segments.append(segment)
    if segments:
        yield segments


def _segments(stream: BinaryIO) -> Iterator[bytes]:
    rest, cut = b"", False
    while chunk := stream.read(CHUNK):
        *whole, rest = _BREAK.split(rest + chunk)
        for segment in whole:
            if not cut:
                yield segment[:LONGEST_SEGMENT]
            cut = False
        if len(rest) > LONGEST_SEGMENT:
            if not cut:
                yield rest[:LONGEST_SEGMENT]
            rest, cut = rest[-1:], True
    if rest and not cut:
        yield rest[:LONGEST_SEGMENT]


def _read(number: int, segments: list[bytes], encoding: str) -> Message | None:
    import hl7
    import hl7.util

    # Of an escape that is none it would print the field, which may be a patient's number. Its logger is named after its file.
    logging.getLogger(hl7.util.__file__).setLevel(logging.CRITICAL)
    place = f"第 {number} 条消息"
    header = segments[0].decode("latin-1")
    if len(header) < 8:
        raise BadRecord(place, "MSH 段不完整", "向接口引擎重新导出日志")
    fields = header.split(header[3])
    declared = fields[17].split(header[4])[0].strip() if len(fields) > 17 else ""
    try:
        text = b"\r".join(segments).decode(CHARACTER_SETS.get(declared, encoding))
    except UnicodeDecodeError:
        raise BadRecord(
            place, f"不是 {declared or encoding} 编码", "改 encoding，如 gb18030，或重新导出为 UTF-8"
        ) from None
    try:
        message = hl7.parse(text + "\r")

        def said(segment: str, at: int, component: int = 1) -> str:
            try:
                return str(message.unescape(message.extract_field(segment, 1, at, 1, component)) or "").strip()
            except LookupError:
                return ""

        if said("MSH", 9) != "ADT":
            return None
        return Message(
            number,
            said("MSH", 9, 2) or said("EVN", 1),
            said("MSH", 11),
            said("EVN", 2) or said("MSH", 7),
            said("PV1", 19),
            said("PID", 3),
            said("PV1", 44),
            said("PV1", 2),
            said("MSH", 4),
        )
    except (hl7.HL7Exception, AssertionError) as error:  # separators that are none
        raise BadRecord(place, f"不是 HL7 v2 消息（{type(error).__name__}）", "向接口引擎重新导出日志") from None
