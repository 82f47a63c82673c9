"""Fetches gauges at the start, during and at the end of the window and keeps every answer as it came.

It must never follow a redirect (the token would go along), nor write a credential into evidence. Stream `answers.jsonl`:
{"t", "url", "status", "body"} per answer, where `t` is when it had come, and {"t", "url", "why"} per failure.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.metrics.params import Source
from yanshou.probes.devices.sources.metrics.read import ANSWERS, OK
from yanshou.probes.devices.sources.polling import JsonLines

LARGEST = 8 << 20
CHUNK = 1 << 16


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Until `stop`, and once more then. Raises ProbeError MET-E01 (no address answers), E02 (credentials, CA)."""
    header = _header(run.folder, source.credentials)
    context = _trust(run.folder, source.ca)
    urls = [address.url for address in source.addresses]
    rows, rounds = JsonLines(run.sink.stream(ANSWERS)), 0
    with ThreadPoolExecutor(len(urls)) as pool:

        def fetch_all() -> list[dict[str, Json]]:
            return list(pool.map(lambda url: _fetch(url, header, context, source.timeout_s), urls))

        answers = fetch_all()
        if not any(answer.get("status") == OK for answer in answers):
            why = answers[0].get("why") or f"HTTP {answers[0]['status']}"
            raise ProbeError(
                "MET-E01", f"{urls[0]} 等 {len(urls)} 个取数地址都不应答：{why}", "检查地址、端口、防火墙与凭据"
            )
        _write(rows, answers)
        run.progress(Progress(0, 0))
        while not stop.wait(source.every_s):
            _write(rows, fetch_all())
            rounds += 1
            run.progress(Progress(0, 0, text=f"{rounds} 遍"))
        _write(rows, fetch_all())


def _write(rows: JsonLines, answers: Iterable[dict[str, Json]]) -> None:
    for answer in answers:
        rows.write(answer)


def _header(folder: Path, name: str | None) -> dict[str, str]:
    """The one header in the credentials file."""
    if name is None:
        return {}
    try:
        key, colon, value = (folder / name).read_text(encoding="ascii").partition("\n")[0].partition(":")
    except (OSError, UnicodeError):
        key = colon = value = ""
    if not (colon and key.strip() and value.strip()):
        raise ProbeError(
            "MET-E02", f"凭据文件 {name} 读不出一行 HTTP 头", "写成 Authorization: Bearer …，放进案卷文件夹"
        )
    return {key.strip(): value.strip()}


def _trust(folder: Path, ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(folder / ca) if ca else None)
    except OSError:
        raise ProbeError("MET-E02", f"读不了 CA 证书 {ca}", "PEM 格式，放进案卷文件夹，路径写对") from None


def _fetch(url: str, header: dict[str, str], context: ssl.SSLContext, timeout_s: float) -> dict[str, Json]:
    """One answer as a row, or why there is none. Never takes much longer than `timeout_s`, however slowly the far end drips."""
    parts = urlsplit(url)
    deadline = time.monotonic() + timeout_s
    connection = (
        http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    )
    body = bytearray()
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=header)
        response = connection.getresponse()
        while chunk := response.read1(CHUNK):
            body += chunk
            if len(body) > LARGEST:
                return {"url": url, "why": f"超过 {LARGEST} 字节"}
            if time.monotonic() > deadline:
                return {"url": url, "why": "太慢"}
    except (OSError, http.client.HTTPException) as error:
        return {"url": url, "why": f"{type(error).__name__} {error}"[:200]}
    finally:
        connection.close()
    return {"url": url, "status": response.status, "body": body.decode("utf-8", "replace")}
