"""Pages through a broker's list of clients, again and again, and keeps every answer as it came.

It must never change anything at the broker, nor write a key into evidence. Stream `clients.jsonl`: {"t", "round", "page",
"body"} per answer, {"t", "round", "failed"} where a round broke off, {"t", "end"} last.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.emqx.params import Source
from yanshou.probes.devices.sources.emqx.read import CLIENTS
from yanshou.probes.devices.sources.login import name_and_secret
from yanshou.probes.devices.sources.polling import JsonLines

ANSWER_S = 5.0
LONGEST_ANSWER = 64 << 20
MOST_PAGES = 10_000


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """A round at once, one every `every_s`, and one more at `stop`. Raises ProbeError EMQ-E01 (not reachable), E02 (refused),
    E03 (another kind of answer), E04 (key file, CA).
    """
    api = _Api(source, run)
    rows = JsonLines(run.sink.stream(CLIENTS))
    number, last = 0, False
    while True:
        seen = 0
        try:
            for page, body in api.pages():
                rows.write({"round": number, "page": page, "body": body})
                seen += len(body["data"])
        except ProbeError as error:
            if number == 0:
                raise
            rows.write({"round": number, "failed": error.problem.text})
        run.progress(Progress(seen, 0))
        if last:
            break
        last = stop.wait(source.every_s)
        number += 1
    rows.write({"end": True})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key must not follow to wherever a server points."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


class _Api:
    """GET /api/v5/clients, page by page."""

    def __init__(self, source: Source, run: RunContext) -> None:
        key, secret = name_and_secret(run.folder, source.credentials, "EMQ-E04")
        self._authorization = "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()
        self._source = source
        try:
            context = ssl.create_default_context(cafile=str(run.folder / source.ca) if source.ca else None)
        except (OSError, ssl.SSLError):
            raise ProbeError("EMQ-E04", f"CA 文件 {source.ca} 读不出来", "放进案卷文件夹，PEM 格式") from None
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect()
        )

    def pages(self) -> Iterator[tuple[int, dict[str, Json]]]:
        """(number from 1, answer) until the list ends. Raises ProbeError."""
        for page in range(1, MOST_PAGES + 1):
            body = self._get(page)
            yield page, body
            more = body["meta"].get("hasnext", len(body["data"]) == self._source.page_size)
            if not (more and body["data"]):
                return

    def _get(self, page: int) -> dict[str, Json]:
        url = f"{self._source.url}/api/v5/clients?page={page}&limit={self._source.page_size}&conn_state=connected"
        headers = {"Authorization": self._authorization, "Accept": "application/json"}
        try:
            with self._opener.open(urllib.request.Request(url, headers=headers), timeout=ANSWER_S) as answer:
                body = json.loads(answer.read(LONGEST_ANSWER))
            if isinstance(body["data"], list) and isinstance(body["meta"], dict):
                return dict(body)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (401, 403):
                    text = f"管理接口 {self._source.url} 拒绝密钥（HTTP {error.code}）"
                    raise ProbeError("EMQ-E02", text, "在管理界面建一个只读 API 密钥，写进凭据文件") from None
                text = f"管理接口 {self._source.url} 应答 HTTP {error.code}"
                raise ProbeError("EMQ-E03", text, "检查地址是不是 EMQX 5 的管理接口（默认端口 18083）") from None
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            text = f"连不上管理接口 {self._source.url}：{reason}"
            raise ProbeError("EMQ-E01", " ".join(text.split()), "检查地址、端口与防火墙，HTTPS 时检查 ca") from None
        except (ValueError, KeyError, TypeError, RecursionError, http.client.HTTPException):
            pass
        text = f"管理接口 {self._source.url} 的应答不是客户端列表"
        raise ProbeError("EMQ-E03", text, "检查地址是不是 EMQX 5 的管理接口（默认端口 18083）")
