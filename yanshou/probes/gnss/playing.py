"""The imaginary receiver in real time: at the far end of a pseudo-terminal, or as a TCP server.

It is for standards, tests and demonstrations. It must never give out an epoch before its time.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from yanshou.harness.basics import ProbeError
from yanshou.probes.gnss.simulate import Receiver, lines

LATENCY_S = 0.02
"""From the epoch to its first octet."""

Says = Callable[[Receiver, int], Iterator[tuple[float, bytes]]]
"""What a receiver says with a seed, as `lines` has it; each epoch is asked for when the one before it has been said."""


@contextmanager
def on_terminal(receiver: Receiver, seed: int, says: Says = lines) -> Iterator[tuple[str, list[float]]]:
    """(port, seconds since its start of every epoch given out so far). Raises ProbeError GNS-E19 where there is no pseudo-terminal.

    What is said while nobody has the port open, or reads it in time, is lost, as on a real line.
    """
    try:
        import tty

        ours, theirs = os.openpty()
    except (ImportError, OSError) as error:
        text = f"没有可用的伪终端，模拟接收机不能扮作串口接收机：{error}"
        raise ProbeError("GNS-E19", text, "在 Linux 上运行") from None
    tty.setraw(theirs)
    port = os.ttyname(theirs)
    os.close(theirs)
    os.set_blocking(ours, False)
    far_end = select.poll()
    far_end.register(ours, 0)

    def send(octets: bytes) -> bool:
        if far_end.poll(0):  # hung up
            return False
        with suppress(BlockingIOError):
            return os.write(ours, octets) == len(octets)
        return False

    try:
        with _playing(receiver, says(receiver, seed), send) as said:
            yield port, said
    finally:
        os.close(ours)


@contextmanager
def on_tcp(receiver: Receiver, seed: int, host: str = "127.0.0.1") -> Iterator[tuple[int, list[float]]]:
    """(port, seconds since its start of every epoch given out so far): to whoever is connected last. Raises OSError."""
    with socket.create_server((host, 0)) as server:
        server.setblocking(False)
        peers: list[socket.socket] = []

        def send(octets: bytes) -> bool:
            with suppress(BlockingIOError):
                peers.append(server.accept()[0])
            if not peers:
                return False
            try:
                peers[-1].sendall(octets)
            except OSError:
                peers.pop().close()
                return False
            return True

        try:
            with _playing(receiver, lines(receiver, seed), send) as said:
                yield server.getsockname()[1], said
        finally:
            for peer in peers:
                peer.close()


@contextmanager
def _playing(
    receiver: Receiver, says: Iterator[tuple[float, bytes]], send: Callable[[bytes], bool]
) -> Iterator[list[float]]:
    said: list[float] = []
    stop = threading.Event()

    def play() -> None:
        start = receiver.start.timestamp() + LATENCY_S
        for t, octets in says:
            if stop.wait(max(0.0, start + t - time.time())):
                return
            if send(octets):
                said.append(t)

    player = threading.Thread(target=play, name="receiver", daemon=True)
    player.start()
    try:
        yield said
    finally:
        stop.set()
        player.join()
