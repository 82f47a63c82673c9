"""Asks every unit behind Modbus TCP gateways who it is and what it reads, over and over, one JSON line per answer.

Two units that nobody declared are asked as well: a gateway that answers for these answers for all. It must never write a
register. Stream `answers.jsonl`: {"t", "gateway", "event": "connected" | "lost", …} and, per answer, {"t", "gateway", "unit",
"declared", "asked": "identification" | "serial" | "values", "status": "ok" | "silent" | "exception N", "objects": {number:
hex} or "registers": [number]}.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.devices.sources.modbus.params import HIGHEST_UNIT, Gateway, Registers, Source
from yanshou.probes.devices.sources.modbus.read import ANSWERS
from yanshou.probes.devices.sources.polling import JsonLines, run_until

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient

CONTROLS = 2
MOST_PARTS = 16
"""Parts of one device identification that are asked for; a unit that always says "more follows" must not hold the others up."""
NEVER = 1 << 30


def record(source: Source, run: RunContext, stop: threading.Event) -> None:
    """Until `stop`. Raises ProbeError MBT-E01 (no pymodbus), E02 (no gateway can be connected to)."""
    try:
        import pymodbus  # noqa: F401
    except ImportError:
        raise ProbeError("MBT-E01", "本机没有 Modbus 客户端 pymodbus", "pip install pymodbus 后重新运行") from None
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it reports every silent unit
    reached = run_until(stop, [_reach(source, gateway) for gateway in source.gateways])
    if reached is None:
        return
    if not any(reached):
        text = f"{source.gateways[0].address} 等 {len(reached)} 个 Modbus 网关都连不上"
        raise ProbeError("MBT-E02", text, "检查地址、端口与防火墙；有的网关只接受一个连接，先断开别的客户端")
    rows, seen = JsonLines(run.sink.stream(ANSWERS)), set[tuple[str, int]]()
    run.progress(Progress(0, 0))

    async def read_on(gateway: Gateway) -> None:
        while True:
            async for row in _session(source, gateway, _controls(gateway, run.seed)):
                rows.write({"gateway": gateway.address, **row})
                if row.get("status") == "ok" and row["declared"] and (gateway.address, row["unit"]) not in seen:
                    seen.add((gateway.address, row["unit"]))
                    run.progress(Progress(len(seen), 0))
            await asyncio.sleep(source.interval_s)

    run_until(stop, map(read_on, source.gateways))


def _controls(gateway: Gateway, seed: int) -> list[int]:
    """Units that nobody declared, drawn with `seed`."""
    others = sorted(set(range(1, HIGHEST_UNIT + 1)) - set(gateway.unit_numbers()))
    return random.Random(f"{seed}:{gateway.address}").sample(others, min(CONTROLS, len(others)))


async def _connect(source: Source, gateway: Gateway) -> AsyncModbusTcpClient | None:
    """A connected client, None where there is nobody."""
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient(
        gateway.host, port=gateway.port, timeout=source.timeout_s, retries=0, reconnect_delay=0
    )
    client.set_max_no_responses(NEVER)  # silent units are an answer, no reason to hang up
    if await client.connect():
        return client
    client.close()
    return None


async def _reach(source: Source, gateway: Gateway) -> bool:
    client = await _connect(source, gateway)
    if client is not None:
        client.close()
    return client is not None


async def _session(source: Source, gateway: Gateway, controls: list[int]) -> AsyncIterator[dict[str, Json]]:
    """The rows of one connection, until it breaks."""
    client = await _connect(source, gateway)
    if client is None:
        yield {"event": "lost", "why": "连不上"}
        return
    try:
        yield {"event": "connected"}
        asked = [*((unit, True) for unit in gateway.unit_numbers()), *((unit, False) for unit in controls)]
        while client.connected:
            for unit, declared in asked:
                async for row in _unit(client, source, unit):
                    yield {"unit": unit, "declared": declared, **row}
            asked = [(unit, declared) for unit, declared in asked if declared]
            await asyncio.sleep(source.interval_s)
        yield {"event": "lost", "why": "对端断开"}
    finally:
        client.close()


async def _unit(client: AsyncModbusTcpClient, source: Source, unit: int) -> AsyncIterator[dict[str, Json]]:
    """What one unit answers to each question."""
    yield {"asked": "identification", **await _identification(client, unit)}
    for asked, block in (("serial", source.serial), ("values", source.values)):
        if block is not None:
            yield {"asked": asked, **await _registers(client, unit, block)}


async def _ask(question: Awaitable[Any]) -> tuple[str, Any]:
    """(status, answering PDU or None) of one question."""
    from pymodbus.exceptions import ModbusException

    try:
        answer = await question
    except (ModbusException, OSError):
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # pymodbus turns being cancelled into an error of its own
            raise asyncio.CancelledError from None
        return "silent", None
    return (f"exception {answer.exception_code}", None) if answer.isError() else ("ok", answer)


async def _identification(client: AsyncModbusTcpClient, unit: int) -> dict[str, Json]:
    """Extended device identification, or basic where the unit knows no other."""
    status = "silent"
    for code in (3, 1):
        objects: dict[str, str] = {}
        start = 0
        for _ in range(MOST_PARTS):
            status, answer = await _ask(client.read_device_information(read_code=code, object_id=start, device_id=unit))
            if answer is None:
                break
            objects |= {str(number): _hex(value) for number, value in answer.information.items()}
            start = answer.next_object_id
            if not answer.more_follows or not start:
                break
        if objects or not status.startswith("exception"):
            return {"status": status, "objects": objects}
    return {"status": status, "objects": {}}


def _hex(value: bytes | list[bytes]) -> str:
    """An object's bytes; some devices repeat an object, which is kept as one."""
    return (b"".join(value) if isinstance(value, list) else value).hex()


async def _registers(client: AsyncModbusTcpClient, unit: int, block: Registers) -> dict[str, Json]:
    read = client.read_holding_registers if block.table == "holding" else client.read_input_registers
    status, answer = await _ask(read(block.address, count=block.count, device_id=unit))
    return {"status": status, "registers": answer.registers if answer is not None else []}
