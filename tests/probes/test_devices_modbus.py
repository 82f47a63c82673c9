"""The Modbus source against real pymodbus servers: gateways that answer for everybody, serials, silence, breaks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.probes.records_support import MemoryEvidence, codes, excluded, record
from tests.probes.sources_support import free_port, recording
from tests.probes.test_devices_metrics import server as gauge_server
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.probes.devices.analyse import analyse
from yanshou.probes.devices.capture import capture
from yanshou.probes.devices.sources.modbus.params import Source
from yanshou.probes.devices.sources.modbus.read import ANSWERS, findings, observations, serial_text
from yanshou.probes.devices.sources.modbus.record import record as record_source
from yanshou.probes.devices.spec import Params

SERIAL, VALUES = {"address": 0, "count": 4}, {"address": 100, "count": 2}
FROZEN = 3


async def ticking(
    _function: int, _start: int, address: int, _count: int, registers: list[int], _set: object
) -> ExcCodes | None:
    """Every reading of register 100 differs."""
    if address == 100:
        registers[100] = (registers[100] + 1) % 65536
    return None


def unit(number: int, serial: str) -> SimDevice:
    blocks = [
        SimData(0, values=serial.ljust(8, "\0"), datatype=DataType.STRING),
        SimData(4, count=96, values=0, datatype=DataType.REGISTERS),
        SimData(100, values=[number * 1000, 7], datatype=DataType.REGISTERS),
    ]
    return SimDevice(number, blocks, action=None if number == FROZEN else ticking)


def only_units(numbers: set[int]) -> Callable[[bool, ModbusPDU], ModbusPDU]:
    """What a proper gateway says of units that are not on its line, and who the others are."""

    def answer(sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if sending and pdu.dev_id not in numbers:
            return ExceptionResponse(pdu.function_code, ExcCodes.GATEWAY_NO_RESPONSE, pdu.dev_id, pdu.transaction_id)
        if sending and isinstance(pdu, ReadDeviceInformationResponse):
            pdu.information = {0: b"Maker", 1: b"Meter", 4: f"Meter {pdu.dev_id}".encode()}
        return pdu

    return answer


@contextmanager
def server(
    port: int, devices: list[SimDevice], trace: Callable[[bool, ModbusPDU], ModbusPDU] | None = None
) -> Iterator[None]:
    up = threading.Event()
    over: list[Callable[[], None]] = []

    async def serve() -> None:
        names = ModbusDeviceIdentification(info_name={"VendorName": "Maker", "ProductCode": "GW", "ModelName": "GW-1"})
        running = ModbusTcpServer(devices, identity=names, address=("127.0.0.1", port), trace_pdu=trace)
        await running.serve_forever(background=True)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        over.append(lambda: loop.call_soon_threadsafe(stop.set))
        up.set()
        await stop.wait()
        await running.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert up.wait(20)
        yield
    finally:
        over[0]()
        thread.join()


def source(port: int, units: str, **more: Any) -> Source:
    gateways = [{"host": "127.0.0.1", "port": port, "units": units}]
    return Source(**{"kind": "modbus", "gateways": gateways, "interval_s": 0.1, "timeout_s": 0.5, **more})


def run(folder: Path, what: Source, text: bytes, times: int = 1) -> RunEvidence:
    with recording(folder, record_source, what) as news:
        news.wait_for(ANSWERS, text, times)
    return news.evidence


def found(evidence: Any, what: Source) -> dict[str, str]:
    validity = tuple(findings(evidence, what))
    assert set(codes(validity).values()) <= {"warning"}
    return {f.code: f.text for f in validity}


def test_a_gateway_that_answers_for_every_unit_is_one_identity(tmp_path: Path) -> None:
    port = free_port()
    what = source(port, "1-40", values=VALUES)
    with server(port, [unit(0, "")]):
        evidence = run(tmp_path, what, b'"unit": 40', 6)
    seen = list(observations(evidence, what))
    assert [(o.kind, o.value, o.gateway) for o in seen] == [("modbus_unit", f"127.0.0.1:{port}/1", "")]
    texts = found(evidence, what)
    assert set(texts) == {"MBT-V01", "MBT-V02"}
    assert "40 个单元号标识相同" in texts["MBT-V01"]
    assert "没有登记的单元号" in texts["MBT-V01"]


def test_serial_registers_tell_units_apart_and_expose_duplicates(tmp_path: Path) -> None:
    port = free_port()
    what = source(port, "1-5,9", serial=SERIAL, values=VALUES)
    devices = [unit(n, "SN-2" if n == 4 else f"SN-{n}") for n in range(1, 6)]
    with server(port, devices, only_units({1, 2, 3, 4, 5})):
        evidence = run(tmp_path, what, b'"unit": 5', 12)
    seen = list(observations(evidence, what))
    assert [o.value for o in seen] == ["SN-1", "SN-2", "SN-3", "SN-2", "SN-5"]
    assert {o.gateway for o in seen} == {f"127.0.0.1:{port}"}
    assert seen[3].same == {"modbus_unit": f"127.0.0.1:{port}/4"}
    assert all((o.messages or 0) >= 3 and 0 < o.first_ns < o.last_ns for o in seen)
    lively = [o for o in seen if o.value != "SN-3"]
    assert all((o.distinct_values or 0) >= 3 for o in lively)
    assert seen[2].distinct_values == 1
    texts = found(evidence, what)
    assert set(texts) == {"MBT-V03", "MBT-V04"}
    assert "5 个单元给出 4 个不同序列号；重复的：SN-2" in texts["MBT-V04"]
    assert texts["MBT-V03"].endswith("：9")


def test_identification_alone_tells_units_apart(tmp_path: Path) -> None:
    port = free_port()
    what = source(port, "1-3")
    with server(port, [unit(0, "")], only_units({1, 2, 3})):
        evidence = run(tmp_path, what, b'"unit": 3')
    seen = list(observations(evidence, what))
    assert [o.value for o in seen] == [f"127.0.0.1:{port}/{n}" for n in (1, 2, 3)]
    assert [o.messages for o in seen] == [None] * 3
    assert found(evidence, what) == {}


def test_the_whole_probe_counts_units_beside_a_gauge(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "register.csv").write_text("sn\n" + "".join(f"SN-{n}\n" for n in (1, 2, 3, 5, 8)))
    devices = [unit(n, "SN-2" if n == 4 else f"SN-{n}") for n in range(1, 6)]
    with (
        server(port, devices, only_units({1, 2, 3, 4, 5})),
        gauge_server(lambda *_: (200, b"subscribers 2\n")) as gauges,
    ):
        modbus = source(port, "1-5", serial=SERIAL, values=VALUES).model_dump()
        address = {"url": f"http://127.0.0.1:{gauges}/", "gauges": [{"text": "用户数", "metric": "subscribers"}]}
        metrics = {"kind": "metrics", "addresses": [address], "every_s": 0.3}
        params = Params(register={"file": "register.csv", "id": "sn"}, sources=[modbus, metrics], window_s=2)
        evidence = record(tmp_path, capture, params)
    count = analyse(evidence, params, 1)
    assert excluded(count) | {"net": count.net} == {
        "DEV-X-KEY": 0, "DEV-X-DUP": 0, "DEV-X-GHOST": 1, "DEV-X-STALE": 1, "DEV-X-COPY": 0, "net": 3,
    }  # fmt: skip
    found = codes(count.validity)
    assert {"MBT-V04", "MET-V01", "MET-V05"} <= set(found)
    assert "invalid" not in found.values()


def test_a_break_and_a_gateway_that_is_never_there(tmp_path: Path) -> None:
    port, dead = free_port(), free_port()
    gateways = [{"host": "127.0.0.1", "port": p} for p in (port, dead)]
    what = source(port, "1", gateways=gateways)
    devices = [unit(0, "")]
    with recording(tmp_path, record_source, what) as news:
        with server(port, devices):
            news.wait_for(ANSWERS, b'"status": "ok"')
        news.wait_for(ANSWERS, b'"lost"', 3)
        with server(port, devices):
            news.wait_for(ANSWERS, b'"connected"', 2)
    texts = found(news.evidence, what)
    assert {"MBT-V05", "MBT-V06"} <= set(texts)
    assert str(dead) in texts["MBT-V06"]
    assert str(port) not in texts["MBT-V06"]


def test_nobody_there_is_refused_before_the_window(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="MBT-E02"):
        record(
            tmp_path,
            lambda params, context: record_source(params, context, threading.Event()),
            source(free_port(), "1"),
        )


@pytest.mark.parametrize(
    ("registers", "text"),
    [
        ([0x534E, 0x2D31, 0, 0], "SN-1"),
        ([0x534E, 0x2D31, 0x2020], "SN-1"),
        ([0, 42], "0000002a"),
        ([0, 0], ""),
        ([0xFFFF, 0xFFFF], ""),
    ],
)
def test_serial_text(registers: list[int], text: str) -> None:
    assert serial_text(registers) == text


def test_senseless_rows_are_refused() -> None:
    row = {"t": 1, "gateway": "h:502", "unit": 1, "declared": True, "asked": "serial", "status": "ok", "registers": "x"}
    evidence: Any = MemoryEvidence({ANSWERS: json.dumps(row).encode() + b"\n"})
    with pytest.raises(ValueError, match="not registers"):
        list(observations(evidence, source(1, "1")))


@pytest.mark.parametrize("units", ["", "5-1", "1-256", "a", "1;2"])
def test_senseless_units_are_refused(units: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        source(1, units)
