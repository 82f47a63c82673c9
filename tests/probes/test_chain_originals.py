"""Originals off the chain: counted, drawn, laid out, handed over, compared; and every way in which one may not be there."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.e2e.support import finding, yanshou
from tests.probes.chain_support import measure, verdict
from tests.probes.records_support import MemoryEvidence, codes
from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.evidence import Ledger
from yanshou.harness.model import Audit, Count, Limit, Op, Verdict
from yanshou.harness.runs import runs_of
from yanshou.probes.chain_records.analyse import analyse, sheets
from yanshou.probes.chain_records.reference import CONTRACT, DAY_MS, METHOD, START_MS, call_data, params_for
from yanshou.probes.chain_records.rule import stated_digest
from yanshou.probes.chain_records.spec import Params
from yanshou.probes.chain_records.streams import BLOCKS, END, ORIGINALS, PIN

RECORDS, DRAWN = 60, 20
WANTED = {"folder": "originals", "digest": "sha256", "argument": 1}


def original(number: int) -> bytes:
    return f"合同正文 {number}\n".encode()


def chain_of_originals(text_argument: bool = False) -> SimulatedChain:
    """RECORDS records that state the digest of an original, four a day, by three accounts."""
    suite = Suite.KECCAK
    chain = SimulatedChain(suite, [Signer.new(suite) for _ in range(4)], START_MS)
    accounts = [Signer.new(suite) for _ in range(3)]
    for day in range(RECORDS // 4):
        calls = []
        for number in range(4 * day, 4 * day + 4):
            h = hashlib.sha256(original(number))
            data = call_data(suite, "0x" + h.hexdigest().upper() if text_argument else f"{number}", h.digest())
            calls.append(Call(accounts[number % 3], CONTRACT, data))
        chain.seal(calls, START_MS + (day + 1) * DAY_MS)
    return chain


@pytest.fixture
def node() -> SimulatedNode:
    return SimulatedNode(chain_of_originals())


@pytest.fixture
def url(node: SimulatedNode) -> Iterator[str]:
    with serving(node) as address:
        yield address


def asked(url: str, **changes: Any) -> Params:
    return Params.model_validate(params_for(url) | {"sample": DRAWN, "originals": {**WANTED, **changes}})


def waiting(folder: Path, params: Params) -> list[dict[str, str]]:
    """Count until originals are missing; the rows of the list that is laid out then."""
    with pytest.raises(ProbeError) as caught:
        measure(folder, params)
    assert caught.value.problem.code == "CHR-E02"
    assert "yanshou sample" in (caught.value.problem.remedy or "")
    return laid_out(folder, params)


def laid_out(folder: Path, params: Params) -> list[dict[str, str]]:
    (text,) = sheets(folder, params, 1).values()
    return list(csv.DictReader(io.StringIO(text)))


def hand_over(folder: Path, rows: list[dict[str, str]]) -> dict[str, Path]:
    """The original of each row, in folders and under names that say nothing: digest -> file."""
    by_digest = {hashlib.sha256(original(n)).hexdigest(): original(n) for n in range(RECORDS)}
    found = {}
    for number, row in enumerate(rows):
        path = folder / "originals" / f"{number % 3}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(by_digest[row["digest"]])
        found[row["digest"]] = path
    return found


def last(folder: Path, params: Params) -> Count:
    with Ledger(folder) as ledger:
        ended = runs_of(ledger.records)[-1]
    assert ended.status is RunStatus.COMPLETED
    return analyse(ended.evidence(folder), params, 1)


def test_counted_drawn_handed_over_and_compared(tmp_path: Path, node: SimulatedNode, url: str) -> None:
    params = asked(url)
    with pytest.raises(ValueError, match="yanshou run"):
        sheets(tmp_path, params, 1)
    rows = waiting(tmp_path, params)
    assert len({row["transaction"] for row in rows}) == len(rows) == DRAWN
    assert {row["scheme"] for row in rows} == {"sha256"}
    at = {t["hash"]: n for n, r in enumerate(node.chain.rows) for t in r["block"]["transactions"]}
    assert all(int(row["height"]) == at[row["transaction"]] for row in rows)
    node.chain.seal([])  # the chain goes on; the draw stays
    assert waiting(tmp_path, params) == rows
    hand_over(tmp_path, rows)
    measure(tmp_path, params)
    found = last(tmp_path, params)
    assert found.net == RECORDS
    assert found.audit == Audit(RECORDS, DRAWN, DRAWN)
    assert (found.facts["sample"]["original_files"], found.facts["sample"]["faults"]) == (DRAWN, {})
    assert codes(found.validity) == {"CHR-V07": "warning", "CHR-V11": "info"}
    assert found.facts["draw_height"] == found.facts["height"] == node.chain.height - 1
    assert len(found.facts["draw_salt"]) == 32
    assert laid_out(tmp_path, params) == rows
    assert list(sheets(tmp_path, params, 1)) == ["originals-0003.csv"]


def test_every_original_that_is_not_there_is_a_bad_record(tmp_path: Path, url: str) -> None:
    """One is changed by a byte, one missing, and one empty; files of records that were not drawn vouch for nothing."""
    params = asked(url)
    rows = waiting(tmp_path, params)
    files = list(hand_over(tmp_path, rows).values())
    files[0].write_bytes(files[0].read_bytes() + b" ")
    files[1].unlink()
    files[2].write_bytes(b"")
    (tmp_path / "originals/unasked.txt").write_bytes(b"something else")
    (tmp_path / "originals" / os.fsdecode(b"\xc3\xfb.txt")).write_bytes(b"under a name that is no UTF-8")
    measure(tmp_path, params)
    found = last(tmp_path, params)
    assert found.audit == Audit(RECORDS, DRAWN, DRAWN - 3)
    assert found.facts["sample"]["faults"] == {"original": 3}
    assert "没有交来与链上摘要一致的原件 3 条" in next(v.text for v in found.validity if v.code == "CHR-V10")
    assert verdict(found, Limit(Op.GE, Decimal(RECORDS), "条")) is Verdict.FAIL


def test_one_original_vouches_for_one_record(tmp_path: Path) -> None:
    """Two records with different numbers state the same digest: the second one has no original of its own."""
    suite, same = Suite.KECCAK, hashlib.sha256(original(1)).digest()
    chain = SimulatedChain(suite, [Signer.new(suite)], START_MS)
    chain.seal([Call(Signer.new(suite), CONTRACT, call_data(suite, name, same)) for name in ("a", "b")])
    with serving(SimulatedNode(chain)) as url:
        params = asked(url)
        rows = waiting(tmp_path, params)
        hand_over(tmp_path, rows)
        measure(tmp_path, params)
    assert last(tmp_path, params).audit == Audit(2, 2, 1)


def test_a_digest_may_be_text(tmp_path: Path) -> None:
    with serving(SimulatedNode(chain_of_originals(text_argument=True))) as url:
        params = asked(url, argument=0)
        hand_over(tmp_path, waiting(tmp_path, params))
        measure(tmp_path, params)
    assert last(tmp_path, params).audit == Audit(RECORDS, DRAWN, DRAWN)


def test_another_scheme_finds_nothing(tmp_path: Path, url: str) -> None:
    params = asked(url, digest="sm3")
    hand_over(tmp_path, waiting(tmp_path, params))
    measure(tmp_path, params)
    assert last(tmp_path, params).audit == Audit(RECORDS, DRAWN, 0)


def test_a_draw_that_was_changed_on_the_disk_is_not_kept(tmp_path: Path, node: SimulatedNode, url: str) -> None:
    params = asked(url)
    rows = waiting(tmp_path, params)
    (path,) = tmp_path.glob(f"runs/*/{END}")
    path.write_bytes(path.read_bytes().replace(node.chain.rows[-1]["block"]["hash"].encode(), b"0x" + b"00" * 32))
    node.chain.seal([])
    assert waiting(tmp_path, params) != rows


def test_no_originals_in_evidence_is_invalid(tmp_path: Path, url: str) -> None:
    params = asked(url)
    hand_over(tmp_path, waiting(tmp_path, params))
    measure(tmp_path, params)
    with Ledger(tmp_path) as ledger:
        evidence = runs_of(ledger.records)[-1].evidence(tmp_path)
    parts = {name: evidence.open(name).read() for name in (PIN, BLOCKS, END, ORIGINALS)}
    assert "CHR-V14" not in codes(analyse(MemoryEvidence(parts), params, 1).validity)
    for broken in (None, b"{}\n", b"\xff", b'{"file":"a","bytes":1,"digest":"xyz"}\n'):
        changed = {name: data for name, data in {**parts, ORIGINALS: broken}.items() if data is not None}
        assert codes(analyse(MemoryEvidence(changed), params, 1).validity)["CHR-V14"] == "invalid"


def test_an_original_that_cannot_be_read_stops_the_run(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = asked(url)
    file = next(iter(hand_over(tmp_path, waiting(tmp_path, params)).values()))
    whole = Path.open

    def refusing(path: Path, *rest: Any, **more: Any) -> Any:
        if path == file:
            raise PermissionError(13, "Permission denied")
        return whole(path, *rest, **more)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ProbeError) as caught:
        measure(tmp_path, params)
    assert caught.value.problem.code == "CHR-E03"
    assert file.name in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"originals": {**WANTED, "argument": 2}}, {"record": {"contracts": [CONTRACT]}}],
)
def test_the_digest_must_be_an_argument(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"originals\.argument"):
        Params.model_validate(params_for("http://127.0.0.1:1") | {"originals": WANTED} | changes)


def test_digests_as_they_are_stated() -> None:
    digest = random.Random(1).randbytes(32)
    assert stated_digest(digest) == digest
    for text in (digest.hex(), digest.hex().upper(), "0x" + digest.hex()):
        assert stated_digest(text.encode()) == digest
    for junk in (
        b"",
        digest[:31],
        digest + b"x",
        digest.hex()[:63].encode() + b"g",
        b"0x" + digest.hex().encode() + b"0",
    ):
        assert stated_digest(junk) is None


def test_by_the_command_line(tmp_path: Path, url: str) -> None:
    """run -> sample -> originals -> run: the finding rests on the records whose originals match, and the package replays it."""
    case = tmp_path / "case"
    case.mkdir()
    (case / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 5
mode: self-check
project: {{name: 区块链自检, lead: {{name: 某单位}}}}
target: {{kind: simulator, site: 环回}}
commitments:
  S05-I03: {{baseline: 0 条, target: 不少于 10 万条, define: {{counting_unit: 一次 save 调用, exclusions: 按仪器方法}}}}
measure:
  S05-I03:
    probe: chain.records
    params:
      chain: {{kind: bcos3}}
      endpoint: {{url: "{url}"}}
      record: {{contracts: ["{CONTRACT}"], method: "{METHOD}"}}
      sample: {DRAWN}
      originals: {{folder: originals, digest: sha256, argument: 1}}
""",
        encoding="utf-8",
    )
    assert yanshou("plan", case, "--freeze").returncode == 0
    early = yanshou("sample", case)
    assert early.returncode != 0
    assert "yanshou run" in early.stdout + early.stderr
    first = yanshou("run", case)
    assert first.returncode != 0
    assert "CHR-E02" in first.stdout + first.stderr
    laid = yanshou("sample", case)
    assert laid.returncode == 0, laid.stdout + laid.stderr
    assert f"{DRAWN} 条待核验" in laid.stdout
    (sheet,) = case.glob("originals-*.csv")
    hand_over(case, list(csv.DictReader(sheet.read_text(encoding="utf-8").splitlines())))
    done = yanshou("run", case)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "抽样复核 20 条" in done.stdout, "too few for the list, and every one of them shown"
    records = finding(case, "S05-I03")
    assert [attempt["status"] for attempt in records["attempts"]] == ["aborted", "completed"]
    assert records["attempts"][-1]["facts"]["sample"]["good"] == DRAWN
    assert yanshou("verify", case).returncode == 0
