"""When each user is to ask: fixed by the run's seed, so that driver and analysis have the same plan.

It must never look at an answer: the schedule is open loop. A user that is still waiting asks late, and its latency counts from
the schedule all the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yanshou.probes.load.spec import Load


@dataclass(frozen=True)
class Plan:
    """`users` of which number k joins at ramp * k / users and then asks every `gap_ns`; all times are ns from the start."""

    users: int
    gap_ns: int
    ramp_ns: int
    seed: int

    @classmethod
    def of(cls, load: Load, seed: int) -> Plan:
        """What parameters ask for."""
        return cls(load.users, round(1e9 / load.rate), round(load.ramp_s * 1e9), seed)

    def first(self, user: int) -> int:
        """Its first request: somewhere in the gap after it joined, so that users do not ask in step.

        Of the generator only random() is used: that is guaranteed to stay, also for a seed that is a text.
        """
        phase = random.Random(f"{self.seed}:{user}").random()
        return self.ramp_ns * user // self.users + int(phase * self.gap_ns)

    def due(self, user: int, number: int) -> int:
        """When request `number` (from 0) of a user is to be sent."""
        return self.first(user) + number * self.gap_ns

    def count(self, user: int, end_ns: int) -> int:
        """How many requests of a user are due before `end_ns`."""
        return max(0, -((self.first(user) - end_ns) // self.gap_ns))
