"""Hosts of our own on one machine: network namespaces without a name, each with nothing but one TUN device.

It is for a path that nothing else uses. It must never touch the machine's own network and never leave anything behind: a
namespace and its device are gone with the last descriptor and process, even when that was killed. Runs on bare Python 3.8.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_DEVICE, _NAME = "/dev/net/tun", b"tun0"
_OWN = "/proc/thread-self/ns/net"
# linux/sched.h, if_tun.h, sockios.h, if.h
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCSIFADDR, _SIOCSIFDSTADDR, _SIOCSIFFLAGS = 0x8916, 0x8918, 0x8914
_IFF_UP, _IFF_RUNNING = 0x1, 0x40


class Host(NamedTuple):
    """Descriptors of a namespace and of the far side of its TUN device: what is sent there can be read here, and back."""

    namespace: int
    tunnel: int


@contextmanager
def host(address: str, peer: str) -> Iterator[Host]:
    """A host with one point-to-point link from `address` to `peer` (IPv4). Raises OSError without the rights."""
    made: list[Host] = []
    failed: list[OSError] = []

    def make() -> None:  # in a thread of its own, the only one that ever stays in the new namespace
        try:
            made.append(_make(address, peer))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    try:
        yield made[0]
    finally:
        os.close(made[0].tunnel)
        os.close(made[0].namespace)


@contextmanager
def inside(place: Host) -> Iterator[None]:
    """This thread, and what it starts, is on the host `place`; sockets stay where they were opened. Raises OSError."""
    before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _libc("setns", place.namespace, _CLONE_NEWNET)
        try:
            yield
        finally:
            _libc("setns", before, _CLONE_NEWNET)
    finally:
        os.close(before)


def _libc(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _make(address: str, peer: str) -> Host:
    _libc("unshare", _CLONE_NEWNET)
    tunnel = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tunnel, _TUNSETIFF, struct.pack("@16sH22x", _NAME, _IFF_TUN | _IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for request, where in ((_SIOCSIFADDR, address), (_SIOCSIFDSTADDR, peer)):
                place = struct.pack("@16sH2x4s16x", _NAME, socket.AF_INET, socket.inet_aton(where))
                fcntl.ioctl(sock, request, place)
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("@16sH22x", _NAME, _IFF_UP | _IFF_RUNNING))
        return Host(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC), tunnel)
    except OSError:
        os.close(tunnel)
        raise
