"""rtt against reflectors of others: written here from RFC 5357 appendix I and RFC 8762, with nothing of our packet code."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.probes.rtt_standards import told
from tests.probes.test_rtt import KEY, MS, SEED, far_end, other, quick, record, refused
from yanshou.probes.contract import Probe

pytestmark = pytest.mark.alone

EPOCH = 2_208_988_800
CLOCK_AHEAD = 3600
"""Its clock is an hour wrong, as nobody's business is."""


def ntp(ns: int) -> bytes:
    """64-bit NTP timestamp (RFC 5905 section 6)."""
    seconds, rest = divmod(ns, 10**9)
    return struct.pack("!II", seconds + EPOCH, rest * 2**32 // 10**9)


class Reflector:
    """A session-reflector, stateless (RFC 8762 section 4.3: mirrors the number) or stateful (RFC 5357: counts its own replies).

    `padding(request)` is what follows the 41 octets that RFC 5357 section 4.2.1 asks for.
    """

    def __init__(
        self, *, stateful: bool, padding: Callable[[bytes], bytes], hold_s: float = 0.0, drop: int = 0
    ) -> None:
        self._stateful, self._padding, self._hold, self._drop = stateful, padding, hold_s, drop
        self._sent = 0
        self.replies: list[bytes] = []

    def __call__(self, request: bytes) -> list[bytes]:
        arrived = time.time_ns() + CLOCK_AHEAD * 10**9
        if self._drop:
            self._drop -= 1
            return []
        time.sleep(self._hold)
        sequence = struct.pack("!I", self._sent) if self._stateful else request[:4]
        self._sent += 1
        left = time.time_ns() + CLOCK_AHEAD * 10**9
        reply = sequence + ntp(left) + b"\x00\x64\x00\x00" + ntp(arrived)  # S = 0: not synchronised, multiplier 100
        reply += request[:4] + request[4:12] + request[12:14] + b"\0\0" + b"\xff" + self._padding(request)
        self.replies.append(reply)
        return [reply]


PADDINGS: dict[str, Callable[[bytes], bytes]] = {
    "41 octets, none": lambda _: b"",
    "as long as the request": lambda request: request[41:],
    "all padding copied": lambda request: request[14:],
    "300 octets of its own": lambda _: b"\xa5" * 259,
}


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
@pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS.keys())
def test_a_foreign_reflector_is_judged_gross(tmp_path: Path, stateful: bool, padding: Callable[[bytes], bytes]) -> None:
    """It loses two packets of the warm-up, so that its own numbers are not ours."""
    from scapy.contrib.stamp import STAMPSessionReflectorTestUnauthenticated

    reflector = Reflector(stateful=stateful, padding=padding, hold_s=0.003, drop=2)
    with far_end(reflector) as port:
        params = quick(port, interval_ms=5)
        samples = Probe("rtt").analyse(record(tmp_path, params), params, SEED)
    assert samples.facts["judged"] == "gross"
    assert samples.facts["received"] == 60
    assert samples.values.min() >= 3 * MS, "its residence is in the value"
    assert other(samples).max() < samples.values.max()
    assert told(samples) == {"RTT-V15": "info"}
    seen = STAMPSessionReflectorTestUnauthenticated(reflector.replies[-1].ljust(44, b"\0")[:44])
    assert (seen.seq_sender, seen.seq) == (64, 62 if stateful else 64)
    assert float(seen.ts - seen.ts_rx) > 0.0029


def test_its_claims_lower_nothing_even_where_a_key_is_set(tmp_path: Path) -> None:
    (tmp_path / "reflector.key").write_text(KEY.hex())
    with far_end(Reflector(stateful=True, padding=PADDINGS["all padding copied"])) as port:
        assert refused(tmp_path, quick(port, key_file="reflector.key", warmup=20)) == "RTT-E05"


def test_one_octet_less_is_no_reply(tmp_path: Path) -> None:
    with far_end(lambda request: [Reflector(stateful=False, padding=lambda _: b"")(request)[0][:40]]) as port:
        assert refused(tmp_path, quick(port)) == "RTT-E05"


def test_both_timestamp_formats_of_ours_are_mirrored(tmp_path: Path) -> None:
    """What a foreign reflector mirrors need not be a format that it knows."""
    with far_end(Reflector(stateful=False, padding=lambda _: b"")) as port:
        params = quick(port, timestamp_format="ptp")
        samples = Probe("rtt").analyse(record(tmp_path, params), params, SEED)
    assert np.isfinite(samples.values).all()
    assert samples.facts["foreign"] == 0
