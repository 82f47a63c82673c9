"""Targets behind HTTP: OpenAI's chat and completion interfaces, streamed or not, and plain JSON endpoints.

It is for stamps as close to the socket as Python gets. It must never retry (a retry hides an error), never send a second request
before the first is over on one connection, and never write the key anywhere. Runs on bare Python 3.8.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from yanshou.harness.basics import Json
from yanshou.probes.model_latency.answer import Answer, Timeout, now
from yanshou.probes.model_latency.streams import REQUEST_ID

LONGEST = 1 << 20
MOST = 64 << 20
"""Bytes of one line, and of one whole answer."""


class HttpTarget:
    """One connection that is kept open as long as the server does. `close` ends it.

    A server that was once seen to hang up after an answer gets a new connection for each: its hanging up and the next request would
    cross on the way, and the request be lost through nobody's fault. Connecting is never an answer's time.
    """

    def __init__(self, url: str, key: str | None, ca: str | None, timeout_s: float) -> None:
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
        self._timeout_s = timeout_s
        host, port = parts.hostname or "", parts.port
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            "Accept-Encoding: identity",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
        ]
        if key is not None:
            lines.append(f"Authorization: Bearer {key}")
        self._head = "\r\n".join(lines).encode("ascii")
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            self._connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self.connections = 0
        self._asked = 0
        self._keeps = True

    def ready(self) -> None:
        """Connect where there is no connection, or the server has closed it meanwhile, as it may. Raises OSError."""
        if self._connection.sock is not None and self._is_over(self._connection.sock):
            self._keeps = False
            self.close()
        if self._connection.sock is None:
            self._connection.connect()
            self.connections += 1
            self._asked = 0

    def _is_over(self, sock: socket.socket) -> bool:
        """Whether a connection on which nothing was asked has come to its end; tickets of TLS are nothing."""
        if not select.select([sock], [], [], 0)[0]:
            return False
        sock.settimeout(0)
        try:
            sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        finally:
            sock.settimeout(self._timeout_s)
        return True

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def prepare(self, number: int, body: Json) -> bytes:
        """The request for an input, in one piece, so that making it is not the answer's time."""
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return b"%s\r\n%s: %d\r\nContent-Length: %d\r\n\r\n%s" % (
            self._head, REQUEST_ID.encode(), number, len(data), data
        )  # fmt: skip

    def ask(self, data: bytes, answer: Answer) -> None:
        """Send one request and follow its answer to the end. Everything that may go wrong is the answer's status."""
        try:
            self.ready()
            self._asked += 1
            answer.start = now()
            self._connection.sock.sendall(data)
            answer.sent = now()
            response = http.client.HTTPResponse(self._connection.sock, method="POST")
            response.begin()
            answer.byte = now()
            self._follow(response, answer)
        except (Timeout, socket.timeout):  # noqa: UP041  another class before Python 3.10
            answer.finish("timeout")
        except ConnectionRefusedError:
            answer.finish("refused")
        except (http.client.IncompleteRead, EOFError):
            answer.finish("cut")
        except (http.client.BadStatusLine, ConnectionError):
            answer.finish("closed")
            self._keeps = self._keeps and self._asked == 1
        except (http.client.HTTPException, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            answer.finish("garbled")
        answer.start = answer.start or now()
        well = answer.status in ("ok", "empty")
        if not well or response.will_close or not _drained(response) or not self._keeps:
            self.close()

    def _follow(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        if response.status != 200:
            answer.finish(f"http-{response.status}")
            return
        self._read(response, answer)

    def _read(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        raise NotImplementedError

    def _lines(self, response: http.client.HTTPResponse, answer: Answer) -> Iterator[tuple[int, bytes]]:
        """(stamp, line) as lines come. Raises Timeout, ValueError for an answer without end."""
        deadline = answer.start + round(self._timeout_s * 1e9)
        while True:
            line = response.readline(LONGEST)
            at = now()
            if not line:
                answer.done = at
                return
            answer.bytes += len(line)
            if at > deadline:
                raise Timeout
            if answer.bytes > MOST:
                raise ValueError
            yield at, line

    def _whole(self, response: http.client.HTTPResponse, answer: Answer) -> bytes:
        """The body. Raises Timeout, ValueError."""
        return b"".join(line for _, line in self._lines(response, answer))


class JsonTarget(HttpTarget):
    """A plain endpoint: the input is the body; the answer is what `path` (names with dots between) leads to, or all of it."""

    def __init__(self, url: str, key: str | None, ca: str | None, timeout_s: float, path: str | None) -> None:
        super().__init__(url, key, ca, timeout_s)
        self._answer_path = path.split(".") if path else []

    def _read(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        found = json.loads(self._whole(response, answer))
        answer.piece(answer.done, decision(found, self._answer_path))
        answer.finish()


def decision(found: Json, path: Sequence[str]) -> str:
    """What names lead to in an answer, as text; nothing where there is nothing."""
    for name in path:
        found = _step(found, name)
    return "" if found in (None, "", [], {}) else json.dumps(found, sort_keys=True)


def _drained(response: http.client.HTTPResponse) -> bool:
    """Read what an answer has after its end, so that its connection can be used again."""
    try:
        return not response.read(LONGEST) or not response.read(1)
    except (http.client.HTTPException, OSError):
        return False


def _step(value: Json, name: str) -> Json:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None


class OpenAiTarget(HttpTarget):
    """OpenAI's interface; the input is `prompt` or `messages`, `settings` are added to it."""

    def __init__(self, url: str, key: str | None, ca: str | None, timeout_s: float, settings: dict[str, Json]) -> None:
        super().__init__(url, key, ca, timeout_s)
        self._settings = settings

    def prepare(self, number: int, body: Json) -> bytes:
        """The input over the settings."""
        return super().prepare(number, {**self._settings, **body})

    def _read(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        if "text/event-stream" in response.headers.get("Content-Type", ""):
            self._stream(response, answer)
            return
        whole = json.loads(self._whole(response, answer))
        if whole.get("error"):
            answer.finish("error")
            return
        answer.usage(whole.get("usage"))
        answer.choices = len(whole["choices"])
        answer.piece(answer.done, _content(whole["choices"][0]))
        answer.finish()

    def _stream(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        """Server-sent events up to [DONE]; what the connection brings after it belongs to nobody."""
        complete = False
        for at, line in self._lines(response, answer):
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                answer.done = at
                complete = True
                break
            event = json.loads(data)
            if event.get("error"):
                answer.finish("error")
                return
            answer.usage(event.get("usage"))
            for choice in event.get("choices") or ():
                answer.choices = max(answer.choices, 1 + int(choice.get("index") or 0))
                if not choice.get("index"):
                    answer.piece(at, _content(choice))
        answer.finish(None if complete else "cut")


def _content(choice: dict[str, Any]) -> str:
    """Text of one choice or of one piece of it; what a tool is called with is content too."""
    part = choice.get("delta") or choice.get("message") or choice
    found = part.get("content") or part.get("text") or ""
    if isinstance(found, list):
        found = "".join(str(item.get("text") or "") for item in found if isinstance(item, dict))
    calls = part.get("tool_calls") or ()
    told = "".join(
        f"{call['function'].get('name') or ''}{call['function'].get('arguments') or ''}"
        for call in calls
        if isinstance(call, dict) and isinstance(call.get("function"), dict)
    )
    return str(found) + told
