"""A device source recording in the background through the real ledger, until a test has seen enough."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.namespaces import Host
from tests.probes.records_support import record
from yanshou.harness.evidence import Ledger, RunEvidence, acknowledged_streams
from yanshou.probes.capturing import RunContext

PATIENCE_S = 30.0


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(
    folder: Path, stream: str, text: bytes, times: int = 1, failed: Callable[[], object] = lambda: None
) -> None:
    """Until `text` is in `stream` of a run in `folder` so many times, as far as it is on the disk."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and failed() is None:
        files = list(folder.glob(f"runs/*/{stream}"))
        if files and files[0].read_bytes().count(text) >= times:
            return
        time.sleep(0.05)
    raise AssertionError(f"{text!r} did not come: {failed()!r}")


class Recording:
    """What is being recorded below `folder`, and, once it is over, its evidence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.evidence: RunEvidence
        self.failure: BaseException | None = None

    def wait_for(self, stream: str, text: bytes, times: int = 1) -> None:
        """Until `text` is in `stream` so many times."""
        wait_for(self._folder, stream, text, times, lambda: self.failure)


@contextmanager
def recording(
    folder: Path, record_source: Callable[[Any, RunContext, threading.Event], None], source: Any
) -> Iterator[Recording]:
    """`source` is recorded while the block runs. Raises what recording raised."""
    folder.mkdir(exist_ok=True)
    stop, news = threading.Event(), Recording(folder)

    def work() -> None:
        try:
            news.evidence = record(folder, lambda params, run: record_source(params, run, stop), source)
        except BaseException as error:
            news.failure = error

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield news
    finally:
        stop.set()
        thread.join()
    if news.failure is not None:
        raise news.failure


INSIDE = """
import sys
from pathlib import Path
from tests.probes.sources_support import until_told
until_told(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


def until_told(folder: Path, kind: str, params: str) -> None:
    """Record the source of `kind` with `params` (JSON) until standard input ends."""
    source = importlib.import_module(f"yanshou.probes.devices.sources.{kind}.params").Source.model_validate_json(params)
    module = importlib.import_module(f"yanshou.probes.devices.sources.{kind}.record")
    with recording(folder, module.record, source):
        sys.stdin.read()


def start_inside(host: Host, folder: Path, source: Any) -> subprocess.Popen[str]:
    """Record in the namespace of `host`, in a process of its own."""
    command = [*host.inside, sys.executable, "-c", INSIDE, str(folder), source.kind, source.model_dump_json()]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(child: subprocess.Popen[str], folder: Path) -> RunEvidence:
    """Its evidence, once it was told to end."""
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    with Ledger(folder) as ledger:
        run = next(r for r in ledger.records if r["kind"] == "run_opened")
        return RunEvidence(folder / "runs" / run["folder"], acknowledged_streams(ledger.records, run["number"]))
