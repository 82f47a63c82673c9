"""A review through the real command in real Chromium: with and without scripts, on a desk and on a telephone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium, page
from tests.e2e.support import listening, yanshou
from tests.reviewing import HOSTILE, reviewed
from yanshou.harness.keys import new_key


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@dataclass
class Served:
    """A `yanshou view` that is listening, its address, and where it unpacks."""

    said: str
    url: str
    scratch: Path
    before: Path

    @property
    def base(self) -> str:
        return self.url.partition("/t/")[0]


@contextmanager
def viewing(*arguments: object, scratch: Path) -> Iterator[tuple[str, str]]:
    """What the command said, and the address. After its end nothing of what it unpacked is left."""
    scratch.mkdir()
    with listening("view", *arguments, TMPDIR=str(scratch)) as server:
        yield server.said, server.url
    assert not list(scratch.glob("yanshou-view-*"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("review")
    made = reviewed()
    before, after = (Path(shutil.copy(p, folder / p.name)) for p in (made.before, made.after))
    new_key(folder / "expert", algorithm="ed25519", name="王专家")
    with viewing(before, after, "--key", folder / "expert", scratch=folder / "tmp") as (said, url):
        yield Served(said, url, folder / "tmp", before)


@contextmanager
def looking(chrome: Any, served: Served, width: int = 1280, *, scripts: bool = True) -> Iterator[Any]:
    """A page that came in. Anything that it asks of others, and every error, is a trouble."""
    with page(chrome, width, scripts=scripts) as tab:
        tab.goto(served.url)
        yield tab
        assert [t for t in tab.troubles if not t.startswith(served.base + "/")] == []


def fits(tab: Any) -> bool:
    """Whether nothing sticks out at the side."""
    tab.wait_for_load_state()
    return bool(tab.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_it_is_for_this_computer_only(served: Served) -> None:
    assert served.base.startswith("http://127.0.0.1:")
    assert served.said.count("核验通过") == 2
    with_port = int(served.base.rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{with_port:04X}" in listening
    assert f"00000000:{with_port:04X}" not in listening


@pytest.mark.parametrize(("width", "scripts"), [(1280, False), (390, True)])
def test_a_reviewer_walks_through(chrome: Any, served: Served, width: int, scripts: bool) -> None:
    with looking(chrome, served, width, scripts=scripts) as tab:
        tab.on("dialog", lambda d: pytest.fail(f"a script ran: {d.message}"))
        assert tab.inner_text("main").index("核验通过") < tab.inner_text("main").index("打开")
        tab.get_by_role("link", name="打开").first.click()
        headings = tab.locator("h2").all_inner_texts()
        assert headings[0] == "核验结果"
        assert HOSTILE in tab.inner_text("h1")
        assert tab.locator(".timeline .mark").count() == 4
        assert not scripts or fits(tab)
        tab.get_by_role("link", name="典型应用场景数").click()
        assert "查验记录" in tab.inner_text("main")
        assert not scripts or fits(tab)
        tab.get_by_role("link", name="0002").click()
        tab.get_by_role("link", name=re.compile(r"table\.csv")).click()
        assert HOSTILE in tab.inner_text(".grid")
        first = tab.inner_text(".grid tbody tr >> nth=0")
        tab.get_by_role("link", name="下一页").first.click()
        assert tab.inner_text(".grid tbody tr >> nth=0") != first
        tab.get_by_role("link", name="看原文").click()
        assert HOSTILE in tab.inner_text("pre")
        assert not scripts or fits(tab)
        tab.goto(served.base + "/p/0/run/2")
        tab.get_by_role("link", name=re.compile(r"photo\.png")).click()
        tab.wait_for_load_state()
        assert not scripts or tab.evaluate("document.querySelector('img').naturalWidth") == 640
        tab.goto(served.base + "/p/0/run/2")
        tab.get_by_role("link", name=re.compile(r"track\.nmea")).click()
        assert tab.locator("figure svg").count() >= 3
        assert not scripts or fits(tab)


@pytest.mark.parametrize("width", [1280, 390])
def test_two_packages_are_compared(chrome: Any, served: Served, width: int) -> None:
    with looking(chrome, served, width) as tab:
        tab.get_by_role("button", name="比较").click()
        text = tab.inner_text("main")
        assert "判定：不符合 → 符合" in text
        assert "indicators.S10-I01.limit.value" in text
        assert fits(tab)


def test_an_expert_signs_a_note_without_scripts(chrome: Any, served: Served) -> None:
    before = served.before.read_bytes()
    with looking(chrome, served, scripts=False) as tab:
        tab.goto(served.base + "/p/0")
        tab.get_by_label("关于").select_option("S10-I01")
        tab.get_by_label("意见").fill("两个场景没有完成，同意不符合。")
        tab.get_by_role("button", name="王专家").click()
        assert "已签署并写在证据包旁边" in tab.inner_text("#notes")
        assert "签名成立" in tab.inner_text("#notes article")
    assert served.before.read_bytes() == before
    (note,) = served.before.parent.glob("*.note-*.json")
    assert note.name.startswith(served.before.name)
    assert yanshou("verify", served.before).returncode == 0


def test_what_is_neither_package_nor_case(tmp_path: Path) -> None:
    done = yanshou("view", tmp_path / "nothing.zip")
    assert done.returncode == 2
    assert "V-B13" in done.stderr
    assert "Traceback" not in done.stderr
