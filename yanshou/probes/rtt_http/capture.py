"""One thing asked again and again over persistent HTTP/1.1 connections: the sender of `rtt` over a `pool.Pool`.

It is for recording what happened. It must never judge, nor write a credential into evidence. Runs on bare Python 3.8 and h11.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from h11._version import __version__

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.devices.sources.login import name_and_secret, tls_context
from yanshou.probes.load.streams import REQUEST_ID
from yanshou.probes.rtt.capture import unknown_name
from yanshou.probes.rtt.schedule import Traffic
from yanshou.probes.rtt.sender import NONSENSE, FarEnd, Reply, Sender, errors_of, json_line, surroundings
from yanshou.probes.rtt.streams import SESSION
from yanshou.probes.rtt.timestamps import Received
from yanshou.probes.rtt.timing import punctual
from yanshou.probes.rtt_http.pool import Ended, Place, Pool, Question
from yanshou.probes.rtt_http.streams import EXCHANGES

if TYPE_CHECKING:
    from yanshou.probes.rtt_http.spec import Params

CONNECT_S = 10.0


class Target(NamedTuple):
    """What a URL says."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Its parts."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        return cls(secure, parts.hostname or "", parts.port or (443 if secure else 80), path)


def capture(params: Params, run: RunContext) -> None:
    """Record one run. Raises ProbeError: RTH-E01 nobody answers, E02 refused there, E03 name, E05 other answers than agreed,
    E09 credentials or CA."""
    with errors_of("RTH"):
        target = Target.of(params.url)
        context = tls_context(run.folder, "RTH-E09", params.ca) if target.secure else None
        if context:
            context.set_alpn_protocols(["http/1.1"])
        question = _question(params, target, run)
        far = _far_end(target)
        with punctual() as obtained:
            place, told = _try(target, context, question, params.expected, far, obtained)
            session = {
                "format": "yanshou/rtt.http/1",
                "params": params.model_dump(mode="json"),
                "seed": run.seed,
                "subject": run.subject,
                "client": f"h11 {__version__}",
                **told,
            }
            run.sink.stream(SESSION).write(json_line(session))
            traffic = Traffic.of(params, params.size, run.seed)
            pool = Pool(params.connections, place, question, traffic.timeout_ns, run.sink.stream(EXCHANGES))
            try:
                Sender(traffic, HttpCodec(params.expected), pool, far, run).run()
            finally:
                pool.close()


class HttpCodec:
    """Names of requests, and what their ends say. Only a status that was agreed on is an answer."""

    def __init__(self, expected: Iterable[int]) -> None:
        self._good = frozenset(map(str, expected))
        self._asked: dict[int, int] = {}

    def request(self, sequence: int, t1_ns: int) -> bytes:
        """The name by which the request can be found in the server's own log (X-Request-ID)."""
        self._asked[sequence] = t1_ns
        return REQUEST_ID.format(0, sequence).encode()

    def reply(self, received: Received) -> Reply | None:
        """None for a request that ended without an answer: its time runs out, and exchanges.csv says why."""
        ended: Ended = received.address
        t1_ns = self._asked.pop(ended.sequence)
        if ended.status in self._good:
            return Reply(ended.sequence, t1_ns)
        return NONSENSE if ended.status.isdigit() else None


def _question(params: Params, target: Target, run: RunContext) -> Question:
    default = 443 if target.secure else 80
    host = f"[{target.host}]" if ":" in target.host else target.host
    headers = [
        ("Host", host if target.port == default else f"{host}:{target.port}"),
        ("User-Agent", "yanshou"),
        ("Accept", "*/*"),
    ]
    if params.credentials:
        login = ":".join(name_and_secret(run.folder, params.credentials, "RTH-E09"))
        headers.append(("Authorization", "Basic " + b64encode(login.encode()).decode()))
    body = bytes(params.size) if params.method != "GET" else b""
    if params.method != "GET":
        headers += [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))]
    return Question(params.method, target.path, headers, body)


def _try(
    target: Target,
    context: ssl.SSLContext | None,
    question: Question,
    expected: Sequence[int],
    far: FarEnd,
    obtained: dict[str, Json],
) -> tuple[Place, dict[str, Json]]:
    """Ask once, and wait: where to connect to, and what session.json tells of it. Raises ProbeError RTH-E01, E02, E03, E05."""
    connection: Any
    if context:
        connection = http.client.HTTPSConnection(target.host, target.port, timeout=CONNECT_S, context=context)
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=CONNECT_S)
    try:
        connection.connect()
        sock: socket.socket = connection.sock
        place = Place(sock.family, sock.getpeername(), target.host, context)
        told = {
            "tls": sock.version() if isinstance(sock, ssl.SSLSocket) else None,
            **surroundings(sock, False, obtained),
        }
        connection.request(question.method, question.target, question.body or None, dict(question.headers))
        answer = connection.getresponse()
        answer.read()
    except (socket.gaierror, UnicodeError) as error:
        raise unknown_name(target.host, error) from None
    except ConnectionRefusedError as error:
        raise far.rejected(error) from None
    except OSError as error:
        raise far.silent(getattr(error, "verify_message", "") or error.strerror or str(error)) from None
    except http.client.HTTPException as error:
        raise ProbeError("RTH-E05", f"{far.name} 的应答不是 HTTP({type(error).__name__})", far.if_foreign) from None
    finally:
        connection.close()
    if answer.status not in expected:
        text = f"{far.name} 应答 {answer.status} {answer.reason}，不是约定的 {'、'.join(map(str, expected))}"
        raise ProbeError("RTH-E05", text, far.if_foreign)
    return place, {**told, "http": "1.0" if answer.version == 10 else "1.1"}


def _far_end(target: Target) -> FarEnd:
    return FarEnd(
        f"HTTP 服务器 {target.host} 端口 {target.port}",
        if_silent="检查 url、TLS（ca、host 与证书里的名字）与防火墙，服务是否在运行",
        if_rejecting="检查端口与防火墙，服务是否在运行",
        if_foreign="检查 url、method、size、expected 与凭据；接口不得限制请求速率",
        rejects="拒绝连接（{}）",
    )
