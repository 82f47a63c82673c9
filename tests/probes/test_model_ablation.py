"""A model that is said to see: answers must change with the picture, and the evidence for it must be whole."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from records_support import MemoryEvidence, codes, record

from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Validity
from yanshou.probes.model_latency.ablation import pictures, png, variants
from yanshou.probes.model_latency.analyse import analyse
from yanshou.probes.model_latency.capture import capture
from yanshou.probes.model_latency.reference import serving
from yanshou.probes.model_latency.server import LOOPBACK, Behaviour
from yanshou.probes.model_latency.spec import Params

COUNT, ABLATED = 40, 12


def question(number: int, picture: str) -> dict[str, Any]:
    parts = [
        {"type": "text", "text": f"{number * 7919} 图里是什么"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    return {"messages": [{"role": "user", "content": parts}]}


def pool(folder: Path, *, same: bool = False, blind: bool = False) -> None:
    draw = random.Random(3)
    picture = png(8, 8, draw.randbytes(64))
    lines = []
    for n in range(COUNT + 2):
        picture = picture if same else png(8, 8, draw.randbytes(64))
        lines.append(json.dumps({"prompt": f"{n}"} if blind else question(n, picture)))
    (folder / "pool.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(folder: Path, behaviour: Behaviour) -> tuple[dict[str, bytes], Params]:
    with serving(behaviour, []) as port:
        params = given(port)
        evidence = record(folder, capture, params)
    return {name: evidence.open(name).read() for name in evidence.streams()}, params


def given(port: int) -> Params:
    url = f"http://{LOOPBACK}:{port}/v1/chat/completions"
    return Params.model_validate(
        {"kind": "openai", "url": url, "pool": "pool.jsonl", "metric": "e2e", "count": COUNT, "warmup": 2, "quiet_s": 0,
         "ablate": ABLATED}
    )  # fmt: skip


def found(streams: Mapping[str, bytes], params: Params) -> Validity:
    (finding,) = [v for v in analyse(MemoryEvidence(streams), params, 1).validity if v.code == "LAT-V20"]  # type: ignore[arg-type]
    return finding


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Params]:
    folder = tmp_path_factory.mktemp("seeing")
    pool(folder)
    return measured(folder, Behaviour(tokens=3))


def test_a_model_that_sees_answers_otherwise(seeing: tuple[dict[str, bytes], Params]) -> None:
    finding = found(*seeing)
    assert finding.severity == "info"
    assert finding.text == f"{ABLATED} 个输入中，换图后答案不变的 0 个，涂白后不变的 0 个"
    assert seeing[0]["ablation.csv"].count(b"\n") == 1 + 3 * ABLATED


def test_a_model_that_does_not_look_is_void(tmp_path: Path) -> None:
    pool(tmp_path)
    finding = found(*measured(tmp_path, Behaviour(tokens=3, blind=True)))
    assert (finding.severity, "模型没有看图" in finding.text) == ("invalid", True)


def lines(streams: Mapping[str, bytes]) -> list[list[str]]:
    return [line.split(",") for line in streams["ablation.csv"].decode().splitlines()]


def changed(streams: Mapping[str, bytes], rows: list[list[str]]) -> dict[str, bytes]:
    return {**streams, "ablation.csv": "".join(",".join(row) + "\n" for row in rows).encode()}


def test_one_that_answers_at_random_proves_nothing(seeing: tuple[dict[str, bytes], Params]) -> None:
    streams, params = seeing
    rows = [[*row[:4], f"{n:016x}"] if row[1] == "same" else row for n, row in enumerate(lines(streams))]
    finding = found(changed(streams, rows), params)
    assert (finding.severity, "消融说明不了什么" in finding.text) == ("warning", True)


@pytest.mark.parametrize("damage", ["cut", "failed", "other input", "no swap", "gone"])
def test_what_was_not_done_whole_proves_nothing(seeing: tuple[dict[str, bytes], Params], damage: str) -> None:
    streams, params = seeing
    rows = lines(streams)
    if damage == "cut":
        rows = rows[:-1]
    elif damage == "failed":
        rows[5][2] = "timeout"
    elif damage == "other input":
        rows[1][3] = "0" * 16
    elif damage == "no swap":
        rows[2][3] = rows[1][3]
    whole = changed(streams, rows)
    if damage == "gone":
        del whole["ablation.csv"]
    finding = found(whole, params)
    assert (finding.severity, "没有做全" in finding.text) == ("invalid", True)


def test_without_it_nothing_is_said(seeing: tuple[dict[str, bytes], Params]) -> None:
    streams, params = seeing
    plain = params.model_copy(update={"ablate": 0})
    assert "LAT-V20" not in codes(analyse(MemoryEvidence(streams), plain, 1).validity)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [{"blind": True}, {"same": True}])
def test_a_pool_that_cannot_be_swapped_is_refused_before_anything_is_asked(
    tmp_path: Path, kind: dict[str, bool]
) -> None:
    pool(tmp_path, **kind)
    with pytest.raises(ProbeError, match="LAT-E02"):
        record(tmp_path, capture, given(9))


def test_pictures_are_found_and_replaced_wherever_they_are() -> None:
    one, two = png(1, 2, b"\0\1"), png(1, 2, b"\2\3")
    inputs = [{"frame": [{"camera": one}], "text": "x"}, {"frame": [{"camera": two}], "text": "y"}]
    asked = list(variants(inputs, 2))
    assert [variant for _, variant, _ in asked] == ["same", "swapped", "blank"] * 2
    assert pictures(asked[1][2]) == [two]
    assert asked[1][2]["text"] == "x"
    blank = Image.open(io.BytesIO(base64.b64decode(pictures(asked[2][2])[0].partition(",")[2])))
    assert (blank.size, blank.mode, blank.getextrema()) == ((224, 224), "L", (128, 128))
