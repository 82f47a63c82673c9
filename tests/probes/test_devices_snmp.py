"""The SNMP source against real net-snmp and lldpd: their own ARP and LLDP tables, versions 2c and 3, silence and breaks."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.namespaces import AVAILABLE, two_hosts
from tests.probes.records_support import MemoryEvidence, codes, record
from tests.probes.sources_support import finished, free_port, recording, start_inside, wait_for
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.probes.devices.sources.snmp.params import Source
from yanshou.probes.devices.sources.snmp.read import VARIABLES, findings, observations
from yanshou.probes.devices.sources.snmp.record import record as record_source

pytestmark = pytest.mark.skipif(shutil.which("snmpd") is None, reason="needs snmpd")

COMMUNITY, AUTH, PRIV = "audit-word", "auth-secret-1", "priv-secret-1"
BRIDGE, VLAN_BRIDGE, ENTITY = "1.3.6.1.2.1.17.4.3.1", "1.3.6.1.2.1.17.7.1.2.2.1", "1.3.6.1.2.1.47.1.1.1.1"
TABLE = {
    f"{BRIDGE}.1.0.27.27.0.0.9": ("octet", "00 1b 1b 00 00 09"),
    f"{BRIDGE}.1.2.0.0.0.0.1": ("octet", "02 00 00 00 00 01"),
    f"{BRIDGE}.1.0.27.27.0.0.1": ("octet", "00 1b 1b 00 00 01"),
    f"{BRIDGE}.3.0.27.27.0.0.1": ("integer", "4"),  # self
    f"{BRIDGE}.3.0.27.27.0.0.9": ("integer", "3"),  # learned
    f"{BRIDGE}.3.2.0.0.0.0.1": ("integer", "3"),
    f"{VLAN_BRIDGE}.2.10.0.27.27.0.0.16": ("integer", "4"),
    f"{VLAN_BRIDGE}.3.10.0.27.27.0.0.16": ("integer", "3"),
    f"{ENTITY}.5.1": ("integer", "3"),  # chassis
    f"{ENTITY}.5.2": ("integer", "9"),  # module
    f"{ENTITY}.11.1": ("string", "SW-0001"),
    f"{ENTITY}.11.2": ("string", "MOD-77"),
}
SCRIPT = """
import sys
rows = sorted((tuple(map(int, oid.split("."))), kind, value) for oid, (kind, value) in TABLE.items())
while line := sys.stdin.readline():
    if line.strip() == "PING":
        print("PONG", flush=True)
        continue
    asked = tuple(map(int, sys.stdin.readline().strip().strip(".").split(".")))
    after = [r for r in rows if (r[0] > asked if line.strip() == "getnext" else r[0] == asked)]
    text = "." + ".".join(map(str, after[0][0])) + f"\\n{after[0][1]}\\n{after[0][2]}" if after else "NONE"
    print(text, flush=True)
"""


def start_snmpd(folder: Path, address: str, inside: tuple[str, ...] = (), extra: str = "") -> subprocess.Popen[bytes]:
    """A real agent that also tells TABLE."""
    (folder / "table.py").write_text(f"TABLE = {TABLE!r}\n{SCRIPT}")
    helper = f"{sys.executable} {folder}/table.py"
    (folder / "snmpd.conf").write_text(
        f"rocommunity {COMMUNITY}\ncreateUser auditor SHA-256 {AUTH} AES {PRIV}\nrouser auditor\nsysName switch-7\n"
        f"pass_persist .1.3.6.1.2.1.17 {helper}\npass_persist .1.3.6.1.2.1.47 {helper}\n{extra}"
    )
    (folder / "state").mkdir(exist_ok=True)
    environment = os.environ | {"SNMP_PERSISTENT_DIR": f"{folder}/state", "MIBS": ""}
    command = [
        *inside,
        "snmpd",
        "-f",
        "-Lf",
        f"{folder}/snmpd.log",
        "-C",
        "-c",
        f"{folder}/snmpd.conf",
        "-p",
        f"{folder}/pid",
        address,
    ]
    return subprocess.Popen(command, env=environment)


def end(*children: subprocess.Popen[bytes]) -> None:
    for child in children:
        child.terminate()
        child.wait(10)


@contextmanager
def agent(folder: Path, port: int) -> Iterator[None]:
    log = folder / "snmpd.log"
    log.unlink(missing_ok=True)
    child = start_snmpd(folder, f"udp:127.0.0.1:{port}")
    try:
        wait_until(lambda: log.exists() and "NET-SNMP version" in log.read_text())
        yield
    finally:
        end(child)


def source(port: int, **more: Any) -> Source:
    agents = [{"host": "127.0.0.1", "port": port}]
    base = {"kind": "snmp", "agents": agents, "credentials": "cred", "interval_s": 0.3, "timeout_s": 0.5}
    return Source(**{**base, **more})


def run(folder: Path, what: Source, secrets: str, times: int = 1) -> RunEvidence:
    (folder / "cred").write_text(secrets)
    with recording(folder, record_source, what) as news:
        news.wait_for(VARIABLES, b'"event": "end"', times)
    return news.evidence


def found(evidence: Any, what: Source) -> dict[str, str]:
    return {f.code: f.text for f in findings(evidence, what)}


def test_tables_of_a_real_agent(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    what = source(port, tables=["bridge", "lldp"], agents=[{"host": "127.0.0.1", "port": port, "gateway": "CPE-1"}])
    with agent(tmp_path, port):
        evidence = run(tmp_path, what, f"{COMMUNITY}\n", 2)
    seen = {o.value: o for o in observations(evidence, what)}
    assert set(seen) == {"SW-0001", "00:1b:1b:00:00:09", "00:1b:1b:00:00:10", "02:00:00:00:00:01"}
    assert (seen["SW-0001"].kind, seen["SW-0001"].gateway) == ("serial", "")
    assert seen["SW-0001"].same == {"hostname": "switch-7", "ip": "127.0.0.1"}
    assert seen["00:1b:1b:00:00:09"].gateway == "CPE-1"
    assert all(o.messages is None and 0 < o.first_ns < o.last_ns for o in seen.values())
    texts = found(evidence, what)
    assert set(texts) == {"SNM-V01", "SNM-V05", "SNM-V06"}
    assert "02:00:00:00:00:01" in texts["SNM-V01"]
    assert texts["SNM-V05"].endswith("的 lldp")
    assert not [p for p in tmp_path.rglob("runs/**/*") if p.is_file() and COMMUNITY.encode() in p.read_bytes()]


def test_version_3_and_its_keys(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    what = source(port, version="3", tables=["bridge"])
    with agent(tmp_path, port):
        evidence = run(tmp_path, what, f"auditor\n{AUTH}\n{PRIV}\n")
        (tmp_path / "cred").write_text(f"auditor\nnot-the-word\n{PRIV}\n")
        refuse(tmp_path, what, "SNM-E02")
    assert len(list(observations(evidence, what))) == 4
    assert "SNM-V06" not in found(evidence, what)
    assert not [p for p in tmp_path.rglob("runs/**/*") if p.is_file() and AUTH.encode() in p.read_bytes()]


def refuse(folder: Path, what: Source, code: str) -> None:
    """`what` must be refused with `code` by itself."""
    with pytest.raises(ProbeError, match=code):
        record(folder, lambda params, context: record_source(params, context, threading.Event()), what)


def test_refused_before_the_window(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    refuse(tmp_path, source(port), "SNM-E03")
    (tmp_path / "cred").write_text("short\nkey\n")
    refuse(tmp_path, source(port, version="3"), "SNM-E03")
    (tmp_path / "cred").write_text("a-word\n")
    refuse(tmp_path, source(port, timeout_s=0.1), "SNM-E02")


def test_a_break_and_an_agent_that_is_never_there(tmp_path: Path) -> None:
    port, dead = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    agents = [{"host": "127.0.0.1", "port": p} for p in (port, dead)]
    what = source(port, agents=agents, tables=["bridge"], timeout_s=0.2)
    (tmp_path / "cred").write_text(COMMUNITY)
    with ExitStack() as first:
        first.enter_context(agent(tmp_path, port))
        with recording(tmp_path, record_source, what) as news:
            news.wait_for(VARIABLES, b'"event": "end"')
            first.close()
            news.wait_for(VARIABLES, f'"agent": "127.0.0.1:{port}", "event": "lost"'.encode())
            with agent(tmp_path, port):
                news.wait_for(VARIABLES, b'"event": "end"', 3)
    texts = found(news.evidence, what)
    assert {"SNM-V03", "SNM-V04"} <= set(texts)
    assert str(dead) in texts["SNM-V04"]
    assert str(port) not in texts["SNM-V04"]


@pytest.mark.netns
@pytest.mark.skipif(not AVAILABLE or shutil.which("lldpd") is None, reason="needs root, iproute2 and lldpd")
def test_neighbours_in_the_kernels_and_lldpds_own_tables(tmp_path: Path) -> None:
    with two_hosts("snmp") as (near, far), tempfile.TemporaryDirectory() as open_to_lldpcli:
        sockets = Path(open_to_lldpcli)
        sockets.chmod(0o755)  # lldpcli gives up root before it connects
        inside = tuple(far.inside)
        agentx = sockets / "agentx"
        subprocess.run([*near.inside, "ping", "-c1", "-W2", far.address], check=True, capture_output=True)
        children: list[subprocess.Popen[bytes]] = [
            start_snmpd(tmp_path, f"udp:{far.address}:1610", inside, f"master agentx\nagentXSocket {agentx}\n")
        ]
        try:
            wait_until(agentx.exists)
            for host, name, more in ((far, "b", ["-x", "-X", str(agentx)]), (near, "a", [])):
                command = [*host.inside, "lldpd", "-d", "-I", "veth0", "-u", f"{sockets}/{name}.sock", *more]
                children.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
                configure(sockets / f"{name}.sock", "lldp", "tx-interval", "1")
            configure(sockets / "a.sock", "system", "hostname", "plc-1")
            wait_until(lambda: b"plc-1" in lldpcli(sockets / "b.sock", "show", "neighbors"))
            what = source(0, agents=[{"host": far.address, "port": 1610}], tables=["lldp", "arp"])
            (tmp_path / "cred").write_text(COMMUNITY)
            child = start_inside(near, tmp_path, what)
            wait_for(tmp_path, VARIABLES, b'"event": "end"')
            evidence = finished(child, tmp_path)
        finally:
            end(*children)
        address = subprocess.run(
            [*near.inside, "cat", "/sys/class/net/veth0/address"], check=True, capture_output=True, text=True
        ).stdout.strip()
    seen = {(o.kind, o.value): o.same for o in observations(evidence, what)}
    assert seen[("mac", address)] == {"ip": near.address}
    assert seen[("chassis_id", address)] == {"hostname": "plc-1", "ip": near.address, "mac": address}


def lldpcli(control: Path, *words: str) -> bytes:
    """What the daemon says, b"" while it is not ready."""
    done = subprocess.run(["lldpcli", "-u", str(control), *words], check=False, capture_output=True)
    return b"" if done.returncode else done.stdout or b"done"


def configure(control: Path, *words: str) -> None:
    wait_until(lambda: lldpcli(control, "configure", *words))


def wait_until(happened: Any) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_one_mac_with_many_addresses_and_rows_that_are_no_sighting() -> None:
    arp = "1.3.6.1.2.1.4.22.1"
    rows: list[dict[str, Any]] = [{"event": "begin"}]
    for n in range(1, 7):
        rows.append({"table": "arp", "oid": f"{arp}.2.1.10.0.0.{n}", "value": "001b1b000001"})
        rows.append({"table": "arp", "oid": f"{arp}.4.1.10.0.0.{n}", "value": 3})
    rows += [
        {"table": "arp", "oid": f"{arp}.2.1.10.0.0.9", "value": "001b1b000009"},
        {"table": "arp", "oid": f"{arp}.4.1.10.0.0.9", "value": 4},  # static
        {"table": "arp", "oid": f"{arp}.2.1.10.0.0.8", "value": "ffffffffffff"},
        {"table": "arp", "oid": f"{arp}.4.1.10.0.0.8", "value": 3},
        {"event": "end"},
    ]
    lines = b"".join(json.dumps({"t": 5, "agent": "127.0.0.1:1", **row}).encode() + b"\n" for row in rows)
    evidence: Any = MemoryEvidence({VARIABLES: lines})
    what = source(1, tables=["arp"])
    seen = list(observations(evidence, what))
    assert {o.value for o in seen} == {"00:1b:1b:00:00:01"}
    assert {o.same["ip"] for o in seen} == {f"10.0.0.{n}" for n in range(1, 7)}
    assert codes(tuple(findings(evidence, what)))["SNM-V02"] == "warning"
