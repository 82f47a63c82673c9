"""Punctuality of this thread, and readings of the system's clocks.

It is for sending when the schedule says so, and for proving afterwards that the clock of the stamps ran evenly.
It must never fail for want of rights: what was not obtained is reported. Runs on bare Python 3.8.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from yanshou.harness.basics import Json

FIFO_PRIORITY = 50
SWITCH_SECONDS = 1e-4
"""How long another thread of this process may keep the interpreter when this one wants it (Python's default is 5 ms)."""
_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30


class ClockReading(NamedTuple):
    """One look at the clocks, ns: REALTIME and MONOTONIC_RAW were read between the two MONOTONIC readings."""

    realtime: int
    raw: int
    before: int
    after: int


def read_clocks() -> ClockReading:
    """The tightest of five looks, so that being interrupted in between hardly ever shows."""
    return min((_look() for _ in range(5)), key=lambda r: r.after - r.before)


def _look() -> ClockReading:
    before = time.monotonic_ns()
    realtime = time.time_ns()
    raw = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    return ClockReading(realtime, raw, before, time.monotonic_ns())


@contextmanager
def punctual() -> Iterator[dict[str, Json]]:
    """This thread wakes on time: 1 ns timer slack, SCHED_FIFO where permitted, no garbage collection. All is put back.

    Yields what was obtained: {"fifo": bool, "timer_slack_ns": int | None, "switch_interval_s": float}.
    """
    collecting, switching = gc.isenabled(), sys.getswitchinterval()
    slack = _timer_slack()
    policy = _scheduling_policy()
    gc.disable()
    sys.setswitchinterval(SWITCH_SECONDS)
    _set_timer_slack(1)
    fifo = _real_time()
    try:
        yield {"fifo": fifo, "timer_slack_ns": _timer_slack(), "switch_interval_s": SWITCH_SECONDS}
    finally:
        if fifo and policy is not None:
            os.sched_setscheduler(0, *policy)
        if slack is not None:
            _set_timer_slack(slack)
        sys.setswitchinterval(switching)
        if collecting:
            gc.enable()


def _scheduling_policy() -> tuple[int, os.sched_param] | None:
    return (os.sched_getscheduler(0), os.sched_getparam(0)) if hasattr(os, "sched_getscheduler") else None


def _real_time() -> bool:
    """SCHED_FIFO for this thread and nothing it starts. Whoever holds it must not spin for long: the kernel throttles."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(FIFO_PRIORITY))
    except (OSError, AttributeError):
        return False
    return True


def _timer_slack() -> int | None:
    return int(ctypes.CDLL(None).prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)) if sys.platform == "linux" else None


def _set_timer_slack(ns: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(ns), 0, 0, 0)


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), up to the fields that are read; the kernel fills 208 octets."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


_STA_UNSYNC = 0x0040


def clock_error_ns() -> int | None:
    """By how much the system's clock may be wrong, as its discipline says (maxerror of adjtimex(2)); None: not synchronised."""
    if sys.platform != "linux":
        return None
    state = _Timex()
    if ctypes.CDLL(None).adjtimex(ctypes.byref(state)) < 0 or state.status & _STA_UNSYNC:
        return None
    return int(state.maxerror) * 1000
