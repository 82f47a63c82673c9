"""Receivers for the tests of the gnss capture: on a real pseudo-terminal that can be unplugged, behind TCP, and a caster."""

from __future__ import annotations

import os
import random
import select
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanshou.harness.basics import RunStatus
from yanshou.harness.evidence import Ledger, RunEvidence, RunWriter, acknowledged_streams
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.gnss.capture import capture
from yanshou.probes.gnss.simulate import sentence

BAUD = 115_200


@dataclass(frozen=True)
class Told:
    """The part of the parameters that a capture reads."""

    input: Any
    challenge: Any = None
    handed: tuple[tuple[str, str], ...] = ()

    def files(self) -> dict[str, str]:
        return dict(self.handed)


def meta(indicator: str = "S06-I01", subject: str | None = None, condition: str | None = None) -> dict[str, Any]:
    return {
        "purpose": "measurement",
        "probe": "gnss",
        "indicator": indicator,
        "subject": subject,
        "condition": condition,
    }


def record(
    folder: Path,
    told: Told,
    *,
    described: dict[str, Any] | None = None,
    progress: Callable[[Progress], None] = lambda _news: None,
    ask: Any = lambda _text: None,
) -> RunEvidence:
    """The evidence of one completed run; what the capture raises closes it as aborted."""
    described = described or meta()
    folder.mkdir(exist_ok=True)
    with Ledger(folder) as ledger:
        with RunWriter(ledger, str(described["indicator"]), described) as run:
            capture(told, RunContext(run.sink, 1, folder, described["subject"], progress, ask))
            run.close(RunStatus.COMPLETED)
        return RunEvidence(run.folder, acknowledged_streams(ledger.records, run.number))


def content(evidence: RunEvidence, name: str) -> bytes:
    with evidence.open(name) as f:
        return f.read()


def epoch(index: int, rate_hz: int = 20) -> list[bytes]:
    """Five sentences of one epoch."""
    seconds, part = divmod(index, rate_hz)
    clock = f"{seconds // 3600 % 24:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.{part * 100 // rate_hz:02d}"
    place = f"3031.{1234500 + index % 97:07d},N,11422.{7654300 + index % 89:07d},E"
    return [
        sentence(f"GNGGA,{clock},{place},4,24,0.6,42.1234,M,-14.5000,M,1.0,1023"),
        sentence(f"GNRMC,{clock},A,{place},0.01,,010625,,,R,V"),
        sentence(f"GNGST,{clock},0.9,,,,0.0040,0.0040,0.0080"),
        sentence("GNVTG,,T,,M,0.010,N,0.019,K,R"),
        sentence(f"GNZDA,{clock},01,06,2025,00,00"),
    ]


class PtyReceiver:
    """A receiver behind a name that comes and goes, as udev's names do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._master: int | None = None
        self.sent = bytearray()
        self.plug()

    def plug(self) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        name = os.ttyname(slave)
        os.close(slave)
        self._master = master
        self.path.symlink_to(name)

    def wait_for_reader(self) -> None:
        """Until somebody has the port open, and has thrown away what was in it, as pyserial does."""
        assert self._master is not None
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        deadline = time.monotonic() + 20
        while any(state & select.POLLHUP for _, state in poll.poll(0)):
            assert time.monotonic() < deadline, "nobody opened the port"
            time.sleep(0.01)
        time.sleep(0.2)

    def send(self, data: bytes, baud: int = BAUD) -> None:
        """At the pace of the line, ten bits a byte."""
        assert self._master is not None
        begin = time.monotonic()
        for at in range(0, len(data), 64):
            part = data[at : at + 64]
            os.write(self._master, part)
            self.sent += part
            time.sleep(max(0.0, begin + (at + len(part)) * 10 / baud - time.monotonic()))

    def received(self, timeout: float = 5.0) -> bytes:
        """What was sent to the receiver."""
        assert self._master is not None
        found = b""
        while select.select([self._master], [], [], timeout)[0]:
            found += os.read(self._master, 65536)
            timeout = 0.2
        return found

    def unplug(self) -> None:
        """Once what was sent has been read: a line that is cut loses what is on it."""
        assert self._master is not None
        time.sleep(0.3)
        self.path.unlink()
        os.close(self._master)
        self._master = None


@dataclass
class Faults:
    """What a bad cable does to sentences. `intact` are those that it left alone."""

    rng: random.Random
    share: float = 0.05
    intact: int = 0
    noise: int = 0
    flipped: int = 0
    dropped: int = 0

    def spoil(self, said: bytes) -> bytes:
        """The sentence as it comes through."""
        if self.rng.random() >= self.share:
            self.intact += 1
            return said
        at = self.rng.randrange(1, len(said) - 2)
        kind = self.rng.randrange(3)
        if kind == 0:  # noise before it: itself it is whole
            self.noise += 1
            self.intact += 1
            return (
                bytes(self.rng.choice(b"\x00\x07\x80\xff\xb5\x62xyz,*") for _ in range(self.rng.randrange(1, 40)))
                + said
            )
        if kind == 1:
            self.flipped += 1
            return said[:at] + bytes([said[at] ^ 1 << self.rng.randrange(7)]) + said[at + 1 :]
        self.dropped += 1
        return said[:at] + said[at + 1 :]


def accepted(raw: bytes) -> list[bytes]:
    """Whole sentences with a good checksum, resynchronised on the last $ of a line."""
    found = []
    for line in raw.split(b"\n"):
        said = line[line.rfind(b"$") :].rstrip(b"\r") if b"$" in line else b""
        body, star, told = said[1:].rpartition(b"*")
        total = 0
        for octet in body:
            total ^= octet
        if star and told == b"%02X" % total:
            found.append(said)
    return found


@contextmanager
def running(target: Callable[..., None], *arguments: Any) -> Iterator[threading.Thread]:
    """`target` in a thread; what it raises fails the test."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            target(*arguments)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


@contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    """A TCP server's socket on loopback, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server, server.getsockname()[1]
