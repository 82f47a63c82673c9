"""What the device tests share: evidence built by hand, a real mosquitto, certificates."""

from __future__ import annotations

import csv
import io
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.probes.records_support import MemoryEvidence
from tests.probes.sources_support import free_port
from yanshou.harness.model import Count
from yanshou.probes.devices.analyse import analyse
from yanshou.probes.devices.spec import Params

START = int(datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()) * 10**9
SECOND = 10**9
HEADER = ["sn", "client", "imei", "ip", "mac", "gw", "access", "since"]


class TreeEvidence(MemoryEvidence):
    """Evidence in memory with parts."""

    def sub(self, prefix: str) -> TreeEvidence:
        inside = {n.removeprefix(f"{prefix}/"): d for n, d in self._streams.items() if n.startswith(f"{prefix}/")}
        return TreeEvidence(inside)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue().encode()


def row(sn: str, client: str = "", **cells: str) -> list[str]:
    """One line of the register."""
    given = {"sn": sn, "client": client, **cells}
    return [given.get(name, "") for name in HEADER]


@dataclass(frozen=True)
class Said:
    """What one client published: a value every second from `after_s` on."""

    client: str
    serial: str
    values: Sequence[object]
    gateway: str = ""
    retain: bool = False
    after_s: int = 0


def wander(seed: int, count: int = 12) -> list[float]:
    """`count` different values that no other seed gives."""
    return [seed * 1000 + n * 1.25 for n in range(count)]


def jsonl(rows: Iterable[Mapping[str, object]]) -> bytes:
    return b"".join(json.dumps(r).encode() + b"\n" for r in rows)


def mqtt(
    *said: Said, events: Iterable[Mapping[str, object]] | None = None, name: str = "mqtt", **more: bytes
) -> dict[str, bytes]:
    """Evidence of an MQTT source; `more` are further streams of it (`sys`, `log`)."""
    rows = [
        [
            START + (s.after_s + n) * SECOND,
            f"f/{s.client}/up",
            9,
            f"{v}",
            int(s.retain),
            s.serial,
            s.client,
            s.gateway,
            v,
            "",
        ]
        for s in said
        for n, v in enumerate(s.values)
    ]
    header = ["utc_ns", "topic", "size", "digest", "retain", "serial", "client_id", "gateway", "value", "payload"]
    whole = [
        {"t": START, "event": "connected", "client_id": "yanshou-1"},
        {"t": START + 600 * SECOND, "event": "end", "messages": len(rows), "client_id": "yanshou-1"},
    ]
    streams = {"messages.csv": table(header, rows), "events.jsonl": jsonl(whole if events is None else events)}
    streams |= {{"sys": "sys.csv", "log": "broker.log"}[key]: data for key, data in more.items()}
    return {f"{name}/{key}": data for key, data in streams.items()}


MQTT = {
    "kind": "mqtt",
    "host": "h",
    "topics": ["f/+/up"],
    "identities": {"serial": "/sn", "client_id": "topic:2"},
    "gateway": "/gw",
    "value": "/value",
}
REGISTER = {
    "file": "r.csv",
    "id": "sn",
    "identities": {"client_id": "client", "imei": "imei", "ip": "ip", "mac": "mac"},
    "gateway": "gw",
    "access": {"column": "access"},
    "first_online": "since",
}


def params(**changes: Any) -> Params:
    return Params.model_validate({"register": REGISTER, "sources": [MQTT], **changes})


def evidence(rows: Iterable[Sequence[str]], *parts: Mapping[str, bytes], done: bool = True) -> TreeEvidence:
    """A whole run: the register, the sources' streams, and what says that it is whole."""
    streams = {"register.csv": table(HEADER, rows)}
    for part in parts:
        streams |= part
    own = TreeEvidence(streams)
    files = {name: own.sha256(name) for name in streams if "/" not in name}
    session = {"start_ns": START, "end_ns": START + 600 * SECOND, "done": done, "files": files}
    return TreeEvidence({**streams, "session.json": json.dumps(session).encode()})


def count(rows: Iterable[Sequence[str]], *parts: Mapping[str, bytes], seed: int = 1, **changes: Any) -> Count:
    return analyse(evidence(rows, *parts), params(**changes), seed)


def status(found: Count) -> dict[str, str]:
    """{device id: status}, of the last line where an id stands twice."""
    return {d["device_id"]: d["status"] for d in found.facts["devices"]}


# --- the real thing ------------------------------------------------------------------------------------------------------


@dataclass
class Certificates:
    """A CA and a server certificate for localhost, as PEM files."""

    ca: Path
    cert: Path
    key: Path


def certificates(folder: Path) -> Certificates:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)

    def issue(name: str, key: Any, issuer: x509.Name | None, signer: Any, ca: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer or subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        own, above = x509.SubjectKeyIdentifier.from_public_key(key.public_key()), signer.public_key()
        builder = builder.add_extension(own, critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        return builder.add_extension(usage, critical=True).sign(signer, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = issue("test CA", ca_key, None, ca_key, ca=True)
    cert = issue("localhost", key, ca.subject, ca_key, ca=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, data in (("ca.pem", ca.public_bytes(pem)), ("cert.pem", cert.public_bytes(pem)), ("key.pem", private)):
        (folder / name).write_bytes(data)
    return Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")


@dataclass
class Broker:
    """A mosquitto: one port for plain TCP, one for TLS, its log."""

    port: int
    tls_port: int
    ca: Path
    log: Path
    process: subprocess.Popen[bytes]


@contextmanager
def mosquitto(folder: Path, *, login: tuple[str, str] | None = None, port: int | None = None) -> Iterator[Broker]:
    """The real broker below `folder`, with `login` as the only way in."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    made = certificates(folder)
    port, tls_port, log = port or free_port(), free_port(), folder / "mosquitto.log"
    conf = [
        "user root", "allow_anonymous " + ("false" if login else "true"), "sys_interval 1", "log_type all",
        f"log_dest file {log}", "max_connections -1",
        f"listener {port} 127.0.0.1",
        f"listener {tls_port} 127.0.0.1", f"certfile {made.cert}", f"keyfile {made.key}",
    ]  # fmt: skip
    if login:
        name, secret = login
        (folder / "passwd").touch(mode=0o600)
        command = [
            program.replace("mosquitto", "mosquitto_passwd").replace("sbin", "bin"),
            "-b",
            str(folder / "passwd"),
            name,
            secret,
        ]
        subprocess.run(command, check=True, capture_output=True)
        conf.append(f"password_file {folder / 'passwd'}")
    (folder / "mosquitto.conf").write_text("\n".join(conf) + "\n")
    process = subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        _await(port)
        yield Broker(port, tls_port, made.ca, log, process)
    finally:
        process.terminate()
        process.wait()


def _await(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
