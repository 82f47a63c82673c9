"""`yanshou look`: captures, CSV and JSON lines as a person and as a machine sees them; anything else is one line of refusal."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.captures_support import MAC, UDP_IP, classic, client, connect
from yanshou.harness.basics import UserError
from yanshou.look import HEIGHT, TableSummary, read, show, to_json


def look(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yanshou", "look", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def seen(path: Path) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(show(read(path), path))
    return capture.get()


def test_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "厂区.pcap"
    frames = [bytes(UDP_IP)] * 4 + [bytes(client(n, "10.0.0.66", connect(f"agv-{n}"))) for n in range(60)]
    path.write_bytes(classic(frames)[:-3])
    text = seen(path)
    for part in (
        "63 帧",
        "UTC",
        "CAP-V01",
        "CAP-V05",
        "10.0.0.66",
        "│ UDP",
        "MQTT 客户端（59 个，前 12）",
        "10.0.0.1、10.0.0.66",
    ):
        assert part in text, part
    assert any(bar in text for bar in HEIGHT)
    done = look(path, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["frames"], len(told["clients"])) == (0, 63, 59)
    assert told["macs"][MAC % 1]["packets"] >= 4
    assert {f["code"] for f in told["findings"]} == {"CAP-V01", "CAP-V05"}


def test_a_csv_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "packets.csv"
    path.write_text("seq,t_ns,状态\n1,100,ok\n2,300,\n3\n3,,late\n", encoding="utf-8")
    told = to_json(read(path))
    assert (told["rows"], told["damaged"]) == (3, 1)
    assert told["columns"]["t_ns"] == {"filled": 2, "empty": 1, "numbers": 2, "min": 100, "mean": 200, "max": 300}
    assert told["columns"]["状态"]["numbers"] == 0
    assert told["first"][1] == {"seq": "2", "t_ns": "300", "状态": ""}
    assert "1 行残缺" in seen(path)


def test_gbk_and_json_lines(tmp_path: Path) -> None:
    gbk = tmp_path / "a.csv"
    gbk.write_bytes("序列号,状态\nA1,在线\n".encode("gbk"))
    assert "序列号" in to_json(read(gbk))["columns"]
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"t": 1, "who": "a"}\n[1]\n{"t": 5}\nnot json\n', encoding="utf-8")
    told = to_json(read(lines))
    assert (told["rows"], told["damaged"], told["columns"]["t"]["max"]) == (2, 2, 5)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n\0\0", b"one word", b"{broken"])
def test_anything_else_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    done = look(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "L-E02" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="L-E01"):
        read(tmp_path / "nowhere.pcap")


def test_a_console_shows_texts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from yanshou.show import console

    console().print("B9:04:AB:49 :smile:", markup=False)
    assert capsys.readouterr().out == "B9:04:AB:49 :smile:\n"


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    with path.open("wb") as f:
        f.write(b"a,b\n1,2\n")
        for _ in range(64):
            f.write(b"x" * (1 << 20))
        f.write(b"\n3,4\n")
    tracemalloc.start()
    try:
        told = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(told, TableSummary)
    assert (told.rows, told.damaged > 0) == (2, True)
    assert peak < 32 << 20
