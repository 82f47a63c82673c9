"""The tee for corrections: our own client at an NTRIP caster, whose stream is recorded and, if wanted, handed on to the receiver.

It is for showing which corrections the positions rest on. It must never change them, and never let the password into a stream.
NTRIP 1.0 (RTCM 10410.0), which casters of version 2 speak with whoever does not ask for more.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from yanshou.harness.basics import ProbeError
from yanshou.probes.gnss.inputs import Ntrip
from yanshou.probes.gnss.sources import ByteSource, Note, Received, Returning, TcpSource, connect

POSITION_S = 10.0
ANSWER_S = 5.0
LONGEST_WAIT_S = 15.0
"""Between tries to come back: casters lock out who knocks too often."""
LONGEST_HEAD = 8192
_EVENTS = {"opened": "caster", "reopened": "caster", "lost": "caster_lost"}


def open_caster(source: Ntrip, login: tuple[str, str] | None) -> ByteSource:
    """A mountpoint's stream. Raises ProbeError GNS-E07 (name), E08 (no connection), E09 (the caster does not give it)."""
    sock = connect(source.host, source.port)
    try:
        sock.settimeout(ANSWER_S)
        sock.sendall(_request(source.mountpoint, login))
        head, end = b"", b"\r\n"
        while end not in head:
            if not (more := sock.recv(LONGEST_HEAD)) or len(head) > LONGEST_HEAD:
                raise OSError("应答不完整")
            head += more
            if head.startswith(b"HTTP/"):
                end = b"\r\n\r\n"
    except OSError as error:
        sock.close()
        raise _refused(source, f"没有正常应答（{error}）") from None
    told, _, begun = head.partition(end)
    status = told.split(b"\r\n")[0].decode("ascii", "replace")
    if not (status.startswith("ICY 200") or (status.startswith("HTTP/1.") and status.split()[1:2] == ["200"])):
        sock.close()
        no_mountpoint = status.startswith("SOURCETABLE") or " 404" in status
        raise _refused(source, "没有这个挂载点" if no_mountpoint else f"应答“{status[:60]}”")
    return TcpSource(sock, begun)


def _request(mountpoint: str, login: tuple[str, str] | None) -> bytes:
    """Casters refuse an agent whose name does not begin with NTRIP."""
    lines = [f"GET /{mountpoint} HTTP/1.0", "User-Agent: NTRIP yanshou"]
    if login:
        lines.append("Authorization: Basic " + base64.b64encode(":".join(login).encode()).decode())
    return "\r\n".join([*lines, "", ""]).encode()


def _refused(source: Ntrip, why: str) -> ProbeError:
    text = f"差分服务 {source.host}:{source.port}/{source.mountpoint} 不给差分：{why}"
    return ProbeError("GNS-E09", text, "核对挂载点、账号（credentials）是否有效、是否已在别处登录")


class Tee:
    """Corrections into the evidence and on to the receiver, in a thread of its own, as long as the block runs."""

    def __init__(
        self,
        source: Ntrip,
        login: tuple[str, str] | None,
        take: Callable[[Received], None],
        hand_on: Callable[[bytes], bool],
        position: Callable[[], bytes | None],
        note: Note,
    ) -> None:
        self._source, self._take, self._hand_on, self._position, self._note = source, take, hand_on, position, note
        self._caster = Returning(
            lambda: open_caster(source, login),
            lambda event, text: note(_EVENTS[event], text),
            f"{source.host}:{source.port}/{source.mountpoint}",
            LONGEST_WAIT_S,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ntrip", daemon=True)
        self._failure: Exception | None = None
        self.untaken = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._caster.close()

    def raise_failure(self) -> None:
        """Raise what ended the thread (a full disk), if anything did."""
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            due = 0.0
            while not self._stop.is_set():
                if got := self._caster.read():
                    self._take(got)
                    if self._source.forward and not self._hand_on(got.data):
                        if not self.untaken:
                            self._note("untaken", f"{len(got.data)} 字节")
                        self.untaken += len(got.data)
                if self._source.send_position and time.monotonic() >= due and (gga := self._position()):
                    due = time.monotonic() + POSITION_S
                    if self._caster.write(gga + b"\r\n"):
                        self._note("position", gga.decode("ascii"))
        except Exception as error:  # raised again by whoever records
            self._failure = error
