from __future__ import annotations

import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.probes.sources_support import free_port
from yanshou.chains.certificates import is_sm
from yanshou.formats.hello import Answer, Tongue, client_hello, read_answer

RANDOM = bytes(range(32))


def server_hello(version: int, suite: int, session: bytes = b"") -> bytes:
    body = struct.pack(">H", version) + RANDOM + bytes([len(session)]) + session + struct.pack(">HB", suite, 0)
    return b"\x02" + len(body).to_bytes(3, "big") + body


def certificate(*certificates: bytes) -> bytes:
    listed = b"".join(len(c).to_bytes(3, "big") + c for c in certificates)
    body = len(listed).to_bytes(3, "big") + listed
    return b"\x0b" + len(body).to_bytes(3, "big") + body


DONE = b"\x0e\0\0\0"


def record(version: int, body: bytes, kind: int = 22) -> bytes:
    return struct.pack(">BHH", kind, version, len(body)) + body


def test_a_tlcp_hello_by_its_bytes() -> None:
    hello = client_hello(Tongue.TLCP, RANDOM)
    body = b"\x01\x01" + RANDOM + b"\0" + b"\0\x08\xe0\x11\xe0\x13\xe0\x51\xe0\x53" + b"\x01\0"
    assert hello == b"\x16\x01\x01" + (4 + len(body)).to_bytes(2, "big") + b"\x01" + len(body).to_bytes(3, "big") + body


def test_a_tls_13_hello_with_sm_suites() -> None:
    hello = client_hello(Tongue.SM_TLS13, RANDOM)
    assert hello[:3] == b"\x16\x03\x01"
    assert struct.unpack_from(">H", hello, 3) == (len(hello) - 5,)
    assert b"\0\x04\0\xc6\0\xc7" in hello
    assert b"\0\x2b\0\x03\x02\x03\x04" in hello  # supported_versions: 1.3
    assert b"\0\x0a\0\x04\0\x02\0\x29" in hello  # supported_groups: curveSM2
    assert b"\0\x0d\0\x04\0\x02\x07\x08" in hello  # signature_algorithms: sm2sig_sm3


@pytest.mark.parametrize("session", [b"", b"s" * 32])
def test_a_tlcp_answer_with_two_certificates(session: bytes) -> None:
    flight = server_hello(0x0101, 0xE013, session) + certificate(b"sign", b"enc") + DONE
    for answer in (record(0x0101, flight), b"".join(record(0x0101, bytes([b])) for b in flight)):
        assert read_answer(answer) == Answer(0xE013, False, (b"sign", b"enc"), True)
        for size in range(len(answer)):
            cut = read_answer(answer[:size])
            assert not cut.done
            assert cut.suite in (None, 0xE013)


def test_what_each_answer_speaks() -> None:
    assert read_answer(record(0x0101, server_hello(0x0101, 0xE053))).speaks(Tongue.TLCP)
    sm = read_answer(record(0x0303, server_hello(0x0303, 0x00C6)))
    assert (sm.speaks(Tongue.SM_TLS13), sm.speaks(Tongue.TLCP), sm.done) == (True, False, True)
    plain = read_answer(record(0x0303, server_hello(0x0303, 0x1301)))
    assert (plain.speaks(Tongue.TLS), plain.speaks(Tongue.SM_TLS13)) == (True, False)
    refused = read_answer(record(0x0303, b"\x02\x28", 21))
    assert (refused, refused.speaks(Tongue.TLS)) == (Answer(None, True, (), True), False)
    assert read_answer(b"HTTP/1.1 400 Bad Request\r\n\r\n") == Answer(done=True)
    assert read_answer(b"") == Answer()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_junk_never_crashes_and_speaks_nothing_by_itself(junk: bytes) -> None:
    assert isinstance(read_answer(junk), Answer)
    read_answer(record(0x0101, junk))


def openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def test_certificates_by_openssl(tmp_path: Path) -> None:
    """OpenSSL 3 makes SM2 certificates; one with an SM2 key signed by another key is none."""
    openssl("ecparam", "-genkey", "-name", "SM2", "-out", "sm2.key", cwd=tmp_path)
    openssl("req", "-x509", "-new", "-key", "sm2.key", "-sm3", "-sigopt", "distid:1234567812345678", "-subj", "/CN=x",
            "-outform", "DER", "-out", "sm2.der", cwd=tmp_path)  # fmt: skip
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", "p.key",
            "-outform", "DER", "-out", "p.der", cwd=tmp_path)  # fmt: skip
    openssl("x509", "-in", "p.der", "-inform", "DER", "-out", "p.pem", cwd=tmp_path)
    openssl("pkey", "-in", "sm2.key", "-pubout", "-out", "sm2.pub", cwd=tmp_path)
    openssl("x509", "-new", "-force_pubkey", "sm2.pub", "-subj", "/CN=y", "-CA", "p.pem", "-CAkey", "p.key", "-outform", "DER",
            "-out", "mixed.der", cwd=tmp_path)  # fmt: skip
    names = "1.2.3.4=DER:06082a811ccf5501822d06082a811ccf55018375"
    openssl("req", "-x509", "-key", "p.key", "-subj", "/CN=x", "-addext", names, "-outform", "DER", "-out", "says.der",
            cwd=tmp_path)  # fmt: skip
    sm2 = (tmp_path / "sm2.der").read_bytes()
    assert is_sm(sm2)
    assert not is_sm((tmp_path / "p.der").read_bytes())
    assert not is_sm((tmp_path / "mixed.der").read_bytes())
    assert not is_sm((tmp_path / "says.der").read_bytes()), "an extension may hold any identifier"
    assert not any(is_sm(sm2[:size]) for size in range(200))


def exchange(port: int, tongue: Tongue) -> Answer:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(client_hello(tongue, RANDOM))
        while not read_answer(answer).done:
            data = connection.recv(65536)
            if not data:
                break
            answer += data
    return read_answer(answer)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_real_server_without_sm_suites(tmp_path: Path, version: str) -> None:
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", "k",
            "-out", "c", cwd=tmp_path)  # fmt: skip
    port = free_port()
    command = ["openssl", "s_server", "-accept", str(port), "-cert", "c", "-key", "k", version, "-quiet"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, **quiet) as server:
        try:
            for _ in range(100):
                try:
                    plain = exchange(port, Tongue.TLS)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            assert plain.speaks(Tongue.TLS)
            assert not exchange(port, Tongue.TLCP).speaks(Tongue.TLCP)
            assert not exchange(port, Tongue.SM_TLS13).speaks(Tongue.SM_TLS13)
        finally:
            server.kill()
