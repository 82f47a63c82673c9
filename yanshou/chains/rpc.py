"""JSON-RPC 2.0 over HTTP to one endpoint: kept alive, in batches where the endpoint takes them, from several threads.

It must never interpret a result. Refusals are `Refused`, never an empty result; what cannot be reached is a ProbeError.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self
from urllib.parse import urlsplit

from yanshou.harness.basics import Json, ProbeError

ANSWER_S = 30.0
LONGEST_ANSWER = 256 << 20
TRIES = 4
"""How often a question is put before the endpoint counts as gone; waits of 0, 0.5, 1 and 2 s between."""
UNSUPPORTED = -32601
BUSY, BUSY_S = (-40011, -32005), 0.5
"""Codes of an endpoint that allows only so many questions a second (FISCO BCOS; EIP-1474), and the first wait."""


class Asks(Protocol):
    """The impure half of a kind of chain, towards one endpoint. All raise ProbeError where it cannot be asked."""

    def about(self) -> Json:
        """What the node says of itself and its chain, as it came."""

    def head(self) -> int:
        """The height of its newest block."""

    def hash_at(self, number: int) -> str | None:
        """The hash of its block at that height, lower-case hex with 0x; None where it has none."""

    def rows(self, numbers: range) -> list[Json]:
        """{"block": answer, "receipts": [answer, …]} of each height in order, answers as they came."""

    def headers(self, numbers: range) -> list[Json]:
        """{"block": header} of each height in order, with its signatures, as they came."""

    def view(self) -> Json:
        """What the node says of all nodes: its lists, who is in sync and who is connected, as they came."""

    def counter(self) -> Json:
        """The chain's own count of transactions, as it came; None where it keeps none."""


@dataclass(eq=False)
class Refused(Exception):
    """The endpoint answered a question with an error."""

    method: str
    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.method}: {self.code} {self.message}"

    @property
    def problem(self) -> ProbeError:
        """What is raised where a refusal stops everything. Not supported is not zero, and is said so."""
        if self.code == UNSUPPORTED:
            text = f"节点不支持 {self.method}：不支持不等于没有，无法由它得知"
            return ProbeError("CHN-E06", text, "检查链的类型；或换一个开放此接口的节点（启动参数里允许 admin 等模块）")
        return ProbeError("CHN-E03", f"节点拒绝了询问：{self}", "检查链的类型、group 与接口权限是否如参数所写")


class _Garbage(Exception):
    """An answer that is no JSON-RPC."""


Question = tuple[str, list[Json]]
"""(method, params)."""


class Rpc:
    """One endpoint. Thread-safe: each thread has a connection of its own. A context manager that closes them all."""

    def __init__(self, url: str, batch: int, ca: str | None = None) -> None:
        """`batch`: most questions in one request. Raises ProbeError CHN-E04 for a CA file that cannot be read."""
        parts = urlsplit(url)
        self._url, self._batch = url, batch
        self._path = parts.path or "/"
        self._host, self._port = parts.hostname or "", parts.port
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca)
            except (OSError, ssl.SSLError):
                raise ProbeError("CHN-E04", f"CA 文件 {ca} 读不出来", "放进案卷文件夹，PEM 格式") from None
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._batches: bool | None = None if batch > 1 else False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    def ask(self, method: str, *params: Json) -> Json:
        """The result of one question. Raises Refused, ProbeError."""
        question = (method, list(params))
        return self._result(self._exchange(self._request(question, 1)), question)

    def ask_all(self, questions: Sequence[Question]) -> list[Json]:
        """The results in order, in batches where the endpoint takes them. Raises Refused, ProbeError."""
        results: list[Json] = []
        for start in range(0, len(questions), self._batch):
            results += self._some(questions[start : start + self._batch])
        return results

    def answer(self, method: str, *params: Json) -> Json:
        """The result of one question. Raises ProbeError, also where it is refused."""
        return self.answers([(method, list(params))])[0]

    def answers(self, questions: Sequence[Question]) -> list[Json]:
        """The results in order. Raises ProbeError, also where one is refused."""
        try:
            return self.ask_all(questions)
        except Refused as error:
            raise error.problem from None

    def _some(self, questions: Sequence[Question]) -> list[Json]:
        """One batch; halved as long as the endpoint refuses it whole (too large for it), at last one by one."""
        if self._batches is False or len(questions) == 1:
            return [self.ask(method, *params) for method, params in questions]
        try:
            answers = self._exchange([self._request(q, n) for n, q in enumerate(questions)])
        except ProbeError as error:
            if error.problem.code != "CHN-E02":
                raise
            answers = None  # such as a web server's page that the request is too large
        if isinstance(answers, list):
            by_number = {a.get("id"): a for a in answers if isinstance(a, dict)}
            if set(range(len(questions))) <= by_number.keys():
                self._batches = True
                return [self._result(by_number[n], question) for n, question in enumerate(questions)]
        if self._batches is None:
            self._batches = False  # it has never taken one
        half = len(questions) // 2
        return self._some(questions[:half]) + self._some(questions[half:])

    @staticmethod
    def _request(question: Question, number: int) -> Json:
        method, params = question
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}

    def _result(self, answer: Json, question: Question) -> Json:
        """The result in an answer; a busy endpoint is given time and asked again. Raises Refused, ProbeError."""
        attempt = 0
        while (error := _error(answer)) and error.get("code") in BUSY and attempt < TRIES:
            time.sleep(BUSY_S * 2**attempt)
            answer = self._exchange(self._request(question, 1))
            attempt += 1
        method, _ = question
        if error is not None:
            code = error.get("code")
            raise Refused(method, code if isinstance(code, int) else 0, " ".join(str(error.get("message")).split()))
        if not isinstance(answer, dict) or "result" not in answer:
            text = f"{self._url} 对 {method} 的应答不是 JSON-RPC"
            raise ProbeError("CHN-E02", text, "检查地址与端口，是不是链的 RPC 接口")
        return answer["result"]

    def _exchange(self, request: Json) -> Json:
        """The answer to a request, put again when the connection breaks. Raises ProbeError CHN-E01, CHN-E02."""
        body = json.dumps(request, separators=(",", ":")).encode()
        reason: BaseException | str = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.25 * 2**attempt)
            try:
                return json.loads(self._post(body))
            except (OSError, http.client.HTTPException) as error:
                reason = error
                self._drop()
            except (ValueError, RecursionError, _Garbage) as error:
                self._drop()
                text = f"{self._url} 的应答不是 JSON：{' '.join(str(error).split())[:200]}"
                raise ProbeError("CHN-E02", text, "检查地址与端口，是不是链的 RPC 接口，是否要求证书") from None
        text = f"连不上 {self._url}：{' '.join(str(reason).split()) or type(reason).__name__}"
        raise ProbeError("CHN-E01", text, "检查地址、端口与防火墙；节点要求国密 SSL 时请开一个不带 SSL 的接口")

    def _post(self, body: bytes) -> bytes:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connection()
            self._connections.append(connection)
        connection.request("POST", self._path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read(LONGEST_ANSWER)
        if len(data) == LONGEST_ANSWER and response.read(1):
            raise _Garbage(f"应答超过 {LONGEST_ANSWER >> 20} MB")
        if response.status >= 500 or response.status == 429:
            raise http.client.HTTPException(f"HTTP {response.status}")
        return data

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=ANSWER_S, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_S)

    def _drop(self) -> None:
        """Close this thread's connection; it is opened again with the next question."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()


def _error(answer: Json) -> dict[str, Json] | None:
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else None


def require_blocks(numbers: range, blocks: Sequence[Json]) -> None:
    """Raises ProbeError CHN-E03 for the first height whose block the node did not give."""
    for number, block in zip(numbers, blocks, strict=True):
        if not isinstance(block, dict) or not isinstance(block.get("transactions"), list):
            raise ProbeError("CHN-E03", f"节点没有给出第 {number} 块", "换一个保存全部历史、没有归档旧块的节点")


def joined(blocks: Sequence[Json], receipts: Sequence[Json]) -> list[Json]:
    """Rows: each block with its share of the `receipts` of all. Raises ProbeError CHN-E03 where one is missing."""
    if None in receipts or len(receipts) != sum(len(block["transactions"]) for block in blocks):
        raise ProbeError("CHN-E03", "节点没有给出全部交易回执", "换一个保存全部历史、没有归档旧块的节点")
    left = iter(receipts)
    return [{"block": block, "receipts": [next(left) for _ in block["transactions"]]} for block in blocks]
