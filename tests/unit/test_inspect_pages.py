"""The pages of an inspection without a browser: who gets in, what is refused, and that what was refused left nothing behind."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import Client, TestResponse

from tests.inspecting import SHEET, frozen_case, photo
from yanshou.harness.evidence import sha256_bytes
from yanshou.inspect import files, web
from yanshou.inspect.recorder import JOURNAL, LOCKED_S, WRONG_PINS, Recorder, recording
from yanshou.inspect.web import COOKIE, IDLE_S, Site
from yanshou.local_site import Gate
from yanshou.probes.inspection.journal import Standing

HOST = "127.0.0.1:8800"
ORIGIN = f"http://{HOST}"
M01 = "/i/S10-I01/M01"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """A device with its cookies, which fills in the forms of the pages that it has."""

    def __init__(self, site: Site, address: str = "192.0.2.5") -> None:
        self.client = Client(site)
        self.environ = {"REMOTE_ADDR": address}
        self.token = ""

    def get(self, path: str, host: str = HOST) -> TestResponse:
        answer = self.client.get(path, base_url=f"http://{host}", environ_overrides=self.environ, buffered=True)
        if found := re.search(r'name="form_token" value="(\w+)"', answer.get_data().decode(errors="replace")):
            self.token = found[1]
        return answer

    def post(self, path: str, data: dict, *, origin: str | None = ORIGIN, token: str | None = None) -> TestResponse:
        headers = {} if origin is None else {"Origin": origin}
        form = {"form_token": self.token if token is None else token, **data}
        return self.client.post(
            path, data=form, base_url=ORIGIN, headers=headers, environ_overrides=self.environ, buffered=True
        )

    def enter(self, name: str, pin: str) -> Browser:
        self.get("/t/secret")
        assert self.post("/sign-in", {"name": name, "pin": pin}).status_code == 303
        return self

    def answer(self, path: str = M01, *, data: bytes | None = None, name: str = "a.jpg", **said: str) -> TestResponse:
        self.get(path)
        form: dict = {"answer": "是", "observed": "看到", "how": "观察", "place": "一车间", "act": "answer", **said}
        if data is not None:
            form["files"] = (io.BytesIO(data), name)
        return self.post(path, form)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with recording(frozen_case(tmp_path)) as opened:
        opened.clock = Clock()
        yield opened


@pytest.fixture
def site(recorder: Recorder) -> Site:
    return Site(recorder, "某工厂", Gate("secret", frozenset({HOST, "localhost:8800"})), clock=Clock())


def standing(recorder: Recorder, item_id: str = "M01") -> Standing:
    (questions,) = recorder.sheets
    return recorder.standing(questions, questions.item(item_id))


def left_behind(recorder: Recorder) -> tuple[int, list[str]]:
    """What is on the disk of an inspection: events, files."""
    found = [p for p in (recorder.folder / "inspections").rglob("*") if p.is_file() and JOURNAL.name not in p.parts]
    staged = list((recorder.folder / JOURNAL / "incoming").glob("*"))
    return len(recorder.ledger.records), sorted(p.name for p in (*found, *staged))


# --- getting in ---------------------------------------------------------------------------------------------------------


def test_only_the_token_lets_in(site: Site) -> None:
    stranger = Browser(site)
    for path in ("/", "/sign-in", "/review", M01, f"{M01}/file/1", "/record/S10-I01", "/t/guess", "/t/%F0%9F"):
        assert stranger.get(path).status_code == 403, path
    assert stranger.post("/sign-in", {"name": "张三", "pin": "1357"}).status_code == 403
    assert COOKIE not in str(stranger.client.get("/t/guess", base_url=ORIGIN).headers)
    entered = stranger.get("/t/secret")
    assert entered.status_code == 200
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert stranger.get("/").status_code == 303  # the token alone is nobody


def test_a_made_up_cookie_is_nobody(site: Site) -> None:
    client = Client(site)
    client.set_cookie(COOKIE, "made-up", domain="127.0.0.1")
    assert client.get("/sign-in", base_url=ORIGIN).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example:8800", "127.0.0.1", "127.0.0.1:8801", "127.0.0.1:8800.evil.example", ""]
)
def test_other_hosts_are_not_answered(site: Site, host: str) -> None:
    browser = Browser(site).enter("张三", "1357")
    environ = {"HTTP_HOST": host}
    answer = browser.client.get("/", base_url=ORIGIN, environ_overrides=environ)
    assert (answer.status_code, "某工厂" in answer.get_data(as_text=True)) == (400, True)
    assert "远程设备操控" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("origin", "token"),
    [
        ("http://evil.example", None), ("null", None), (None, None), ("https://127.0.0.1:8800", None),
        ("http://localhost:8800", None), (ORIGIN, ""), (ORIGIN, "0" * 64),
    ],
)  # fmt: skip
def test_what_another_page_sends_changes_nothing(
    recorder: Recorder, site: Site, origin: str | None, token: str | None
) -> None:
    browser = Browser(site).enter("张三", "1357")
    browser.get(M01)
    before = left_behind(recorder)
    form = {"answer": "否", "observed": "x", "how": "观察", "place": "y", "act": "answer"}
    answer = browser.post(M01, {**form, "files": (io.BytesIO(photo()), "a.jpg")}, origin=origin, token=token)
    assert answer.status_code == 403
    for path in ("/sign-out", "/review", f"{M01}/withdraw"):
        assert browser.post(path, {"name": "张三"}, origin=origin, token=token).status_code == 403
    assert left_behind(recorder) == before


def test_a_form_of_one_device_is_not_one_of_another(site: Site) -> None:
    one, other = Browser(site).enter("张三", "1357"), Browser(site).enter("李四", "2468")
    one.get(M01)
    assert other.post(M01, {"act": "upload"}, token=one.token).status_code == 403


def test_every_page_forbids_what_it_does_not_need(site: Site) -> None:
    browser = Browser(site).enter("张三", "1357")
    for path in ("/", M01, "/review", "/record/S10-I01", "/static/page.js", "/nowhere"):
        headers = browser.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    pages = Path(web.__file__).with_name("pages")
    for page in pages.iterdir():
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"https?://|src=\"//|\son[a-z]+=\"|style=\"", text), page.name


@pytest.mark.parametrize(
    "path",
    [
        "/static/../web.py", "/static/..%2fweb.py", "/static/%2e%2e/web.py", "/static//etc/passwd", "/i/S10-I01/../../case.yaml",
        "/i/S10-I01/M01/file/../../../case.yaml", "/i/S10-I01/M01/file/1", "/i/S10-I01/M99", "/i/..%2f..%2f/M01", "/record/..",
        "/i/S10-I01/M01/file/-1", "/i/S10-I01/M01/file/99999999999999999999",
    ],
)  # fmt: skip
def test_no_path_leads_out(site: Site, path: str) -> None:
    answer = Browser(site).enter("张三", "1357").get(path)
    assert answer.status_code in (404, 308), path
    assert "import" not in answer.get_data(as_text=True)
    assert "yanshou: 1" not in answer.get_data(as_text=True)


# --- people -------------------------------------------------------------------------------------------------------------


def test_one_person_is_not_two(recorder: Recorder, site: Site) -> None:
    zhang = Browser(site).enter("张三", "1357")
    assert zhang.answer(data=photo()).status_code == 303
    of = recorder.journal.entries[SHEET, "M01"].answers[-1].seq
    zhang.get("/review")
    choice = {f"S10-I01/M01/{of}": "agree"}
    own = zhang.post("/review", {"name": "张三", "pin": "1357", **choice})
    assert (own.status_code, "不能由同一人复核" in own.get_data(as_text=True)) == (422, True)
    wide = zhang.post("/review", {"name": "张 三", "pin": "1357", **choice})
    assert wide.status_code == 422
    absent = zhang.post("/review", {"name": "李四", "pin": "1357", **choice})
    assert (absent.status_code, "还没有登记" in absent.get_data(as_text=True)) == (422, True)
    li = Browser(site, "192.0.2.6").enter("李四", "2468")
    wrong = zhang.post("/review", {"name": "李四", "pin": "1357", **choice})
    assert (wrong.status_code, "口令不对" in wrong.get_data(as_text=True)) == (422, True)
    assert standing(recorder) is Standing.WAITING
    li.get("/review")
    assert li.post("/review", {"name": "李四", "pin": "2468", **choice}).status_code == 303
    assert standing(recorder) is Standing.DONE
    review = recorder.journal.entries[SHEET, "M01"].reviews[-1]
    assert review.device != recorder.journal.entries[SHEET, "M01"].answers[-1].device


def test_who_guesses_a_pin_is_stopped_and_written_down(recorder: Recorder, site: Site) -> None:
    zhang = Browser(site).enter("张三", "1357")
    Browser(site).enter("李四", "2468")
    zhang.get("/review")
    for guess in range(WRONG_PINS):
        zhang.post("/review", {"name": "李四", "pin": f"{guess:04d}"})
    right = zhang.post("/review", {"name": "李四", "pin": "2468"})
    assert "暂停" in right.get_data(as_text=True)
    assert [r.by for r in recorder.journal.refused] == ["李四"] * WRONG_PINS
    recorder.clock.now += LOCKED_S + 1  # type: ignore[attr-defined]
    assert "暂停" not in zhang.post("/review", {"name": "李四", "pin": "2468"}).get_data(as_text=True)


def test_a_review_of_an_answer_that_has_changed_is_refused(recorder: Recorder, site: Site) -> None:
    zhang, li = Browser(site).enter("张三", "1357"), Browser(site).enter("李四", "2468")
    zhang.answer(data=photo())
    of = recorder.journal.entries[SHEET, "M01"].answers[-1].seq
    li.get("/review")
    assert zhang.answer(answer="部分", observed="再看", why="看错了").status_code == 303
    answer = li.post("/review", {"name": "李四", "pin": "2468", f"S10-I01/M01/{of}": "agree"})
    assert answer.status_code == 422
    assert standing(recorder) is Standing.WAITING


def test_an_objection_needs_words_and_reopens_the_item(recorder: Recorder, site: Site) -> None:
    zhang, li = Browser(site).enter("张三", "1357"), Browser(site).enter("李四", "2468")
    zhang.answer(data=photo())
    of = recorder.journal.entries[SHEET, "M01"].answers[-1].seq
    li.get("/review")
    mute = li.post("/review", {"name": "李四", "pin": "2468", f"S10-I01/M01/{of}": "object"})
    assert (mute.status_code, standing(recorder)) == (422, Standing.WAITING)
    said = {f"S10-I01/M01/{of}": "object", f"S10-I01/M01/{of}/text": "<b>只有一台</b>"}
    assert li.post("/review", {"name": "李四", "pin": "2468", **said}).status_code == 303
    assert standing(recorder) is Standing.DISPUTED
    page = zhang.get(M01).get_data(as_text=True)
    assert "&lt;b&gt;只有一台&lt;/b&gt;" in page
    assert "<b>只有一台</b>" not in page


def test_who_does_nothing_for_long_is_asked_again(recorder: Recorder, site: Site) -> None:
    zhang = Browser(site).enter("张三", "1357")
    assert zhang.get(M01).status_code == 200
    site.clock.now += IDLE_S + 1  # type: ignore[attr-defined]
    before = left_behind(recorder)
    assert zhang.post(M01, {"act": "answer"}).status_code == 403
    assert zhang.get(M01).status_code == 303
    assert left_behind(recorder) == before


# --- answers and files --------------------------------------------------------------------------------------------------


def test_nothing_is_yes_without_evidence(recorder: Recorder, site: Site) -> None:
    zhang = Browser(site).enter("张三", "1357")
    refused = zhang.answer()
    assert (refused.status_code, "却没有证据文件" in refused.get_data(as_text=True)) == (422, True)
    assert ">看到</textarea>" in refused.get_data(as_text=True)  # what was typed is still there
    assert standing(recorder) is Standing.OPEN
    assert zhang.answer(data=b"").status_code == 422  # an empty file is none
    for missing in ({"observed": ""}, {"place": ""}, {"how": "猜"}, {"answer": ""}, {"answer": "未查"}):
        assert zhang.answer(data=photo(3), **missing).status_code == 422, missing
    assert standing(recorder) is Standing.OPEN
    assert zhang.answer().status_code == 303  # the photo came in with the refused answers


def test_a_file_comes_in_whole_once_and_with_its_digest(recorder: Recorder, site: Site) -> None:
    zhang, data = Browser(site).enter("张三", "1357"), photo(7, gps=True, owner="王某") * 3
    for _ in range(2):  # sent again after a lost acknowledgement
        zhang.get(M01)
        sent = {"files": (io.BytesIO(data), "../../现场:照片?.jpg"), "act": "upload"}
        assert zhang.post(M01, sent).status_code == 303
    (file,) = recorder.journal.entries[SHEET, "M01"].put_forward
    (questions,) = recorder.sheets
    path = recorder.file_path(questions, file)
    assert path.read_bytes() == data
    assert path.relative_to(recorder.folder).as_posix() == "inspections/S10-I01/M01/01-现场照片.jpg"
    assert (file.sha256, set(file.carries)) == (sha256_bytes(data), {"gps", "owner"})
    page = zhang.get(M01).get_data(as_text=True)
    shown = re.findall(r'title="SHA-256">([0-9a-f ]+)<', page)
    assert [s.replace(" ", "") for s in shown] == [file.sha256]
    assert "拍摄位置、机主姓名" in page
    assert "王某" not in page + path.parent.parent.with_suffix(".yaml").read_text(encoding="utf-8")
    served = zhang.get(f"{M01}/file/1")
    assert (served.status_code, served.get_data(), served.mimetype) == (200, data, "image/jpeg")
    assert served.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_a_page_that_came_as_evidence_is_not_a_page_here(site: Site) -> None:
    zhang = Browser(site).enter("张三", "1357")
    zhang.get(M01)
    zhang.post(M01, {"files": (io.BytesIO(b"<script>alert(1)</script>"), "x.html"), "act": "upload"})
    served = zhang.get(f"{M01}/file/1")
    assert served.mimetype == "application/octet-stream"
    assert served.headers["Content-Disposition"].startswith("attachment")


def test_what_is_too_large_is_refused_and_leaves_nothing(
    recorder: Recorder, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    zhang = Browser(site).enter("张三", "1357")
    zhang.get(M01)
    before = left_behind(recorder)
    monkeypatch.setattr(files, "LARGEST", 1000)
    refused = zhang.post(M01, {"files": (io.BytesIO(bytes(2000)), "a.bin"), "act": "upload"})
    assert (refused.status_code, "超过" in refused.get_data(as_text=True)) == (422, True)
    monkeypatch.setattr(web._Request, "max_content_length", 1500)
    assert zhang.post(M01, {"files": (io.BytesIO(bytes(2000)), "a.bin"), "act": "upload"}).status_code == 413
    assert zhang.post("/sign-in", {"files": (io.BytesIO(b"x"), "a.bin"), "name": "a", "pin": "1234"}).status_code == 400
    assert left_behind(recorder) == before


def test_a_full_disk_is_told_and_nothing_is_half_written(
    recorder: Recorder, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    zhang = Browser(site).enter("张三", "1357")
    zhang.get(M01)
    before = left_behind(recorder)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Incoming, "write", full)
    refused = zhang.post(M01, {"files": (io.BytesIO(photo()), "a.jpg"), "act": "upload"})
    assert (refused.status_code, "E-DISK" in refused.get_data(as_text=True)) == (507, True)
    assert left_behind(recorder) == before


def test_the_same_answer_twice_is_one_and_another_one_needs_a_reason(recorder: Recorder, site: Site) -> None:
    zhang = Browser(site).enter("张三", "1357")
    for _ in range(2):
        assert zhang.answer(data=photo()).status_code == 303
    answers = recorder.journal.entries[SHEET, "M01"].answers
    assert len(answers) == 1
    assert zhang.answer(answer="部分").status_code == 422
    assert zhang.answer(answer="部分", why="再看了一遍").status_code == 303
    assert [(a.answer, a.why) for a in answers] == [("是", ""), ("部分", "再看了一遍")]
    assert "再看了一遍" in zhang.get("/record/S10-I01").get_data(as_text=True)


def test_what_experts_judge_ends_there_with_a_line_to_sign(recorder: Recorder, site: Site) -> None:
    zhang, path = Browser(site).enter("张三", "1357"), "/i/S10-I01/M03"
    page = zhang.get(path).get_data(as_text=True)
    assert re.findall(r'name="answer" value="(\w+)"', page) == ["不适用", "专家评议"]
    assert zhang.answer(path, data=photo()).status_code == 422
    assert zhang.answer(path, answer="专家评议").status_code == 303
    assert standing(recorder, "M03") is Standing.EXPERT
    record = zhang.get("/record/S10-I01").get_data(as_text=True)
    assert record.count("专家签字") == 1
    assert "1 项专家评议，2 项未查" in record


def test_a_file_can_be_withdrawn_with_a_reason(recorder: Recorder, site: Site) -> None:
    zhang = Browser(site).enter("张三", "1357")
    zhang.answer(data=photo())
    name = recorder.journal.entries[SHEET, "M01"].put_forward[0].file
    assert zhang.post(f"{M01}/withdraw", {"file": name, "why": ""}).status_code == 422
    assert zhang.post(f"{M01}/withdraw", {"file": "../../case.yaml", "why": "x"}).status_code == 422
    assert zhang.post(f"{M01}/withdraw", {"file": name, "why": "拍到了人脸"}).status_code == 303
    assert standing(recorder) is Standing.OPEN
    assert "拍到了人脸" in zhang.get(M01).get_data(as_text=True)


def test_a_defect_is_a_page_and_a_trace_on_the_terminal(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    zhang = Browser(site).enter("张三", "1357")
    monkeypatch.setattr(Recorder, "names", lambda _: 1 / 0)
    answer = zhang.get("/sign-in")
    assert (answer.status_code, "内部错误" in answer.get_data(as_text=True)) == (500, True)
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert "ZeroDivisionError" not in answer.get_data(as_text=True)


# --- names of files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("original", "safe"),
    [
        ("IMG_0001.JPG", "IMG_0001.JPG"), ("..", "file"), ("a/../../b.png", "b.png"), ("C:\\照片\\甲.jpg", "甲.jpg"), ("", "file"),
        ("a\u202egpj.exe", "agpj.exe"), (".. .", "file"), ("长" * 200 + ".png", "长" * 33 + ".png"), ("e\u0301.jpg", "\u00e9.jpg"),
        ("\x00%*?.jpg", "jpg"),
    ],
)  # fmt: skip
def test_names_are_safe_everywhere(original: str, safe: str) -> None:
    from yanshou.harness.names import name_problem

    assert files.safe_name(original) == safe
    assert name_problem(f"01-{safe}") is None


def test_metadata_is_told_and_never_copied(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(gps=True, owner="王某"))
    (tmp_path / "b.jpg").write_bytes(photo())
    (tmp_path / "c.jpg").write_bytes(photo()[:40])
    assert [files.carried(tmp_path / f"{n}.jpg") for n in "abc"] == [("gps", "owner"), (), ()]
