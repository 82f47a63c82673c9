"""An inspection through the real command: in Chromium on a tablet and on a phone, on a terminal, over TLS, and killed half-way."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser import chromium
from tests.e2e.support import YANSHOU, Listening, finding, listening, yanshou
from tests.inspecting import SHEET, frozen_case, photo
from tests.terminals import converse
from yanshou.harness.evidence import read_ledger

IDS = ("M01", "M02", "M03")


def served(case: Path, *options: str) -> AbstractContextManager[Listening]:
    """`yanshou inspect` on the web."""
    return listening("inspect", case, "--web", *options)


def address(server: Listening) -> tuple[str, int]:
    """Host and port of what is listening."""
    host, _, port = server.base.rpartition("//")[2].partition(":")
    return host, int(port)


class Client:
    """A device without a browser: forms as bytes over one's own connection."""

    def __init__(self, to: Listening, context: ssl.SSLContext | None = None) -> None:
        self.to, self.context, self.cookie, self.token = to, context, "", ""
        self.get(f"/t/{to.url.rpartition('/')[2]}")

    def connection(self) -> http.client.HTTPConnection:
        if self.context is not None:
            return http.client.HTTPSConnection(*address(self.to), timeout=30, context=self.context)
        return http.client.HTTPConnection(*address(self.to), timeout=30)

    def headers(self) -> dict[str, str]:
        return {"Cookie": self.cookie, "Origin": self.to.base, "Connection": "close"}

    def get(self, path: str) -> str:
        connection = self.connection()
        connection.request("GET", path, headers=self.headers())
        answer = connection.getresponse()
        page = answer.read().decode(errors="replace")
        if cookie := answer.getheader("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        if found := re.search(r'name="form_token" value="(\w+)"', page):
            self.token = found[1]
        connection.close()
        return page

    def body(self, fields: dict[str, str], file: bytes | None) -> tuple[str, bytes]:
        boundary = "boundary-of-a-form"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in {"form_token": self.token, **fields}.items()
        ]
        if file is not None:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
            parts.append(head.encode() + file + b"\r\n")
        return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()

    def post(self, path: str, fields: dict[str, str], file: bytes | None = None) -> int:
        kind, body = self.body(fields, file)
        connection = self.connection()
        connection.request("POST", path, body, {**self.headers(), "Content-Type": kind})
        status = connection.getresponse().status
        connection.close()
        return status

    def enter(self, name: str, pin: str) -> Client:
        assert self.post("/sign-in", {"name": name, "pin": pin}) == 303
        return self

    def answer(self, item: str, answer: str = "是", **said: str) -> int:
        form = {"answer": answer, "observed": "看到", "how": "观察", "place": "一车间", "act": "answer", **said}
        return self.post(f"/i/S10-I01/{item}", form, photo(int(item[1:])))


def standings(case: Path) -> dict[str, str]:
    shown = yanshou("inspect", case, "--json")
    assert shown.returncode == 0, shown.stderr
    (sheet,) = json.loads(shown.stdout)
    assert sheet["sheet"] == SHEET
    return {item["id"]: item["standing"] for item in sheet["items"]}


# --- killed --------------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    case = frozen_case(tmp_path)
    staging = case / "inspections/journal/incoming"
    for item in IDS:
        with served(case) as server:
            client = Client(server).enter("张三", "1357")
            assert client.answer(item, "专家评议" if item == "M03" else "是") == 303
            kind, body = client.body({"act": "upload"}, b"half of it" * 200_000)
            connection = client.connection()
            connection.putrequest("POST", "/i/S10-I01/M01")
            for name, value in {**client.headers(), "Content-Type": kind, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(body[: len(body) // 2])
            for _ in range(3000):
                if any(p.stat().st_size for p in staging.glob("*.part")):
                    break
                client.get("/static/style.css")  # the server is at work beside it
            assert list(staging.glob("*.part"))
            server.process.kill()
            server.process.wait()
            connection.close()
        assert standings(case)[item] == ("expert" if item == "M03" else "waiting")
    (case / SHEET).write_text("# yanshou\njournal: one event behind, as where a kill came between\n", encoding="utf-8")
    with served(case) as server:
        assert "0/3 已完成，2 项待复核，1 项专家评议" in server.said
    assert not list(staging.glob("*.part"))
    assert sorted(p.name for p in (case / "inspections/S10-I01").rglob("*.jpg")) == ["01-a.jpg"] * 3
    assert re.findall(r'answer: "(\w+)"', (case / SHEET).read_text(encoding="utf-8")) == ["是", "是", "专家评议"]
    kinds = [r["kind"] for _, r in read_ledger(case / "inspections/journal/ledger.jsonl")]
    assert kinds.count("answer") == kinds.count("file") == 3


def test_only_one_inspection_at_a_time_and_nothing_over_a_sheet_filled_in_by_hand(tmp_path: Path) -> None:
    case = frozen_case(tmp_path)
    with served(case):
        other = yanshou("inspect", case, "--web")
        assert (other.returncode, "E-LOCK" in other.stderr) == (2, True), other.stderr
    by_hand = (case / SHEET).read_text(encoding="utf-8").replace('observed: ""', "observed: 手写", 1)
    (case / SHEET).write_text(by_hand, encoding="utf-8")
    refused = yanshou("inspect", case, "--web")
    assert (refused.returncode, "W-HAND" in refused.stderr) == (2, True), refused.stderr
    assert (case / SHEET).read_text(encoding="utf-8") == by_hand
    assert yanshou("inspect", case).returncode == 2  # nobody is at a terminal


# --- another device -------------------------------------------------------------------------------------------------------


def test_over_tls_the_fingerprint_is_the_one_that_was_said(tmp_path: Path) -> None:
    with served(frozen_case(tmp_path), "--bind", "127.0.0.2", "--tls") as server:
        assert server.base.startswith("https://127.0.0.2:")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = Client(server, context).enter("张三", "1357")
        assert client.answer("M01") == 303
        raw = client.connection()
        raw.connect()
        certificate = raw.sock.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        raw.close()
        assert sha256(certificate).hexdigest().upper() in server.said.replace(":", "").replace("\n", "")
        assert "明文" not in server.said
        plain = http.client.HTTPConnection(*address(server), timeout=30)
        plain.request("GET", "/")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        plain.close()
        assert "M01" in client.get("/")  # what did not speak TLS harmed nobody


def scanned(said: str, picture: Path) -> str:
    """What a camera reads from the half blocks on a terminal: each character is two dots, light where it is filled."""
    if shutil.which("zbarimg") is None:
        pytest.skip("zbarimg is not installed")
    lines = [line for line in said.splitlines() if line.strip() and set(line) <= set(" ▀▄█")]
    code = Image.new("L", (len(lines[0]), 2 * len(lines)))
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            code.putpixel((column, 2 * row), 255 * (character in "▀█"))
            code.putpixel((column, 2 * row + 1), 255 * (character in "▄█"))
    code.resize((8 * code.width, 8 * code.height), Image.Resampling.NEAREST).save(picture)
    command = ["zbarimg", "--quiet", "--raw", str(picture)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_on_the_local_network_plain_http_is_said_plainly_and_the_code_can_be_scanned(tmp_path: Path) -> None:
    with served(frozen_case(tmp_path), "--bind", "127.0.0.2") as server:
        assert "明文 HTTP" in server.said
        assert scanned(server.said, tmp_path / "code.png") == server.url
        stranger = http.client.HTTPConnection(*address(server), timeout=30)
        stranger.request("GET", "/", headers={"Host": "evil.example"})
        assert stranger.getresponse().status == 400
        stranger.close()


# --- on a terminal -------------------------------------------------------------------------------------------------------


def test_on_a_terminal_with_two_people(tmp_path: Path) -> None:
    case = frozen_case(tmp_path / "case")
    (tmp_path / "现场 1.jpg").write_bytes(photo(1, gps=True))
    ask, done = "离开 >", "（没有了就回车）>"
    saw = [("所见 >", "行车同步动作"), ("说明（可不写）>", ""), ("操作）>", ""), ("地点 >", "3 跨")]
    first = [
        *[("检查人姓名 >", "张三"), ("口令 >", "12"), ("检查人姓名 >", "张三"), ("口令 >", "1357")],
        *[(ask, ""), (done, ""), ("先不答 >", "1"), *saw, ("却没有证据文件", ""), (ask, "M01")],
        *[(done, str(tmp_path / "没有.jpg")), (done, str(tmp_path / "现场 1.jpg"))],
        *[("日志）>", "照片"), ("取自（可不写）>", ""), (done, ""), ("先不答 >", "1"), *saw],
        *[(ask, "r"), ("复核人姓名 >", "张三"), ("复核人口令 >", "1357"), ("暂不 >", "y")],
        *[(ask, "r"), ("复核人姓名 >", "李四"), ("复核人口令 >", "2468"), ("暂不 >", "y")],
        *[(ask, "M03"), (done, ""), ("先不答 >", "2")],
    ]
    code, shown = converse([*YANSHOU, "inspect", str(case)], [*first, ("所见 >", "\x04")])
    assert code == 0, shown
    assert "1357" not in shown.split("先不答")[0]
    assert "2468" not in shown
    assert "照片里带有拍摄位置" in shown
    assert "不能由同一人复核" in shown
    assert "1/3 已完成，2 项未查" in shown
    assert standings(case) == {"M01": "done", "M02": "open", "M03": "open"}
    second = [("检查人姓名 >", "张三"), ("口令 >", "1357"), (ask, "M02"), (done, ""), ("先不答 >", "3"), ("所见 >", ""),
              ("说明（可不写）>", "只看到一台"), ("观察）>", ""), ("回车 3 跨）>", ""), (ask, "q")]  # fmt: skip
    code, shown = converse([*YANSHOU, "inspect", str(case)], second)
    assert code == 0, shown
    assert standings(case) == {"M01": "done", "M02": "waiting", "M03": "open"}
    assert "专家签字" not in (case / "inspections/S10-I01.html").read_text(encoding="utf-8")


# --- in a real browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


MEASURE = """() => ({
  wide: document.documentElement.scrollWidth,
  small: [...document.querySelectorAll('button, a.button, .items a, .choice, select, textarea, input')]
    .filter((e) => !["hidden", "radio"].includes(e.type) && e.checkVisibility() && e.getBoundingClientRect().height < 44)
    .map((e) => e.outerHTML.slice(0, 80)),
})"""


def require_comfortable(page: Any, width: int) -> None:
    """Nothing runs out of the screen, and everything to touch is large enough for a thumb."""
    page.wait_for_load_state()
    found = page.evaluate(MEASURE)
    assert (found["wide"], found["small"]) == (width, []), page.url


def fill(page: Any, answer: str, observed: str) -> None:
    page.locator(f"label:has(input[name=answer][value={answer}])").click()
    page.fill("[name=observed]", observed)
    if not page.input_value("[name=place]"):
        page.fill("[name=place]", "3 跨")


def test_on_a_tablet_and_a_phone(tmp_path: Path, chrome: Any) -> None:
    case = frozen_case(tmp_path / "case")
    for shade in (1, 2):
        (tmp_path / f"{shade}.jpg").write_bytes(photo(shade))
    with served(case) as server:
        tablet = chrome.new_context(viewport={"width": 768, "height": 1024}, has_touch=True)
        page, asked, wrong = tablet.new_page(), list[str](), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(server.url)
        require_comfortable(page, 768)
        page.fill("[name=name]", "张三")
        page.fill("[name=pin]", "1357")
        page.click("text=进入")
        require_comfortable(page, 768)
        assert "0/3 已完成，3 项未查" in page.inner_text("header")
        page.click("text=远程设备操控")
        fill(page, "是", "行车同步动作")
        page.click("text=保存回答")
        assert "却没有证据文件" in page.inner_text("[role=alert]")
        assert page.input_value("[name=observed]") == "行车同步动作"
        page.set_input_files("input[type=file]", str(tmp_path / "1.jpg"))
        assert page.locator("[data-chosen] img").count() == 1
        page.click("text=保存回答")
        page.wait_for_selector("[role=status]")
        require_comfortable(page, 768)
        digest = page.inner_text(".file code").replace(" ", "").replace("\n", "")
        assert digest == sha256(photo(1)).hexdigest()
        shown = page.locator(".file img")
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
        page.click("[role=status] >> text=下一项 M02")
        page.set_input_files("input[type=file]", str(tmp_path / "2.jpg"))
        page.click("text=只上传文件")
        page.wait_for_selector("text=文件已收下")
        fill(page, "是", "不良品被剔出")
        page.click("text=保存回答")
        page.wait_for_selector("[role=status] >> text=已记下")
        page.goto(f"{server.base}/i/S10-I01/M03")
        fill(page, "专家评议", "材料齐")
        page.locator("label:has(input[name=how][value=查阅])").click()
        page.click("text=保存回答")
        page.wait_for_selector("[role=status] >> text=已记下")
        # the second person, on a phone of his own
        phone = chrome.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        other = phone.new_page()
        other.goto(server.url)
        require_comfortable(other, 390)
        other.fill("[name=name]", "李四")
        other.fill("[name=pin]", "2468")
        other.click("text=进入")
        require_comfortable(other, 390)
        other.click("text=复核 2 项")
        require_comfortable(other, 390)
        for index in range(2):
            other.locator("label:has(input[value=agree])").nth(index).click()
        other.fill("[name=pin]", "2468")
        other.click("text=提交复核")
        other.wait_for_selector("text=已记下 2 项")
        other.goto(f"{server.base}/i/S10-I01/M01")
        require_comfortable(other, 390)
        page.goto(f"{server.base}/")
        assert "2/3 已完成，1 项专家评议" in page.inner_text("header")
        page.goto(f"{server.base}/record/S10-I01")
        assert page.locator("text=专家签字").count() == 1
        assert {url.split("/")[2] for url in asked if not url.startswith("blob:")} == {server.base.split("/")[2]}
        assert wrong == []
        tablet.close()
        phone.close()
    ran = yanshou("run", case)
    assert ran.returncode == 1, ran.stdout + ran.stderr  # three scenes cannot be the five of the list
    found = finding(case, "S10-I01")
    items = found["figure"]["items"]
    assert (found["value"], items[2]["answer"]) == (2, "专家评议")
    assert [(i["answer"], i["inspector"], i["witness"]) for i in items[:2]] == [("是", "张三", "李四")] * 2
    assert items[0]["evidence"] == [digest]
    assert {v["code"] for v in found["validity"]} <= {"INS-V03", "uncalibrated"}


def test_without_scripts_the_same_forms_work(tmp_path: Path, chrome: Any) -> None:
    case = frozen_case(tmp_path / "case")
    (tmp_path / "1.jpg").write_bytes(photo(1))
    with served(case) as server:
        plain = chrome.new_context(viewport={"width": 768, "height": 1024}, java_script_enabled=False)
        page = plain.new_page()
        page.goto(server.url)
        page.fill("[name=name]", "张三")
        page.fill("[name=pin]", "1357")
        page.click("text=进入")
        page.click("text=远程设备操控")
        page.set_input_files("input[type=file]", str(tmp_path / "1.jpg"))
        fill(page, "是", "行车同步动作")
        page.click("text=保存回答")
        page.wait_for_selector("[role=status] >> text=已记下")
        plain.close()
    assert standings(case)["M01"] == "waiting"


def test_a_page_of_another_origin_can_do_nothing(tmp_path: Path, chrome: Any) -> None:
    """A hostile page in the same browser, which knows every address but the token, posts forms and frames the site."""
    case = frozen_case(tmp_path / "case")
    with served(case) as server:
        context = chrome.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.fill("[name=name]", "张三")
        page.fill("[name=pin]", "1357")
        page.click("text=进入")
        hostile = context.new_page()
        form = "".join(f"<input name={k} value={v}>" for k, v in
                       {"answer": "否", "observed": "假", "how": "观察", "place": "x", "act": "answer"}.items())  # fmt: skip
        attack = f"<iframe name=f src={server.base}/></iframe><form method=post action={server.base}/i/S10-I01/M01>{form}</form>"
        hostile.set_content(attack)
        with hostile.expect_response(lambda r: r.request.method == "POST") as answered:
            hostile.evaluate("document.forms[0].submit()")
        assert answered.value.status == 403
        context.close()
    assert standings(case) == dict.fromkeys(IDS, "open")
