"""Triggers and actuations of real log files, paired by their frame and by nothing else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import can
import numpy as np
import pytest
from mcap.writer import Writer as JsonWriter
from mcap_ros2._dynamic import serialize_dynamic
from mcap_ros2.writer import Writer as Ros2Writer
from pydantic import ValidationError
from records_support import MemoryEvidence, codes, record

from tests.probes.standards import recorded
from yanshou.harness.basics import ProbeError
from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Samples
from yanshou.probes.model_actuation.analyse import LEAST, analyse
from yanshou.probes.model_actuation.capture import capture
from yanshou.probes.model_actuation.reference import DBC, NUMBER, POINTS, SIGNALS, standard, write_log
from yanshou.probes.model_actuation.spec import SPEC, Params, estimate

MS = 1_000_000
ROS = {
    "trigger": "/camera", "trigger_frame": "header.stamp", "actuation": "/brake", "actuation_frame": "based_on",
}  # fmt: skip


def given(**changes: Any) -> Params:
    return Params.model_validate({"file": "log.blf", "dbc": "log.dbc", **SIGNALS, **changes})


def measure(folder: Path, params: Params) -> tuple[RunEvidence, Samples]:
    (folder / "log.dbc").write_text(DBC, encoding="ascii")
    evidence = record(folder, capture, params)
    return evidence, analyse(evidence, params, 1)


def events(*rows: tuple[str, float, object], **counts: int) -> MemoryEvidence:
    """Evidence of (kind, ms, frame)."""
    lines = ["kind,t_ns,frame", *(f"{kind},{round(at * MS)},{frame}" for kind, at, frame in rows)]
    number = {k: sum(r[0] == k for r in rows) for k in ("trigger", "actuation")}
    session = {"counts": {"messages": len(rows), **number, **counts}}
    return MemoryEvidence(
        {"events.csv": "\n".join(lines).encode() + b"\n", "session.json": json.dumps(session).encode()}
    )


def good(number: int = LEAST, delay: float = 30.0, period: float = 1000.0) -> list[tuple[str, float, object]]:
    rows = [("trigger", n * period, n) for n in range(number)]
    rows += [("actuation", n * period + delay, n) for n in range(number)]
    return sorted(rows, key=lambda row: row[1])


def judged(rows: Sequence[tuple[str, float, object]], timeout_s: float = 0.9, **counts: int) -> Samples:
    return analyse(events(*rows, **counts), given(timeout_s=timeout_s), 1)  # type: ignore[arg-type]


def test_messages_that_cannot_be_decoded_accuse_nobody() -> None:
    """Two frames that nobody could read are not the same frame."""
    rows = sorted([*good(), ("actuation", 10_100.0, ""), ("trigger", 10_200.0, "")], key=lambda row: row[1])
    found = judged(rows, undecodable=2)
    assert codes(found.validity) == {"ACT-V02": "warning", "ACT-V06": "warning", "ACT-V10": "warning"}
    assert int(np.isinf(found.values).sum()) == 1


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_recovered(tmp_path: Path, true_value: float) -> None:
    evidence, params, truth = recorded(standard, Params.model_validate, capture, true_value, tmp_path, 7)
    found = analyse(evidence, params, 7)
    assert abs(float(np.median(found.values)) / MS - truth["true"]) <= SPEC.tolerance
    assert found.values.size == NUMBER
    assert codes(found.validity) == {"ACT-V08": "warning"}


@pytest.mark.parametrize("kind", ["blf", "asc"])
def test_each_trigger_gets_its_own_delay_though_frames_overtake(tmp_path: Path, kind: str) -> None:
    delays = write_log(tmp_path / f"log.{kind}", 100.0, 3)
    _, found = measure(tmp_path, given(file=f"log.{kind}"))
    assert np.abs(found.values / MS - delays).max() <= 0.01
    nearest = [min(d for n, d in enumerate(delays[k : k + 1] + delays[k - 1 : k])) for k in range(1, 5)]
    assert nearest != delays[1:5], "pairing by nearness would be another number"


def ros_log(path: Path, delays: Sequence[float]) -> None:
    with path.open("wb") as f, Ros2Writer(f) as log:
        stamp = log.register_msgdef(
            "demo_msgs/msg/Frame",
            "std_msgs/Header header\n===\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
            "===\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec",
        )
        brake = log.register_msgdef(
            "demo_msgs/msg/Brake",
            "builtin_interfaces/Time based_on\n===\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec",
        )
        for n, delay in enumerate(delays):
            at = {"sec": 1_700_000_000 + n, "nanosec": 5}
            here = (1_700_000_000 + n) * 1000 * MS
            log.write_message(
                "/camera", stamp, {"header": {"stamp": at, "frame_id": "x"}}, here, publish_time=here - 7 * MS
            )
            log.write_message("/brake", brake, {"based_on": at}, here + round(delay * MS), publish_time=here)


def test_ros2_in_mcap_by_log_time_and_the_stamp_that_was_handed_through(tmp_path: Path) -> None:
    delays = [40.0 + n % 7 for n in range(LEAST)]
    ros_log(tmp_path / "drive.mcap", delays)
    evidence, found = measure(tmp_path, given(file="drive.mcap", dbc=None, **ROS))
    assert found.values.tolist() == [d * MS for d in delays]
    assert found.validity == ()
    assert set(evidence.streams()) == {"events.csv", "session.json"}
    assert found.facts["log"]["file"] == "drive.mcap"


FRAME, BRAKE = "demo_msgs/msg/Frame", "demo_msgs/msg/Brake"
STAMP = "builtin_interfaces/Time {}\n===\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec"


def bag(path: Path, delays: Sequence[float], *, definitions: bool = True, data: bytes | None = None) -> None:
    """As rosbag2 writes it into SQLite: rows by when they came, not by what they are about."""
    types = {FRAME: STAMP.format("stamp"), BRAKE: STAMP.format("based_on")}
    encode = {kind: serialize_dynamic(kind, text)[kind] for kind, text in types.items()}
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
        db.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
        if definitions:
            db.execute(
                "CREATE TABLE message_definitions(topic_type TEXT, encoding TEXT, encoded_message_definition TEXT)"
            )
            db.executemany("INSERT INTO message_definitions VALUES (?, 'ros2msg', ?)", types.items())
        db.executemany("INSERT INTO topics VALUES (?, ?, ?, 'cdr')", [(1, "/camera", FRAME), (2, "/brake", BRAKE)])
        for n, delay in reversed(list(enumerate(delays))):
            at = {"sec": 1_700_000_000 + n, "nanosec": 5}
            here = (1_700_000_000 + n) * 1000 * MS
            rows = [
                (2, here + round(delay * MS), encode[BRAKE]({"based_on": at})),
                (1, here, encode[FRAME]({"stamp": at})),
            ]
            db.executemany("INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)", rows)
        if data is not None:
            db.execute("UPDATE messages SET data = ? WHERE id = 2", (data,))


def test_ros2_in_sqlite_by_the_recorders_time(tmp_path: Path) -> None:
    delays = [40.0 + n % 7 for n in range(LEAST)]
    bag(tmp_path / "drive.db3", delays)
    told = given(file="drive.db3", dbc=None, **{**ROS, "trigger_frame": "stamp"})
    _, found = measure(tmp_path, told)
    assert found.values.tolist() == [d * MS for d in delays]
    assert found.validity == ()
    bag(tmp_path / "odd.db3", delays, data=b"\0\1\0\0")
    _, found = measure(tmp_path, told.model_copy(update={"file": "odd.db3"}))
    assert int(np.isinf(found.values).sum()) == 1  # a frame that cannot be read was never acted on


def test_a_bag_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    told = {"file": "drive.db3", "dbc": None, **ROS, "trigger_frame": "stamp"}
    bag(tmp_path / "drive.db3", [1.0], definitions=False)
    assert "没有 demo_msgs/msg/" in refused(tmp_path, given(**told))
    bag(tmp_path / "b.db3", [1.0])
    assert "是不是“/brake”" in refused(tmp_path, given(**{**told, "file": "b.db3", "actuation": "/brakes"}))
    (tmp_path / "c.db3").write_bytes(b"no database at all")
    assert "ACT-E02 c.db3 读不下去" in refused(tmp_path, given(**{**told, "file": "c.db3"}))


def test_json_in_mcap(tmp_path: Path) -> None:
    with (tmp_path / "drive.mcap").open("wb") as f:
        log = JsonWriter(f)
        log.start()
        schema = log.register_schema("x", "jsonschema", b"{}")
        for topic, body, at in (
            ("/in", {"seq": 4}, 10),
            ("/out", {"why": [], "frame": {"id": 4}}, 60),
            ("/out", {}, 70),
        ):
            channel = log.register_channel(topic, "json", schema)
            log.add_message(channel, at * MS, json.dumps(body).encode(), at * MS)
        log.finish()
    names = {"trigger": "/in", "trigger_frame": "seq", "actuation": "/out", "actuation_frame": "frame.id"}
    _, found = measure(tmp_path, given(file="drive.mcap", dbc=None, **names))
    assert found.values.tolist() == [50 * MS]
    assert {"ACT-V07": "invalid", "ACT-V10": "warning"}.items() <= codes(found.validity).items()


def test_an_honest_log_has_no_findings() -> None:
    found = judged(good())
    assert (found.validity, set(found.values)) == ((), {30.0 * MS})


def test_a_trigger_without_an_actuation_stays_and_exceeds() -> None:
    rows = [row for row in good() if row not in (("actuation", 5030.0, 5), ("actuation", 9030.0, 9))]
    rows = [("actuation", 12_950.0, 12) if row == ("actuation", 12_030.0, 12) else row for row in rows]
    found = judged(rows)
    assert np.flatnonzero(np.isinf(found.values)).tolist() == [5, 9, 12]
    assert codes(found.validity) == {"ACT-V02": "warning", "ACT-V06": "warning"}


def test_the_first_actuation_counts_and_a_wrong_frame_never() -> None:
    rows = sorted([*good(), ("actuation", 5100.0, 5), ("actuation", 7010.0, 9999)], key=lambda row: row[1])
    found = judged(rows)
    assert set(found.values) == {30.0 * MS}
    assert codes(found.validity) == {"ACT-V06": "warning"}


def swapped(rows: list[Any]) -> list[Any]:
    return [*rows[:9], rows[10], rows[9], *rows[11:]]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (sorted([*good(), ("trigger", 5500.0, 5)], key=lambda r: r[1]), {"ACT-V03": "invalid", "ACT-V02": "warning"}),
        (swapped(good()), {"ACT-V04": "invalid"}),
        ([("actuation", 1.0, 0), ("trigger", 2.0, 0), *good()[1:]], {"ACT-V05": "invalid"}),
        (good(LEAST - 1), {"ACT-V07": "invalid"}),
        (good(period=900.0), {"ACT-V08": "warning"}),
        ([row for row in good(LEAST + 2) if row[2] not in (50, 51)], {"ACT-V09": "warning"}),
        ([], {"ACT-V07": "invalid", "ACT-V08": "warning"}),
    ],
)
def test_what_forbids_trust_is_named(rows: list[Any], found: dict[str, str]) -> None:
    assert codes(judged(rows).validity) == found


def test_frames_that_are_no_count_have_no_gaps() -> None:
    rows = [(kind, at, f"f{frame}") for kind, at, frame in good() if frame not in (50, 51)]
    assert codes(judged(rows).validity) == {"ACT-V07": "invalid"}
    assert codes(judged([(k, at, int(f) % 200) for k, at, f in good()]).validity) == {}, "a count that comes round"


def torn(whole: dict[str, bytes]) -> None:
    whole["events.csv"] = whole["events.csv"][:-30]


def nonsense(whole: dict[str, bytes]) -> None:
    whole["events.csv"] += b"trigger,-5,9\nwhatever\n"


def unfinished(whole: dict[str, bytes]) -> None:
    del whole["session.json"]


def gone(whole: dict[str, bytes]) -> None:
    del whole["events.csv"]


@pytest.mark.parametrize("damage", [torn, nonsense, unfinished, gone])
def test_damaged_evidence_is_void_and_never_an_exception(damage: Callable[[dict[str, bytes]], None]) -> None:
    whole = dict(events(*good())._streams)
    damage(whole)
    assert codes(analyse(MemoryEvidence(whole), given(timeout_s=0.9), 1).validity)["ACT-V01"] == "invalid"  # type: ignore[arg-type]


def refused(folder: Path, params: Params) -> str:
    with pytest.raises(ProbeError) as caught:
        measure(folder, params)
    assert "\n" not in str(caught.value.problem)
    assert caught.value.problem.remedy
    return str(caught.value.problem)


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    write_log(tmp_path / "log.blf", 20.0, 1)
    assert "ACT-E01 找不到日志 lag.blf（是不是“log.blf”？）" in refused(tmp_path, given(file="lag.blf"))
    assert "ACT-E01 受检对象" in refused(tmp_path, given(file=None, files={"甲": "log.blf"}))
    assert "是不是“Camera”" in refused(tmp_path, given(trigger="Kamera"))
    assert "ACT-E03 报文 Brake 没有信号 Frame" in refused(tmp_path, given(actuation_frame="Frame"))
    ros_log(tmp_path / "drive.mcap", [1.0])
    ros = {"file": "drive.mcap", "dbc": None, **ROS}
    assert "是不是“/brake”" in refused(tmp_path, given(**{**ros, "actuation": "/brakes"}))
    (tmp_path / "cut.mcap").write_bytes((tmp_path / "drive.mcap").read_bytes()[:300])
    assert "ACT-E02 cut.mcap 读不下去" in refused(tmp_path, given(**{**ros, "file": "cut.mcap"}))
    (tmp_path / "odd.blf").write_bytes(b"no log at all" * 20)
    assert "ACT-E02 odd.blf 读不下去" in refused(tmp_path, given(file="odd.blf"))


def test_a_bad_dbc_and_a_missing_library_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(tmp_path / "log.blf", 20.0, 1)
    (tmp_path / "bad.dbc").write_text("BO_ nothing", encoding="ascii")
    assert "ACT-E02 bad.dbc 不是能读的 DBC" in refused(tmp_path, given(dbc="bad.dbc"))
    monkeypatch.setitem(__import__("sys").modules, "can", None)
    assert "ACT-E05 没有安装读 .blf 日志的 can" in refused(tmp_path, given())


def test_a_trigger_that_says_no_frame_stays_and_exceeds(tmp_path: Path) -> None:
    with can.Logger(str(tmp_path / "log.blf")) as log:
        for n, data in enumerate((b"\1\0" + bytes(6), b"\1")):
            log(can.Message(timestamp=10.0 + n, arbitration_id=256, is_extended_id=False, data=data))
    _, found = measure(tmp_path, given())
    assert np.isinf(found.values).tolist() == [True, True]
    assert codes(found.validity)["ACT-V10"] == "warning"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"file": None}, "至少写一个"),
        ({"file": "bag.bag"}, "不是 .blf"),
        ({"dbc": None}, "要写 dbc"),
        ({"actuation": "Camera", "actuation_frame": "Frame"}, "同一个信号"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
)
def test_parameters_that_make_no_sense(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        given(**changes)


def test_estimate_takes_no_time() -> None:
    assert (estimate(given(), 400).seconds, estimate(given(), 400).samples) == (0.0, 400)
