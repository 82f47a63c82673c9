"""When each packet is to leave: drawn from the run's seed, so that the capture and whoever checks it get the same plan.

It must never look at a reply: the schedule is open loop. Runs on bare Python 3.8.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Traffic:
    """A stream of test packets: `warmup` that are not judged, then `count` that are; times in ms, `size` octets each."""

    count: int
    warmup: int
    interval_ms: float
    min_interval_ms: float
    schedule: str
    size: int
    timeout_ms: float
    seed: int

    @classmethod
    def of(cls, params: Any, size: int, seed: int) -> Traffic:
        """What a probe's parameters ask for, in packets of truly `size` octets."""
        return cls(
            count=params.count,
            warmup=params.warmup,
            interval_ms=params.interval_ms,
            min_interval_ms=params.min_interval_ms,
            schedule=params.schedule,
            size=size,
            timeout_ms=params.timeout_ms,
            seed=seed,
        )

    @property
    def total(self) -> int:
        """Packets in all."""
        return self.warmup + self.count

    @property
    def timeout_ns(self) -> int:
        """After this a reply is late."""
        return round(self.timeout_ms * 1e6)

    def offsets(self) -> array[int]:
        """Nanoseconds from the first packet to each packet."""
        return send_offsets(self.schedule, self.total, self.interval_ms, self.min_interval_ms, self.seed)


def send_offsets(kind: str, number: int, mean_ms: float, minimum_ms: float, seed: int) -> array[int]:
    """Nanoseconds from the first packet to each packet, `number` of them, not decreasing.

    Every gap is minimum + (mean - minimum) * d with E[d] = 1: d is exponential for "poisson" (a Poisson process with a
    dead time, so that the mean stays the declared one), uniform on [0, 2) for "jitter" and 1 for "grid".
    """
    # The Mersenne Twister's random() is fixed across versions of Python; its other methods are not.
    draw = random.Random(seed).random
    deviates: dict[str, Callable[[], float]] = {
        "poisson": lambda: -math.log(1.0 - draw()),
        "jitter": lambda: 2.0 * draw(),
        "grid": lambda: 1.0,
    }
    deviate = deviates[kind]
    offsets, at = array("q"), 0
    for _ in range(number):
        offsets.append(at)
        at += round((minimum_ms + (mean_ms - minimum_ms) * deviate()) * 1e6)
    return offsets
