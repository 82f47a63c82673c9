"""Motion to photon: frames that people counted in a video, and what these come to in milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from records_support import codes, record

from yanshou.harness.basics import UserError
from yanshou.harness.model import Answer
from yanshou.probes.inspection.analyse import analyse
from yanshou.probes.inspection.capture import capture
from yanshou.probes.inspection.spec import Params, blank_sheet
from yanshou.probes.inspection.video import written


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("240 fps，5、6、5、7 帧", (240.0, (5, 6, 5, 7))),
        ("相机 ９６０帧/秒；从转头到画面变化 12,13 , 11帧", (960.0, (12, 13, 11))),
        ("共 4 帧，239.76FPS", (239.76, (4,))),
        ("240 fps", None),
        ("5、6 帧", None),
        ("240 fps 或 120 fps，5 帧", None),
        ("0 fps，5 帧", None),
        ("很快", None),
    ],
)
def test_a_count_is_read_in_one_way(text: str, count: tuple[float, tuple[int, ...]] | None) -> None:
    found = written(text)
    assert (found and (found.fps, found.frames)) == count


def test_the_arithmetic_states_one_frame_of_the_camera() -> None:
    count = written("250 fps，5、6、5、7 帧")
    assert count is not None
    told = count.to_json()
    assert (told["least_ms"], told["median_ms"], told["greatest_ms"]) == (20.0, 22.0, 28.0)
    assert (told["resolution_ms"], told["no_more_than_ms"], told["n"]) == (4.0, 32.0, 4)


ITEM = {"id": "M1", "text": "动显时延", "expected": "逐次不超过 20 ms", "method": "操作", "identifier": "video"}
PARAMS = Params.model_validate({"sheet": "sheet.yaml", "items": [ITEM]})


def site(folder: Path, observed: str, answer: str = "是") -> Path:
    (folder / "video.mp4").write_bytes(b"video")
    (folder / "sheet.yaml").write_text(
        f"items:\n  M1: {{answer: {answer}, observed: '{observed}', inspector: 甲, witness: 乙, "
        "time: '2025-03-01 09:00', evidence: [{file: video.mp4}]}\n",
        encoding="utf-8",
    )
    return folder


def test_a_counted_video_is_in_the_record(tmp_path: Path) -> None:
    found = analyse(record(site(tmp_path, "240 fps，" + "、".join("4565" * 3) + " 帧"), capture, PARAMS), PARAMS, 1)
    assert found.items[0].answer is Answer.YES
    assert found.facts["motion_to_photon"]["M1"]["n"] == 12
    assert found.facts["motion_to_photon"]["M1"]["median_ms"] == pytest.approx(1000 * 5 / 240)
    assert codes(found.validity) == {}


def test_few_movements_are_named_and_a_yes_without_a_count_is_refused(tmp_path: Path) -> None:
    few = analyse(record(site(tmp_path, "240 fps，5 帧"), capture, PARAMS), PARAMS, 1)
    assert codes(few.validity) == {"INS-V15": "warning"}
    with pytest.raises(UserError, match=r"INS-E11.*读不出相机帧率"):
        record(site(tmp_path, "看上去很快"), capture, PARAMS)


def test_the_sheet_says_how_to_write_it() -> None:
    assert "240 fps，5、6、5、7 帧" in blank_sheet(PARAMS.items)
