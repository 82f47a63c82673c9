"""A model's server of which every delay is set and logged: what it truly did is the truth for what a probe measures.

It is for calibration and for tests of every way in which a server may look faster than it is. It thinks nothing. The log is written
by its own clock, from the last byte of a request read to before the last byte of its answer is written. Bare Python 3.8.
"""

from __future__ import annotations

import json
import mmap
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from yanshou.probes.model_latency.streams import HOLD_COLUMNS, REQUEST_ID
from yanshou.probes.rtt.timing import punctual

LOOPBACK = "127.0.0.1"
SPIN_NS = 300_000
LONGEST = 1 << 20


@dataclass
class Behaviour:
    """What the server does. Times in ms; `..._every` 0 is never."""

    interface: str = "openai"
    first: float = 0.0
    token: float = 0.0
    tokens: int = 8
    role: bool = True
    per_piece: int = 1
    usage: float = 1.0
    """Reports so many times the tokens that it wrote; 0 none."""
    cached: float = 0.0
    """Says that so great a share of the prompt came from a cache."""
    remembers: bool = False
    """Answers an input that it has seen at once."""
    canned: bool = False
    choices: int = 1
    stall_every: int = 0
    stall: float = 0.0
    drift: float = 0.0
    """Added for each request so far."""
    empty_every: int = 0
    break_every: int = 0
    """Cuts the answer after the first token."""
    error_every: int = 0
    """Says in the stream that something went wrong, after the first token."""
    refuse_every: int = 0
    """Answers 503."""
    close: bool = False
    """Closes the connection after each answer."""
    batch: int = 1
    """Waits for so many requests and answers them together, so that an average looks short."""
    freeze_after: int = 0
    freeze: float = 0.0
    """Answers nobody for so long, once, from that request on."""
    blind: bool = False
    """Looks at no picture."""
    weights: str = ""
    """Maps this file, as a service that has loaded it does."""

    def argument(self) -> str:
        """For the command line of the process."""
        return json.dumps(asdict(self))


class Server:
    """One thread for each connection."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.log: list[str] = []
        self._guard = threading.Lock()
        self._count = 0
        self._seen: set[str] = set()
        self._batch = threading.Barrier(behaviour.batch)
        self._frozen_until = 0
        self._weights = _mapped(behaviour.weights) if behaviour.weights else None
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Take connections until the process ends."""
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, punctual():
            for name, body, came in _requests(connection):
                try:
                    if not self._answer(connection, name, body, came):
                        return
                except OSError:
                    return

    def _answer(self, connection: socket.socket, name: str, body: bytes, came: int) -> bool:
        """Answer one request; False ends the connection."""
        it = self.behaviour
        with self._guard:
            self._count += 1
            number = self._count
            text = body.decode("utf-8", "replace")
            if it.blind:
                text = re.sub(r'data:image/[^"]*', "", text)
            known = it.remembers and text in self._seen
            self._seen.add(text)
            if it.freeze and number == it.freeze_after:
                self._frozen_until = came + round(it.freeze * 1e6)
        _until(self._frozen_until)
        if it.batch > 1:
            self._batch.wait()
        if _due(it.refuse_every, number):
            connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            return True
        wait = 0.0 if known else it.first + it.drift * number
        if _due(it.stall_every, number):
            wait += it.stall
        words = [] if _due(it.empty_every, number) else _words(it, "same" if it.canned else text)
        streamed = it.interface == "openai" and json.loads(text or "{}").get("stream")
        if streamed:
            connection.sendall(self._head())
        _until(came + round(wait * 1e6))
        first = time.perf_counter_ns()
        each = 0.0 if known else it.token
        if streamed and not self._pieces(connection, words, number, first, each):
            return False
        if not streamed:
            _until(first + round(each * 1e6 * max(0, len(words) - 1)))
        end = self._end(len(words)) if streamed else _whole(it, words)
        done = time.perf_counter_ns()
        connection.sendall(end)
        with self._guard:
            self.log.append(f"{name},{first - came},{done - came}\n")
        return not it.close

    def _head(self) -> bytes:
        """What a stream begins with: no content yet, however early it comes."""
        close = b"Connection: close\r\n" if self.behaviour.close else b""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n" + close + b"\r\n"
        role = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
        return head + (_event(role) if self.behaviour.role else b"")

    def _pieces(self, connection: socket.socket, words: list[str], number: int, first: int, each: float) -> bool:
        """The words at their times; False where the connection is to be broken."""
        it = self.behaviour
        for at in range(0, len(words), it.per_piece):
            _until(first + round(each * 1e6 * at))
            content = "".join(words[at : at + it.per_piece])
            events = (_event({"choices": [{"index": n, "delta": {"content": content}}]}) for n in range(it.choices))
            connection.sendall(b"".join(events))
            if _due(it.error_every, number):
                connection.sendall(_event({"error": {"message": "out of memory"}}))
                return False
            if _due(it.break_every, number):
                return False
        return True

    def _end(self, words: int) -> bytes:
        told = _usage(self.behaviour, words)
        last = _event({"choices": [], "usage": told}) if told else b""
        return last + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def _mapped(path: str) -> mmap.mmap:
    with open(path, "rb") as f:  # noqa: PTH123
        return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


def _requests(connection: socket.socket) -> Iterator[tuple[str, bytes, int]]:
    """(name, body, moment at which its last byte had been read) of each request, until the connection ends."""
    data, came = b"", 0
    while True:
        head, blank, body = data.partition(b"\r\n\r\n")
        name, length = _named(head) if blank else ("", 0)
        if blank and len(body) >= length:
            data = body[length:]
            yield name, body[:length], came
            continue
        try:
            more = connection.recv(LONGEST)
        except OSError:
            return
        came = time.perf_counter_ns()
        if not more:
            return
        data += more


def _named(head: bytes) -> tuple[str, int]:
    """Name of a request and length of its body."""
    fields = {key.lower(): value.strip() for key, _, value in (line.partition(b":") for line in head.split(b"\r\n"))}
    return fields.get(REQUEST_ID.lower().encode(), b"").decode("ascii", "replace"), int(
        fields.get(b"content-length", 0)
    )


def _event(value: dict[str, Any]) -> bytes:
    data = b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _whole(it: Behaviour, words: list[str]) -> bytes:
    """An answer in one piece."""
    content = "".join(words)
    if it.interface == "json":
        body: dict[str, Any] = {"result": {"action": content}, "time": time.time_ns()}
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        body = {"choices": [choice] * it.choices, "usage": _usage(it, len(words))}
    data = json.dumps(body, ensure_ascii=False).encode()
    close = b"Connection: close\r\n" if it.close else b""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s" % (
        close,
        len(data),
        data,
    )


def _usage(it: Behaviour, words: int) -> dict[str, Any] | None:
    if not it.usage:
        return None
    cached = {"prompt_tokens_details": {"cached_tokens": round(100 * it.cached)}} if it.cached else {}
    return {"completion_tokens": round(words * it.usage), "prompt_tokens": 100, **cached}


def _words(it: Behaviour, text: str) -> list[str]:
    """An answer to an input: another one for each, the same for the same."""
    code = sum(map(ord, text)) + hash_of(text)
    return [f"w{(code + n) % 1_000_003} " for n in range(it.tokens)]


def hash_of(text: str) -> int:
    """A number that an input gives on every machine."""
    value = 0
    for c in text:
        value = (value * 31 + ord(c)) % 1_000_003
    return value


def _due(every: int, number: int) -> bool:
    return bool(every) and number % every == 0


def _until(moment: int) -> None:
    """Sleep, then spin: the log says how late it was all the same."""
    while True:
        left = moment - time.perf_counter_ns()
        if left <= 0:
            return
        if left > SPIN_NS:
            time.sleep((left - SPIN_NS) / 1e9)


def main(argument: str) -> None:
    """The process: its port on standard output; when standard input closes, its log."""
    given = json.loads(argument)
    server = Server(Behaviour(**{f.name: given[f.name] for f in fields(Behaviour) if f.name in given}))
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdin.read()
    sys.stdout.write(HOLD_COLUMNS + "\n" + "".join(server.log))


if __name__ == "__main__":
    main(sys.argv[1])
