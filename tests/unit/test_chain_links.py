"""Chains behind gRPC: messages without their generated code, one channel to one endpoint, and who asks."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.probes.sources_support import free_port
from yanshou.chains import grpc_link
from yanshou.chains.certificates import certificate as read_certificate
from yanshou.chains.certificates import public_key
from yanshou.chains.crypto import Suite
from yanshou.chains.ethereum.wire import Wire as EthereumWire
from yanshou.chains.grpc_link import Link
from yanshou.chains.identity import load_identity, signer
from yanshou.chains.protowire import Message, edited, field, only, part, varint, without
from yanshou.chains.rpc import UNSUPPORTED, Refused
from yanshou.chains.spec import Chain, Endpoint, Member
from yanshou.harness.basics import ProbeError
from yanshou.harness.keys import Algorithm, PublicKey, fresh_key, new_key

ECHO = "/test.Echo/Say"


# --- messages ------------------------------------------------------------------------------------------------------------


class WithoutBlockReceipts:
    """An interface that refuses all receipts of a block at once, with some code, and gives each by itself."""

    def __init__(self, code: int) -> None:
        self.code = code

    def ask_all(self, questions: list[Any]) -> list[Any]:
        raise Refused(questions[0][0], self.code, "no")

    def answers(self, questions: list[Any]) -> list[Any]:
        return [{"transactionHash": digest} for method, [digest] in questions if method == "eth_getTransactionReceipt"]


@pytest.mark.parametrize("code", [-32601, -32604])
def test_receipts_one_by_one_where_a_node_gives_no_block_of_them(code: int) -> None:
    wire: Any = EthereumWire(cast("Any", WithoutBlockReceipts(code)), "")
    blocks = [{"number": "0x1", "transactions": [{"hash": "0xa"}, {"hash": "0xb"}]}]
    assert [r["transactionHash"] for r in wire._receipts(blocks)] == ["0xa", "0xb"]
    with pytest.raises(ProbeError):
        EthereumWire(cast("Any", WithoutBlockReceipts(-32000)), "")._receipts(blocks)


def test_a_certificate_that_cannot_be_is_said_to_be_none() -> None:
    """The same extension twice, and a version that there is not: what the library raises for these is no ValueError."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime(2025, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(named, named, key.public_key(), 5, now, now)
    for last in (4, 5):
        oid = x509.ObjectIdentifier(f"1.2.3.{last}")
        made = made.add_extension(x509.UnrecognizedExtension(oid, b"\5\0"), critical=False)
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    assert read_certificate(pem).key.suite is Suite.SHA256
    for before, after in ((b"\x2a\3\5", b"\x2a\3\4"), (b"\xa0\3\2\1\2", b"\xa0\3\2\1\7")):
        assert before in der
        with pytest.raises(ValueError, match="certificate"):
            read_certificate(ssl.DER_cert_to_PEM_cert(der.replace(before, after)).encode())


def test_messages_of_googles_own_library() -> None:
    """Written and read as protobuf's own code does: every kind of field, defaults left out, maps, nesting."""
    from google.protobuf import descriptor_pb2, struct_pb2, wrappers_pb2

    inner = descriptor_pb2.FieldDescriptorProto(name="字段", number=7, type="TYPE_INT64")
    outer = descriptor_pb2.DescriptorProto(name="M", field=[inner, descriptor_pb2.FieldDescriptorProto()])
    ours = part(1, "M") + part(2, part(1, "字段") + field(3, 7) + field(5, 3)) + part(2, b"")
    assert ours == outer.SerializeToString()
    read = Message(ours)
    assert (read.text(1), [m.number(3) for m in read.messages(2)], read.message(9).text(1)) == ("M", [7, 0], "")
    assert (1 in read, 9 in read) == (True, False)
    assert field(1, -5) == wrappers_pb2.Int64Value(value=-5).SerializeToString()
    assert Message(field(1, -5)).signed(1) == -5
    assert field(1, 0) + field(2, "") + field(3, b"") == b""
    doubled = Message(wrappers_pb2.DoubleValue(value=1.0).SerializeToString())
    assert doubled.number(1) == 0x3FF0000000000000
    mapped = struct_pb2.Struct(fields={"a": struct_pb2.Value(string_value="x")})
    assert Message(mapped.SerializeToString()).mapping(1) == {"a": part(3, "x")}


def test_the_last_single_field_counts_and_messages_merge() -> None:
    read = Message(field(1, 1) + field(1, 2) + part(2, field(1, 3)) + part(2, field(2, 4)))
    assert (read.number(1), read.message(2).number(1), read.message(2).number(2)) == (2, 3, 4)


@given(st.lists(st.tuples(st.integers(1, 1 << 20), st.one_of(st.integers(1, (1 << 64) - 1), st.binary(min_size=1)))))
def test_what_is_written_is_read_and_leaves_no_trace_once_taken_out(fields: list[tuple[int, Any]]) -> None:
    data = b"".join(field(number, value) for number, value in fields)
    numbers = {number for number, _ in fields}
    assert without(data, ()) == data
    assert without(data, numbers) == b""
    some = {number for number in numbers if number % 2}
    assert without(data, some) == b"".join(field(number, value) for number, value in fields if number not in some)
    read = Message(data)
    for number, value in dict(fields).items():
        if all(isinstance(v, type(value)) for n, v in fields if n == number):
            assert (read.number(number) if isinstance(value, int) else read.blob(number)) == value


JUNK = {
    "cut": part(1, b"abc")[:-1],
    "cut tag": b"\x80",
    "cut number": b"\x08\x80",
    "field 0": b"\x02\x00",
    "group": b"\x0b\x0c",
    "65 bits": b"\x08" + b"\xff" * 9 + b"\x02",
    "endless": b"\x08" + b"\x80" * 11,
    "beyond": b"\x0a" + varint(1 << 62),
    "cut fixed": b"\x09abc",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_junk_is_no_message(junk: bytes) -> None:
    for read in (Message, lambda data: without(data, ())):
        with pytest.raises(ValueError, match=r"message|varint"):
            read(junk)


def test_a_field_is_not_read_as_another_kind() -> None:
    read = Message(field(1, 5) + field(2, "x"))
    for wrong in (lambda: read.blob(1), lambda: read.number(2), lambda: read.all(1)):
        with pytest.raises(ValueError, match="field"):
            wrong()


def test_a_message_of_too_many_fields_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.chains.protowire.MOST_FIELDS", 10)
    assert Message(field(1, 1) * 9).number(1) == 1
    with pytest.raises(ValueError, match="too many"):
        Message(field(1, 1) * 11)


# --- one channel ---------------------------------------------------------------------------------------------------------


@contextmanager
def serving(
    answer: Callable[[bytes, Any], bytes], port: int = 0, credentials: Any = None, workers: int = 8
) -> Iterator[int]:
    """A real gRPC server on loopback that answers ECHO."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer) if call.method == ECHO else None

    server = grpc.server(ThreadPoolExecutor(workers), handlers=[Handler()])
    place = f"127.0.0.1:{port}"
    bound = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
    server.start()
    try:
        yield bound
    finally:
        server.stop(0).wait()


def link(port: int, parallel: int = 4) -> Link:
    return Link(Endpoint(url=f"grpc://127.0.0.1:{port}"), Path(), parallel)


def test_answers_come_in_order_and_no_more_than_so_many_at_once() -> None:
    together, most, lock, gate = 0, 0, threading.Lock(), threading.Barrier(3)

    def answer(request: bytes, _: Any) -> bytes:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        gate.wait(30)  # opens only when three are in here at once
        with lock:
            together -= 1
        return request + b"!"

    with serving(answer) as port, link(port, parallel=3) as node:
        asked = [b"%d" % n for n in range(12)]
        assert node.ask_all(ECHO, asked) == [request + b"!" for request in asked]
    assert most == 3


def test_refusals_are_never_answers() -> None:
    def answer(_: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not a\nmember")
        raise AssertionError

    with serving(answer) as port, link(port) as node:
        with pytest.raises(Refused) as caught:
            node.ask(ECHO, b"")
        assert caught.value.problem.problem.code == "CHN-E03"
        assert "not a member" in str(caught.value.problem)
        with pytest.raises(Refused) as caught:
            node.ask("/test.Echo/Nothing", b"")
        assert caught.value.code == UNSUPPORTED
        assert caught.value.problem.problem.code == "CHN-E06"


def test_a_read_is_put_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    tries = 0

    def answer(_: bytes, context: Any) -> bytes:
        nonlocal tries
        tries += 1
        if tries < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        return b"at last"

    with serving(answer) as port, link(port) as node:
        assert node.ask(ECHO, b"") == b"at last"
    assert tries == 3


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with link(free_port()) as node, pytest.raises(ProbeError) as caught:
        node.ask(ECHO, b"")
    assert caught.value.problem.code == "CHN-E01"
    assert "\n" not in str(caught.value)


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_link, "LONGEST_ANSWER", 1000)
    with serving(lambda request, _: request * 2) as port, link(port) as node:
        assert len(node.ask(ECHO, b"x" * 400)) == 800
        with pytest.raises(Refused) as caught:
            node.ask(ECHO, b"x" * 600)
    assert caught.value.problem.problem.code == "CHN-E03"


def test_without_grpcio_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "grpc", None)
    with pytest.raises(ProbeError) as caught:
        link(1)
    assert caught.value.problem.code == "CHN-E08"
    assert "yanshou[grpc]" in caught.value.problem.remedy


# --- who asks ------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, host: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for `host` and its key; both also in files."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    since = datetime.datetime(2025, 1, 1)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(since)
        .not_valid_after(since + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    pem = cert.public_bytes(encoding)
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.crt").write_bytes(pem)
    (folder / f"{name}.key").write_bytes(secret)
    return pem, secret


def test_both_sides_prove_themselves_where_the_node_wants_it(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "node", "node.example"), certificate(tmp_path, "me", "me.example")
    certificate(tmp_path, "other", "node.example")
    credentials = grpc.ssl_server_credentials(((server[1], server[0]),), client[0], require_client_auth=True)
    tls = {"ca": "node.crt", "cert": "me.crt", "key": "me.key", "name": "node.example"}
    with serving(lambda request, _: request, credentials=credentials) as port:
        url = f"grpcs://127.0.0.1:{port}"
        with Link(Endpoint(url=url, **tls), tmp_path, 1) as node:
            assert node.ask(ECHO, b"hello") == b"hello"
        for wrong in ({"ca": "other.crt"}, {"cert": "other.crt", "key": "other.key"}, {"name": "elsewhere.example"}):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("time.sleep", lambda _: None)
                with Link(Endpoint(url=url, **(tls | wrong)), tmp_path, 1) as node, pytest.raises(ProbeError) as caught:
                    node.ask(ECHO, b"hello")
            assert caught.value.problem.code == "CHN-E01"


@pytest.mark.parametrize("wrong", [{"ca": "gone.crt"}, {"ca": "text.crt"}])
def test_files_that_cannot_be_used_are_named(tmp_path: Path, wrong: dict[str, str]) -> None:
    (tmp_path / "text.crt").write_text("no certificate, but a secret")
    with pytest.raises(ProbeError) as caught:
        Link(Endpoint(url="grpcs://127.0.0.1:1", **wrong), tmp_path, 1)
    assert caught.value.problem.code == "CHN-E04"
    assert "secret" not in str(caught.value)


def test_a_member_signs_with_the_key_it_was_given(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import load_pem_x509_certificate

    pem, secret = certificate(tmp_path, "me", "me.example")
    identity = load_identity(Member(org="org1", cert="me.crt", key="me.key"), tmp_path)
    public = load_pem_x509_certificate(pem).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(identity.sign(b"a question"), b"a question", ec.ECDSA(hashes.SHA256()))
    assert (identity.org, identity.cert) == ("org1", pem)
    assert secret.splitlines()[1].decode() not in repr(identity)


def test_a_member_with_an_sm2_key(tmp_path: Path) -> None:
    pytest.importorskip("gmssl_pyx")
    public = new_key(tmp_path / "me.key", algorithm="sm2", name="me")
    sign = signer((tmp_path / "me.key").read_bytes(), "me.key")
    assert public.verifies(b"a question", sign(b"a question"))
    other = fresh_key(Algorithm.SM2, "other")
    assert not PublicKey("", Algorithm.SM2, other.public.raw).verifies(b"a question", sign(b"a question"))


@pytest.mark.parametrize("algorithm", ["ed25519", "encrypted", "junk"])
def test_keys_that_sign_nothing_here_are_refused(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "k"
    if algorithm == "junk":
        path.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    else:
        new_key(path, algorithm="ed25519", name="x", passphrase="p" if algorithm == "encrypted" else None)
    with pytest.raises(ProbeError) as caught:
        signer(path.read_bytes(), "k")
    assert caught.value.problem.code == "CHN-E04"
    assert "\n" not in str(caught.value)
    assert "c2Vj" not in str(caught.value)


MEMBER = {"org": "o", "cert": "c", "key": "k"}


def test_who_is_asked_how_is_checked_beforehand() -> None:
    chain = Chain(kind="bcos3")
    chain.check([Endpoint(url="https://h:1/x")])
    with pytest.raises(ValueError, match="http://"):
        chain.check([Endpoint(url="grpc://h:1")])
    with pytest.raises(ValueError, match="member"):
        Chain.model_validate({"kind": "bcos3", "member": MEMBER})


@pytest.mark.parametrize(
    "values",
    [
        {"url": "grpc://h:1/path"},
        {"url": "grpc://u:p@h:1"},
        {"url": "grpcs://h:1", "cert": "c"},
        {"url": "grpc://h:1", "cert": "c", "key": "k"},
        {"url": "https://h:1", "name": "n"},
    ],
)
def test_endpoints_that_are_none(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"url|cert"):
        Endpoint.model_validate(values)


# --- certificates --------------------------------------------------------------------------------------------------------


def test_a_certificate_and_who_issued_it(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificate

    pem, _ = certificate(tmp_path, "me", "me.example")
    other, _ = certificate(tmp_path, "other", "me.example")
    found = read_certificate(pem)
    public = load_pem_x509_certificate(pem).public_key()
    assert b"\x04" + found.key.point == public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert (found.key.suite, found.identifier) == (Suite.SHA256, b"")
    assert found.issued_by(found)
    assert not read_certificate(other).issued_by(found)
    for junk in (b"", b"junk", pem[:200]):
        with pytest.raises(ValueError, match=r".*"):
            read_certificate(junk)
    for junk in (b"", pem, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(ValueError, match="key"):
            public_key(junk)


def test_certificates_that_openssl_makes_with_sm2(tmp_path: Path) -> None:
    pytest.importorskip("gmssl_pyx")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    for name in ("ca", "node"):
        openssl("ecparam", "-name", "SM2", "-genkey", "-noout", "-out", f"{name}.key")
        new = ("req", "-new", "-key", f"{name}.key", "-sm3", "-subj", f"/O=org/CN={name}")
        if name == "ca":
            openssl(*new, "-x509", "-days", "9", "-sigopt", "distid:1234567812345678", "-out", "ca.crt")
        else:
            openssl(*new, "-out", "node.csr")
    signed_by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-sm3", "-days", "9")
    identity = ("-vfyopt", "distid:", "-sigopt", "distid:1234567812345678")
    openssl("x509", "-req", "-in", "node.csr", *signed_by, *identity, "-out", "node.crt")
    authority, node = (read_certificate((tmp_path / f"{name}.crt").read_bytes()) for name in ("ca", "node"))
    assert authority.key.suite is node.key.suite is Suite.SM
    assert len(authority.identifier) == 20
    assert (node.issued_by(authority), authority.issued_by(authority), authority.issued_by(node)) == (True, True, False)
    sign = signer((tmp_path / "node.key").read_bytes(), "node.key")
    assert Suite.SM.signed(node.key.point, b"a question", sign(b"a question"))


def test_a_certificate_of_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "k",
        "-subj",
        "/CN=x",
        "-out",
        "c",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(ValueError, match="another kind"):
        read_certificate((tmp_path / "c").read_bytes())


# --- signatures over messages --------------------------------------------------------------------------------------------


def test_messages_signed_on_p256() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    signature = key.sign(b"a question", ec.ECDSA(hashes.SHA256()))
    assert Suite.SHA256.signed(point, b"a question", signature)
    for wrong in ((point, b"another", signature), (point, b"a question", b""), (bytes(64), b"a question", signature)):
        assert not Suite.SHA256.signed(*wrong)
    with pytest.raises(ValueError, match="digests"):
        Suite.KECCAK.signed(point, b"", b"")


def test_fields_taken_out_kept_and_changed() -> None:
    data = field(1, 7) + part(2, field(3, 5)) + part(2, b"") + field(4, "x")
    assert only(data, (1, 4)) == field(1, 7) + field(4, "x")
    changed = edited(data, 2, lambda inner: inner + field(9, 1))
    assert changed == field(1, 7) + part(2, field(3, 5) + field(9, 1)) + part(2, field(9, 1)) + field(4, "x")
    assert edited(data, 1, lambda inner: b"") == data  # a number is no message
