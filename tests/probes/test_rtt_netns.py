"""The rtt probe between two hosts in network namespaces: its verdict is the one that the forwarder's own log gives."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.probes.rtt_standards import measure
from yanshou.harness.judge import Criterion, judge_run
from yanshou.harness.model import Kind, Limit, Op, Verdict
from yanshou.probes.rtt import reference

pytestmark = [
    pytest.mark.alone,
    pytest.mark.netns,
    pytest.mark.skipif(not reference.has_rights(), reason="a tunnel needs root, /dev/net/tun and two processors"),
]
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


@pytest.mark.parametrize(
    ("delay_ms", "expected"), [(1.0, Verdict.PASS), (1.9, Verdict.PASS), (2.1, Verdict.FAIL), (2.5, Verdict.FAIL)]
)
def test_the_verdict_is_the_one_of_the_log(delay_ms: float, expected: Verdict, tmp_path: Path) -> None:
    """A host that stalls may hold packets for longer than set; it is measured again, and log and probe must agree once."""
    found = []
    for attempt in range(5):
        measured = measure(reference.tunnel, delay_ms, tmp_path / str(attempt), count=1500, interval_ms=1.5)
        by_probe, by_log = (
            judge_run(CRITERION, replace(measured.samples, values=values), 0.05, None).verdict
            for values in measured.known
        )
        found.append((by_log.value, by_probe.value))
        assert {by_log, by_probe} != {Verdict.PASS, Verdict.FAIL}
        if by_log is by_probe is expected:
            return
    assert any(by_log == by_probe for by_log, by_probe in found), found
