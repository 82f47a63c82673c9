"""Records a receiver: every byte with the time it came, what happened to the link, and the moves of the antenna.

It is for losing nothing and adding nothing. It must never judge: the only look into the bytes is for the operator's eyes, and to
break off early where no sentence can be read.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Protocol

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.login import name_and_secret
from yanshou.probes.gnss.inputs import Challenge, Input, Ntrip, OfRun, Recorded, Serial, Tcp, Udp
from yanshou.probes.gnss.moving import done, moves, require_operator
from yanshou.probes.gnss.ntrip import Tee
from yanshou.probes.gnss.sources import Received, Returning, open_source
from yanshou.probes.gnss.streams import (
    CHUNK_COLUMNS,
    CHUNKS,
    CORRECTION_CHUNKS,
    CORRECTIONS,
    END,
    EVENT_COLUMNS,
    EVENTS,
    FILES,
    RAW,
    SESSION,
)
from yanshou.probes.gnss.taking import checked_files, recorded_files, take_files, take_run
from yanshou.probes.rtt.timing import clock_error_ns

if TYPE_CHECKING:
    from pathlib import Path

    from yanshou.harness.evidence import EvidenceSink, StreamWriter

FORMAT = "yanshou/gnss/1"
NEWS_S = 0.5
READABLE_S = 20.0
"""A receiver that speaks NMEA has said a whole sentence by then, fix or no fix."""


class Recording(Protocol):
    """What a capture needs of the parameters."""

    @property
    def input(self) -> Input:
        """Where the output comes from."""

    @property
    def challenge(self) -> Challenge | None:
        """How the antenna is moved meanwhile."""

    def files(self) -> Mapping[str, str]:
        """What people hand over beside it, stream -> file relative to the case folder: a true trajectory, marks."""


def capture(params: Recording, run: RunContext) -> None:
    """Record one run. Raises ProbeError GNS-E01 to E04, E07, E08 (link), E05 (silence), E06 (nothing readable), E09, E10 (caster,
    credentials), E11 to E13 (files), E14 (no run to take from), E15 (nobody to move the antenna)."""
    source, challenge = params.input, params.challenge
    told: dict[str, Json] = {"format": FORMAT, "input": source.model_dump(mode="json")}
    if isinstance(source, Recorded):
        paths = {**checked_files(recorded_files(source, challenge), run.folder), **_handed_over(params, run)}
        _write_json(run, SESSION, {**told, "files": take_files(paths, run)})
    elif isinstance(source, OfRun):
        paths = _handed_over(params, run)
        _write_json(run, SESSION, {**told, **take_run(source, run), "files": take_files(paths, run)})
    else:
        _announce(params, run)
        if challenge:
            require_operator(run)
        _record(source, challenge, told, run)
        if params.files():
            _write_json(run, FILES, take_files(_brought(params, run), run))


def _handed_over(params: Recording, run: RunContext) -> dict[str, Path]:
    """The files that people bring beside the output, once they can be used. Raises ProbeError."""
    return checked_files(params.files(), run.folder)


def _announce(params: Recording, run: RunContext) -> None:
    """What is not there before a live recording may be brought after it, if somebody is there who will."""
    try:
        _handed_over(params, run)
    except ProbeError as error:
        if not done(run, f"{error.problem.text}：录完之后再补上；可以开始录取时"):
            raise


def _brought(params: Recording, run: RunContext) -> dict[str, Path]:
    """A true trajectory is computed after the drive, marks are written in the course of it. Raises ProbeError when nobody helps."""
    while True:
        try:
            return _handed_over(params, run)
        except ProbeError as error:
            if not done(run, f"{error.problem.text}：{error.problem.remedy}"):
                raise


def _write_json(run: RunContext, name: str, content: dict[str, Json]) -> None:
    run.sink.stream(name).write(json.dumps(content, ensure_ascii=False, sort_keys=True).encode() + b"\n")


def _now() -> dict[str, Json]:
    return {"monotonic_ns": time.monotonic_ns(), "utc_ns": time.time_ns()}


class Tape:
    """Bytes and the rows that say when they came."""

    def __init__(self, sink: EvidenceSink, raw: str, rows: str) -> None:
        self._raw, self._rows = sink.stream(raw), sink.stream(rows)
        self._rows.write(f"{CHUNK_COLUMNS}\n".encode())
        self.bytes = self.chunks = 0

    def take(self, got: Received) -> None:
        """One chunk. Raises OSError."""
        self._raw.write(got.data)
        self._rows.write(b"%d,%d,%d,%d\n" % (self.bytes, len(got.data), got.monotonic_ns, got.utc_ns))
        self.bytes += len(got.data)
        self.chunks += 1


class Log:
    """events.csv, from the first event on."""

    def __init__(self, sink: EvidenceSink) -> None:
        self._sink = sink
        self._stream: StreamWriter | None = None

    def __call__(self, event: str, text: str) -> None:
        """Something happened, now. Raises OSError."""
        if self._stream is None:
            self._stream = self._sink.stream(EVENTS)
            self._stream.write(f"{EVENT_COLUMNS}\n".encode())
        told = " ".join(text.split())
        self._stream.write(f"{time.monotonic_ns()},{time.time_ns()},{event},{told}\n".encode())


class Glance:
    """The last few sentences, for people."""

    KEPT = 4096
    _SENTENCE = re.compile(rb"[$#][A-Z][ -~]{5,}\*(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{2})[\r\n]")
    _GGA = re.compile(rb"(?s:.*)(\$[A-Z]{2}GGA,[ -)+-~]*\*[0-9A-F]{2})[\r\n]")

    def __init__(self) -> None:
        self._recent = b""
        self._readable = False

    def feed(self, data: bytes) -> None:
        """What came next."""
        self._recent = (self._recent + data)[-self.KEPT :]

    @property
    def readable(self) -> bool:
        """Whether anything so far had the form of a sentence."""
        self._readable = self._readable or self._SENTENCE.search(self._recent) is not None
        return self._readable

    def gga(self) -> bytes | None:
        """The last whole one."""
        found = self._GGA.match(self._recent)
        return found and found[1]

    def __str__(self) -> str:
        _, t, *_, quality = [*(self.gga() or b"").decode("ascii").split(","), *[""] * 7][:7]
        return f"GGA {t[:2]}:{t[2:4]}:{t[4:6]} 质量 {quality or '空'}" if len(t) >= 6 else "还没有带时刻的 GGA"


def _record(
    source: Serial | Tcp | Udp | Ntrip, challenge: Challenge | None, told: dict[str, Json], run: RunContext
) -> None:
    receiver = source.receiver if isinstance(source, Ntrip) else source
    log, glance = Log(run.sink), Glance()
    login = _login(source, run.folder)
    with closing(Returning(lambda: open_source(receiver, log), log, _where(receiver))) as link:
        _write_json(run, SESSION, {**told, **_now(), "clock_error_ns": clock_error_ns()})
        tape = Tape(run.sink, RAW, CHUNKS)
        with ExitStack() as stack:
            tee = None
            if isinstance(source, Ntrip):
                corrections = Tape(run.sink, CORRECTIONS, CORRECTION_CHUNKS)
                tee = stack.enter_context(Tee(source, login, corrections.take, link.write, glance.gga, log))
            moving = stack.enter_context(closing(moves(challenge, run, log))) if challenge else iter(())
            _listen(receiver, link, tape, glance, moving, tee, run)
        log("ended", f"{tape.bytes} 字节")
    end: dict[str, Json] = {"bytes": tape.bytes, "chunks": tape.chunks, "losses": link.losses, **_now()}
    _write_json(run, END, {**end, "untaken": tee.untaken} if tee else end)


def _login(source: Input, folder: Path) -> tuple[str, str] | None:
    named = isinstance(source, Ntrip) and source.credentials
    return name_and_secret(folder, named, "GNS-E10") if named else None


def _where(receiver: Serial | Tcp | Udp) -> str:
    if isinstance(receiver, Serial):
        return f"{receiver.port} {receiver.baud}"
    return f"{receiver.kind} {receiver.host if isinstance(receiver, Tcp) else receiver.bind}:{receiver.port}"


def _listen(
    receiver: Serial | Tcp | Udp,
    link: Returning,
    tape: Tape,
    glance: Glance,
    moving: Iterator[bool],
    tee: Tee | None,
    run: RunContext,
) -> None:
    """Until the time is over and no antenna was just moved. Raises ProbeError GNS-E05, E06."""
    start = heard = due = time.monotonic()
    first: float | None = None
    before = 0
    held = False
    while (now := time.monotonic()) - start < receiver.duration_s or held:
        if got := link.read():
            tape.take(got)
            glance.feed(got.data)
            heard = now
            first = first or now
        held = next(moving, False)
        if tee:
            tee.raise_failure()
        if now - heard > receiver.silence_s:
            text = f"{_where(receiver)} 连续 {receiver.silence_s:g} s 没有一个字节"
            raise ProbeError("GNS-E05", text, "查接线、电源、接收机的输出设置；要等更久就加大 silence_s")
        if now >= due:
            if first and now - first > READABLE_S:
                _require_readable(receiver, tape, glance)
            speed = (tape.bytes - before) / NEWS_S / 1000
            before, due = tape.bytes, now + NEWS_S
            text = f"{speed:.1f} kB/s · {glance}"
            run.progress(Progress(int(now - start), int(receiver.duration_s), link.losses, text=text))
    _require_readable(receiver, tape, glance)


def _require_readable(receiver: Serial | Tcp | Udp, tape: Tape, glance: Glance) -> None:
    if not glance.readable:
        text = f"{_where(receiver)} 来了 {tape.bytes} 字节，没有一条 NMEA 语句"
        baud = "波特率多半不对，改正 baud；" if isinstance(receiver, Serial) else ""
        raise ProbeError("GNS-E06", text, f"{baud}或在接收机上打开 NMEA 输出（GGA、RMC、GST、GSA）")
