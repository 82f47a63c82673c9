"""A case with a frozen checklist, photos, and two people, for the tests of the inspection."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from yanshou.harness.engine import freeze_case
from yanshou.inspect.recorder import Actor, Recorder

SHEET = "inspections/S10-I01.yaml"
CASE = """yanshou: 1
list: wuhan-2024
scenario: 10
mode: self-check
project: {name: 某工厂, lead: {name: 某单位}}
target: {kind: production, site: 一号厂房}
commitments:
  S10-I01: {baseline: "0", target: 不少于2个}
measure:
  S10-I01: {probe: inspection}
inspections:
  S10-I01:
    sheet: inspections/S10-I01.yaml
    items:
      - {id: M01, text: 远程设备操控, expected: 操作台上的动作在车间看得到, method: 操作}
      - {id: M02, text: 机器视觉质检, expected: 现场放一件不良品能被判出, method: 观察}
      - {id: M03, text: 综合效益是否明显, expected: 由专家判断, expert: true}
"""


@cache
def _frozen() -> Path:
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    folder = Path(kept.name)
    (folder / "case.yaml").write_text(CASE, encoding="utf-8")
    freeze_case(folder)
    return folder


def frozen_case(folder: Path) -> Path:
    """A case whose plan is frozen: two items for inspectors, one for experts."""
    return shutil.copytree(_frozen(), folder, dirs_exist_ok=True)


def photo(shade: int = 0, *, gps: bool = False, owner: str = "") -> bytes:
    """A small JPEG, another one per shade."""
    exif = Image.Exif()
    if owner:
        exif[0x013B] = owner
    if gps:
        exif[0x8825] = {1: "N", 2: (30.0, 34.0, 0.0), 3: "E", 4: (114.0, 17.0, 0.0)}
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (shade % 256, 80, 160)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def put(recorder: Recorder, item_id: str, actor: Actor, data: bytes, name: str = "a.jpg", **said: str) -> Any:
    """A file taken in for an item of the one checklist."""
    (questions,) = recorder.sheets
    incoming = recorder.receive(name)
    incoming.write(data)
    try:
        return recorder.take(questions, questions.item(item_id), incoming, actor, **said)
    finally:
        incoming.discard()


def say(recorder: Recorder, item_id: str, actor: Actor, answer: str = "是", **said: str) -> Any:
    """An answer to an item of the one checklist."""
    (questions,) = recorder.sheets
    said = {"observed": "看到了", "how": "观察", "place": "一车间", **said}
    return recorder.answer(questions, questions.item(item_id), actor, answer=answer, **said)


def confirm(recorder: Recorder, item_id: str, actor: Actor, *, agreed: bool = True, text: str = "") -> None:
    """What a second person says of the answer that stands."""
    (questions,) = recorder.sheets
    item = questions.item(item_id)
    said = recorder.entry(questions, item).answers[-1]
    recorder.review(questions, item, said.seq, actor, agreed=agreed, text=text)
