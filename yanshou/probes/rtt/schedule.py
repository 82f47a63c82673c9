"""When each packet is to leave: drawn from the run's seed, so that the capture and whoever checks it get the same plan.

It must never look at a reply: the schedule is open loop.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable


def send_offsets(kind: str, number: int, mean_ms: float, minimum_ms: float, seed: int) -> array[int]:
    """Nanoseconds from the first packet to each packet, `number` of them, not decreasing.

    Every gap is minimum + (mean - minimum) * d with E[d] = 1: d is exponential for "poisson" (a Poisson process with a
    dead time, so that the mean stays the declared one), uniform on [0, 2) for "jitter" and 1 for "grid".
    """
    draw = random.Random(
        seed
    ).random  # the Mersenne Twister's random() is fixed across versions; its other methods are not
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
