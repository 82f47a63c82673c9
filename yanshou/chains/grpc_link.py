"""gRPC to one endpoint of a chain: bytes there, bytes back, from several threads over one channel.

It is for reads only: each is idempotent, so it may be put again where the connection breaks. It must never interpret a message,
and never keep or show a private key. What the far end refuses is `Refused`; what cannot be reached is a ProbeError. Needs grpcio.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from yanshou.chains.rpc import ANSWER_S, LONGEST_ANSWER, TRIES, UNSUPPORTED, Refused
from yanshou.chains.spec import Endpoint
from yanshou.harness.basics import ProbeError

PORTS = {"grpc": 80, "grpcs": 443}
RECONNECT_MS = 200


class Link:
    """One channel. A context manager that closes it. At most `parallel` questions are under way, whoever asks."""

    def __init__(self, endpoint: Endpoint, folder: Path, parallel: int, roots: bytes = b"") -> None:
        """Paths of certificates and key are relative to `folder`; `roots` (PEM) are trusted instead of the endpoint's own CA.

        Raises ProbeError CHN-E04 (a file), E08 (no grpcio).
        """
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # people get one line from us instead
        try:
            import grpc
        except ImportError:
            text = "这条链的接口是 gRPC，这台主机没有 grpcio"
            raise ProbeError("CHN-E08", text, "pip install 'yanshou[grpc]'") from None
        self._grpc, self._url = grpc, endpoint.url
        self._endpoint, self._folder = endpoint, folder
        parts = urlsplit(endpoint.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        place = f"{host}:{parts.port or PORTS[parts.scheme]}"
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", LONGEST_ANSWER),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
            ("grpc.min_reconnect_backoff_ms", RECONNECT_MS),
        ]
        self.certificate = b""
        """The client's certificate (PEM) for TLS; empty where none is shown."""
        if parts.scheme == "grpcs":
            ca, cert, key = (
                read_pem(folder, name) if name else None for name in (endpoint.ca, endpoint.cert, endpoint.key)
            )
            self.certificate = cert or b""
            if endpoint.name:
                options.append(("grpc.ssl_target_name_override", endpoint.name))
            self._channel = grpc.secure_channel(place, grpc.ssl_channel_credentials(roots or ca, key, cert), options)
        else:
            self._channel = grpc.insecure_channel(place, options)
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="chain")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._channel.close()

    def beside(self, place: str, name: str, roots: bytes) -> Link:
        """Another server of the same network, at host:port over TLS, whom the evaluator shows the same certificate. `name`: as
        the server's own has it; `roots`: who issued that (PEM).
        """
        endpoint = self._endpoint.model_copy(update={"url": f"grpcs://{place}", "name": name})
        return Link(endpoint, self._folder, 1, roots)

    def first(self, method: str, request: bytes) -> bytes:
        """The first answer of a stream to one message; b"" where it ends without. Raises as `ask` does."""
        call = self._channel.stream_stream(method)
        return self._asked(lambda one, timeout: next(call(iter([one]), timeout), b""), method, request)

    def ask(self, method: str, request: bytes) -> bytes:
        """The answer to one message of `method` (/package.Service/Method). Raises Refused, ProbeError CHN-E01."""
        return self.ask_all(method, [request])[0]

    def ask_all(self, method: str, requests: Sequence[bytes]) -> list[bytes]:
        """The answers in order. Raises as `ask` does."""
        call = self._channel.unary_unary(method)  # bytes there, bytes back
        return list(self._pool.map(lambda request: self._asked(call, method, request), requests))

    def _asked(self, call: Any, method: str, request: bytes) -> bytes:
        codes = self._grpc.StatusCode
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.25 * 2**attempt)
            try:
                answer: bytes = call(request, ANSWER_S)
            except self._grpc.RpcError as error:
                code, reason = error.code(), " ".join((error.details() or "").split())[:200]
                if code is codes.UNIMPLEMENTED:
                    raise Refused(method, UNSUPPORTED, reason) from None
                if code in (codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED):
                    continue
                raise Refused(method, code.value[0], reason or code.name) from None
            else:
                return answer
        remedy = "检查地址、端口与防火墙，grpcs:// 时还有 CA、证书与 name；节点要求国密 TLS 时请开一个不带 TLS 的接口"
        raise ProbeError("CHN-E01", f"连不上 {self._url}：{reason or '超时'}", remedy)


def read_pem(folder: Path, name: str) -> bytes:
    """A file that a case names. Raises ProbeError CHN-E04; its content is in no message."""
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise ProbeError("CHN-E04", f"文件 {name} 读不出来：{error.strerror}", "放进案卷文件夹，PEM 格式") from None
    if b"-----BEGIN " not in data:
        raise ProbeError("CHN-E04", f"文件 {name} 不是 PEM 格式", "放进案卷文件夹，PEM 格式")
    return data
