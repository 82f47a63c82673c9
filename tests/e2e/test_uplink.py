"""A vehicle behind a mirror port, through the command line: what the uplink shows decides whether a fast answer passes."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.support import finding, yanshou
from tests.namespaces import AVAILABLE, segment
from tests.probes import vehicle_support
from yanshou.probes.model_latency.reference import write_pool

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not AVAILABLE, reason="needs root and iproute2 for network namespaces"),
]


def measure(folder: Path, asks_cloud: bool) -> Path:
    """The case of a vehicle that answers in a few milliseconds, measured."""
    folder.mkdir()
    write_pool(folder / "pool.jsonl", 720)
    with segment(folder.name) as (near, car, cloud):
        params = {
            "kind": "json", "url": f"http://{car.address}:{vehicle_support.SERVICE}/", "answer": "action", "pool": "pool.jsonl",
            "metric": "e2e", "count": 700, "warmup": 10, "quiet_s": 2, "uplink": "mirror0",
        }  # fmt: skip
        (folder / "case.yaml").write_text(
            f"""yanshou: 1
list: wuhan-2024
scenario: 1
mode: self-check
project: {{name: 车端推理自检, lead: {{name: 某单位}}}}
target: {{kind: lab, site: 网络命名空间}}
commitments:
  S01-P01: {{name: 决策时延, kind: measured, baseline: 2 s, target: ≤ 1 s}}
measure:
  S01-P01:
    probe: model.latency
    params: {json.dumps(params)}
    rule: {{statistic: p50}}
""",
            encoding="utf-8",
        )
        # Without a loopback address there is no standard, so that a self-check measures at once.
        subprocess.run([*near.inside, "ip", "addr", "flush", "dev", "lo"], check=True)
        behaviour = {"cloud": cloud.address, "telemetry_hz": 2} | ({"clouds": ["fd00::3"]} if asks_cloud else {})
        script = str(Path(vehicle_support.__file__))
        with (
            subprocess.Popen([*cloud.inside, sys.executable, script, "cloud"], stdout=subprocess.PIPE) as there,
            subprocess.Popen(
                [*car.inside, sys.executable, script, "vehicle", car.address, json.dumps(behaviour)],
                stdout=subprocess.PIPE,
            ) as here,
        ):
            for child in (there, here):
                assert child.stdout
                child.stdout.readline()
            assert yanshou("plan", folder, "--freeze").returncode == 0
            ran = yanshou("run", folder, prefix=near.inside)
            print(ran.stdout, ran.stderr)
            there.kill()
            here.kill()
    return folder


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("uplink")
    with ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(measure, place / name, name == "remote") for name in ("onboard", "remote")}
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize(
    ("name", "verdict", "severity"), [("onboard", "pass", "info"), ("remote", "invalid", "invalid")]
)
def test_what_tracks_the_requests_blocks_a_pass(cases: dict[str, Path], name: str, verdict: str, severity: str) -> None:
    result = finding(cases[name], "S01-P01")
    told = {v["code"]: v for v in result["validity"]}
    assert result["verdict"] == verdict, told
    assert (told["LAT-V22"]["severity"], told["LAT-V23"]["severity"]) == (severity, "info")
    assert ("fd00::3" in told["LAT-V22"]["text"]) is (name == "remote")


def test_it_replays(cases: dict[str, Path]) -> None:
    verified = yanshou("verify", cases["remote"])
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_report_says_so_in_chinese(cases: dict[str, Path]) -> None:
    done = yanshou("report", cases["remote"])
    assert done.returncode in (0, 3), done.stdout + done.stderr
    page = (cases["remote"] / "report" / "report.html").read_text(encoding="utf-8")
    for words in ("上行监听", "上行对端", "有往来的请求", "测量时在本机哪个接口上监听"):
        assert words in page
    assert "share_with_arrivals" not in page.split("<script", 1)[0]
