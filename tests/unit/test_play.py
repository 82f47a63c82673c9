"""A demonstration waits until its machine is calm before it spends another attempt, and never for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from yanshou.demo.play import NAP_S, NAPS, await_calm


class Machine:
    """A clock that runs when somebody sleeps, and every nap that `late` says ends late."""

    def __init__(self, late: Callable[[int], bool]) -> None:
        self.now, self.naps, self.late = 0.0, 0, late

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if seconds == NAP_S:
            self.now += 0.005 if self.late(self.naps) else 0
            self.naps += 1


@pytest.mark.parametrize(
    ("late", "calm", "rounds"),
    [
        (lambda nap: False, True, 1),
        (lambda nap: nap % 150 == 0, True, 1),
        (lambda nap: nap < 2 * NAPS, True, 3),
        (lambda nap: nap % 50 == 0, False, None),
    ],
    ids=["calm", "one in 150", "calm after two rounds", "one in 50 for ever"],
)
def test_waits_for_calm_and_no_longer_than_told(late: Callable[[int], bool], calm: bool, rounds: int | None) -> None:
    machine = Machine(late)
    assert await_calm(20, machine.clock, machine.sleep) is calm
    assert rounds is None or machine.naps == rounds * NAPS
    assert machine.now <= 20 + 1 + NAPS * (NAP_S + 0.005)
