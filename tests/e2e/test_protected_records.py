"""Counting records by the command line: a protected export, from the site key to every row that was left out."""

from __future__ import annotations

import csv
import gzip
import stat
from pathlib import Path

import pytest

from tests.e2e.support import EXPORTED, device_export, export_counting, finding, yanshou


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A self-check of S10-I02 whose serial numbers are protected."""
    folder = tmp_path / "case"
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs/devices.csv").write_text(device_export(), encoding="utf-8")
    (folder / "case.yaml").write_text(
        f"""yanshou: 1
list: wuhan-2024
scenario: 10
mode: self-check
project: {{name: 设备自检, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 车间}}
commitments:
  S10-I02:
    baseline: 20 台
    target: 不少于100台(套)
    define: {{counting: 按序列号去重, window: 四周, simultaneity: 曾在线, path: 5G}}
measure:
  S10-I02:
{export_counting(30)}      protect: [设备序列号]
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("YANSHOU_SITE_KEY", str(tmp_path / "site.key"))
    return folder


def test_a_protected_export_from_the_site_key_to_the_trace(case: Path, tmp_path: Path) -> None:
    made = yanshou("key", "site", tmp_path / "site.key")
    assert made.returncode == 0, made.stderr
    assert yanshou("key", "site", tmp_path / "site.key").returncode == 2  # a key is never overwritten
    assert yanshou("plan", case, "--freeze").returncode == 0
    assert yanshou("sample", case).returncode == 0
    sheet = case / "inputs/audit.csv"
    header, *drawn = csv.reader(sheet.read_text(encoding="utf-8").splitlines())
    assert all(key.startswith("WH5G") for key, *_ in drawn)
    with sheet.open("w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([header, *([key, "好", ""] for key, *_ in drawn)])
    early = yanshou("trace", "S10-I02", case)
    assert (early.returncode, "T-RUN" in early.stderr) == (2, True)
    ran = yanshou("run", case)
    assert ran.returncode in (0, 3), ran.stderr
    assert finding(case, "S10-I02")["value"] == EXPORTED
    (rows,) = case.glob("runs/*/rows.csv.gz")
    assert b"WH5G" not in gzip.decompress(rows.read_bytes())

    listed = tmp_path / "left-out.csv"
    assert yanshou("trace", "S10-I02", case, "-o", listed).returncode == 0
    columns, *left = csv.reader(listed.read_text(encoding="utf-8").splitlines())
    assert columns == ["row", "reason", "设备序列号"]
    reasons = [reason for _, reason, _ in left]
    assert {code: reasons.count(code) for code in reasons} == {
        "REC-X-DUP": 12,
        "TEST": 6,
        "REC-X-WINDOW": 4,
        "REC-X-KEY": 2,
    }
    export = list(csv.reader((case / "inputs/devices.csv").read_text(encoding="utf-8").splitlines()))
    assert all(export[int(row)][2] == "测试" for row, reason, _ in left if reason == "TEST")

    inside = yanshou("reidentify", listed, case / "names.csv", case)
    assert (inside.returncode, "T-PLACE" in inside.stderr) == (2, True)
    named = tmp_path / "names.csv"
    assert yanshou("reidentify", listed, named, case).returncode == 0
    assert stat.S_IMODE(named.stat().st_mode) == 0o600, "names are for whoever goes and looks"
    missing = yanshou("reidentify", tmp_path / "none.csv", tmp_path / "other.csv", case)
    assert (missing.returncode, "读不出来：没有这个文件" in missing.stderr) == (2, True), missing.stderr
    _, *names = csv.reader(named.read_text(encoding="utf-8").splitlines())
    assert all(key.startswith("WH5G") for _, reason, key in names if reason == "REC-X-DUP")
    assert not any(key.startswith("h:") for *_, key in names)

    assert yanshou("report", case).returncode == 0
    verified = yanshou("verify", case)
    assert verified.returncode == 0, verified.stdout
