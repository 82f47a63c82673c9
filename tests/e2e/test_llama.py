"""A real language model behind llama.cpp's own server, measured through the command line. Asked for by `make llm`, else skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import llama
from tests.e2e.support import record_of, yanshou

pytestmark = pytest.mark.skipif(
    not llama.PLACE, reason="make llm installs llama.cpp and a model, and sets YANSHOU_LLAMA"
)
COUNT = 20
SMALLER = 6
"""Layers that are left of eighteen."""


def measured(folder: Path, counted: Path, port: int) -> dict[str, dict]:
    case = llama.write_case(folder, counted, port, COUNT)
    assert yanshou("plan", "--freeze", case).returncode == 0
    done = yanshou("run", case, timeout=900)
    assert done.returncode in (1, 3), done.stdout + done.stderr  # too small a model, too few samples
    return {finding["indicator"]: finding for finding in record_of(case)["findings"]}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    with llama.serving(llama.MODEL) as port:
        return measured(tmp_path_factory.mktemp("llama") / "case", llama.MODEL, port)


def codes(finding: dict) -> dict[str, str]:
    return {v["code"]: v["severity"] for v in finding["validity"]}


def test_what_serves_is_what_was_counted(findings: dict[str, dict]) -> None:
    found = findings["S04-I01"]
    assert (found["figure"]["net"], found["verdict"]) == (llama.TRUE_PARAMETERS, "fail")  # committed: 7 B
    assert codes(found) == {"WGT-V07": "info", "WGT-V15": "info"}


def test_first_token_each_token_and_whole_answer_stand_side_by_side(findings: dict[str, dict]) -> None:
    found = findings["S04-P01"]
    assert codes(found)["LAT-V03"] == "invalid"  # twenty are no measurement, and it says so
    assert "LAT-V07" not in codes(found)
    median = {q["name"]: q["readings"]["p50"] for q in found["quantities"]}
    assert 0 < median["tpot"] < median["ttft"] < found["readings"]["p50"]


def smaller(path: Path) -> Path:
    """The same model without most of its layers: smaller, real, and it answers."""
    import gguf

    reader = gguf.GGUFReader(llama.MODEL)
    text = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, text)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kind, inner = field.types[0], field.types[-1]
        value = SMALLER if key == f"{text}.block_count" else field.contents()
        writer.add_key_value(key, value, kind, sub_type=inner if kind is gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        if not tensor.name.startswith("blk.") or int(tensor.name.split(".")[1]) < SMALLER:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_smaller_model_under_a_larger_name_does_not_pass(tmp_path: Path) -> None:
    other = smaller(tmp_path / "small.gguf")
    with llama.serving(other, "--alias", "gemma-7B") as port:
        found = measured(tmp_path / "case", llama.MODEL, port)["S04-I01"]
    assert found["verdict"] == "invalid"
    assert codes(found) == {"WGT-V06": "invalid", "WGT-V15": "invalid"}
    (text,) = [v["text"] for v in found["validity"] if v["code"] == "WGT-V15"]
    assert "在用的不是计数的模型" in text
