"""The standards of the rtt probe: what they log, what the probe reads of them, and that nothing of them stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from tests.probes.rtt_standards import Measured, Memory, measure, noise
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import Ledger, RunWriter
from yanshou.probes.capturing import RunContext
from yanshou.probes.rtt import reference, timing
from yanshou.probes.rtt.hold import DOUBT_NS, HOLD_COLUMNS, hold_row, true_holds
from yanshou.probes.rtt.namespaces import host, inside
from yanshou.probes.rtt.spec import SPEC
from yanshou.probes.rtt.streams import HOLD

pytestmark = pytest.mark.alone

PATHS = [
    pytest.param(
        reference.tunnel,
        marks=[
            pytest.mark.netns,
            pytest.mark.skipif(
                not reference.has_rights(), reason="a tunnel needs root, /dev/net/tun and two processors"
            ),
        ],
        id="tunnel",
    ),
    pytest.param(reference.relay, id="relay"),
]


# ---- the log -------------------------------------------------------------------------------------------------------


def test_a_hold_counts_when_it_is_known_once_each_way_and_without_doubt() -> None:
    rows = [
        hold_row(1, 1000, 0, "out"),
        hold_row(2, 1000, DOUBT_NS, "out"),
        hold_row(3, 1000, DOUBT_NS + 1, "out"),
        hold_row(4, 1000, 0, "out"),
        hold_row(5, 1000, 0, "out"),
        hold_row(5, 1000, 0, "out"),
        *(hold_row(n, 10, 0, "back") for n in (1, 2, 3, 5)),
        hold_row(1000, 5, DOUBT_NS + 1, "back"),
    ]
    assert true_holds(rows) == {1: 1010, 2: 1010}


@pytest.mark.parametrize("row", [HOLD_COLUMNS, "", "1,2,3", "1,x,0,out"])
def test_a_damaged_log_is_no_log(row: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        true_holds([row])


# ---- what the probe reads of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_paired_errors_are_small_and_catch_a_probe_that_stamps_in_user_space(
    path: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy host, and with a sender of no priority: kernel stamps do not show it, user stamps of the same packets do."""
    monkeypatch.setattr(timing, "_real_time", lambda: False)
    found = []
    for attempt in range(5):
        with noise():
            measured = measure(path, 1.0, tmp_path / str(attempt))  # type: ignore[arg-type]
        low, high = measured.range
        mutant = measured.without_kernel_stamps().range
        found.append((low, high, *mutant))
        assert measured.samples.facts["judged"] == "net"
        assert low > 0
        if high <= SPEC.tolerance < mutant[1]:
            return
    pytest.fail(f"p1, p99 in ms, and those of user stamps: {found}")


@pytest.mark.parametrize("path", PATHS)
def test_truth_is_the_log_and_says_which_standard_it_was(path: object, tmp_path: Path) -> None:
    measured = measure(path, 2.0, tmp_path)  # type: ignore[arg-type]
    truth = json.load(measured.evidence.open("truth.json"))
    log = measured.evidence.open(HOLD).read().decode().splitlines()[1:]
    holds = [hold for sequence, hold in true_holds(log).items() if sequence >= reference.WARMUP]
    assert truth["true"] == pytest.approx(np.median(holds) / 1e6)
    assert truth["true"] >= 2.0
    assert (truth["n"], truth["unit"]) == (len(holds), "ms")
    assert ("TUN 转发器" in truth["basis"]) == (path is reference.tunnel)
    assert ("CAP_NET_ADMIN" in truth["basis"]) == (path is reference.relay)
    assert len(measured.errors) <= len(holds)


def test_the_floor_is_what_is_read_where_nothing_is_held(tmp_path: Path) -> None:
    measured = measure(reference.direct, 0, tmp_path, count=1000)
    assert HOLD not in measured.evidence.streams()
    assert json.load(measured.evidence.open("truth.json"))["true"] == 0
    samples = measured.samples
    assert samples.facts["judged"] == "net"
    assert samples.facts["stamps"]["t1_kernel"] == samples.facts["received"]
    np.testing.assert_allclose(measured.errors, samples.values[np.isfinite(samples.values)] / 1e6)
    assert measured.errors.min() > 0


def test_the_floor_is_measured_on_ten_thousand_packets() -> None:
    assert reference.POINTS[0] == 0
    assert (reference.FLOOR["count"], reference.FLOOR["interval_ms"]) == (10_000, 1)


def test_lost_packets_have_no_error_and_unlogged_ones_neither(tmp_path: Path) -> None:
    measured = measure(reference.relay, 0.5, tmp_path, count=300)
    whole = measured.errors
    streams = {name: measured.evidence.open(name).read() for name in measured.evidence.streams()}
    log = streams[HOLD].decode().splitlines(keepends=True)
    streams[HOLD] = "".join(row for row in log if not row.startswith("100,")).encode()
    fewer = Measured(Memory(streams), measured.params).errors  # type: ignore[arg-type]
    assert len(whole) == 300
    assert len(fewer) == 299
    assert np.isfinite(fewer).all()


@pytest.mark.parametrize(
    ("true_value", "rights", "chosen"),
    [(0, True, "direct"), (0, False, "direct"), (1.0, True, "tunnel"), (1.0, False, "relay")],
)
def test_the_standard_is_chosen_by_rights(
    true_value: float, rights: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "has_rights", lambda: rights)
    for name in ("direct", "tunnel", "relay"):
        monkeypatch.setattr(
            reference, name, lambda _true, key, _run, name=name: nullcontext({"name": name, "key": key})
        )
    with reference.standard(true_value, None) as values:  # type: ignore[arg-type]
        assert values["name"] == chosen
        assert values["key"].stat().st_mode & 0o77 == 0
    assert not values["key"].exists()


def test_a_standard_that_was_interrupted_says_so(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "x", {}) as run:
        context = RunContext(run.sink, 1, tmp_path)
        (tmp_path / "key").write_text("00" * 32)
        with pytest.raises(ProbeError, match="RTT-E07"), reference.relay(1.0, tmp_path / "key", context):
            pass  # nobody sends anything


def test_a_standard_that_does_not_start_says_why(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "x", {}) as run:
        context = RunContext(run.sink, 1, tmp_path)
        with pytest.raises(ProbeError, match="RTT-E07"), reference.relay(1.0, tmp_path / "no key", context):
            pytest.fail("there is no key")


# ---- nothing stays behind ------------------------------------------------------------------------------------------

HOLDING = """
import sys
from pathlib import Path
from yanshou.probes.rtt import reference
with getattr(reference, sys.argv[1])(1.0, Path(sys.argv[2]), None):
    task = Path("/proc/thread-self")
    print(*(task / "children").read_text().split(), flush=True)
    sys.stdin.read()
"""


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _interfaces() -> list[str]:
    return sorted(line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:])


def _named() -> list[Path]:
    return sorted(Path("/run/netns").glob("*"))


@pytest.mark.parametrize("path", PATHS)
def test_nothing_outlives_a_killed_measurement(path: object, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("00" * 32)
    before = _interfaces(), _named()
    command = [sys.executable, "-c", HOLDING, path.__name__, str(tmp_path / "key")]  # type: ignore[attr-defined]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        started = [int(pid) for pid in child.stdout.readline().split()]
        assert len(started) == 2
        assert all(map(_alive, started))
        assert (_interfaces(), _named()) == before
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(map(_alive, started)):
        assert time.monotonic() < deadline, "a process of the standard outlived its parent"
        time.sleep(0.05)
    assert (_interfaces(), _named()) == before


@pytest.mark.netns
@pytest.mark.skipif(not reference.has_rights(), reason="a tunnel needs root, /dev/net/tun and two processors")
def test_the_thread_comes_back_from_another_host() -> None:
    def here() -> tuple[Path, int]:
        return Path("/proc/thread-self/ns/net").readlink(), len(list(Path("/proc/self/fd").iterdir()))

    def interrupted() -> None:
        with host("198.18.0.1", "198.18.0.2") as place, inside(place):
            assert here()[0] != before[0]
            raise KeyboardInterrupt

    before = here()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert here() == before
    assert reference.has_rights()
    assert here() == before
