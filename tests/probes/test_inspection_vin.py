"""Vehicles behind a checklist: a check digit that cannot be is refused or named, and one vehicle is not several."""

from __future__ import annotations

from pathlib import Path

import pytest
from records_support import codes, record

from yanshou.harness.basics import UserError
from yanshou.harness.model import Answer
from yanshou.probes.codes import vin_check_digit
from yanshou.probes.inspection.analyse import analyse
from yanshou.probes.inspection.capture import capture
from yanshou.probes.inspection.spec import Params, blank_sheet
from yanshou.probes.inspection.vin import written, wrong

GOOD = ("1M8GDM9AXKP042788", "5GZCZ43D13S812715", "1HGCM82633A004352", "WBA3A5G59DNP26082", "11111111111111111")
"""Published examples; the first has the check digit X."""


@pytest.mark.parametrize("vin", GOOD)
def test_published_numbers_hold(vin: str) -> None:
    assert (wrong(vin), vin_check_digit(vin)) == (None, vin[8])


@pytest.mark.parametrize("vin", GOOD[:4])
def test_every_other_check_digit_and_most_exchanged_neighbours_are_wrong(vin: str) -> None:
    for digit in "0123456789X":
        assert (wrong(vin[:8] + digit + vin[9:]) is None) is (digit == vin[8])
    swapped = [vin[:n] + vin[n + 1] + vin[n] + vin[n + 2 :] for n in range(9, 16) if vin[n] != vin[n + 1]]
    assert all(wrong(each) for each in swapped)


def test_letters_that_no_number_has() -> None:
    assert wrong("1M8GDM9AXKPO4278Q") == "含有不该出现的 O、Q"


@pytest.mark.parametrize(
    ("text", "vin"),
    [
        ("车架号１ｍ8gdm9axkp042788，铭牌清晰", GOOD[0]),
        ("VIN: 5GZCZ43D13S812715", GOOD[1]),
        ("18 位代码 91420100MA4KLA1B37", None),
        ("没有看到", None),
    ],
)
def test_a_number_is_found_in_what_people_write(text: str, vin: str | None) -> None:
    assert written(text) == vin


def checklist(number: int) -> Params:
    items = [
        {"id": f"V{n}", "text": f"车型 {n}", "expected": "实车与公告一致", "method": "观察", "identifier": "vin"}
        for n in range(1, number + 1)
    ]
    return Params.model_validate({"sheet": "sheet.yaml", "items": items, "unit": "款"})


def site(folder: Path, *answers: tuple[str, str]) -> Path:
    """A sheet with (answer, observed) for V1, V2, …"""
    lines = ["items:"]
    for n, (answer, observed) in enumerate(answers, 1):
        (folder / f"{n}.jpg").write_bytes(b"photo %d" % n)
        lines.append(
            f"  V{n}: {{answer: {answer}, observed: '{observed}', inspector: 甲, witness: 乙, "
            f"time: '2025-03-01 {8 + n:02d}:00', evidence: [{{file: {n}.jpg}}]}}"
        )
    (folder / "sheet.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_right_numbers_count(tmp_path: Path) -> None:
    folder = site(tmp_path, ("是", f"铭牌 {GOOD[0]}"), ("是", GOOD[1]))
    params = checklist(2)
    found = analyse(record(folder, capture, params), params, 1)
    assert (found.number(Answer.YES), found.validity) == (2, ())


@pytest.mark.parametrize(
    ("observed", "says"),
    [("1M8GDM9A1KP042788", "校验位是 1，按 GB 16735 应为 X"), ("铭牌清晰", "没有 17 位车辆识别代号")],
)
def test_yes_with_a_number_that_cannot_be_is_refused(tmp_path: Path, observed: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        record(site(tmp_path, ("是", observed)), capture, checklist(1))
    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == ("INS-E11", 2)
    assert says in problem.text


def test_a_wrong_number_on_the_vehicle_itself_is_a_finding(tmp_path: Path) -> None:
    folder = site(tmp_path, ("否", "铭牌上是 1M8GDM9A1KP042788"), ("是", GOOD[1]))
    params = checklist(2)
    found = analyse(record(folder, capture, params), params, 1)
    assert found.number(Answer.YES) == 1
    assert codes(found.validity) == {"INS-V06": "warning"}
    assert "应为 X" in found.validity[0].text


def test_one_vehicle_is_not_two_models(tmp_path: Path) -> None:
    folder = site(tmp_path, ("是", GOOD[0]), ("是", f"又见 {GOOD[0].lower()}"))
    params = checklist(2)
    found = analyse(record(folder, capture, params), params, 1)
    assert codes(found.validity) == {"INS-V07": "invalid"}


def test_the_question_stays_without_numbers_where_none_are_asked(tmp_path: Path) -> None:
    folder = site(tmp_path, ("是", "铭牌清晰"))
    params = checklist(1)
    params = params.model_copy(update={"items": (params.items[0].model_copy(update={"identifier": None}),)})
    found = analyse(record(folder, capture, params), params, 1)
    assert (found.number(Answer.YES), found.validity) == (1, ())
    assert "车辆识别代号" not in blank_sheet(params.items)
    assert "车辆识别代号" in blank_sheet(checklist(1).items)
