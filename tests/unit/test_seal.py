"""Keys, envelopes and trust: two implementations agree, and no role, signer or byte changes unnoticed."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import SSlibKey

from yanshou.harness import keys as keyfiles
from yanshou.harness.basics import ExitCode, UserError
from yanshou.harness.digests import Digests, measure, measure_file
from yanshou.harness.envelope import (
    DEMO,
    PLAN,
    TEST_RESULT,
    Document,
    Envelope,
    Role,
    Signer,
    Statement,
    add_signature,
    read_envelope,
    sign,
    statement,
)
from yanshou.harness.evidence import canonical
from yanshou.harness.keys import PrivateKey, load_private, load_public, new_key, parse_public, public_path
from yanshou.harness.model import Mode, Verdict
from yanshou.harness.seal import PREDICATE_TYPES, check_subjects, result_predicate, verify_envelope
from yanshou.harness.trust import Trust, load_trust

SEALED = "2024-11-22T08:00:00.000Z"
SUBJECTS = {"manifest-sha256.txt": measure(b"one").digests, "bagit.txt": measure(b"two").digests}
PREDICATE = {"result": "PASSED", "configuration": []}
TEAM = ((Role.TESTER, "ed25519", "张三"), (Role.REVIEWER, "sm2", "李四"), (Role.APPROVER, "ed25519", "王五"))
DISTID = ("-sigopt", "distid:1234567812345678")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(autouse=True)
def light_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "PBKDF2_ROUNDS", 2048)


def openssl(*arguments: str | Path, cwd: Path) -> bytes:
    return subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[Role, PrivateKey]:
    folder = tmp_path_factory.mktemp("keys")
    for role, algorithm, name in TEAM:
        new_key(folder / role, algorithm=algorithm, name=name)
    return {role: load_private(folder / role) for role, _, _ in TEAM}


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    path = tmp_path_factory.mktemp("stranger") / "key"
    new_key(path, algorithm="ed25519", name="张三")
    return load_private(path)


def roster(keys: dict[Role, PrivateKey]) -> list[Signer]:
    return [Signer(role, key.public) for role, key in keys.items()]


def unsigned(signers: Iterable[Signer], kind: str = TEST_RESULT, sealed: str = SEALED) -> Statement:
    return statement(SUBJECTS, kind, PREDICATE, signers, sealed)


def signed(keys: dict[Role, PrivateKey], draft: Statement | None = None) -> Envelope:
    envelope = Envelope(draft or unsigned(roster(keys)), {})
    for role, key in keys.items():
        envelope = add_signature(envelope, key, role)
    return envelope


def codes(envelope: Envelope, trust: Trust | None = None, document: Document = Document.PACKAGE) -> list[str]:
    return [problem.code for problem in verify_envelope(envelope, document, trust).problems]


def refusal(error: pytest.ExceptionInfo[UserError]) -> str:
    return error.value.problems[0].code


# --- keys ---------------------------------------------------------------------------------------------------------------


@needs_openssl
@pytest.mark.parametrize(
    ("algorithm", "passphrase"), [("ed25519", None), ("ed25519", "口令"), ("sm2", None), ("sm2", "口令")]
)
def test_openssl_reads_our_keys_and_both_verify_each_other(
    tmp_path: Path, algorithm: str, passphrase: str | None
) -> None:
    public = new_key(tmp_path / "k", algorithm=algorithm, name="张三", passphrase=passphrase)
    key = load_private(tmp_path / "k", passphrase)
    assert key.public == public == load_public(public_path(tmp_path / "k"))
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    secret = () if passphrase is None else ("-passin", f"pass:{passphrase}")
    pem = openssl("pkey", "-in", "k", *secret, "-pubout", cwd=tmp_path).decode()
    assert pem == public.pem
    der = openssl("pkey", "-in", "k", *secret, "-pubout", "-outform", "DER", cwd=tmp_path)
    assert hashlib.sha256(der).hexdigest() == public.id

    message = bytes(range(256)) * 12
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "ours").write_bytes(key.sign(message))
    (tmp_path / "pub.pem").write_text(public.pem)
    ways = {
        "ed25519": (["pkeyutl", "-rawin", "-in", "message", "-pubin", "-inkey", "pub.pem", "-verify", "-sigfile", "ours"],
                    ["pkeyutl", "-rawin", "-in", "message", *secret, "-inkey", "k", "-sign", "-out", "theirs"]),
        "sm2": (["dgst", "-sm3", *DISTID, "-verify", "pub.pem", "-signature", "ours", "message"],
                ["dgst", "-sm3", *DISTID, *secret, "-sign", "k", "-out", "theirs", "message"]),
    }  # fmt: skip
    verify, make = ways[algorithm]
    assert b"erified" in openssl(*verify, cwd=tmp_path)
    openssl(*make, cwd=tmp_path)
    theirs = (tmp_path / "theirs").read_bytes()
    assert public.verifies(message, theirs)
    assert not public.verifies(message + b"x", theirs)


@needs_openssl
@pytest.mark.parametrize("algorithm", ["ED25519", "SM2"])
@pytest.mark.parametrize("passphrase", [None, "abc"])
def test_keys_made_by_openssl_can_sign(tmp_path: Path, algorithm: str, passphrase: str | None) -> None:
    openssl("genpkey", "-algorithm", algorithm, "-out", "plain", cwd=tmp_path)
    protect = ("-nocrypt",) if passphrase is None else ("-v2", "aes-256-cbc", "-passout", f"pass:{passphrase}")
    openssl("pkcs8", "-topk8", "-in", "plain", "-out", "k.pem", *protect, cwd=tmp_path)
    key = load_private(tmp_path / "k.pem", passphrase)
    assert key.public.pem == openssl("pkey", "-in", "plain", "-pubout", cwd=tmp_path).decode()
    assert key.public.name == "k"
    assert key.public.verifies(b"m", key.sign(b"m"))


@pytest.mark.parametrize("algorithm", ["ed25519", "sm2"])
def test_wrong_signatures_are_refused_without_noise(
    tmp_path: Path, algorithm: str, capfd: pytest.CaptureFixture[str]
) -> None:
    new_key(tmp_path / "k", algorithm=algorithm, name="张三")
    key = load_private(tmp_path / "k")
    good = key.sign(b"m")
    for place in range(len(good)):
        assert not key.public.verifies(b"m", good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    for bad in (b"", good[:-1], good + b"\0", b"\x30\x81" + good[1:], bytes(64)):
        assert not key.public.verifies(b"m", bad)
    assert not replace(key.public, raw=bytes(len(key.public.raw))).verifies(b"m", good)
    assert capfd.readouterr() == ("", "")
    assert repr(key.secret) not in repr(key)


def test_an_sm2_signature_has_one_encoding(keys: dict[Role, PrivateKey]) -> None:
    key, padded, negative = keys[Role.REVIEWER], 0, 0
    while not (padded and negative):
        good = key.sign(b"m")
        end = 4 + good[3]
        r, s = good[4:end], good[end:]
        sequence = (
            bytes([0x30, good[1] - 1, 2, len(r) - 1]) + r[1:]
            if r[0] == 0
            else bytes([0x30, good[1] + 1, 2, len(r) + 1, 0]) + r
        )
        padded, negative = padded + (r[0] != 0), negative + (r[0] == 0)
        assert key.public.verifies(b"m", good)
        for other in (sequence + s, b"\x30\x81" + good[1:], good + b"\0"):
            assert not key.public.verifies(b"m", other)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    new_key(tmp_path / "k", algorithm="ed25519", name="张三")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UserError) as error:
        new_key(tmp_path / "k", algorithm="ed25519", name="李四")
    assert refusal(error) == "K-E03"
    public_path(tmp_path / "k").rename(tmp_path / "other.pub")
    with pytest.raises(UserError) as error:
        new_key(tmp_path / "k", algorithm="ed25519", name="李四")
    assert refusal(error) == "K-E03"
    with pytest.raises(UserError) as error:
        new_key(tmp_path / "other", algorithm="ed25519", name="李四")
    assert refusal(error) == "K-E03"
    assert {p.read_bytes() for p in tmp_path.iterdir()} == set(before.values())


@pytest.mark.parametrize(
    ("algorithm", "name", "passphrase", "code"),
    [("rsa", "张三", None, "K-E07"), ("sm2", "", None, "K-E07"), ("sm2", "张\n三", None, "K-E07"),
     ("ed25519", "张三", "", "K-E04")],
)  # fmt: skip
def test_what_cannot_be_a_key_leaves_no_file(
    tmp_path: Path, algorithm: str, name: str, passphrase: str | None, code: str
) -> None:
    with pytest.raises(UserError) as error:
        new_key(tmp_path / "k", algorithm=algorithm, name=name, passphrase=passphrase)
    assert refusal(error) == code
    assert list(tmp_path.iterdir()) == []


def test_key_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        new_key(tmp_path / "none" / "k", algorithm="ed25519", name="张三")
    assert refusal(error) == "E-DISK"


@pytest.mark.parametrize("algorithm", ["ed25519", "sm2"])
def test_passphrases(tmp_path: Path, algorithm: str) -> None:
    new_key(tmp_path / "k", algorithm=algorithm, name="张三", passphrase="right")
    for wrong in (None, "", "Right", "wrong"):
        with pytest.raises(UserError) as error:
            load_private(tmp_path / "k", wrong)
        assert refusal(error) == "K-E04"
    assert load_private(tmp_path / "k", "right").public.name == "张三"


RSA = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n-----END PRIVATE KEY-----\n"
"""Not RSA but X25519: a key that can agree and not sign."""


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "K-E01"), ("", "K-E02"), ("hello", "K-E02"), ("\0", "K-E02"), ("x" * 70_000, "K-E02"), (RSA, "K-E07"),
     ("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "K-E02")],
)  # fmt: skip
def test_what_is_no_private_key(tmp_path: Path, content: str | None, code: str) -> None:
    if content is not None:
        (tmp_path / "k").write_text(content)
    with pytest.raises(UserError) as error:
        load_private(tmp_path / "k")
    assert refusal(error) == code
    assert error.value.problems[0].file == tmp_path / "k"


@pytest.mark.parametrize("algorithm", ["ed25519", "sm2"])
def test_a_damaged_private_key_never_loads_as_another(tmp_path: Path, algorithm: str) -> None:
    new_key(tmp_path / "k", algorithm=algorithm, name="张三")
    text = (tmp_path / "k").read_text()
    body = text.index("\n") + 1
    for place in range(body, text.index("\n-----END")):
        other = "A" if text[place] != "A" else "B"
        (tmp_path / "k").write_text(text[:place] + other + text[place + 1 :])
        with pytest.raises(UserError) as error:
            load_private(tmp_path / "k")
        assert refusal(error) in ("K-E02", "K-E06", "K-E07")


def test_a_public_file_must_fit(tmp_path: Path) -> None:
    for name in ("a", "b"):
        new_key(tmp_path / name, algorithm="ed25519", name=name)
    own = (tmp_path / "a.pub").read_text()
    (tmp_path / "a.pub").write_text((tmp_path / "b.pub").read_text())
    with pytest.raises(UserError) as error:
        load_private(tmp_path / "a")
    assert refusal(error) == "K-E06"
    value = json.loads(own)
    for wrong in (
        "[]", "{}", "null", "[" * 9000, json.dumps({**value, "id": "0" * 64}), json.dumps({**value, "more": 1}),
        json.dumps({**value, "algorithm": "sm2"}), json.dumps({**value, "name": ""}), json.dumps({**value, "name": 1}),
        json.dumps({**value, "public": value["public"].replace("-----\n", "-----\n\n", 1)}),
    ):  # fmt: skip
        (tmp_path / "a.pub").write_text(wrong)
        with pytest.raises(UserError) as error:
            load_public(tmp_path / "a.pub")
        assert refusal(error) == "K-E06"


def test_without_the_guomi_package_there_is_one_clear_line(
    keys: dict[Role, PrivateKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = signed(keys)

    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    for attempt in (
        lambda: new_key(tmp_path / "k", algorithm="sm2", name="张三"),
        lambda: keys[Role.REVIEWER].sign(b"m"),
        lambda: verify_envelope(envelope, Document.PACKAGE, None),
    ):
        with pytest.raises(UserError, match="yanshou\\[guomi\\]") as error:
            attempt()
        assert refusal(error) == "K-E05"
    assert list(tmp_path.iterdir()) == []


def test_a_python_without_sm3_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(name: str) -> object:
        raise ValueError(f"unsupported hash type {name}")

    monkeypatch.setattr(hashlib, "new", old)
    with pytest.raises(UserError, match="OpenSSL") as error:
        measure(b"")
    assert refusal(error) == "K-E08"


# --- envelopes ----------------------------------------------------------------------------------------------------------


@needs_openssl
def test_openssl_verifies_every_signature_over_the_pae_bytes(keys: dict[Role, PrivateKey], tmp_path: Path) -> None:
    value = json.loads(signed(keys).to_bytes())
    payload, kind = base64.b64decode(value["payload"]), value["payloadType"].encode()
    (tmp_path / "pae").write_bytes(b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload]))
    seal = json.loads(payload)["predicate"]["yanshou_seal"]
    assert [line["role"] for line in seal["signers"]] == ["tester", "reviewer", "approver"]
    for line in seal["signers"]:
        signature = next(s["sig"] for s in value["signatures"] if s["keyid"] == line["id"])
        (tmp_path / "sig").write_bytes(base64.b64decode(signature))
        (tmp_path / "pub").write_text(line["public"])
        if line["algorithm"] == "sm2":
            out = openssl("dgst", "-sm3", *DISTID, "-verify", "pub", "-signature", "sig", "pae", cwd=tmp_path)
        else:
            out = openssl(
                "pkeyutl", "-verify", "-rawin", "-in", "pae", "-pubin", "-inkey", "pub", "-sigfile", "sig", cwd=tmp_path
            )
        assert b"erified" in out


def test_another_implementation_reads_and_verifies_the_envelope(keys: dict[Role, PrivateKey]) -> None:
    ours = signed(keys)
    other = OtherEnvelope.from_dict(json.loads(ours.to_bytes()))
    assert other.pae() == ours.message
    known = [
        SSlibKey(key.public.id, "ed25519", "ed25519", {"public": key.public.raw.hex()})
        for key in keys.values()
        if key.public.algorithm == "ed25519"
    ]
    assert len(other.verify(known, 2)) == 2


@needs_openssl
def test_the_statement_is_in_toto_with_both_digests(keys: dict[Role, PrivateKey], tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"evidence" * 1000)
    digests = measure_file(tmp_path / "f").digests
    assert openssl("dgst", "-sm3", "-r", "f", cwd=tmp_path).decode().split()[0] == digests.sm3
    assert digests.sha256 == hashlib.sha256(b"evidence" * 1000).hexdigest()
    value = statement({"f": digests}, TEST_RESULT, PREDICATE, roster(keys), SEALED).to_json()
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["subject"] == [{"name": "f", "digest": {"sha256": digests.sha256, "sm3": digests.sm3}}]
    assert value["predicate"]["result"] == "PASSED"
    assert value["predicate"]["yanshou_seal"]["sealed"] == SEALED


def test_an_envelope_survives_its_file_and_holds(keys: dict[Role, PrivateKey]) -> None:
    envelope = signed(keys)
    again = read_envelope(envelope.to_bytes())
    assert again == envelope
    report = verify_envelope(again, Document.PACKAGE, None)
    assert report.problems == ()
    assert report.identities_checked is False
    assert [str(result.signer) for result in report.signatures] == ["检测 张三", "审核 李四", "批准 王五"]


def test_every_flipped_byte_of_an_envelope_is_found(keys: dict[Role, PrivateKey]) -> None:
    two = {role: key for role, key in keys.items() if key.public.algorithm == "ed25519"}
    data = signed(two).to_bytes()
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            found = codes(read_envelope(changed))
        except UserError as error:
            found = [error.problems[0].code]
        assert found, f"byte {place} changed unnoticed"


def rewrite(envelope: Envelope, **fields: object) -> bytes:
    return canonical({**json.loads(envelope.to_bytes()), **fields}) + b"\n"


def test_other_forms_of_the_same_envelope_are_refused(keys: dict[Role, PrivateKey]) -> None:
    envelope = signed(keys)
    data = envelope.to_bytes()
    value = json.loads(data)
    payload = base64.b64decode(value["payload"])
    loose = base64.b64encode(json.dumps(json.loads(payload)).encode()).decode()
    twice = payload.replace(b'"_type"', b'"_type":"x","_type"')
    more = base64.b64encode(canonical({**json.loads(payload), "more": 1})).decode()
    forms = [
        data[:-1], data + b"\n", b" " + data, json.dumps(value).encode() + b"\n", b"", b"null\n", b"[]\n", b"\xff\n",
        data.decode().encode("utf-16"), b"[" * 100_000,
        rewrite(envelope, payloadType="application/json"), rewrite(envelope, extra=1), rewrite(envelope, payload=loose),
        rewrite(envelope, payload=more), rewrite(envelope, payload=base64.b64encode(twice).decode()),
        rewrite(envelope, payload=""), rewrite(envelope, signatures={}), rewrite(envelope, signatures=[{}]),
        rewrite(envelope, signatures=value["signatures"][::-1]),
        rewrite(envelope, signatures=value["signatures"] + value["signatures"][:1]),
        rewrite(envelope, signatures=[{**s, "role": "approver"} for s in value["signatures"]]),
    ]  # fmt: skip
    for form in forms:
        with pytest.raises(UserError) as error:
            read_envelope(form, Path("package.dsse.json"))
        assert refusal(error) == "V-S01"
        assert error.value.exit_code is ExitCode.UNVERIFIED


def test_a_changed_payload_breaks_every_signature(keys: dict[Role, PrivateKey]) -> None:
    envelope = signed(keys)
    draft = envelope.statement
    forged = [
        replace(draft, predicate={**PREDICATE, "result": "FAILED"}),
        replace(draft, subjects={**SUBJECTS, "bagit.txt": measure(b"other").digests}),
        replace(draft, sealed="2024-11-21T08:00:00.000Z"),
        replace(draft, predicate_type=DEMO),
    ]
    for each in forged:
        assert codes(read_envelope(Envelope(each, envelope.signatures).to_bytes())) == ["V-S05"] * 3


def test_roles_cannot_be_swapped(keys: dict[Role, PrivateKey]) -> None:
    envelope = signed(keys)
    tester, reviewer, approver = envelope.statement.signers
    swapped = unsigned([replace(tester, role=Role.APPROVER), reviewer, replace(approver, role=Role.TESTER)])
    assert codes(Envelope(swapped, envelope.signatures)) == ["V-S05"] * 3
    by_key = dict(envelope.signatures)
    by_key[tester.key.id], by_key[approver.key.id] = by_key[approver.key.id], by_key[tester.key.id]
    assert codes(Envelope(envelope.statement, by_key)) == ["V-S05"] * 2


def test_a_dropped_signature_is_missed_and_an_added_one_does_not_belong(
    keys: dict[Role, PrivateKey], stranger: PrivateKey
) -> None:
    envelope = signed(keys)
    for signer in envelope.statement.signers:
        rest = {key_id: s for key_id, s in envelope.signatures.items() if key_id != signer.key.id}
        report = verify_envelope(Envelope(envelope.statement, rest), Document.PACKAGE, None)
        assert [p.code for p in report.problems] == ["V-S06"]
        assert str(signer) in report.problems[0].text
    more = {**envelope.signatures, stranger.public.id: stranger.sign(envelope.message)}
    assert codes(read_envelope(Envelope(envelope.statement, more).to_bytes())) == ["V-S08"]
    smaller = unsigned(roster(keys)[:2])
    assert codes(Envelope(smaller, envelope.signatures)) == ["V-S08", "V-S05", "V-S05"]


def test_a_statement_is_only_good_for_its_own_document(keys: dict[Role, PrivateKey]) -> None:
    assert codes(signed(keys), document=Document.PLAN) == ["V-S03"]
    plan = signed(keys, unsigned(roster(keys), PLAN))
    assert codes(plan) == ["V-S03"]
    assert codes(plan, document=Document.PLAN) == []


def test_subjects_must_be_exactly_the_files(keys: dict[Role, PrivateKey]) -> None:
    draft = unsigned(roster(keys))
    assert list(check_subjects(draft, SUBJECTS)) == []
    one, two = SUBJECTS["bagit.txt"], measure(b"other").digests
    wrong = [
        {"manifest-sha256.txt": SUBJECTS["manifest-sha256.txt"]},
        {**SUBJECTS, "more": two},
        {**SUBJECTS, "bagit.txt": Digests(one.sha256, two.sm3)},
        {**SUBJECTS, "bagit.txt": Digests(two.sha256, one.sm3)},
    ]
    for files in wrong:
        assert [p.code for p in check_subjects(draft, files)] == ["V-S04"]


def test_who_may_add_a_signature(keys: dict[Role, PrivateKey], stranger: PrivateKey) -> None:
    draft = unsigned(roster(keys))
    first = sign(draft, keys[Role.TESTER], Role.TESTER)
    assert codes(first) == ["V-S06", "V-S06"]
    broken = Envelope(draft, {keys[Role.TESTER].public.id: bytes(64)})
    foreign = Envelope(draft, {stranger.public.id: stranger.sign(first.message)})
    attempts = [
        ("S-E02", first, stranger, Role.TESTER),
        ("S-E03", first, keys[Role.REVIEWER], Role.APPROVER),
        ("S-E04", first, keys[Role.TESTER], Role.TESTER),
        ("S-E05", broken, keys[Role.REVIEWER], Role.REVIEWER),
        ("S-E05", foreign, keys[Role.REVIEWER], Role.REVIEWER),
    ]
    for code, envelope, key, role in attempts:
        with pytest.raises(UserError) as error:
            add_signature(envelope, key, role)
        assert refusal(error) == code
    twice = [Signer(Role.TESTER, stranger.public), Signer(Role.REVIEWER, stranger.public)]
    for signers in ([], twice):
        with pytest.raises(UserError) as error:
            unsigned(signers)
        assert refusal(error) == "S-E01"
    with pytest.raises(ValueError, match="UTC"):
        unsigned(roster(keys), sealed="2024-11-22 08:00")


@pytest.mark.parametrize(
    ("verdicts", "conditional", "result", "lists"),
    [
        ({"a": Verdict.PASS, "b": Verdict.PASS}, (), "PASSED", (["a", "b"], [], [])),
        ({"a": Verdict.PASS, "b": Verdict.INCONCLUSIVE}, ("b",), "WARNED", (["a"], ["b"], [])),
        ({"a": Verdict.PASS, "b": Verdict.INCONCLUSIVE}, (), "FAILED", (["a"], [], ["b"])),
        ({"a": Verdict.NOT_RUN}, (), "FAILED", ([], [], ["a"])),
        ({"a": Verdict.INVALID, "b": Verdict.INCONCLUSIVE}, ("b",), "FAILED", ([], ["b"], ["a"])),
        ({"a": Verdict.FAIL}, (), "FAILED", ([], [], ["a"])),
        ({}, (), "FAILED", ([], [], [])),
    ],
)
def test_nothing_but_a_pass_is_stated_as_passed(
    verdicts: dict[str, Verdict], conditional: tuple[str, ...], result: str, lists: tuple[list[str], ...]
) -> None:
    value = result_predicate(verdicts, conditional, {"plan.lock.json": SUBJECTS["bagit.txt"]})
    assert value["result"] == result
    assert (value["passedTests"], value["warnedTests"], value["failedTests"]) == lists
    assert value["configuration"] == [{"name": "plan.lock.json", "digest": SUBJECTS["bagit.txt"].to_json()}]


def test_each_mode_states_its_own_type() -> None:
    assert PREDICATE_TYPES[Mode.ACCEPTANCE] == "https://in-toto.io/attestation/test-result/v0.1"
    assert len(set(PREDICATE_TYPES.values())) == len(Mode)


# --- trust --------------------------------------------------------------------------------------------------------------


def trust_text(keys: dict[Role, PrivateKey], *, public: bool = True, **changes: str) -> str:
    lines = ["keys:"]
    for role, key in keys.items():
        fields = {
            "name": key.public.name, "roles": f"[{role}]", "algorithm": str(key.public.algorithm), "id": key.public.id,
            "valid_from": "2024-11-01", "valid_until": "2024-11-30",
            **(changes if role is Role.TESTER else {}),
        }  # fmt: skip
        lines += [f"  {'- ' if i == 0 else '  '}{k}: {v}" for i, (k, v) in enumerate(fields.items())]
        if public:
            lines += ["    public: |", *(f"      {line}" for line in key.public.pem.splitlines())]
    return "\n".join([*lines, "require:", "  plan: [project, tester]", "  package: [tester, reviewer, approver]", ""])


def trust_of(tmp_path: Path, text: str) -> Trust:
    (tmp_path / "trust.yaml").write_text(text)
    return load_trust(tmp_path / "trust.yaml")


def test_the_expected_people_in_the_expected_roles(keys: dict[Role, PrivateKey], tmp_path: Path) -> None:
    for public in (True, False):
        report = verify_envelope(signed(keys), Document.PACKAGE, trust_of(tmp_path, trust_text(keys, public=public)))
        assert report.problems == ()
        assert report.identities_checked is True


def test_a_seal_by_strangers_with_the_right_names_is_not_the_seal(
    keys: dict[Role, PrivateKey], stranger: PrivateKey, tmp_path: Path
) -> None:
    forged = signed({**keys, Role.TESTER: stranger})
    assert codes(forged) == []
    assert codes(forged, trust_of(tmp_path, trust_text(keys))) == ["V-S09"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"roles": "[witness, project]"}, "V-S10"),
        ({"name": "赵六"}, "V-S11"),
        ({"algorithm": "sm2"}, "V-S11"),
        ({"valid_from": "2024-11-23"}, "V-S12"),
        ({"valid_until": "2024-11-21"}, "V-S12"),
    ],
)
def test_a_known_key_used_wrongly(
    keys: dict[Role, PrivateKey], tmp_path: Path, changes: dict[str, str], code: str
) -> None:
    trust = trust_of(tmp_path, trust_text(keys, public=False, **changes))
    report = verify_envelope(signed(keys), Document.PACKAGE, trust)
    assert [p.code for p in report.problems] == [code]
    assert [len(result.problems) for result in report.signatures] == [1, 0, 0]


@pytest.mark.parametrize(
    ("sealed", "valid"),
    [("2024-10-31T15:59:59.999Z", False), ("2024-10-31T16:00:00.000Z", True), ("2024-11-30T15:59:59.999Z", True),
     ("2024-11-30T16:00:00.000Z", False)],
)  # fmt: skip
def test_validity_is_in_whole_beijing_days(
    keys: dict[Role, PrivateKey], tmp_path: Path, sealed: str, *, valid: bool
) -> None:
    envelope = signed(keys, unsigned(roster(keys), sealed=sealed))
    assert codes(envelope, trust_of(tmp_path, trust_text(keys))) == ([] if valid else ["V-S12"] * 3)


def test_exactly_the_required_roles(keys: dict[Role, PrivateKey], stranger: PrivateKey, tmp_path: Path) -> None:
    trust = trust_of(tmp_path, trust_text(keys))
    fewer = {role: key for role, key in keys.items() if role is not Role.APPROVER}
    assert codes(signed(fewer), trust) == ["V-S07"]
    assert codes(signed({**keys, Role.WITNESS: stranger}), trust) == ["V-S08", "V-S09"]
    both = trust_of(tmp_path, trust_text(keys).replace("reviewer, approver]", "tester, approver]"))
    assert codes(signed(keys), both) == ["V-S07", "V-S08"]


def test_a_roster_is_drawn_up_only_when_there_is_no_choice(keys: dict[Role, PrivateKey], tmp_path: Path) -> None:
    trust = trust_of(tmp_path, trust_text(keys))
    moment = unsigned(roster(keys)).sealed_at
    assert list(trust.roster(Document.PACKAGE, moment)) == roster(keys)
    for text in (trust_text(keys, public=False), trust_text(keys, roles="[tester, reviewer]")):
        with pytest.raises(UserError) as error:
            trust_of(tmp_path, text).roster(Document.PACKAGE, moment)
        assert refusal(error) == "T-ROSTER"
    with pytest.raises(UserError, match="受检方"):
        trust.roster(Document.PLAN, moment)


@pytest.mark.parametrize(
    ("old", "new", "line", "hint"),
    [
        ("    roles: [tester]", "    rolls: [tester]", 3, "rolls"),
        ("roles: [tester]", "roles: [boss]", 3, "boss"),
        ("roles: [tester]", "roles: []", 3, "roles"),
        ("algorithm: ed25519", "algorithm: rsa", 4, "rsa"),
        ("algorithm: ed25519", "algorithm: sm2", 8, "不符"),
        ("    id: ", "    id: 0", 5, "id"),
        ("valid_from: 2024-11-01", "valid_from: soon", 6, "日期"),
        ("valid_until: 2024-11-30", "valid_until: 2024-10-30", 7, "早于"),
        ("MCowBQYDK2Vw", "MCowBQYDK2Vx", 8, "PEM"),
        ("  - name: 张三", "  - nome: 张三", 2, "nome"),
        ("  - name: 张三", "  - name: \"张\\n三\"", 2, "一行"),
        ("require:", "requires:", 33, "requires"),
        ("plan: [project, tester]", "plan: []", 34, "plan"),
        ("plan: [project, tester]", "plan: project", 34, "plan"),
        ("  plan: [project, tester]\n", "  plan: [project]\n  letter: [tester]\n", 35, "letter"),
        ("  plan: [project, tester]\n", "  plan: [project]\n  report: [nobody]\n", 35, "report"),
        ("keys:\n", "keys:\n  - {\n", 3, "YAML"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_trust_file_names_its_line(
    keys: dict[Role, PrivateKey], tmp_path: Path, old: str, new: str, line: int, hint: str
) -> None:
    text = trust_text(keys)
    assert old in text
    with pytest.raises(UserError) as error:
        trust_of(tmp_path, text.replace(old, new, 1))
    problem = error.value.problems[0]
    assert problem.code.startswith("T-")
    assert problem.file == tmp_path / "trust.yaml"
    assert problem.line == line, str(problem)
    assert hint in str(problem)
    assert "重新安装" not in problem.remedy


def test_a_key_is_listed_once(keys: dict[Role, PrivateKey], tmp_path: Path) -> None:
    text = trust_text(keys, public=False)
    one = text[text.index("  - name") : text.index("  - name", 10)]
    with pytest.raises(UserError, match="重复"):
        trust_of(tmp_path, text.replace("require:", f"{one}require:"))
    with pytest.raises(UserError) as error:
        load_trust(tmp_path / "none.yaml")
    assert refusal(error) == "T-FILE"


def test_public_keys_of_other_kinds_are_refused(keys: dict[Role, PrivateKey]) -> None:
    good = keys[Role.TESTER].public.pem
    for bad in (
        "",
        good[:-1],
        good.replace("PUBLIC", "PRIVATE"),
        good.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu"),
        good + good,
    ):
        with pytest.raises(ValueError, match=r"PEM|neither|padd|base64|decod"):
            parse_public(bad, "x")
