"""Listening on the uplink while requests are asked: a row for what passed, and what the person on site says of a cut.

It is for recording what went to and from elsewhere. It must never judge it, and never write what a packet carries. Runs on bare
Python 3.8.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yanshou.harness.basics import Json, ProbeError, refusal
from yanshou.probes.capturing import RunContext
from yanshou.probes.listening import counted, link_type, listen
from yanshou.probes.model_latency.answer import now
from yanshou.probes.model_latency.host_channels import INTERFACES
from yanshou.probes.model_latency.sniffer import Watched
from yanshou.probes.model_latency.streams import UPLINK, UPLINK_END

if TYPE_CHECKING:
    from yanshou.probes.model_latency.spec import Params

LARGEST = 2 << 30
"""Octets of rows; what passes after them is not written down, and the record says so."""
BLOCK = 1 << 16
READY_S, END_S = 10.0, 10.0
ASK_S = 0.2
PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
CUT = "断开车端的全部上行（拔掉或关闭蜂窝模块、无线与外网网线），断开好"


class Uplink:
    """The interface to listen on, seen to be there and permitted before anything is asked.

    Raises ProbeError LAT-E01 (no such host), PKT-E03 (no such interface), PKT-E04 (not permitted).
    """

    def __init__(self, params: Params, run: RunContext, local: bool) -> None:
        assert params.uplink is not None
        self._interface, self._run = params.uplink, run
        self._link = link_type(self._interface)
        listen(self._interface).close()
        own = () if local else _connections(params.urls.get(run.subject or "", params.url) or "")
        model = tuple(params.uplink_model) or tuple(dict.fromkeys(theirs for theirs, _, _ in own))
        self._watched = Watched(model, own)
        self._confirmed = params.uplink_cut and _confirmed(run)

    @contextmanager
    def recording(self, origin: int) -> Iterator[None]:
        """Rows for what passes, on the clock of `now` from `origin` on."""
        rows, full = self._run.sink.stream(UPLINK), threading.Event()
        with closing(listen(self._interface)) as sock:
            child = self._started(sock, origin)
            lines = child.stdout
            assert lines is not None
            begun = threading.Event()

            def keep() -> None:
                size = 0
                for block in iter(lambda: lines.read1(BLOCK), b""):  # type: ignore[attr-defined]
                    if size < LARGEST:
                        rows.write(block)
                    else:
                        full.set()
                    size += len(block)
                    begun.set()

            thread = threading.Thread(target=keep, name="uplink", daemon=True)
            thread.start()
            try:
                begun.wait(READY_S)
                begin = now()
                yield
            finally:
                end, status = now(), self._ended(child)
                thread.join(END_S)
                lines.close()
            seen, dropped = counted(sock)
        told: dict[str, Json] = {
            "interface": self._interface, "link_type": self._link, **self._watched.argument(), "begin_ns": begin - origin,
            "end_ns": end - origin, "kernel_packets": seen, "kernel_dropped": dropped, "exit": status, "full": full.is_set(),
            "confirmed": self._confirmed,
        }  # fmt: skip
        self._run.sink.stream(UPLINK_END).write(json.dumps(told, sort_keys=True).encode() + b"\n")

    def _started(self, sock: socket.socket, origin: int) -> subprocess.Popen[bytes]:
        told = {
            **self._watched.argument(),
            "link": self._link,
            "mine": self._mac(),
            "index": socket.if_nametoindex(self._interface),
            "socket": sock.fileno(),
            "origin": origin,
        }
        paths = os.pathsep.join(filter(None, sys.path))  # also out of an archive
        return subprocess.Popen(
            [sys.executable, "-m", "yanshou.probes.model_latency.sniffer", json.dumps(told)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(sock.fileno(),), env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # ended by its standard input, not by whoever presses Ctrl-C
        )  # fmt: skip

    def _mac(self) -> str:
        try:
            return (INTERFACES / self._interface / "address").read_text().strip().replace(":", "")
        except OSError:
            return ""

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        """Tell the process that it is over; how it ended."""
        assert child.stdin is not None
        child.stdin.close()
        try:
            return child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def _connections(url: str) -> tuple[tuple[str, str, int], ...]:
    """(address of the service, ours towards it, its port) of every way to it. Raises ProbeError LAT-E01."""
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    found = {}
    try:
        for family, _, _, _, address in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM):
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                try:
                    sock.connect(address)  # sends nothing: it only chooses our address
                except OSError:  # no way there by this family
                    continue
                theirs, ours = (str(one[0]).partition("%")[0] for one in (address, sock.getsockname()))
                found[theirs, ours, port] = True
    except OSError as error:
        raise ProbeError("LAT-E01", f"找不到 {parts.hostname}：{refusal(error)}", "核对 url，或改写 IP 地址") from None
    return tuple(found)


def _confirmed(run: RunContext) -> bool:
    """Whether somebody on site said that the uplink is cut; waits for him."""
    answered = run.ask(CUT)
    if answered is None:
        return False
    while not answered():
        time.sleep(ASK_S)
    return True
