"""The review pages without a browser: who is let in, what is shown of a file, what a note proves, what is never changed."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import Client

from tests.resealing import FIRST_FORM
from tests.reviewing import FILES, HOSTILE, TURNED, reviewed
from yanshou.harness.basics import ExitCode, UserError
from yanshou.harness.envelope import Document, Role
from yanshou.harness.keys import Algorithm, fresh_key
from yanshou.harness.notes import notes_beside, read_note, write_note
from yanshou.harness.trust import Trust, TrustedKey
from yanshou.local_site import Gate
from yanshou.view import files
from yanshou.view.compare import bounds, pairs, plan_differences
from yanshou.view.files import Kind
from yanshou.view.opened import Opened, open_verified
from yanshou.view.timeline import timeline
from yanshou.view.web import COOKIE, Site, visible

HOST = "127.0.0.1:8800"
INSIDE = "runs/0002-S10-I01/attachments"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> list[Opened]:
    """Both packages in a folder of their own, verified and unpacked."""
    folder = tmp_path_factory.mktemp("opened")
    made = reviewed()
    found = []
    for path in (made.before, made.after):
        shutil.copy(path, folder / path.name)
        found.append(open_verified(folder / path.name, None, folder / f"unpacked-{path.stem}"))
    return found


@pytest.fixture
def browser(opened: list[Opened]) -> Client:
    """Somebody who came in with the token."""
    return entered(Site(opened, Gate("secret", frozenset({HOST}))))


def entered(site: Site) -> Client:
    client = Client(site)
    client.set_cookie(COOKIE, site._cookie, domain="127.0.0.1")
    return client


def get(client: Client, path: str, **how: Any) -> Any:
    return client.get(path, base_url=f"http://{HOST}", buffered=True, **how)


def evidence(opened: Opened, name: str) -> str:
    """Where a file of the inspection is in the package."""
    return next(n for n in opened.files if n.endswith(f"M06/{name}") or (n.endswith(name) and "M06" in n))


# who is let in


def test_nobody_comes_in_without_the_token(opened: list[Opened]) -> None:
    site = Site(opened, Gate("secret", frozenset({HOST})))
    client = Client(site)
    for path in ("/", "/p/0", "/compare", "/p/0/files", "/p/0/file/case.yaml", "/static/view.css"):
        answer = get(client, path)
        assert answer.status_code == 403, path
        assert "甲厂" not in answer.text
    assert get(client, "/t/wrong").status_code == 403
    assert get(client, "/t/secret").status_code == 200
    assert get(client, "/p/0").status_code == 200  # the cookie came with it


def test_another_host_is_refused(opened: list[Opened]) -> None:
    client = entered(Site(opened, Gate("secret", frozenset({HOST}))))
    answer = client.get("/p/0", base_url=f"http://{HOST}", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert "甲厂" not in answer.text


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "https://127.0.0.1:8800"])
def test_another_page_signs_nothing(opened: list[Opened], origin: str | None) -> None:
    site = Site(opened, Gate("secret", frozenset({HOST})), reviewed().key)
    form = {"form_token": site.gate.form_token(site._cookie), "text": "好", "about": ""}
    headers = {"Origin": origin} if origin else {}
    answer = entered(site).post("/p/0/note", base_url=f"http://{HOST}", data=form, headers=headers)
    assert answer.status_code == 403
    form = {**form, "form_token": "wrong"}
    answer = entered(site).post("/p/0/note", base_url=f"http://{HOST}", data=form, headers={"Origin": f"http://{HOST}"})
    assert answer.status_code == 403
    assert opened[0].notes() == []


@pytest.mark.parametrize(
    "name",
    [
        "../bagit.txt", "..%2fbagit.txt", "%2e%2e/bagit.txt", "../../../../etc/passwd", "/etc/passwd", "//etc/passwd",
        "runs/../case.yaml", "./case.yaml", "runs", "", "case.yaml%00", "..\\bagit.txt", "CASE.YAML",
    ],
)  # fmt: skip
def test_only_listed_names_open(browser: Client, opened: list[Opened], name: str) -> None:
    for what in ("file", "raw"):
        answer = get(browser, f"/p/0/{what}/{name}")
        assert answer.status_code in (301, 308, 404), (what, name, answer.status_code)
        assert b"root:" not in answer.data
        assert b"BagIt-Version" not in answer.data
    with pytest.raises(KeyError):
        opened[0].file(name)


def test_numbers_beyond_what_is_open(browser: Client) -> None:
    for path in (
        "/p/2",
        "/p/99999999999",
        "/p/0/i/S10-I99",
        "/p/0/run/77",
        "/compare?a=0&b=9",
        "/compare?a=-1&b=0",
        "/compare?a=-9&b=0",
        "/compare?a=x",
        "/static/x",
    ):
        assert get(browser, path).status_code == 404, path


# what is shown


def every_page(opened: list[Opened]) -> Iterator[str]:
    yield from ("/", "/compare?a=0&b=1")
    for number, one in enumerate(opened):
        yield from (f"/p/{number}", f"/p/{number}/files", f"/p/{number}/run/2")
        if number:
            continue
        yield f"/p/{number}/i/S10-I01"
        wanted = [evidence(one, n) for n in (*FILES, "photo.png", "track.nmea", "air.pcap")]
        wanted += ["case.yaml", "ledger.jsonl", "record.json", "report/report.html", "report/report.pdf"]
        for name in wanted:
            yield f"/p/{number}/file/{quote(name)}"
            yield f"/p/{number}/file/{quote(name)}?as=text"
            yield f"/p/{number}/file/{quote(name)}?page=999999"


def test_hostile_content_stays_text_on_every_page(browser: Client, opened: list[Opened]) -> None:
    before = {p: p.stat().st_mtime_ns for one in opened for p in one.path.parent.iterdir() if p.is_file()}
    bytes_before = [one.path.read_bytes() for one in opened]
    seen = 0
    for path in every_page(opened):
        answer = get(browser, path)
        assert answer.status_code == 200, (path, answer.text[-300:])
        assert "<script" not in answer.text, path
        assert TURNED[1] not in answer.text, path
        assert "script-src" not in answer.headers["Content-Security-Policy"]  # so default-src 'none' holds for scripts
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        seen += HOSTILE.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;") in answer.text
    assert seen > 10  # it was there, as text
    assert "反[U+202E]写" in get(browser, f"/p/0/file/{quote(evidence(opened[0], 'data.json'))}").text
    assert [one.path.read_bytes() for one in opened] == bytes_before
    assert {p: p.stat().st_mtime_ns for one in opened for p in one.path.parent.iterdir() if p.is_file()} == before


def test_raw_files_are_handed_out_and_never_opened(browser: Client, opened: list[Opened]) -> None:
    for name, data in FILES.items():
        answer = get(browser, f"/p/0/raw/{quote(evidence(opened[0], name))}")
        assert answer.data == data
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    picture = get(browser, f"/p/0/raw/{quote(evidence(opened[0], 'photo.png'))}")
    assert picture.content_type == "image/png"


def test_how_a_file_is_shown_follows_from_its_bytes(opened: list[Opened]) -> None:
    kinds = {
        "table.csv": Kind.TABLE, "data.json": Kind.JSON, "page.html": Kind.TEXT, "drawing.svg": Kind.TEXT,
        "blob.bin": Kind.BYTES, "photo.png": Kind.PICTURE, "track.nmea": Kind.POSITIONS, "air.pcap": Kind.CAPTURE,
    }  # fmt: skip
    for name, kind in kinds.items():
        assert files.kind_of(opened[0].file(evidence(opened[0], name))) is kind, name


def test_positions_and_captures_are_read(browser: Client, opened: list[Opened]) -> None:
    track = get(browser, f"/p/0/file/{quote(evidence(opened[0], 'track.nmea'))}").text
    assert "轨迹：各历元到平均位置" in track
    assert "天空：语句里列出的卫星" in track
    assert re.search(r"有位置的历元</dt><dd>\s*<span class=\"value\">60<", track)
    capture = get(browser, f"/p/0/file/{quote(evidence(opened[0], 'air.pcap'))}").text
    assert re.search(r"帧</dt><dd>\s*<span class=\"value\">5<", capture)
    assert "10.0.0.1" in capture


def test_the_last_byte_of_a_large_capture_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = reviewed()
    with zipfile.ZipFile(data.before) as z:
        name = next(n for n in z.namelist() if n.endswith("air.pcap"))
        (tmp_path / "a.pcap").write_bytes(z.read(name))
    monkeypatch.setattr(files, "READ", 150)
    blocks = files.capture_blocks(tmp_path / "a.pcap")
    assert "只读了开头" in str(blocks[0])


# pages of a file


def test_every_row_is_on_exactly_one_page(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"n,text\n" + b"".join(b"%d,%s\n" % (i, b"x" * (i % 90)) for i in range(4000)))
    pages = files.stretch(path, 1).pages
    assert pages > 5
    parts = [files.stretch(path, n) for n in range(1, pages + 1)]
    found = [row[0] for part in parts for row in files.rows_of(path, part).rows]
    assert found == [str(i) for i in range(4000)]
    assert {files.rows_of(path, part).head for part in parts} == {("n", "text")}
    assert [p.begin for p in parts[1:]] == [p.end for p in parts[:-1]]


@pytest.mark.parametrize("head", [b"", b"a,b\n1,2\n"])
def test_a_page_of_a_file_without_an_end_of_line_is_bounded(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as f:
        f.write(head + b"a" * 300_000)
        f.truncate(1 << 40)  # a tebibyte with nothing in it takes no place
    for page in (1, 2, 5, 1 << 20, 1 << 40):
        part = files.stretch(path, page)
        assert len(part.data) <= files.PAGE + files.LONGEST_LINE
        assert part.data or page >= part.pages  # what is left of the last line is on the page before
    whole = b"".join(files.stretch(path, n).data for n in range(1, 9))
    assert whole[: 8 * files.PAGE] == (head + b"a" * 300_000)[: 8 * files.PAGE]


def test_chinese_tables_of_old_programs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("设备,状态\n甲,在线\n".encode("gb18030"))
    assert files.kind_of(path) is Kind.TABLE
    assert files.rows_of(path, files.stretch(path, 1)) == files.Rows(("设备", "状态"), (("甲", "在线"),), False)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('# 演示案卷：甲,乙\nyanshou: 1\nproject: {name: "x", lead: y}\n', Kind.TEXT),
        ("甲,乙\n1,2\n", Kind.TABLE),
        ('"甲","乙"\n"1,5",2\n"3\n4",5\n', Kind.TABLE),
        ("甲,乙\n1,2\n3", Kind.TABLE),
        ("甲,乙\n1,2,3\n4,5\n6,7\n8,9\n10,11\n12,13\n", Kind.TEXT),
        ("一句话，没有逗号\n又一句\n", Kind.TEXT),
        ('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', Kind.TEXT),
    ],
)
def test_a_table_has_as_many_cells_in_every_row(tmp_path: Path, text: str, kind: Kind) -> None:
    path = tmp_path / "t"
    path.write_text(text, encoding="utf-8")
    assert files.kind_of(path) is kind


def test_a_finding_without_bounds_has_none() -> None:
    bare = {
        "lower": None,
        "upper": None,
        "infinite": [],
        "unit": "bool",
        "limit": {"op": "=", "value": True, "unit": "bool"},
    }
    assert bounds(bare) == ""
    assert bounds({**bare, "infinite": ["upper"], "lower": 3, "unit": "ms"}).endswith("至 ∞")


def test_an_empty_file_has_one_empty_page(tmp_path: Path) -> None:
    path = tmp_path / "nothing"
    path.touch()
    assert files.kind_of(path) is Kind.TEXT
    assert (files.stretch(path, 1).pages, files.stretch(path, 9).data) == (1, b"")


def test_what_is_not_seen_is_named() -> None:
    assert visible("甲\u200b乙\x07") == "甲[U+200B]乙[U+0007]"
    assert visible("a\nb\tc") == "a\nb\tc"
    assert visible(3) == 3


# comparison and ledger


def test_comparison_says_what_changed(opened: list[Opened], browser: Client) -> None:
    (pair,) = pairs(opened[0].record, opened[1].record)
    assert [pair.first["verdict"], pair.second["verdict"]] == ["fail", "pass"]
    assert pair.changes == ("判定：不符合 → 符合", "限值：≥\xa05\xa0个 → ≥\xa06\xa0个")
    (same,) = pairs(opened[0].record, opened[0].record)
    assert same.changes == ()
    plans = [json.loads(one.found.state.plan.to_bytes()) for one in opened]
    places = {d.place: (d.first, d.second) for d in plan_differences(*plans)}
    assert places["indicators.S10-I01.limit.value"] == ("5", "6")
    assert not {p for p in places if "seed" in p or p.startswith("case_sha256")}
    assert plan_differences(plans[0], plans[0]) == []
    text = get(browser, "/compare?a=0&b=1").text
    assert "indicators.S10-I01.limit.value" in text


def test_an_indicator_in_one_record_only(opened: list[Opened]) -> None:
    empty = {**opened[0].record, "findings": []}
    assert pairs(empty, opened[1].record)[0].changes == ("只在乙",)
    assert pairs(opened[0].record, empty)[0].changes == ("只在甲",)


def test_the_ledger_shows_plan_runs_and_seal(opened: list[Opened]) -> None:
    state = opened[0].found.state
    drawn = timeline(state.plan, state.records, state.runs)
    names = [name for name, _ in drawn.lanes]
    assert names == ["计划", "校准", "S10-I01", "签署"]
    assert [(names[m.lane], m.status, m.run) for m in drawn.marks] == [
        ("计划", "fixed", 0), ("校准", "completed", 1), ("S10-I01", "completed", 2), ("签署", "seal", 0),
    ]  # fmt: skip
    assert [m.x for m in drawn.marks] == sorted(m.x for m in drawn.marks)
    assert drawn.left_out == 0


def test_what_did_not_complete_looks_different_and_pauses_are_told(opened: list[Opened]) -> None:
    state = opened[0].found.state
    late = [replace(r, status=None, started="2030-01-01T00:00:00.000Z", ended="") for r in state.runs[1:]]
    drawn = timeline(state.plan, state.records, [*state.runs[:1], *late])
    assert [m.status for m in drawn.marks if m.run == 2] == ["open"]
    assert drawn.pauses
    many = timeline(state.plan, state.records, list(state.runs) * 200)
    assert (len(many.marks), many.left_out) == (240, 402 - 240)


# notes


@pytest.fixture
def package(tmp_path: Path) -> tuple[Path, Any]:
    path = Path(shutil.copy(reviewed().before, tmp_path / "P.zip"))
    return path, open_verified(path, None, tmp_path / "unpacked")


def test_a_note_is_signed_beside_the_package(package: tuple[Path, Opened]) -> None:
    path, one = package
    key, before = reviewed().key, path.read_bytes()
    site = Site([one], Gate("secret", frozenset({HOST})), key)
    form = {"form_token": site.gate.form_token(site._cookie), "text": f"同意。{HOSTILE}", "about": "S10-I01"}
    headers = {"Origin": f"http://{HOST}"}
    for _ in range(2):
        answer = entered(site).post("/p/0/note", base_url=f"http://{HOST}", data=form, headers=headers)
        assert answer.status_code == 303
    assert path.read_bytes() == before
    notes = one.notes()
    assert [n.file.name for n in notes] == [f"P.zip.note-{key.public.id[:8]}-{n}.json" for n in (1, 2)]
    assert all(n.ok and not n.identity_checked and n.about == "S10-I01" for n in notes)
    shown = get(entered(site), "/p/0").text
    assert "王专家" in shown
    assert "签名成立，身份未核对" in shown
    assert "<script" not in shown
    payload = json.loads(notes[0].file.read_bytes())
    assert payload["payloadType"] == "application/vnd.in-toto+json"


def test_a_note_needs_text_and_a_known_indicator(package: tuple[Path, Opened]) -> None:
    _, one = package
    site = Site([one], Gate("secret", frozenset({HOST})), reviewed().key)
    token = site.gate.form_token(site._cookie)
    for form, status in (({"text": " "}, 422), ({"text": "x" * 20_001}, 422), ({"text": "好", "about": "S99"}, 400)):
        answer = entered(site).post(
            "/p/0/note",
            base_url=f"http://{HOST}",
            data={"form_token": token, **form},
            headers={"Origin": f"http://{HOST}"},
        )
        assert answer.status_code == status, form
    without = Site([one], Gate("secret", frozenset({HOST})))
    form = {"form_token": without.gate.form_token(without._cookie), "text": "好"}
    answer = entered(without).post(
        "/p/0/note", base_url=f"http://{HOST}", data=form, headers={"Origin": f"http://{HOST}"}
    )
    assert answer.status_code == 403
    assert one.notes() == []


def codes(path: Path, one: Opened, trust: Trust | None = None) -> list[str]:
    return [p.code for p in read_note(path, one.subjects, trust).problems]


def test_what_does_not_hold_of_a_note(package: tuple[Path, Opened], opened: list[Opened]) -> None:
    path, one = package
    note = write_note(path, one.subjects, "同意", "", reviewed().key)
    assert codes(note, one) == []
    assert set(codes(note, opened[1])) == {"N-V01"}  # of another package
    envelope = json.loads(note.read_bytes())
    other = fresh_key(Algorithm.ED25519, "别人")
    import base64

    payload = base64.b64decode(envelope["payload"]).replace("同意".encode(), "反对".encode())
    forged = {**envelope, "payload": base64.b64encode(payload).decode()}
    note.write_bytes(json.dumps(forged, separators=(",", ":"), sort_keys=True).encode() + b"\n")
    assert codes(note, one) == ["V-S05"]
    signature = base64.b64encode(other.sign(b"x")).decode()
    stolen = {**envelope, "signatures": [{"keyid": other.public.id, "sig": signature}]}
    note.write_bytes(json.dumps(stolen, separators=(",", ":"), sort_keys=True).encode() + b"\n")
    assert codes(note, one) == ["N-V02"]
    note.write_bytes(b"{}")
    assert codes(note, one) == ["V-S01"]
    package_seal = one.found.contents.envelope
    note.write_bytes(package_seal)
    assert codes(note, one)[0] == "V-S03"


def test_a_note_and_a_trust_file(package: tuple[Path, Opened]) -> None:
    path, one = package
    public = reviewed().key.public
    note = write_note(path, one.subjects, "同意", "", reviewed().key)
    known = TrustedKey(
        "王专家", (Role.EXPERT,), public.algorithm, public.id, date(2020, 1, 1), date(2099, 1, 1), public
    )
    require = {Document.PLAN: (Role.TESTER,), Document.PACKAGE: (Role.TESTER,)}
    trusted = read_note(note, one.subjects, Trust((known,), require))
    assert (trusted.ok, trusted.identity_checked) == (True, True)
    assert codes(note, one, Trust((), require)) == ["V-S09"]
    tester = replace(known, roles=(Role.TESTER,))
    assert codes(note, one, Trust((tester,), require)) == ["V-S10"]
    assert [n.ok for n in notes_beside(path, one.subjects, None)] == [True]


# what cannot be read


def test_a_damaged_package_shows_its_problems_and_nothing_else(tmp_path: Path) -> None:
    data = bytearray(reviewed().before.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "bad.zip"
    path.write_bytes(data)
    one = open_verified(path, None, tmp_path / "unpacked")
    assert (one.files, one.record, one.subjects) == ({}, None, None)
    client = entered(Site([one], Gate("secret", frozenset({HOST}))))
    page = get(client, "/p/0")
    assert page.status_code == 200
    assert "核验不通过" in page.text
    assert "V-B" in page.text
    assert get(client, "/p/0/file/case.yaml").status_code == 404
    assert get(client, "/compare?a=0&b=0").status_code == 400


def test_a_case_folder_opens_without_its_links(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    with zipfile.ZipFile(io.BytesIO(reviewed().after.read_bytes())) as z:
        for name in z.namelist():
            if "/data/" in name:
                target = folder / name.partition("/data/")[2]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(z.read(name))
    (folder / "link.txt").symlink_to("/etc/passwd")
    one = open_verified(folder, None, tmp_path / "unused")
    assert one.found.ok, one.found.problems
    assert "case.yaml" in one.files
    assert "link.txt" not in one.files
    assert one.subjects is None
    client = entered(Site([one], Gate("secret", frozenset({HOST})), reviewed().key))
    assert get(client, "/p/0/file/link.txt").status_code == 404
    assert "只有封存的证据包可以附意见" in get(client, "/p/0").text


def test_neither_package_nor_case(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="V-B13"):
        open_verified(tmp_path / "nothing.zip", None, tmp_path / "unpacked")


def test_an_encrypted_package_is_opened_first(tmp_path: Path) -> None:
    path = tmp_path / "1f0c.age"
    path.write_bytes(b"age-encryption.org/v1\n-> X25519 x\n")
    with pytest.raises(UserError, match=r"V-C01 .*yanshou open 1f0c\.age --identity") as error:
        open_verified(path, None, tmp_path / "unpacked")
    assert error.value.exit_code is ExitCode.UNVERIFIED


def test_a_signed_report_opens_the_package_beside_it(package: tuple[Path, Opened], tmp_path: Path) -> None:
    one = open_verified(tmp_path / "P.signed.pdf", None, tmp_path / "again")
    assert (one.path, one.found.ok) == (package[0], True)


def test_what_could_not_be_compared_stands_beside_the_verdict(tmp_path: Path) -> None:
    older = open_verified(FIRST_FORM, None, tmp_path / "unpacked")
    client = entered(Site([older], Gate("secret", frozenset({HOST}))))
    for path in ("/", "/p/0"):
        text = get(client, path).text
        assert "核验通过，但有 2 项没有核对：V-R07、V-R05" in text
        assert text.count("△ 未核对") == 2
