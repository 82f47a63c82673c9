"""What the polling sources share on the capturing side: JSON lines, and jobs that end within a second of `stop`.

It must never interpret what it writes.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from yanshou.harness.basics import Json
from yanshou.harness.evidence import StreamWriter

STOP_CHECK_S = 0.2
Result = TypeVar("Result")


class JsonLines:
    """A stream of JSON objects, one a line, each with its time `t` in UTC ns."""

    def __init__(self, stream: StreamWriter) -> None:
        self._stream = stream

    def write(self, row: Mapping[str, Json]) -> None:
        """Append `row` with the time of now. Raises OSError once the disk has failed."""
        line = json.dumps({"t": time.time_ns(), **row}, ensure_ascii=False, allow_nan=False)
        self._stream.write(line.encode("utf-8", "backslashreplace") + b"\n")


async def _supervise(stop: threading.Event, jobs: Iterable[Coroutine[Any, Any, Result]]) -> list[Result] | None:
    together = asyncio.gather(*jobs)
    while not together.done():
        await asyncio.wait((together,), timeout=STOP_CHECK_S)
        if stop.is_set() and not together.done():
            while not together.done():  # a library may swallow being cancelled once
                together.cancel()
                await asyncio.wait((together,), timeout=STOP_CHECK_S)
            with suppress(BaseException):
                together.result()  # how it took its cancelling is nobody's concern
            return None
    return together.result()


def run_until(stop: threading.Event, jobs: Iterable[Coroutine[Any, Any, Result]]) -> list[Result] | None:
    """Results of all `jobs`, run together in one event loop; None when `stop` was set first (they are then cancelled).

    Raises what a job raised.
    """
    return asyncio.run(_supervise(stop, jobs))
