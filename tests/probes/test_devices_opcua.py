"""The OPC UA source against real servers: 120 devices of which two pairs share a serial, breaks, passwords, certificates."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.probes.records_support import MemoryEvidence, codes, record
from tests.probes.sources_support import free_port, recording
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.probes.devices.sources.opcua.params import Source
from yanshou.probes.devices.sources.opcua.read import READINGS, findings, observations
from yanshou.probes.devices.sources.opcua.record import record as record_source

DEVICES = 120
SECRET = "s3cret-word"
FROZEN = 7
"""The device whose value never changes."""


def serial_of(number: int) -> str:
    """Devices 118 and 119 repeat the serials of 0 and 1."""
    return f"SN-{number % 118:04d}"


class Known:
    """Anybody without a name may read; who has a name needs the right password."""

    def get_user(
        self, _server: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Any:
        from asyncua.crypto.permission_rules import User, UserRole

        welcome = username is None or (username, password) == ("auditor", SECRET)
        return User(role=UserRole.User, name=username) if welcome else None


class PlantServer:
    """A real OPC UA server on a thread of its own, that can go away and come back (making one takes seconds)."""

    def __init__(self, folder: Path) -> None:
        self.url = f"opc.tcp://127.0.0.1:{free_port()}"
        self.folder = folder
        self.wanted, self.over, self.up = threading.Event(), threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        from asyncua import Server, ua

        server = Server()
        await server.init()
        server.set_endpoint(self.url)
        server.iserver.user_manager = Known()
        server.set_security_policy(
            [ua.SecurityPolicyType.NoSecurity, ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
        )
        await server.load_certificate(str(self.folder / "server.der"))
        await server.load_private_key(str(self.folder / "server.pem"))
        space = await server.register_namespace("urn:test:devices")
        folder = await server.nodes.objects.add_folder(space, "Devices")
        values = []
        for number in range(DEVICES):
            name = f"ns={space};s=PLC{number}"
            device = await folder.add_object(space, f"PLC{number}")
            await device.add_property(f"{name}.SerialNumber", f"{space}:SerialNumber", serial_of(number))
            values.append(await device.add_variable(f"{name}.Temperature", f"{space}:Temperature", 20.0))
        tick = 0
        while not self.over.is_set():
            if not self.wanted.is_set():
                await asyncio.sleep(0.05)
                continue
            async with server:
                self.up.set()
                while self.wanted.is_set():
                    await asyncio.sleep(0.1)
                    tick += 1
                    for number, value in enumerate(values):
                        if number != FROZEN:
                            await value.write_value(20.0 + number + tick / 100)
            self.up.clear()

    def come(self) -> None:
        self.wanted.set()
        assert self.up.wait(30)

    def go(self) -> None:
        self.wanted.clear()


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantServer]:
    folder = tmp_path_factory.mktemp("plant")
    self_signed(folder, "server", "urn:freeopcua:python:server")
    running = PlantServer(folder)
    running.thread.start()
    try:
        running.come()
        yield running
    finally:
        running.over.set()
        running.go()
        running.thread.join()


@pytest.fixture
def url(plant: PlantServer) -> str:
    return plant.url


def source(*urls: str, **more: Any) -> Source:
    browse = {"folder": "ns=2;i=1", "values": ["Temperature"]}
    endpoints = [{"url": url, "browse": browse} for url in urls]
    return Source(**{"kind": "opcua", "name": "plc", "endpoints": endpoints, "interval_s": 0.3, **more})


def run(folder: Path, what: Source, text: bytes, times: int = 1) -> RunEvidence:
    """The evidence once `text` was recorded so many times."""
    with recording(folder, record_source, what) as news:
        news.wait_for(READINGS, text, times)
    return news.evidence


def refuse(folder: Path, what: Source, code: str) -> None:
    """`what` must be refused with `code` by itself."""
    with pytest.raises(ProbeError, match=code):
        record(folder, lambda params, context: record_source(params, context, threading.Event()), what)


def test_serials_expose_duplicates_and_values_show_life(tmp_path: Path, url: str) -> None:
    evidence = run(tmp_path, source(url), f"PLC{DEVICES - 1}.Temperature".encode(), 5)
    seen = list(observations(evidence, source(url)))
    assert len(seen) == DEVICES
    assert len({o.value for o in seen}) == 118
    assert {o.gateway for o in seen} == {url}
    assert len({o.same["opcua_uri"] for o in seen}) == DEVICES
    frozen = next(o for o in seen if o.value == serial_of(FROZEN))
    assert (frozen.messages, frozen.distinct_values) == (1, 1)
    lively = [o for o in seen if o is not frozen]
    assert min(o.distinct_values or 0 for o in lively) >= 3
    assert len({o.content for o in seen}) == DEVICES
    assert all(0 < o.first_ns < o.last_ns for o in seen)
    found = {f.code: f for f in findings(evidence, source(url))}
    assert codes(tuple(found.values())) == {"OPC-V01": "warning", "OPC-V07": "info"}
    assert "120 台给出 118 个不同序列号" in found["OPC-V01"].text
    assert "SN-0000、SN-0001" in found["OPC-V01"].text


def test_a_break_is_a_finding_and_reading_goes_on(tmp_path: Path, plant: PlantServer) -> None:
    what = source(plant.url, timeout_s=1)
    with recording(tmp_path, record_source, what) as news:
        news.wait_for(READINGS, b"Temperature")
        plant.go()
        news.wait_for(READINGS, b'"lost"')
        plant.come()
        news.wait_for(READINGS, b'"connected"', 2)
    found = codes(tuple(findings(news.evidence, what)))
    assert found["OPC-V04"] == "warning"
    assert "OPC-V05" not in found


def test_listed_nodes_and_one_endpoint_that_is_never_there(tmp_path: Path, url: str) -> None:
    dead = f"opc.tcp://127.0.0.1:{free_port()}"
    node = "ns=2;s=PLC{}.{}"
    devices = [
        {"serial": node.format(3, "SerialNumber"), "values": [node.format(3, "Temperature")]},
        {"serial": node.format(4, "SerialNumber")},
        {"serial": "ns=2;s=Missing"},
    ]
    what = source(endpoints=[{"url": url, "devices": devices}, {"url": dead, "devices": devices[:1]}], timeout_s=1)
    with recording(tmp_path, record_source, what) as news:
        news.wait_for(READINGS, b"Missing")
        news.wait_for(READINGS, b'"lost"')
    evidence = news.evidence
    seen = {o.value: o for o in observations(evidence, what)}
    assert set(seen) == {"SN-0003", "SN-0004"}
    assert seen["SN-0004"].messages is None
    assert seen["SN-0004"].same == {"opcua_uri": f"{url}/{devices[1]['serial']}"}
    found = {f.code: f.text for f in findings(evidence, what)}
    assert set(found) == {"OPC-V02", "OPC-V04", "OPC-V05", "OPC-V07"}
    assert dead in found["OPC-V05"]
    assert "Missing" in found["OPC-V02"]


def test_nobody_there_is_refused_before_the_window(tmp_path: Path) -> None:
    refuse(tmp_path, source(f"opc.tcp://127.0.0.1:{free_port()}", timeout_s=0.5), "OPC-E02")


def test_password_comes_from_a_file_and_stays_out_of_evidence(tmp_path: Path, url: str) -> None:
    (tmp_path / "right").write_text(f"auditor\n{SECRET}\n")
    (tmp_path / "wrong").write_text("auditor\nguess\n")
    evidence = run(tmp_path, source(url, credentials="right"), b"SN-0001")
    assert len(list(observations(evidence, source(url)))) == DEVICES
    refuse(tmp_path, source(url, credentials="wrong"), "OPC-E02")
    refuse(tmp_path, source(url, credentials="absent"), "OPC-E03")
    assert not [p for p in (tmp_path / "runs").rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


def self_signed(folder: Path, name: str, uri: str) -> None:
    """`name`.der and `name`.pem: an application certificate as OPC UA wants it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.der").write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / f"{name}.pem").write_bytes(pem)


def test_certificates(tmp_path: Path, url: str) -> None:
    self_signed(tmp_path, "client", "urn:freeopcua:client")
    secure = {"policy": "Basic256Sha256", "certificate": "client.der", "private_key": "client.pem"}
    what = source(url, **secure)
    evidence = run(tmp_path, what, b"SN-0001")
    assert len(list(observations(evidence, what))) == DEVICES
    assert "OPC-V07" not in codes(tuple(findings(evidence, what)))
    refuse(tmp_path, source(url, **{**secure, "policy": "Aes256Sha256RsaPss"}), "OPC-E02")
    refuse(tmp_path, source(url, **{**secure, "private_key": "none.pem"}), "OPC-E03")


def test_serials_that_change_and_folders_without_devices() -> None:
    url, node = "opc.tcp://h:1", "ns=2;s=A"
    base = f'"endpoint": "{url}", "device": "{node}", "node": "{node}", "status": "Good", "source_t": null'
    rows = (
        f'{{"t": 1, "endpoint": "{url}", "event": "connected"}}\n'
        f'{{"t": 2, "endpoint": "{url}", "event": "found", "devices": 0}}\n'
        f'{{"t": 3, {base}, "value": "A1"}}\n{{"t": 4, {base}, "value": "B2"}}\n{{"t": 5, {base}, "val'
    )
    evidence: Any = MemoryEvidence({READINGS: rows.encode()})
    assert [(o.value, o.gateway, o.same) for o in observations(evidence, source(url))] == [
        ("A1", "", {"opcua_uri": url}),
        ("B2", "", {"opcua_uri": url}),
    ]
    assert {"OPC-V03", "OPC-V06"} <= set(codes(tuple(findings(evidence, source(url)))))


@pytest.mark.parametrize(
    "more",
    [
        {"policy": "Basic256Sha256"},
        {"certificate": "c", "private_key": "k"},
        {"endpoints": [{"url": "opc.tcp://h:1"}]},
        {"endpoints": [{"url": "opc.tcp://user:word@h:1", "browse": {}}]},
        {"endpoints": [{"url": "opc.tcp://h:1", "browse": {}}] * 2},
    ],
)
def test_senseless_parameters_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        source(**{"endpoints": [{"url": "opc.tcp://h:1", "browse": {}}], **more})
