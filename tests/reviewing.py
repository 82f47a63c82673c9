"""Two sealed packages of one little inspection, before and after a rectification, for the tests of the review pages."""

from __future__ import annotations

import atexit
import io
import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from tests.unit.captures_support import UDP_IP, classic
from yanshou.harness.engine import freeze_case, run_case
from yanshou.harness.envelope import Role
from yanshou.harness.keys import Algorithm, PrivateKey, fresh_key
from yanshou.harness.sealing import DEMO_KEY_NAME, sign_package
from yanshou.probes.gnss.simulate import sentence
from yanshou.reports.render import render

HOSTILE = "<script>alert('被执行')</script>"
TURNED = "反\u202e写"
CASE = """yanshou: 1
list: wuhan-2024
scenario: 10
mode: demo
project: {{name: "甲厂 {hostile}", lead: {{name: 某单位}}}}
report: {{number: {number}}}
target: {{kind: simulator, site: 一号厂房}}
commitments:
  S10-I01: {{baseline: "0", target: 不少于{wanted}个, define: {{scenes: 检查清单}}}}
inspections:
  S10-I01:
    sheet: inputs/sheet.yaml
    items:
      - {{id: M01, text: 远程设备操控, expected: 看得到动作, method: 操作}}
      - {{id: M02, text: 机器视觉质检, expected: 能判出不良品, method: 观察}}
      - {{id: M03, text: 设备协同作业, expected: 能协同, method: 观察}}
      - {{id: M04, text: 现场辅助装配, expected: 看得到指引, method: 观察}}
      - {{id: M05, text: 厂区智能物流, expected: 小车到位, method: 观察}}
      - {{id: M06, text: 无人智能巡检, expected: 能巡检, method: 观察}}
"""
FILES = {
    "table.csv": ("name,note\n" + "".join(f"行{i},{HOSTILE}\n" for i in range(3000))).encode(),
    "data.json": json.dumps({"说": HOSTILE, "反": TURNED}, ensure_ascii=False).encode(),
    "page.html": f"<!doctype html><title>x</title>{HOSTILE}".encode(),
    "drawing.svg": f'<svg xmlns="http://www.w3.org/2000/svg">{HOSTILE}</svg>'.encode(),
    "blob.bin": bytes(range(256)) * 200,
}
"""Evidence with something hostile in every form."""


def _photo() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 420), (30, 80, 160)).save(out, "PNG")
    return out.getvalue()


def _positions() -> bytes:
    """Two minutes of a receiver that is carried along, and its sky."""
    sky = sentence("GBGSV,1,1,03,06,36,048,37,09,39,069,38,16,48,128,40,1")
    return b"".join(
        sentence(f"GNGGA,0450{n:02d}.00,3031.{66000 + n:05d},N,11421.{42000 + 2 * n:05d},E,4,10,0.6,42.8,M,-14.5,M,,")
        + (sky if n % 10 == 0 else b"")
        for n in range(60)
    )


@dataclass(frozen=True)
class Reviewed:
    """A package where a scene failed, the same after rectification with a stricter commitment, an expert's key, the sealing key."""

    folder: Path
    before: Path
    after: Path
    key: PrivateKey
    demo: PrivateKey


@cache
def reviewed() -> Reviewed:
    """Made once for all tests of a process. Tests must not write beside the packages: copy them."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    folder = Path(kept.name)
    demo = fresh_key(Algorithm.ED25519, DEMO_KEY_NAME)
    before = _package(folder / "before", demo, "R-BEFORE", wanted=5, wrong=2)
    after = _package(folder / "after", demo, "R-AFTER", wanted=6, wrong=0)
    return Reviewed(folder, before, after, fresh_key(Algorithm.ED25519, "王专家"), demo)


def _package(folder: Path, key: PrivateKey, number: str, *, wanted: int, wrong: int) -> Path:
    (folder / "inputs/evidence").mkdir(parents=True)
    (folder / "case.yaml").write_text(CASE.format(hostile=HOSTILE, number=number, wanted=wanted), encoding="utf-8")
    files = {**FILES, "photo.png": _photo(), "track.nmea": _positions(), "air.pcap": classic([bytes(UDP_IP)] * 5)}
    for name, data in files.items():
        (folder / "inputs/evidence" / name).write_bytes(data)
    freeze_case(folder)
    items = {
        f"M{n:02d}": {
            "observed": f"看到了 {TURNED}", "answer": "否" if n <= wrong else "是", "inspector": "甲", "witness": "乙",
            "time": f"2026-03-31 09:{n:02d}:00", "place": "一号厂房", "reason": "没有完成" if n <= wrong else "",
            "evidence": [
                {"file": f"evidence/{name}", "kind": "记录", "obtained_from": "车间"}
                for name in (files if n == 6 else ("data.json",))
            ],
        }
        for n in range(1, 7)
    }  # fmt: skip
    (folder / "inputs/sheet.yaml").write_text(json.dumps({"items": items}, ensure_ascii=False), encoding="utf-8")
    summary = run_case(folder)
    assert not summary.problems, summary.problems
    render(summary.record, folder / "report")
    return sign_package(folder, key, Role.TESTER).path
