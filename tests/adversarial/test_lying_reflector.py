"""The tested party owns the far end and lies about when it received and sent: no such lie may end as 符合."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.probes.rtt_standards import measure
from yanshou.harness.judge import Criterion, Judged, judge_run
from yanshou.harness.model import Kind, Limit, Op, Verdict
from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt.secret import load_key
from yanshou.probes.rtt.stamp import error_estimate, pack_reply, read_request

pytestmark = pytest.mark.alone

TRUE_HOLD_S = 0.003
CRITERION = Criterion(
    indicator="S10-I03",
    kind=Kind.MEASURED,
    limit=Limit(Op.LE, Decimal(2), "ms"),
    statistic="p99",
    direction="round_trip",
    undefined=(),
    confidence=0.95,
    attempts=1,
)


@dataclass(frozen=True)
class Liar:
    """A reflector behind a network of 3 ms that claims as its own residence all of it but `leaves_ms`.

    `stolen`: it signs with the evaluator's key.
    """

    leaves_ms: float
    stolen: bool = False

    @contextmanager
    def __call__(self, _true: float, key: Path, _run: RunContext) -> Iterator[dict[str, Any]]:
        secret = load_key(key) if self.stolen else None
        stop = threading.Event()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(0.1)
            thread = threading.Thread(target=self._serve, args=(sock, secret, stop))
            thread.start()
            try:
                yield {"host": "127.0.0.1", "port": sock.getsockname()[1], **({"key_file": str(key)} if secret else {})}
            finally:
                stop.set()
                thread.join()

    def _serve(self, sock: socket.socket, key: bytes | None, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                data, address = sock.recvfrom(2048)
            except TimeoutError:
                continue
            request = read_request(data, key)
            if request is None:
                continue
            came = time.time_ns()
            time.sleep(TRUE_HOLD_S)
            claimed = came + round(self.leaves_ms * 1e6)
            sock.sendto(pack_reply(request, claimed, time.time_ns(), 64, error_estimate(1000), key), address)


def judged_against(liar: Liar, folder: Path) -> tuple[Judged, set[str], Any]:
    measured = measure(liar, 0, folder, count=400, interval_ms=6, schedule="jitter", warmup=20)
    samples = measured.samples
    findings = {v.code for v in samples.validity if v.severity == "invalid"}
    return judge_run(CRITERION, samples, 0.05, None), findings, samples


@pytest.mark.parametrize("leaves_ms", [-2.0, 0.5])
def test_a_foreign_reflector_is_judged_by_the_gross_time(leaves_ms: float, tmp_path: Path) -> None:
    """Net of its claims 3 ms would look like 0.5 ms, or like less than nothing."""
    judged, findings, samples = judged_against(Liar(leaves_ms), tmp_path)
    assert samples.facts["judged"] == "gross"
    assert judged.verdict is Verdict.FAIL
    assert float(judged.value or 0) > 3
    (net,) = (series for series in samples.series if series.name == "net")
    assert float(sorted(net.values)[len(net.values) // 2]) < 2e6  # the lie is printed beside, and decides nothing
    assert ("RTT-V09" in findings) == (leaves_ms < 0)


@pytest.mark.parametrize(("leaves_ms", "code"), [(-2.0, "RTT-V09"), (0.5, "RTT-V16")])
def test_even_a_stolen_key_only_makes_the_run_invalid(leaves_ms: float, code: str, tmp_path: Path) -> None:
    _, findings, samples = judged_against(Liar(leaves_ms, stolen=True), tmp_path)
    assert samples.facts["judged"] == "net"
    assert code in findings


def test_a_liar_without_the_key_cannot_answer_one_who_asks_for_it(tmp_path: Path) -> None:
    class Keyless(Liar):
        @contextmanager
        def __call__(self, true: float, key: Path, run: RunContext) -> Iterator[dict[str, Any]]:
            with Liar.__call__(self, true, key, run) as values:
                yield {**values, "key_file": str(key)}

    with pytest.raises(Exception, match="RTT-E"):
        judged_against(Keyless(0.5), tmp_path)
