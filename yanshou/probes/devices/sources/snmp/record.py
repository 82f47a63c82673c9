"""Reads tables of SNMP agents over and over, one JSON line per variable, by number and in raw bytes.

It must never set a variable, nor write a credential into evidence. Stream `variables.jsonl`: {"t", "agent", "event": "begin" |
"end" | "lost", …} and, per variable, {"t", "agent", "table", "oid", "value"}, where a value is an integer or hex of octets.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.polling import JsonLines, run_until
from yanshou.probes.devices.sources.snmp.params import Agent, Source
from yanshou.probes.devices.sources.snmp.read import ALWAYS, SUBTREES, SYSTEM, VARIABLES, Oid

RETRIES = 1
AT_ONCE = 25
"""Variables per answer (max-repetitions): what still fits one UDP datagram of ordinary size."""
MOST_VARIABLES = 500_000
"""Per table and round; an agent that invents rows without end must not fill the disk."""


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Until `stop`. Raises ProbeError SNM-E01 (no pysnmp), E02 (no agent answers), E03 (credentials)."""
    try:
        import pysnmp  # noqa: F401
    except ImportError:
        raise ProbeError("SNM-E01", "本机没有 SNMP 客户端 pysnmp", "pip install pysnmp 后重新运行") from None
    secrets = _secrets(run.folder / source.credentials, source)
    reached = run_until(stop, [_reach(source, agent, secrets) for agent in source.agents])
    if reached is None:
        return
    if all(reached):
        text = f"{source.agents[0].address} 等 {len(reached)} 个 SNMP 代理都没有应答：{reached[0]}"
        raise ProbeError(
            "SNM-E02", text, "检查地址、UDP 端口、团体字或用户、代理允许的来源地址（团体字错时代理不作声）"
        )
    rows, lines = JsonLines(run.sink.stream(VARIABLES)), 0
    run.progress(Progress(0, 0))

    async def read_on(agent: Agent) -> None:
        nonlocal lines
        with closing(_Reader(source, agent, secrets)) as reader:
            while True:
                async for row in _round(reader):
                    rows.write({"agent": agent.address, **row})
                    lines += "oid" in row
                run.progress(Progress(lines, 0))
                await asyncio.sleep(source.interval_s)

    run_until(stop, map(read_on, source.agents))


def _secrets(path: Path, source: Source) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeError):
        lines = []
    if len(lines) < (1 if source.version == "2c" else 2) or any(len(word) < 8 for word in lines[1:]):
        wanted = (
            "第一行团体字" if source.version == "2c" else "第一行用户名，第二行认证口令，第三行加密口令，口令至少 8 位"
        )
        raise ProbeError("SNM-E03", f"凭据文件 {path.name} 读不出凭据", f"{wanted}，UTF-8，放进案卷文件夹")
    return lines


class _Unanswered(Exception):
    """What an agent did not answer, and why."""


class _Reader:
    """One agent, asked in a session of its own."""

    def __init__(self, source: Source, agent: Agent, secrets: list[str]) -> None:
        from pysnmp.hlapi.v3arch import asyncio as snmp

        self.source, self.agent = source, agent
        self._engine = snmp.SnmpEngine()
        if source.version == "2c":
            self._who: Any = snmp.CommunityData(secrets[0], mpModel=1)
        else:
            hashes = {
                "SHA": snmp.USM_AUTH_HMAC96_SHA,
                "SHA256": snmp.USM_AUTH_HMAC192_SHA256,
                "SHA512": snmp.USM_AUTH_HMAC384_SHA512,
            }
            private = {"privKey": secrets[2], "privProtocol": snmp.USM_PRIV_CFB128_AES} if len(secrets) > 2 else {}
            self._who = snmp.UsmUserData(secrets[0], secrets[1], authProtocol=hashes[source.authentication], **private)

    async def below(self, root: Oid) -> AsyncIterator[tuple[Oid, Json]]:
        """Every variable below `root`, in order. Raises _Unanswered."""
        from pysnmp.hlapi.v3arch import asyncio as snmp

        try:
            target = await snmp.UdpTransportTarget.create(
                (self.agent.host, self.agent.port), timeout=self.source.timeout_s, retries=RETRIES
            )
        except Exception as error:  # pysnmp's own error for a name that cannot be resolved, or OSError
            raise _Unanswered(f"{type(error).__name__} {error}") from None
        last = root
        for _ in range(0, MOST_VARIABLES, AT_ONCE):
            start = snmp.ObjectType(snmp.ObjectIdentity(last), snmp.Null(""))
            failure, status, _index, answers = await snmp.bulk_cmd(
                self._engine, self._who, target, snmp.ContextData(), 0, AT_ONCE, start, lookupMib=False
            )
            if failure or status:
                raise _Unanswered(str(failure or f"error-status {int(status)}"))
            for name, value in answers:
                oid = tuple(name)
                if oid[: len(root)] != root or isinstance(value, snmp.EndOfMibView):
                    return
                if oid <= last:
                    raise _Unanswered("OID 不递增")
                last = oid
                yield oid, _plain(value)
            if not answers:
                return
        raise _Unanswered(f"超过 {MOST_VARIABLES} 个变量")

    def close(self) -> None:
        """End the session."""
        self._engine.close_dispatcher()


def _plain(value: Any) -> Json:
    """Octets (addresses too) in hex, an integer, or an object identifier as text."""
    from pysnmp.proto import rfc1902

    if isinstance(value, rfc1902.OctetString):
        return bytes(value).hex()
    return int(value) if hasattr(value, "__int__") else str(value.prettyPrint())


async def _reach(source: Source, agent: Agent, secrets: list[str]) -> str:
    """Why the agent does not answer, "" when it does."""
    try:
        with closing(_Reader(source, agent, secrets)) as reader:
            async for _ in reader.below(SYSTEM):
                break
    except _Unanswered as why:
        return str(why)
    return ""


async def _round(reader: _Reader) -> AsyncIterator[dict[str, Json]]:
    """The rows of one reading of all tables."""
    yield {"event": "begin"}
    try:
        for table in (*ALWAYS, *reader.source.tables):
            for root in SUBTREES[table]:
                async for oid, value in reader.below(root):
                    yield {"table": table, "oid": ".".join(map(str, oid)), "value": value}
    except _Unanswered as why:
        yield {"event": "lost", "why": str(why)}
    else:
        yield {"event": "end"}
