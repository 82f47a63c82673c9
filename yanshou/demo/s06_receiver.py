"""The imaginary receiver of scenario 6, at the far end of a pseudo-terminal, in a process of its own and in real time.

    python -m yanshou.demo.s06_receiver static 1780000000

prints the terminal's name and then gives out NMEA there, as long as somebody has it open, for epochs from that UTC second on. What
happens around it comes as lines `UTC WHAT VALUE` on its standard input, and holds from the first epoch at or after that second:
`slide MM` puts its antenna so far to the east, `off NAME` and `on NAME` switch a satellite system, without which it only floats.
The noise is the same whatever happens. The process ends with its standard input.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from yanshou.harness.basics import ExitCode, ProbeError, Problem, UserError
from yanshou.probes.gnss.playing import on_terminal
from yanshou.probes.gnss.reference import ARM, ORIGIN
from yanshou.probes.gnss.simulate import Carried, Loop, Receiver, Slide, lines

if TYPE_CHECKING:
    from typing import IO

Motion = Literal["static", "dynamic"]
DRIVE = Loop()
RATE_HZ = 10
LASTS_S = 3600
STOPS_MM = (0.0, 20.0, 50.0)
"""Of the slide, to the east."""
TALKERS = {"BDS": "GB", "GPS": "GP"}
SEEDS: dict[Motion, int] = {"static": 49, "dynamic": 8}
"""Of recordings of plain noise as short as these, one in a hundred looks slow by chance and is left undecided. In the first ten
minutes of the noise of these seeds next to none does, wherever it begins."""
SIGMA_MM: dict[Motion, tuple[float, float, float]] = {"static": (2.0, 2.0, 5.0), "dynamic": (7.0, 7.0, 15.0)}
TAU_S = 0.05
"""Real errors stay for minutes, and a recording of them takes hours."""


def receiver(motion: Motion, start: datetime) -> Receiver:
    """What is simulated, with its antenna in the first place and all systems on."""
    path = Carried(DRIVE, ARM) if motion == "dynamic" else Receiver.path
    return Receiver(ORIGIN, start, LASTS_S, RATE_HZ, path, SIGMA_MM[motion], tau_s=TAU_S)


@dataclass(frozen=True)
class State:
    """How the world around a receiver is: which system is off, where the antenna stands."""

    off: str = ""
    slide_mm: float = 0.0

    def after(self, what: str, value: str) -> State:
        """The next one. Raises KeyError, ValueError for what is no order."""
        if what == "slide":
            return replace(self, slide_mm=float(value))
        return replace(self, off={"off": value, "on": ""}[what])

    def around(self, one: Receiver) -> Receiver:
        """The receiver as long as it is so."""
        if self.slide_mm:
            one = replace(one, path=Slide((0.0,), (self.slide_mm / 1000,)))
        if self.off:
            left = tuple(talker for name, talker in TALKERS.items() if name != self.off)
            one = replace(one, talkers=left, float_share=1.0)
        return one


@dataclass
class World:
    """What happens around a receiver. `orders`: (UTC second, what, value)."""

    motion: Motion
    orders: list[tuple[float, str, str]] = field(default_factory=list)

    def order(self, line: str) -> None:
        """Take one in. Raises ValueError."""
        moment, what, value = line.split()
        self.orders.append((float(moment), what, value))

    def at(self, moment: float) -> State:
        """How it is then."""
        state = State()
        for _, what, value in sorted(order for order in self.orders if order[0] <= moment):
            state = state.after(what, value)
        return state

    def says(self, one: Receiver, seed: int) -> Iterator[tuple[float, bytes]]:
        """What the receiver says in it: at every epoch, as it then is."""
        stops = STOPS_MM if self.motion == "static" else STOPS_MM[:1]
        known = [State(off, stop) for off in ("", *TALKERS) for stop in stops]
        for epoch in zip(*(lines(state.around(one), seed) for state in known), strict=True):
            yield epoch[known.index(self.at(one.start.timestamp() + epoch[0][0]))]


def main(motion: Motion, start: datetime) -> None:
    """Print the terminal's name, and take orders until standard input ends. Raises ProbeError where there is no terminal."""
    world = World(motion)
    with on_terminal(receiver(motion, start), SEEDS[motion], world.says) as (port, _):
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            world.order(line)


@dataclass(frozen=True)
class Running:
    """A receiver that is there. `port`: where it speaks."""

    start: datetime
    port: str
    _orders: IO[str]

    def order(self, moment: float, what: str, value: str | float) -> None:
        """What happens from the UTC second `moment` on."""
        self._orders.write(f"{moment:.3f} {what} {value}\n")
        self._orders.flush()


@contextmanager
def running(motion: Motion, start: datetime) -> Iterator[Running]:
    """A receiver as long as the context lasts. Raises UserError where this system has no pseudo-terminals."""
    command = [sys.executable, "-m", "yanshou.demo.s06_receiver", motion, f"{start.timestamp():.0f}"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise UserError(Problem("DEMO-E04", "演示用的模拟接收机没有启动", "在 Linux 上运行"), ExitCode.INTERNAL)
        yield Running(start, port, process.stdin)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


if __name__ == "__main__":
    chosen: Motion = "static" if sys.argv[1] == "static" else "dynamic"
    try:
        main(chosen, datetime.fromtimestamp(int(sys.argv[2]), UTC))
    except ProbeError as error:
        sys.exit(str(error.problem))
