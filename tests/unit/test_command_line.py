"""What the command line says of itself: in the language of its users, with the way out, whatever library reads the words."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from yanshou.cli import main
from yanshou.demo import play
from yanshou.harness.basics import UserError, refusal
from yanshou.local_site import serving


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and what stands on standard error."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["frob"], "没有命令 frob"),
        (["check", "--jso"], "没有选项 --jso → 是不是 --json？"),
        (["check", "--frob"], "没有选项 --frob"),
        (["new"], "没有写 folder"),
        (["key", "new", "k"], "没有写 --name"),
        (["reflect", "--port"], "--port 后面没有值"),
        (["check", "a", "b"], "多出了 b"),
        (["new", "c", "--scenario", "x"], "--scenario 应为数字"),
        (["reflect", "--delay", "x"], "--delay 应为数字"),
        (["view", "a.zip", "--port", "99999"], "--port 最大是 65535"),
        (["reflect", "--port", "-1"], "--port 最小是 0"),
        (["sheet", "sme", "a.xlsx", "-n", "201"], "--number / -n 最大是 200"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    code, error = said(capsys, *arguments)
    assert (code, error.count("\n")) == (2, 1), error
    assert told in error
    assert "用法见" in error
    assert error.rstrip().endswith("-h")


def test_a_demonstration_that_did_not_pass_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = json.loads((Path(__file__).parents[1] / "golden" / "record.json").read_bytes())
    for as_planned in (True, False):
        monkeypatch.setattr(play, "play", lambda *_, a=as_planned: play.Played(record, tmp_path, tmp_path, tmp_path, a))
        with pytest.raises(SystemExit) as end:
            main(["demo", str(tmp_path / "demo")])
        assert (end.value.code, "没有如期" in capsys.readouterr().out) == ((0, False) if as_planned else (5, True))


def test_a_path_that_is_not_there_is_no_full_disk(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, error = said(capsys, "sheet", "sme", tmp_path)
    assert (code, "E-EXISTS" in error) == (2, True)
    (tmp_path / "a").write_bytes(b"")
    code, error = said(capsys, "sheet", "sme", tmp_path / "a" / "b.xlsx")
    assert (code, error.count("\n")) == (2, 1)
    assert "E-FILE" in error
    assert "无法写入" not in error


def test_the_systems_reasons_are_in_the_language_of_the_sentence() -> None:
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file or directory")) == "没有这个文件或文件夹"
    assert refusal(OSError(errno.ENOSPC, "No space left on device")) == "磁盘已满"
    assert refusal(OSError(errno.ENOTTY, "Not a typewriter")) == "Not a typewriter"
    assert refusal(OSError("odd")) == "odd"


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "厂房", "::1", "224.0.0.1", "192.168.1.5:80"])
def test_pages_are_served_on_the_address_of_one_interface_only(host: str) -> None:
    with pytest.raises(UserError, match=r"W-BIND .*192\.168\.1\.5"), serving(lambda _: None, host=host):  # type: ignore[arg-type, return-value]
        pytest.fail("was served")
