"""Motion to photon from a video: frames that people counted between a movement and its picture, and the camera's rate.

It is for the arithmetic, and for saying how coarse it is: what a camera sees is known to one of its frames, whichever way it was
counted. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import median

from yanshou.harness.basics import Json
from yanshou.probes.texts import plain

FEWEST = 10
"""Movements below which chance decides: the camera's phase, the display's and the tracker's are all drawn anew with each."""
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:fps|帧/秒|帧每秒)", re.IGNORECASE)
_COUNTED = re.compile(r"([0-9]+(?:\s*[、,，;；]\s*[0-9]+)*)\s*帧(?!/秒|每秒)")


@dataclass(frozen=True)
class Counted:
    """What somebody counted: the camera's frames per second, and the frames of each movement."""

    fps: float
    frames: tuple[int, ...]

    @property
    def resolution_ms(self) -> float:
        """One frame of the camera."""
        return 1000 / self.fps

    def to_json(self) -> dict[str, Json]:
        """Times in ms; each is known to one frame of the camera, up or down."""
        times = sorted(n * self.resolution_ms for n in self.frames)
        return {
            "camera_fps": self.fps,
            "frames": list(self.frames),
            "n": len(times),
            "least_ms": times[0],
            "median_ms": median(times),
            "greatest_ms": times[-1],
            "resolution_ms": self.resolution_ms,
            "no_more_than_ms": times[-1] + self.resolution_ms,
        }


def written(text: str) -> Counted | None:
    """The count in a text such as `240 fps，5、6、5、7 帧`; None where there is not exactly one rate and one list of frames."""
    words = plain(text)
    rates = _RATE.findall(words)
    counted = _COUNTED.findall(_RATE.sub(" ", words))
    if len(rates) != 1 or len(counted) != 1 or not float(rates[0]):
        return None
    return Counted(float(rates[0]), tuple(int(n) for n in re.findall(r"[0-9]+", counted[0])))
