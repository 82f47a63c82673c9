"""Reads serial and value nodes of OPC UA devices over and over, one JSON line per reading, and keeps trying after a break.

It must never write to a server, nor a credential into evidence. Stream `readings.jsonl`:
{"t", "endpoint", "event": "connected" | "found" | "lost", …} and, per reading, {"t", "endpoint", "device", "node", "value",
"status", "source_t"}, where `device` is the node of its serial number.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import sha256_bytes
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.login import name_and_secret
from yanshou.probes.devices.sources.opcua.params import Browse, Device, Endpoint, Source
from yanshou.probes.devices.sources.opcua.read import READINGS
from yanshou.probes.devices.sources.polling import JsonLines, run_until

if TYPE_CHECKING:
    from asyncua import ua
    from asyncua.client.client import Client

NODES_AT_ONCE = 200
"""Servers limit how many nodes one request may name (MaxNodesPerRead); few allow less than this."""
LONGEST_VALUE = 1024
LEAVE_S = 0.4


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Until `stop`. Raises ProbeError OPC-E01 (no asyncua), E02 (no endpoint answers), E03 (password, certificate or key)."""
    try:
        import asyncua  # noqa: F401
    except ImportError:
        raise ProbeError("OPC-E01", "本机没有 OPC UA 客户端 asyncua", "pip install asyncua 后重新运行") from None
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it reports every broken connection with a traceback
    login = _Login(source, run.folder)
    reached = run_until(stop, [_reach(login, endpoint) for endpoint in source.endpoints])
    if reached is None:
        return
    if all(reached):
        raise ProbeError(
            "OPC-E02",
            f"{source.endpoints[0].url} 等 {len(reached)} 个 OPC UA 端点都连不上：{reached[0]}",
            "检查地址、防火墙、安全策略、用户名与口令；服务器须信任客户端证书",
        )
    rows, found = JsonLines(run.sink.stream(READINGS)), Counter[str]()
    run.progress(Progress(0, 0))

    async def read_on(endpoint: Endpoint) -> None:
        while True:
            async for row in _session(login, endpoint):
                rows.write({"endpoint": endpoint.url, **row})
                if "devices" in row:
                    found[endpoint.url] = row["devices"]
                    run.progress(Progress(found.total(), 0))
            await asyncio.sleep(source.interval_s)

    run_until(stop, map(read_on, source.endpoints))


class _Login:
    """How to get in, read from files once."""

    def __init__(self, source: Source, folder: Path) -> None:
        self.source = source
        self._who = name_and_secret(folder, source.credentials, "OPC-E03") if source.credentials else None
        self._files = [folder / name for name in (source.certificate, source.private_key) if name]
        for file in self._files:
            if not file.is_file():
                raise ProbeError("OPC-E03", f"找不到证书或私钥 {file.name}", "放进案卷文件夹，或改正路径")

    async def client(self, url: str) -> Client:
        """A connected client. Raises what asyncua raises."""
        from asyncua.client.client import Client
        from asyncua.crypto import security_policies

        client = Client(url, timeout=self.source.timeout_s)
        if self._who is not None:
            client.set_user(self._who[0])
            client.set_password(self._who[1])
        if self._files:
            from asyncua import ua

            policy = getattr(security_policies, f"SecurityPolicy{self.source.policy}")
            mode = ua.MessageSecurityMode.Sign if self.source.mode == "Sign" else ua.MessageSecurityMode.SignAndEncrypt
            certificate, key = self._files
            await client.set_security(policy, str(certificate), str(key), mode=mode)
        try:
            await client.connect()
        except BaseException:  # cancelled in the middle, it would leave its socket open
            client.disconnect_socket()
            raise
        return client


async def _leave(client: Client) -> None:
    """Say goodbye, but not for long: the far end may be gone."""
    with suppress(Exception):
        try:
            async with asyncio.timeout(LEAVE_S):
                await client.disconnect()
        finally:
            client.disconnect_socket()


def _why(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()[:200]


async def _reach(login: _Login, endpoint: Endpoint) -> str:
    """Why `endpoint` cannot be connected to, "" when it can."""
    try:
        async with asyncio.timeout(3 * login.source.timeout_s):
            client = await login.client(endpoint.url)
    except Exception as error:  # asyncua lets out whatever its parts raise, from OSError to AttributeError
        return _why(error)
    await _leave(client)
    return ""


async def _session(login: _Login, endpoint: Endpoint) -> AsyncIterator[dict[str, Json]]:
    """The rows of one connection, until it breaks."""
    client = None
    try:
        client = await login.client(endpoint.url)
        yield {"event": "connected"}
        devices = endpoint.devices or await _found(client, endpoint.browse or Browse())
        yield {"event": "found", "devices": len(devices)}
        nodes = [(d.serial, node) for d in devices for node in (d.serial, *d.values)]
        while True:
            for part in _parts(nodes, NODES_AT_ONCE):
                values = await client.read_attributes([client.get_node(node) for _, node in part])
                for (device, node), value in zip(part, values, strict=True):
                    yield {"device": device, "node": node, **_reading(value)}
            await asyncio.sleep(login.source.interval_s)
    except Exception as error:  # see _reach
        yield {"event": "lost", "why": _why(error)}
    finally:
        if client is not None:
            await _leave(client)


def _parts(nodes: list[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    """`nodes` in parts of at most `size`."""
    return (nodes[start : start + size] for start in range(0, len(nodes), size))


async def _found(client: Client, browse: Browse) -> list[Device]:
    """The objects directly below `browse.folder` that have a variable named `browse.serial`, in the server's order."""
    from asyncua import ua

    devices = []
    for thing in await client.get_node(browse.folder).get_children(nodeclassmask=ua.NodeClass.Object):
        below = await thing.get_children_descriptions(nodeclassmask=ua.NodeClass.Variable)
        nodes = {r.BrowseName.Name: r.NodeId.to_string() for r in below}
        if browse.serial in nodes:
            devices.append(
                Device(serial=nodes[browse.serial], values=tuple(nodes[v] for v in browse.values if v in nodes))
            )
    return devices


def _reading(data: ua.DataValue) -> dict[str, Json]:
    """Value, status and the server's own source time stamp (ISO 8601 UTC) of one answer."""
    value = data.Value.Value if data.Value is not None else None
    return {
        "value": _plain(value),
        "status": data.StatusCode.name if data.StatusCode is not None else "Good",
        "source_t": data.SourceTimestamp.isoformat() if data.SourceTimestamp is not None else None,
    }


def _plain(value: Any) -> Json:
    """`value` as JSON; what is no scalar as text, and by its digest where that is long."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"sha256:{sha256_bytes(text.encode())}"
