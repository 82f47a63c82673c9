"""The HTML report in a real browser: it checks itself, names what was tampered with, and lacks nothing without scripts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium, page
from yanshou.harness.bag import Bag, make_bag, write_package
from yanshou.harness.digests import measure
from yanshou.harness.envelope import PLAN, TEST_RESULT, Envelope, Role, Signer, sign, statement
from yanshou.harness.evidence import canonical
from yanshou.harness.keys import Algorithm, fresh_key
from yanshou.reports.render import render

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SEALED = "2026-05-19T02:00:00.000Z"
RAW = "runs/0004-S06-I01/rover.csv"
ROWS = "epoch,east,north\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(30_000))


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@dataclass
class Packed:
    folder: Path
    html: Path
    package: Path
    bag: Bag
    envelope: Envelope


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A small package whose plan and seal are signed, one signature each of either kind."""
    folder = tmp_path_factory.mktemp("packed")
    ours, theirs = fresh_key(Algorithm.ED25519, "检测员"), fresh_key(Algorithm.SM2, "批准人")
    record = json.loads((GOLDEN / "record_acceptance.json").read_bytes())
    files = {"plan.lock.json": b'{"plan": 1}\n', "case.yaml": b"case: 1\n", RAW: ROWS.encode()}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for section, name in (("plan", "plan.lock.json"), ("case", "case.yaml")):
        record[section]["sha256"] = hashlib.sha256(files[name]).hexdigest()
    subjects = {name: measure(files[name]).digests for name in ("plan.lock.json", "case.yaml")}
    plan = sign(statement(subjects, PLAN, {}, [Signer(Role.TESTER, ours.public)], SEALED), ours, Role.TESTER)
    record["plan"]["envelope"] = json.loads(plan.to_bytes())
    raw = {"name": RAW, "bytes": len(ROWS), "sha256": hashlib.sha256(ROWS.encode()).hexdigest()}
    for finding in record["findings"]:
        for attempt in finding["attempts"]:
            attempt["evidence"] = [raw]
    render(record, folder / "report")
    inside = [*files, "report/report.html", "report/results.json"]
    info = {"Bagging-Date": "2026-05-19", "External-Identifier": "X"}
    bag = make_bag("packed", [(name, folder / name) for name in inside], info)
    roster = [Signer(Role.TESTER, ours.public), Signer(Role.APPROVER, theirs.public)]
    unsigned = statement(bag.subjects, TEST_RESULT, {"result": "PASSED"}, roster, SEALED)
    first = sign(unsigned, ours, Role.TESTER)
    both = Envelope(first.statement, {**first.signatures, theirs.public.id: theirs.sign(first.message)})
    package = folder / "packed.zip"
    write_package(package, bag, both.to_bytes())
    return Packed(folder, folder / "report" / "report.html", package, bag, both)


def checked(chrome: Any, html: Path, *files: Path) -> tuple[str, list[str], Any]:
    """The panel's state and lines after `files` were dropped."""
    with page(chrome) as tab:
        tab.goto(html.as_uri())
        tab.wait_for_selector("#check[data-state]")
        if files:
            tab.set_input_files("#check input", [str(f) for f in files])
            tab.wait_for_selector("#check[data-state]")
        assert tab.troubles == []
        lines = [line.replace("\n", " ") for line in tab.locator("ul.checks li").all_inner_texts()]
        return tab.get_attribute("#check", "data-state"), lines, tab.inner_text("#check output")


def test_it_checks_itself_and_its_package(chrome: Any, packed: Packed) -> None:
    state, lines, _ = checked(chrome, packed.html)
    assert (state, len(lines)) == ("good", 3)  # the plan's signature, and the two files it is over
    state, lines, total = checked(chrome, packed.html, packed.package, packed.html)
    assert state == "good", lines
    assert "1 项浏览器核对不了" in total
    assert [line for line in lines if line.startswith("○")] == [
        line for line in lines if "sm2" in line and "批准人" in line
    ]
    assert any("5 个文件的 SHA-256 与清单一致" in line for line in lines)
    assert any("report.html 与包里签过的 report.html 逐字节相同" in line for line in lines)


def test_a_number_is_followed_to_its_raw_samples(chrome: Any, packed: Packed) -> None:
    with page(chrome) as tab:
        tab.goto(packed.html.as_uri())
        tab.wait_for_selector("#check[data-state]")
        tab.set_input_files("#check input", str(packed.package))
        tab.wait_for_selector("#check[data-state]")
        tab.locator(".evidence summary").first.click()
        tab.locator(".evidence button").first.click()
        tab.wait_for_selector("dialog[open]")
        assert "开头 200 行" in tab.inner_text("dialog")
        assert tab.locator("dialog tbody tr").count() == 199
        assert tab.locator("dialog tbody tr").nth(8).inner_text().split() == ["8", "1", "3"]


def flipped(packed: Packed, out: Path) -> None:
    """One bit in the middle of the raw data."""
    data = bytearray(packed.package.read_bytes())
    data[data.index(RAW.encode()) + 500] ^= 1
    out.write_bytes(data)


def repacked(packed: Packed, out: Path, name: str, content: bytes) -> None:
    """Another file in the place of one, everything else recomputed, under the old seal."""
    other = out.parent / "other"
    other.write_bytes(content)
    files = [(n.removeprefix("data/"), p) for n, p in packed.bag.sources.items()]
    bag = make_bag("packed", [(n, other if n == name else p) for n, p in files], packed.bag.info)
    write_package(out, bag, packed.envelope.to_bytes())


def forged(packed: Packed, out: Path) -> None:
    """A signature that is not one."""
    signatures = {key: bytes(64) if len(s) == 64 else s for key, s in packed.envelope.signatures.items()}
    write_package(out, packed.bag, Envelope(packed.envelope.statement, signatures).to_bytes())


def dropped(packed: Packed, out: Path) -> None:
    """The last signature cut off."""
    (sm2,) = (s.key.id for s in packed.envelope.statement.signers if s.key.algorithm is Algorithm.SM2)
    rest = {key: s for key, s in packed.envelope.signatures.items() if key != sm2}
    write_package(out, packed.bag, Envelope(packed.envelope.statement, rest).to_bytes())


TAMPERED: dict[str, tuple[Callable[[Packed, Path], None], str]] = {
    "a flipped bit": (flipped, f"data/{RAW}"),
    "other raw data": (lambda p, o: repacked(p, o, RAW, b"1\n"), "manifest-sha256.txt 不是签过的那份"),
    "other results": (lambda p, o: repacked(p, o, "report/results.json", b"{}"), "不是同一份报告"),
    "a forged signature": (forged, "签名不成立"),
    "a signature cut off": (dropped, "批准人，sm2"),
    "half a package": (lambda p, o: o.write_bytes(p.package.read_bytes()[:-200]) and None, "zip 的结构"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_is_named(chrome: Any, packed: Packed, tmp_path: Path, how: str) -> None:
    tamper, said = TAMPERED[how]
    out = tmp_path / "tampered.zip"
    tamper(packed, out)
    state, lines, _ = checked(chrome, packed.html, out)
    assert state == "bad"
    assert [line for line in lines if line.startswith("✗") and said in line], lines


def test_another_page_is_not_the_signed_one(chrome: Any, packed: Packed, tmp_path: Path) -> None:
    text = packed.html.read_text(encoding="utf-8").replace("符合", "符 合", 1)
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    state, lines, _ = checked(chrome, packed.html, packed.package, tmp_path / "report.html")
    assert state == "bad"
    assert "report.html 与包里签过的 report.html 不同" in lines[-1]


def test_results_edited_in_the_page_do_not_fit_the_package(chrome: Any, packed: Packed, tmp_path: Path) -> None:
    text = packed.html.read_text(encoding="utf-8")
    edited = text.replace(f'"sha256":"{packed_plan(packed)}"', f'"sha256":"{"0" * 64}"')
    assert edited != text
    (tmp_path / "report.html").write_text(edited, encoding="utf-8")
    state, lines, _ = checked(chrome, tmp_path / "report.html", packed.package)
    assert state == "bad"
    assert any("plan.lock.json 不是签过的那份" in line for line in lines)
    assert any("不是同一份报告" in line for line in lines)


def packed_plan(packed: Packed) -> str:
    return hashlib.sha256((packed.folder / "plan.lock.json").read_bytes()).hexdigest()


HASH = """(b) => {
  const h = new Sha256();
  for (let i = 0; i < b.length; i += 37) h.update(Uint8Array.from(b.slice(i, i + 37)));
  return h.digest();
}"""


def test_digests_are_those_of_the_standard(chrome: Any, packed: Packed) -> None:
    with page(chrome) as tab:
        tab.goto(packed.html.as_uri())
        for length in (0, 1, 55, 56, 63, 64, 65, 119, 128, 100_003):
            data = os.urandom(length)
            assert tab.evaluate(HASH, list(data)) == hashlib.sha256(data).hexdigest(), length


def test_tables_sort_and_filter_and_plots_are_enlarged(chrome: Any, packed: Packed) -> None:
    with page(chrome) as tab:
        tab.goto(packed.html.as_uri())
        table = tab.locator("table:has(.sort)").first
        head = table.locator("th").first
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        up = table.locator("tbody tr td:first-child").all_inner_texts()
        head.locator("button").click()
        assert table.locator("tbody tr td:first-child").all_inner_texts() == up[::-1]
        tab.locator(".filter input").first.fill("没有这样的一行")
        assert table.locator("tbody tr:visible").count() == 0
        tab.locator(".enlarge").first.click()
        before = tab.get_attribute(".zoom svg", "viewBox")
        tab.locator(".zoom button").first.click()
        x, y, width, height = map(float, tab.get_attribute(".zoom svg", "viewBox").split())
        assert width == pytest.approx(float(before.split()[2]) / 2)
        assert (x, y) > (0, 0)
        assert height < float(before.split()[3])


def test_without_scripts_nothing_is_missing(chrome: Any, packed: Packed) -> None:
    with page(chrome) as tab:
        tab.goto(packed.html.as_uri())
        tab.wait_for_selector("#check[data-state]")
        tab.evaluate("document.querySelectorAll('#check, .enlarge, .filter').forEach((e) => e.remove())")
        with_scripts = tab.inner_text("main")
    with page(chrome, scripts=False) as tab:
        tab.goto(packed.html.as_uri())
        assert not tab.is_visible("#check")
        assert tab.inner_text("main").split() == with_scripts.split()


def test_nothing_is_wider_than_the_screen(chrome: Any, packed: Packed) -> None:
    with page(chrome) as tab:
        for width in (1280, 768, 390):
            tab.set_viewport_size({"width": width, "height": 800})
            tab.goto(packed.html.as_uri())
            tab.wait_for_selector("#check[data-state]")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_read_is_the_canonical_json(chrome: Any, packed: Packed) -> None:
    with page(chrome) as tab:
        tab.goto(packed.html.as_uri())
        embedded = tab.evaluate("results")
    assert canonical(embedded) + b"\n" == (packed.folder / "report" / "results.json").read_bytes()
