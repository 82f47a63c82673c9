"""A project's own indicators as docs/self-declared.md writes them: checked, measured, judged, reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from yanshou.harness.case import load_case
from yanshou.harness.check import check_case
from yanshou.harness.engine import draft, freeze_case, run_case
from yanshou.harness.listing import load_list
from yanshou.harness.recording import Selection
from yanshou.probes.xr_frames import reference
from yanshou.reports.render import render

DOCUMENT = Path(__file__).parents[2] / "docs/self-declared.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
HEAD = """yanshou: 1
list: wuhan-2024
mode: self-check
project: {name: 自报指标, lead: {name: 某单位}}
target: {kind: lab, site: 本机}
"""


def write(folder: Path, scenario: int) -> Path:
    text = next(e for e in EXAMPLES if e.startswith(f"scenario: {scenario}\n"))
    (folder / "case.yaml").write_text(HEAD + text, encoding="utf-8")
    (folder / "inputs").mkdir(exist_ok=True)
    return folder


def problems(folder: Path, *rules: str) -> list[str]:
    found = check_case(load_case(folder), load_list())
    return [p.text for p in found if p.code in rules]


@pytest.mark.parametrize("scenario", [3, 7])
def test_the_documents_examples_are_sound(tmp_path: Path, scenario: int) -> None:
    folder = write(tmp_path, scenario)
    mine = [
        text for text in problems(folder, "C02", "C06", "C07") if re.search(r"S0[37]-(P|Q05|Q01)", text.split(" ")[0])
    ]
    assert mine == []
    plan = draft(folder).plan
    assert all(i.instrument for i in plan.indicators)


@pytest.mark.parametrize(
    ("usual", "stalls", "verdict"), [(13.9, 5, "pass"), (14.0, 45, "inconclusive"), (14.0, 200, "fail")]
)
def test_slow_frames_of_a_log_against_a_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: float, stalls: int, verdict: str
) -> None:
    monkeypatch.setattr(reference, "POINTS", reference.POINTS[:1])  # the page's is at work in test_xr_frames.py
    folder = write(tmp_path, 7)
    times = reference.frame_log(folder / "inputs/frames.csv", usual, 5, frames=12_000, stalls=stalls, stall_ms=20.0)
    freeze_case(folder)
    record = run_case(folder, selection=Selection(["S07-Q01"])).record
    found = next(f for f in record["findings"] if f["indicator"] == "S07-Q01")
    assert (found["verdict"], found["statistic"], found["unit"]) == (verdict, "tail1", "fps")
    slowest = sorted(times)[-120:]
    assert found["value"] == pytest.approx(1000 * len(slowest) / sum(slowest), rel=0.02)
    assert found["lower"] < found["value"] < found["upper"]
    figure = found["figure"]
    assert (figure["unit"], figure["limit"]["op"]) == ("ms", "<=")
    assert figure["limit"]["value"] == 16.67
    assert figure["point"] == pytest.approx(1000 / found["value"])
    if verdict == "pass":
        page = render(record, folder / "report")["report.html"].read_text(encoding="utf-8")
        for text in ("最慢 1% 的平均", "≥\u00a060\u00a0fps", "P99 帧时间/ms", "最慢 1% 帧的帧率/fps"):
            assert text in page


def test_more_in_a_year_than_before(tmp_path: Path) -> None:
    folder = write(tmp_path, 3)
    for name, number, year in (("before", 1000, 2024), ("after", 1250, 2025)):
        rows = "".join(f"T{n},{year}-05-{n % 28 + 1:02d}\n" for n in range(number))
        (folder / f"inputs/{name}.csv").write_text(f"图纸,审毕\n{rows}", encoding="utf-8")
    freeze_case(folder)
    (found,) = run_case(folder).record["findings"]
    assert (found["verdict"], found["value"], found["change"]["before"]["unit"]) == ("pass", 25, "份")
