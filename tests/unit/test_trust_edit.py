"""trust.yaml grows by one entry at a time: confirmed, never overwriting, every other byte as it was; and it names readers."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.e2e.support import YANSHOU, yanshou
from tests.terminals import converse
from yanshou.harness.basics import ExitCode, UserError
from yanshou.harness.encryption import (
    ReadingKey,
    decrypt,
    encrypt,
    is_encrypted,
    is_recipient,
    load_identities,
    load_reading_key,
    new_reading_key,
)
from yanshou.harness.envelope import Document, Role
from yanshou.harness.keys import PublicKey, load_public, new_key
from yanshou.harness.trust import Trust, TrustedKey, load_trust
from yanshou.harness.trust_edit import reading_entry, signing_entry, with_entry

SPAN = date(2024, 11, 1), date(2099, 12, 31)
NOW = datetime(2025, 6, 1, tzinfo=UTC)
needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PublicKey]:
    folder = tmp_path_factory.mktemp("keys")
    team = [("张三", "ed25519"), ("李四", "sm2"), ("王五", "ed25519"), ("赵六", "sm2")]
    return {name: new_key(folder / f"k{i}", algorithm=algorithm, name=name) for i, (name, algorithm) in enumerate(team)}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ReadingKey:
    return new_reading_key(tmp_path_factory.mktemp("reader") / "k", name="陈专家")


def code(error: pytest.ExceptionInfo[UserError]) -> str:
    return error.value.problems[0].code


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error:
        call()
    return code(error)


def signer(key: PublicKey, *roles: Role) -> TrustedKey:
    return signing_entry(key, roles, *SPAN)


def test_a_file_grows_entry_by_entry(tmp_path: Path, people: dict[str, PublicKey], reader: ReadingKey) -> None:
    file = tmp_path / "trust.yaml"
    data = with_entry(file, None, signer(people["张三"], Role.TESTER))
    for name, role in (("李四", Role.REVIEWER), ("王五", Role.APPROVER)):
        data = with_entry(file, data, signer(people[name], role))
    data = with_entry(file, data, reading_entry(reader, *SPAN))
    trust = load_trust(file, data)
    assert {(k.name, k.roles, k.algorithm.value) for k in trust.keys} == {
        ("张三", (Role.TESTER,), "ed25519"), ("李四", (Role.REVIEWER,), "sm2"), ("王五", (Role.APPROVER,), "ed25519"),
    }  # fmt: skip
    assert all(k.public == people[k.name] and (k.valid_from, k.valid_until) == SPAN for k in trust.keys)
    assert trust.recipients("陈专家", NOW) == (reader.recipient,)
    assert {s.key.name for s in trust.roster(Document.PACKAGE, NOW)} == {"张三", "李四", "王五"}
    assert not file.exists()  # nothing here writes


FORMS = [
    "# 我的\nkeys:  # 谁\n- {OLD}   # 老张\n\n# 尾注\nrequire: {REQUIRE}\n",
    "keys:\n    - {OLD}\n    # 中注\nrequire:\n  plan: [tester]\n  package: [tester]\n",
    "require: {REQUIRE}\nkeys: [{OLD}]  # 一行\n",
    "require: {REQUIRE}\r\nkeys:\r\n  - {OLD}\r\n# 末行没有换行",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_other_byte_stays(tmp_path: Path, people: dict[str, PublicKey], reader: ReadingKey, form: str) -> None:
    old = signer(people["张三"], Role.TESTER)
    text = form.replace("{OLD}", line_of(old)).replace("{REQUIRE}", "{plan: [tester], package: [tester]}")
    before = text.encode()
    for entry in (signer(people["李四"], Role.REVIEWER, Role.APPROVER), reading_entry(reader, *SPAN)):
        after = with_entry(tmp_path / "t", before, entry)
        added = len(after) - len(before)
        assert any(after[:i] + after[i + added :] == before for i in range(len(before) + 1))
        assert b"\r\n" not in before or after.count(b"\n") == after.count(b"\r\n")
        assert load_trust(tmp_path / "t", after) != load_trust(tmp_path / "t", before)
        before = after


def line_of(key: TrustedKey) -> str:
    assert key.public is not None
    return (
        f"{{name: {key.name}, roles: [{', '.join(key.roles)}], algorithm: {key.algorithm}, id: {key.id}, "
        f"valid_from: {key.valid_from}, valid_until: {key.valid_until}, public: {json.dumps(key.public.pem)}}}"
    )


def test_what_is_there_is_never_overwritten(tmp_path: Path, people: dict[str, PublicKey], reader: ReadingKey) -> None:
    file = tmp_path / "t"
    data = with_entry(file, None, signer(people["张三"], Role.TESTER))
    data = with_entry(file, data, reading_entry(reader, *SPAN))
    assert refused(lambda: with_entry(file, data, signer(people["张三"], Role.APPROVER))) == "T-KNOWN"
    other = ReadingKey("另一人", reader.recipient)
    assert refused(lambda: with_entry(file, data, reading_entry(other, *SPAN))) == "T-KNOWN"
    backwards = signing_entry(people["李四"], (Role.TESTER,), SPAN[1], SPAN[0])
    assert refused(lambda: with_entry(file, data, backwards)) == "T-DATES"
    assert refused(lambda: with_entry(file, None, reading_entry(reader, *SPAN))) == "T-FILE"
    flow = b"{keys: [], require: {plan: [tester], package: [tester]}}\n"
    assert refused(lambda: with_entry(file, flow, signer(people["李四"], Role.TESTER))) == "T-YAML"


def k_of_n(people: dict[str, PublicKey], tmp_path: Path) -> Trust:
    keys = "\n".join(f"- {line_of(signer(people[name], Role.REVIEWER))}" for name in ("张三", "李四", "赵六"))
    text = f"keys:\n- {line_of(signer(people['王五'], Role.TESTER))}\n{keys}\n"
    return load_trust(
        tmp_path / "t", f"{text}require: {{plan: [tester], package: [tester, reviewer, reviewer]}}".encode()
    )


def test_two_of_three_reviewers_sign(tmp_path: Path, people: dict[str, PublicKey]) -> None:
    trust = k_of_n(people, tmp_path)
    assert refused(lambda: trust.roster(Document.PACKAGE, NOW)) == "T-ROSTER"
    assert refused(lambda: trust.roster(Document.PACKAGE, NOW, {people["张三"].id})) == "T-ROSTER"
    chosen = {people["张三"].id, people["赵六"].id}
    roster = trust.roster(Document.PACKAGE, NOW, chosen)
    assert {s.key.name for s in roster if s.role is Role.REVIEWER} == {"张三", "赵六"}
    assert list(trust.deviations(Document.PACKAGE, roster)) == []
    assert [p.code for p in trust.deviations(Document.PACKAGE, roster[:-1])] == ["V-S07"]


def test_only_a_valid_reader_gets_anything(tmp_path: Path, people: dict[str, PublicKey], reader: ReadingKey) -> None:
    data = with_entry(tmp_path / "t", None, signer(people["张三"], Role.TESTER))
    trust = load_trust(tmp_path / "t", with_entry(tmp_path / "t", data, reading_entry(reader, *SPAN)))
    assert refused(lambda: trust.recipients("张三", NOW)) == "T-READER"
    assert refused(lambda: trust.recipients("陈专家", datetime(2024, 10, 1, tzinfo=UTC))) == "T-READER"
    bad = with_entry(tmp_path / "t", data, reading_entry(reader, *SPAN)).replace(b"age1", b"age2")
    assert refused(lambda: load_trust(tmp_path / "t", bad)) == "T-VALUE"


def test_a_person_compares_the_fingerprint_before_anything_is_written(tmp_path: Path) -> None:
    public = new_key(tmp_path / "k", algorithm="sm2", name="李四")
    file = tmp_path / "trust.yaml"
    command = [
        *YANSHOU,
        "trust",
        "add",
        str(file),
        f"{tmp_path / 'k'}.pub",
        "--role",
        "reviewer",
        "--until",
        "2099-12-31",
    ]
    ended, shown = converse(command, [("[y/N]", "n")])
    grouped = " ".join(public.id[i : i + 4] for i in range(0, 64, 4))
    assert (ended, grouped in shown, "签名（SM2-SM3）：审核" in shown, file.exists()) == (130, True, True, False), shown
    ended, shown = converse(command, [("[y/N]", "y")])
    assert (ended, load_trust(file).keys[0].id) == (0, public.id), shown
    before = file.read_bytes()
    again = yanshou(*command[3:])
    assert (again.returncode, "T-KNOWN" in again.stderr, file.read_bytes()) == (2, True, before)


def test_a_script_must_know_the_fingerprint(tmp_path: Path) -> None:
    public = new_key(tmp_path / "k", algorithm="ed25519", name="张三")
    new_reading_key(tmp_path / "r", name="陈专家")
    file = tmp_path / "trust.yaml"
    add = ["trust", "add", file, tmp_path / "k.pub", "--until", "2099-12-31"]
    assert "T-ROLES" in yanshou(*add, "--id", public.id).stderr
    for wrong in ([], ["--id", public.id[:16]]):
        done = yanshou(*add, "--role", "tester", *wrong)
        assert (done.returncode, "T-ID" in done.stderr, file.exists()) == (2, True, False)
    done = yanshou(*add, "--role", "tester", "--id", public.id, "--json")
    assert (done.returncode, json.loads(done.stdout)["id"]) == (0, public.id), done.stderr
    reading = load_reading_key(tmp_path / "r.pub")
    assert reading is not None
    done = yanshou("trust", "add", file, tmp_path / "r.pub", "--until", "2099-12-31", "--id", reading.recipient)
    assert (done.returncode, load_trust(file).readers[0].name) == (0, "陈专家"), done.stderr


# --- reading keys and age files ----------------------------------------------------------------------------------------


def test_a_reading_key_is_not_a_signing_key(tmp_path: Path, people: dict[str, PublicKey]) -> None:
    reading = new_reading_key(tmp_path / "r", name="陈专家")
    assert load_reading_key(tmp_path / "r.pub") == reading
    assert refused(lambda: load_public(tmp_path / "r.pub")) == "K-E06"
    new_key(tmp_path / "k", algorithm="ed25519", name="张三")
    assert load_reading_key(tmp_path / "k.pub") is None
    assert refused(lambda: load_identities(tmp_path / "k")) == "K-E09"
    assert refused(lambda: new_reading_key(tmp_path / "r", name="别人")) == "K-E03"
    assert refused(lambda: new_reading_key(tmp_path / "x", name="两\n行")) == "K-E07"
    text = (tmp_path / "r.pub").read_text()
    (tmp_path / "r.pub").write_text(text.replace("age1", "age1q"))
    assert refused(lambda: load_reading_key(tmp_path / "r.pub")) == "K-E06"
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


@needs_age
def test_both_read_what_the_other_wrote(tmp_path: Path) -> None:
    reading = new_reading_key(tmp_path / "ours", name="陈专家")
    theirs = subprocess.run(["age-keygen"], capture_output=True, check=True).stdout
    (tmp_path / "theirs").write_bytes(theirs)
    said = subprocess.run(["age-keygen", "-y", tmp_path / "ours"], capture_output=True, check=True, text=True).stdout
    assert said.strip() == reading.recipient
    source = tmp_path / "plain"
    source.write_bytes(bytes(range(256)) * 1000)
    subprocess.run(["age", "-r", reading.recipient, "-o", tmp_path / "by-age", source], check=True)
    back = decrypt(tmp_path / "by-age", tmp_path, "back", load_identities(tmp_path / "ours"))
    assert back.read_bytes() == source.read_bytes()
    assert back.stat().st_mode & 0o777 == 0o600
    (folder := tmp_path / "out").mkdir()
    told = theirs.decode().split("public key: ")[1].split()[0]
    both = encrypt(source, folder, [reading.recipient, told, told])
    for key in ("ours", "theirs"):
        done = subprocess.run(["age", "-d", "-i", tmp_path / key, both], capture_output=True, check=True)
        assert done.stdout == source.read_bytes()


def test_damage_leaves_no_plaintext(tmp_path: Path) -> None:
    reading = new_reading_key(tmp_path / "k", name="陈专家")
    identities = load_identities(tmp_path / "k")
    (tmp_path / "plain").write_bytes(b"secret" * 50_000)
    (out := tmp_path / "out").mkdir()
    whole = encrypt(tmp_path / "plain", tmp_path, [reading.recipient])
    data = whole.read_bytes()
    assert is_encrypted(whole)
    for broken in (
        data[:-20],
        data[:70_000],
        data[:-1] + bytes([data[-1] ^ 1]),
        data[:60],
        data[:30] + b"!" + data[31:],
    ):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(UserError) as error:
            decrypt(tmp_path / "broken", out, "plain", identities)
        assert (code(error), error.value.exit_code) in [("V-C01", ExitCode.UNVERIFIED), ("V-C02", ExitCode.UNVERIFIED)]
        assert list(out.iterdir()) == []
    assert refused(lambda: encrypt(tmp_path / "plain", out, [])) == "K-E09"
    assert refused(lambda: encrypt(tmp_path / "plain", out, ["age1nobody"])) == "K-E09"
    assert list(out.iterdir()) == []
    assert not is_recipient("ssh-ed25519 AAAA")


def test_a_reading_key_behind_a_passphrase(tmp_path: Path) -> None:
    reading = new_reading_key(tmp_path / "k", name="陈专家", passphrase="口令")
    assert "AGE-SECRET-KEY" not in (tmp_path / "k").read_text()
    assert refused(lambda: load_identities(tmp_path / "k")) == "K-E04"
    body = (tmp_path / "k").read_text().split("-----")[2]
    (tmp_path / "k").write_bytes(base64.b64decode(body))  # as `age -p` writes it
    assert refused(lambda: load_identities(tmp_path / "k")) == "K-E04"
    (identity,) = load_identities(tmp_path / "k", "口令")
    assert str(identity.to_public()) == reading.recipient
