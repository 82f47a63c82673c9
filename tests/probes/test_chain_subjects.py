from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.probes.chain_support import calibrated, verdict
from tests.probes.records_support import MemoryEvidence, codes, excluded, record
from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Audit, Count, Kind, Limit, Op, Verdict
from yanshou.probes.chain_records.candidates import Activity, Place
from yanshou.probes.chain_records.reference import CONTRACT, DAY_MS, START_MS, call_data
from yanshou.probes.chain_records.streams import BLOCKS, END, PIN
from yanshou.probes.chain_subjects.analyse import analyse
from yanshou.probes.chain_subjects.capture import capture
from yanshou.probes.chain_subjects.reference import COLUMNS, POINTS, params_of, table, wrong
from yanshou.probes.chain_subjects.reference import codes as credit_codes
from yanshou.probes.chain_subjects.register import account, credit_code, judge
from yanshou.probes.chain_subjects.spec import SPEC, Params, Register
from yanshou.probes.chain_subjects.streams import REGISTER
from yanshou.probes.contract import Probe

QUIET = {"CHR-V07": "warning"}
"""What one endpoint alone always says: nobody else was asked."""


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_counted_exactly(tmp_path: Path, true_value: float) -> None:
    evidence, params, truth = calibrated(tmp_path, "chain.subjects", true_value)
    found = analyse(evidence, params, 42)
    number = int(true_value)
    assert found.net == truth["true"] == true_value
    assert found.gross == truth["n"]
    assert excluded(found) == truth["planted"]
    assert found.columns == (("无共同控制方", number - 6), ("有共同控制方", 6))
    assert (found.facts["controllers_of_several"], found.facts["most_of_one_controller"]) == (1, 6)
    assert (found.facts["unregistered_accounts"], found.facts["records_of_unregistered_accounts"]) == (1, 7)
    assert found.facts["records"] == 2 * number + 3 + 7
    assert found.audit == Audit(number, number, number)
    assert codes(found.validity) == QUIET
    assert sum(n for _, n in found.per_day) == found.net
    assert analyse(evidence, params, 42) == found


def test_spec_and_parameters() -> None:
    assert Probe("chain.subjects").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.COUNTED, "家", 0.0)
    values = params_of("http://127.0.0.1:1", "a.csv")
    assert Probe("chain.subjects").estimate(Params.model_validate(values), None).samples == 200
    values["records"]["originals"] = {"folder": "o", "digest": "sm3", "argument": 1}
    with pytest.raises(ValidationError, match="不写 originals"):
        Params.model_validate(values)
    with pytest.raises(ValidationError, match="文字编码"):
        Register(file="a.csv", encoding="utf-9")


# --- the register ----------------------------------------------------------------------------------------------------------


def test_codes_and_accounts() -> None:
    real = "91420100MA4X000012"[:17]
    for code in credit_codes(3):
        assert credit_code(code) == credit_code(f" {code.lower()} ") == code
        assert credit_code(wrong(code)) is None
    assert credit_code("") is credit_code(real) is credit_code("某公司") is None
    wide = str.maketrans({str(n): chr(0xFF10 + n) for n in range(10)})
    assert credit_code(credit_codes(1)[0].translate(wide)) == credit_codes(1)[0]
    address = "0x" + "Ab" * 20
    assert account(address) == account(address[2:]) == account(f" {address.upper()} ") == address.lower()
    assert account("0x" + "ab" * 19) is account("") is account("0x" + "zz" * 20) is None


def address(number: int) -> str:
    return f"0x{number:040x}"


def judged(rows: list[list[str]], senders: int, controller: str | None = COLUMNS[2]) -> Any:
    active = {address(n): Activity(address(n), 1, n, Place(n, 0, 0)) for n in range(senders)}
    return judge(COLUMNS, iter(rows), Register(file="a.csv", controller=controller), active)


def test_every_row_has_one_reason() -> None:
    a, b, c, d = credit_codes(4)
    found = judged(
        [
            [address(9), a, ""],  # never sent anything: the subject counts by its next account
            [address(0), a, ""],
            [address(1), a, "甲"],  # any row may say whose it is
            [address(0), b, ""],  # the account of another
            [address(2), b, "甲"],
            [address(3), wrong(c), ""],
            [address(3), c, " "],
            ["x", d, ""],
            [address(4), d],
        ],
        5,
    )
    assert found.excluded == Counter(
        {"CHS-X-SILENT": 1, "CHS-X-DUP": 1, "CHS-X-TWICE": 1, "CHS-X-CODE": 1, "CHS-X-ACCOUNT": 1, "CHS-X-RAGGED": 1}
    )
    assert (found.gross, found.net, found.shared) == (9, 3, 1)
    assert list(found.subjects) == [a, b, c]
    assert found.affiliates() == {"甲": 2}
    assert found.subjects[a].address == address(0)


# --- by the chain ----------------------------------------------------------------------------------------------------------


def chain_of(users: list[Signer], days: int = 60) -> SimulatedChain:
    suite = Suite.KECCAK
    chain = SimulatedChain(suite, [Signer.new(suite)], START_MS)
    for n, user in enumerate(users):
        call = Call(user, CONTRACT, call_data(suite, f"{n}", suite.hash(bytes([n]))))
        chain.seal([call], START_MS + n * days * DAY_MS // len(users))
    return chain


def seen(folder: Path, chain: SimulatedChain, rows: list[list[str]], **changes: Any) -> Count:
    (folder / "r.csv").write_bytes(table(rows))
    with serving(SimulatedNode(chain)) as url:
        values = params_of(url, "r.csv")
        params = Params.model_validate(values | {"subjects": values["subjects"] | changes})
        return analyse(record(folder, capture, params), params, 1)


@pytest.fixture(scope="module")
def users() -> list[Signer]:
    return [Signer.new(Suite.KECCAK) for _ in range(30)]


def test_one_account_does_not_make_many_subjects(tmp_path: Path, users: list[Signer]) -> None:
    rows = [[users[0].address, code, ""] for code in credit_codes(30)]
    found = seen(tmp_path, chain_of(users), rows)
    assert (found.gross, found.net) == (30, 1)
    assert codes(found.validity) == QUIET | {"CHS-V02": "warning"}


def test_all_on_one_day_and_no_controllers_are_said(tmp_path: Path, users: list[Signer]) -> None:
    rows = [[u.address, code, ""] for u, code in zip(users, credit_codes(30), strict=True)]
    found = seen(tmp_path, chain_of(users, days=0), rows, controller=None)
    assert found.net == 30
    assert found.columns == ()
    assert codes(found.validity) == QUIET | {"CHS-V03": "warning", "CHS-V04": "warning"}


def test_a_sender_that_did_not_sign_is_not_good(tmp_path: Path, users: list[Signer]) -> None:
    """The node shows another sender than signed: the subject is counted, and the audit finds that it is not real."""
    chain = chain_of(users)
    chain.rows[1]["block"]["transactions"][0]["from"] = address(77)
    rows = [[u.address, code, ""] for u, code in zip(users, credit_codes(30), strict=True)]
    rows[0][0] = address(77)
    found = seen(tmp_path, chain, rows)
    assert found.audit == Audit(30, 30, 29)
    assert codes(found.validity) == QUIET | {"CHR-V10": "warning"}
    assert verdict(found, Limit(Op.GE, Decimal(30), "家")) is Verdict.FAIL


@pytest.mark.parametrize(
    ("data", "code"),
    [(None, "CHS-E01"), (b"", "CHS-E03"), ("账户,代码\n".encode(), "CHS-E06"), (b"\xff\xfe\xfa\n", "CHS-E05"),
     (",".join([*COLUMNS, COLUMNS[0]]).encode(), "CHS-E07")],
)  # fmt: skip
def test_a_register_that_cannot_be_read_is_refused_before_anything_is_asked(
    tmp_path: Path, data: bytes | None, code: str
) -> None:
    if data is not None:
        (tmp_path / "r.csv").write_bytes(data)
    params = Params.model_validate(params_of("http://127.0.0.1:9", "r.csv"))
    with pytest.raises(ProbeError) as caught:
        record(tmp_path, capture, params)
    assert caught.value.problem.code == code
    assert not list(tmp_path.glob(f"runs/*/{PIN}"))


def test_a_folder_is_no_register(tmp_path: Path) -> None:
    (tmp_path / "r.csv").mkdir()
    with pytest.raises(ProbeError, match="文件夹"):
        record(tmp_path, capture, Params.model_validate(params_of("http://127.0.0.1:9", "r.csv")))


def test_broken_evidence_is_invalid_and_never_crashes(tmp_path: Path, users: list[Signer]) -> None:
    rows = [[u.address, code, ""] for u, code in zip(users, credit_codes(30), strict=True)]
    (tmp_path / "r.csv").write_bytes(table(rows))
    with serving(SimulatedNode(chain_of(users))) as url:
        params = Params.model_validate(params_of(url, "r.csv"))
        evidence = record(tmp_path, capture, params)
    whole = {name: evidence.open(name).read() for name in (REGISTER, PIN, BLOCKS, END)}
    assert codes(analyse(MemoryEvidence(whole), params, 1).validity) == QUIET
    for name in (PIN, BLOCKS, END):
        broken = {n: data for n, data in whole.items() if n != name}
        assert codes(analyse(MemoryEvidence(broken), params, 1).validity)["CHR-V01"] == "invalid"
    for register in (None, b"", b"a,b\n"):
        broken = {n: data for n, data in {**whole, REGISTER: register}.items() if data is not None}
        found = analyse(MemoryEvidence(broken), params, 1)
        assert (found.net, codes(found.validity)["CHS-V01"]) == (0, "invalid")
