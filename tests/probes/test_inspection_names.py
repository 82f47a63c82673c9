"""Answers that must name something: of a list, or a vehicle's announced model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.probes.records_support import codes, recorded
from yanshou.harness.basics import UserError
from yanshou.harness.model import Answer, Checklist
from yanshou.harness.references import listed
from yanshou.probes.inspection.analyse import analyse
from yanshou.probes.inspection.capture import capture
from yanshou.probes.inspection.naming import names
from yanshou.probes.inspection.spec import Params, blank_sheet


def inspected(folder: Path, named: str, *observed: str) -> Checklist:
    items = {}
    for n, text in enumerate(observed):
        (folder / f"{n}.txt").write_text(f"证据 {n}", encoding="utf-8")
        items[f"A{n}"] = {
            "observed": text, "answer": "是", "inspector": "甲", "witness": "乙",
            "time": f"2025-03-01 {9 + n:02d}:00", "evidence": [{"file": f"{n}.txt"}],
        }  # fmt: skip
    (folder / "sheet.yaml").write_text(json.dumps({"items": items}, ensure_ascii=False), encoding="utf-8")
    params = Params.model_validate(
        {"sheet": "sheet.yaml", "items": [{"id": i, "text": "x", "expected": "y", "named": named} for i in items]}
    )
    return analyse(recorded(folder, capture, params), params, 1)


def yes(found: Checklist) -> int:
    return found.number(Answer.YES)


def test_scenes_are_those_of_the_list_and_each_counts_once(tmp_path: Path) -> None:
    found = inspected(tmp_path, "scenes_5g_20", "3 号桥吊 远程 设备操控", "机器视觉质检，12 台相机")
    assert (yes(found), codes(found.validity)) == (2, {})
    found = inspected(tmp_path, "scenes_5g_20", "机器视觉质检，一车间", "机器视觉质检，二车间")
    assert codes(found.validity) == {"INS-V12": "invalid"}


def test_what_is_not_on_the_list_is_for_experts(tmp_path: Path) -> None:
    found = inspected(tmp_path, "scenes_5g_20", "设备协同作业", "数字孪生大屏")
    assert [item.answer for item in found.items] == [Answer.YES, Answer.EXPERT]
    assert codes(found.validity) == {"INS-V13": "warning"}
    found = inspected(tmp_path, "six_modes", "网络化协同", "服务化延伸", "按件计费")
    assert (yes(found), found.number(Answer.EXPERT), codes(found.validity)) == (2, 1, {"INS-V13": "warning"})


def test_a_scene_known_from_memory_says_so(tmp_path: Path) -> None:
    found = inspected(tmp_path, "scenes_5g_20", "设备预测维护")
    assert (yes(found), codes(found.validity)) == (1, {"INS-V14": "warning"})
    assert "未检索到原文" in found.validity[0].text


def test_one_answer_names_one_thing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"INS-E11 .*远程设备操控、设备协同作业"):
        inspected(tmp_path, "scenes_5g_20", "设备协同作业与远程设备操控")


def test_models_are_told_apart_by_the_announcement(tmp_path: Path) -> None:
    found = inspected(tmp_path, "announced_model", *(f"公告型号：XYZ648{n}BEV1，门店实车" for n in range(5)))
    assert (yes(found), codes(found.validity)) == (5, {})
    found = inspected(
        tmp_path, "announced_model", "公告型号 XYZ6480BEV1 尊享版", "公告产品型号：ｘｙｚ６４８０ｂｅｖ１ 豪华版"
    )
    assert codes(found.validity) == {"INS-V12": "invalid"}
    with pytest.raises(UserError, match="没有公告型号"):
        inspected(tmp_path, "announced_model", "某某 7 座尊享版")


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("announced_model", "公告型号 XYZ6480BEV1", ("XYZ6480BEV1",)),
        ("announced_model", "公告型号 尊享", ()),
        ("announced_model", "型号 XYZ6480BEV1", ()),
        ("six_modes", "平台化 设计", ("平台化设计",)),
        ("six_modes", "", ()),
    ],
)
def test_names(kind: Any, text: str, found: tuple[str, ...]) -> None:
    assert names(kind, text) == found


def test_lists_and_the_blank_sheet() -> None:
    scenes = listed("scenes_5g_20")
    assert (len(scenes.names), len(listed("six_modes").names)) == (20, 6)
    assert sum(standing == "memory" for standing in scenes.names.values()) == 10
    assert not [(a, b) for a in scenes.names for b in scenes.names if a != b and a in b]
    params = Params.model_validate(
        {"sheet": "s", "items": [{"id": "A", "text": "x", "expected": "y", "named": "six_modes"}]}
    )
    assert "六大模式" in blank_sheet(params.items)
