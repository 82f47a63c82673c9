"""Who counts and why not: every status, every reason and every finding of the devices probe from evidence built by hand."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from pydantic import ValidationError

from tests.probes.devices_support import (
    HEADER,
    MQTT,
    REGISTER,
    START,
    Said,
    TreeEvidence,
    count,
    evidence,
    jsonl,
    mqtt,
    params,
    row,
    status,
    table,
    wander,
)
from tests.probes.records_support import MemoryEvidence, codes, excluded, record
from yanshou.harness.basics import ProbeError, RunStatus
from yanshou.harness.calibrate import calibrate_here
from yanshou.harness.evidence import Ledger, RunWriter, sha256_bytes
from yanshou.harness.model import Audit, Count, Kind
from yanshou.harness.runs import runs_of
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.contract import Probe
from yanshou.probes.devices import capture as capture_module
from yanshou.probes.devices.analyse import TABLE_ROWS, analyse, as_csv, device_table, sheets
from yanshou.probes.devices.capture import capture
from yanshou.probes.devices.identities import KINDS, OWN, normal, word
from yanshou.probes.devices.reference import POINTS, standard
from yanshou.probes.devices.register import sample_ids
from yanshou.probes.devices.simulate import fleet, register_params, write_register
from yanshou.probes.devices.spec import SPEC, Params, estimate, forms

EXPORT = {"kind": "export", "file": "e.csv", "identities": {"imei": "imei", "ip": "ip", "mac": "mac"}}
SOURCES = Path(capture_module.__file__).parent / "sources"


def live(number: int, serial: str | None = None, **more: Any) -> Said:
    """An honest device `c<number>`, which says it is `S<number>`."""
    return Said(f"c{number}", f"S{number}" if serial is None else serial, wander(number), **more)


def rows(*numbers: int, **cells: str) -> list[list[str]]:
    return [row(f"S{n}", f"c{n}", **cells) for n in numbers]


def export(*lines: tuple[str, str, str]) -> dict[str, bytes]:
    return {"export/export.csv": table(["imei", "ip", "mac"], lines)}


def texts(found: Count) -> dict[str, str]:
    return {finding.code: finding.text for finding in found.validity}


# --- against the reference -----------------------------------------------------------------------------------------------


def test_reference_is_counted_exactly_and_each_cheat_falls_where_it_was_planted(tmp_path: Path) -> None:
    true_value = POINTS[0]
    with Ledger(tmp_path) as ledger, RunWriter(ledger, "calibrate", {}) as run:
        context = RunContext(run.sink, 42, tmp_path)
        with standard(true_value, context) as values:
            given = Params.model_validate(values)
            capture(given, context)
        run.close(RunStatus.COMPLETED)
    whole = runs_of(ledger.records)[0].evidence(tmp_path)
    truth = json.loads(whole.open("truth.json").read())
    found = analyse(whole, given, 42)
    assert found.net == truth["true"] == true_value
    assert found.gross == truth["n"]
    assert {code: n for code, n in excluded(found).items() if n} == truth["planted"]
    assert "invalid" not in codes(found.validity).values()


def test_it_calibrates_from_what_is_written_down() -> None:
    calibration = calibrate_here(Probe("devices"))
    assert calibration.within
    assert [p.indicated for p in calibration.points] == list(POINTS)


def test_spec_estimate_and_form() -> None:
    assert Probe("devices").spec is SPEC
    assert (SPEC.kind, SPEC.unit, SPEC.tolerance) == (Kind.COUNTED, "台(套)", 0.0)
    given = params(audit={"file": "a.csv", "size": 28}, window_s=120)
    assert (estimate(given, None).seconds, estimate(given, None).samples) == (120, 28)
    assert forms(given) == {"a.csv": "sn,result,serial,unplug,note\n"}
    assert forms(params()) == {}


# --- who counts ----------------------------------------------------------------------------------------------------------


def test_every_status_and_every_reason() -> None:
    register = [
        *rows(1, 2, 3, 4, 5, 6, 7),
        row("S8", "c1"),  # another line for client c1
        row("ｓ2 ", "c9"),  # the serial again, full width
        row("", "c10"),
        row("S11", "c11"),
    ]
    log = (
        b"1772438399: New client connected from 10.0.0.4:1000 as c4 (p2, c1, k60).\n"
        b"1772438400: New client connected from 10.0.0.99:1001 as yanshou-1 (p2, c1, k60).\n"
    )
    found = count(
        register,
        mqtt(
            live(1),
            live(2),
            Said("c3", "S1", wander(3)),  # says somebody else's serial
            Said("c5", "S5", [7.0] * 12),  # never changes
            Said("c6", "S6", wander(6, 2)),  # too little
            Said("c7", "S7", wander(1), after_s=1),  # repeats c1
            live(77),
            log=log,
        ),
    )
    assert list(excluded(found).items()) == [
        ("DEV-X-KEY", 1),
        ("DEV-X-DUP", 3),
        ("DEV-X-GHOST", 1),
        ("DEV-X-STALE", 3),
        ("DEV-X-COPY", 1),
    ]
    assert (found.gross, found.net, found.unit) == (11, 2, "台(套)")
    lines = [(d["device_id"], d["status"]) for d in found.facts["devices"]]
    assert lines == [
        ("S1", "counted"),
        ("S2", "counted"),
        ("S3", "duplicate"),
        ("S4", "stale"),
        ("S5", "stale"),
        ("S6", "stale"),
        ("S7", "duplicate"),
        ("S8", "duplicate"),
        ("S2", "duplicate"),
        ("", "excluded"),
        ("S11", "ghost"),
        ("S77", "unregistered"),
    ]
    assert found.facts["status"] == {
        "counted": 2, "duplicate": 4, "excluded": 1, "ghost": 1, "stale": 3, "unregistered": 1,
    }  # fmt: skip
    reasons = {d["device_id"]: d["reason"] for d in found.facts["devices"]}
    assert "S1；它的标识有 序列号 S1、" in reasons["S3"]
    assert "0 条消息" in reasons["S4"]
    assert "12 条消息，1 个不同的值" in reasons["S5"]
    assert "2 条消息，2 个不同的值" in reasons["S6"]
    assert "与 S1 相同" in reasons["S7"]
    assert codes(found.validity) == {
        "DEV-V03": "warning",
        "DEV-V04": "warning",
        "DEV-V05": "warning",
        "DEV-V19": "warning",
    }
    first = found.facts["devices"][0]
    assert first["ids"][0] == {
        "kind": "serial", "value": "S1", "source": "mqtt", "first": "2026-03-02T08:00:00Z", "last": "2026-03-02T08:00:11Z",
    }  # fmt: skip
    assert (first["messages"], first["distinct_values"]) == (24, 12)


def test_the_count_does_not_depend_on_the_order_of_the_register() -> None:
    register = [*rows(*range(1, 30)), *(row(f"D{n}", f"c{n}") for n in range(1, 9)), *rows(3, 4), row("")]
    said = [live(n) for n in range(1, 20)] + [Said(f"c{n}", f"S{n}", wander(1)) for n in range(20, 25)]
    rng, first = random.Random(1), count(register, mqtt(*said))
    assert first.net == 19
    for _ in range(5):
        rng.shuffle(register)
        rng.shuffle(said)
        again = count(register, mqtt(*said))
        assert (again.net, excluded(again)) == (first.net, excluded(first))


@pytest.mark.parametrize(("messages", "distinct", "net"), [(3, 2, 1), (12, 12, 1), (13, 2, 0), (3, 13, 0)])
def test_live_is_what_was_declared(messages: int, distinct: int, net: int) -> None:
    assert count(rows(1), mqtt(live(1)), live={"messages": messages, "distinct": distinct}).net == net


def test_several_paths_are_several_sources() -> None:
    both = [MQTT, EXPORT]
    register = [row("S1", "c1", imei="490154203237518"), row("S2", "c2")]
    parts = (mqtt(live(1), live(2)), export(("4901542032375101", "", "")))  # an IMEISV of the same terminal
    one, two = (count(register, *parts, sources=both, paths=paths) for paths in (1, 2))
    assert status(one) == {"S1": "counted", "S2": "counted"}
    assert status(two) == {"S1": "counted", "S2": "ghost"}
    assert two.facts["seen_by_source"] == {"mqtt": 2, "export": 1}
    assert "见到它的来源：mqtt" in two.facts["devices"][1]["reason"]


def test_the_same_messages_on_two_paths_are_not_added() -> None:
    other = {**MQTT, "name": "second"}
    found = count(rows(1), mqtt(live(1)), mqtt(live(1), name="second"), sources=[MQTT, other])
    assert found.facts["devices"][0]["messages"] == 12
    assert found.net == 1


def test_an_address_joins_only_while_nobody_else_has_it() -> None:
    both = [MQTT, EXPORT]
    alone = count([row("S1", "c1", ip="10.0.0.1")], mqtt(live(1)), export(("", "10.0.0.1", "")), sources=both, paths=2)
    assert alone.net == 1
    register = [row("S1", "c1", ip="10.0.0.1"), row("S2", "c2", ip="10.0.0.1")]
    shared = count(register, mqtt(live(1), live(2)), export(("", "10.0.0.1", "")), sources=both, paths=2)
    assert status(shared) == {"S1": "ghost", "S2": "ghost"}


def test_a_device_with_few_addresses_is_one_and_a_router_is_none() -> None:
    both = [MQTT, EXPORT]
    register = [row("S1", "c1", mac="02-00-00-00-00-0A")]
    few, many = ([("", f"10.0.0.{n}", "02:00:00:00:00:0a") for n in range(size)] for size in (4, 5))
    assert count(register, mqtt(live(1)), export(*few), sources=both, paths=2).net == 1
    assert count(register, mqtt(live(1)), export(*many), sources=both, paths=2).net == 0


def test_shared_addresses_in_no_register_are_still_seen() -> None:
    lines = [("", f"10.0.0.{n}", "02:00:00:00:00:0a") for n in range(5)]
    found = count(rows(1), mqtt(live(1)), export(*lines), sources=[MQTT, EXPORT])
    assert found.facts["status"]["unregistered"] == 5
    assert codes(found.validity) == {"DEV-V03": "warning"}


def test_columns_of_access_and_what_was_seen_outweighs_what_was_written() -> None:
    register = [
        row("S1", "c1", access="5G直连"),
        row("S2", "c2", access="网关后", gw="CPE-1"),
        row("S3", "c3", access="有线"),
        row("S4", "c4", access="5G"),
        row("S5", "c5", gw="CPE-1"),
        row("S6", "c6"),
        row("S7", "c7", access="有线"),  # silent
    ]
    said = [live(n, gateway="CPE-2" if n == 4 else "") for n in range(1, 7)]
    found = count(register, mqtt(*said))
    assert found.columns == (("5G 直连", 1), ("网关后", 3), ("有线", 1), ("未注明", 1))
    assert sum(n for _, n in found.columns) == found.net == 6
    assert codes(found.validity) == {"DEV-V10": "warning"}
    assert "S4" in texts(found)["DEV-V10"]
    direct = count(register, mqtt(*said), count_only="direct")
    assert (direct.net, excluded(direct)["DEV-X-ACCESS"], direct.columns) == (1, 6, (("5G 直连", 1),))
    assert status(direct)["S3"] == "excluded"


def test_columns_are_absent_where_nothing_tells_them() -> None:
    plain = {"file": "r.csv", "id": "sn", "identities": {"client_id": "client"}}
    assert count(rows(1), mqtt(live(1)), register=plain).columns == ()


# --- what is new ---------------------------------------------------------------------------------------------------------

BASELINE = {"file": "b.csv", "id": "编号", "date": "2024-06-30"}


def baseline(*ids: str) -> dict[str, bytes]:
    return {"baseline.csv": table(["编号"], [[i] for i in ids])}


def test_new_is_the_difference_by_serial_from_the_baseline() -> None:
    register = [
        *rows(1, 2, since="2025-01-01"),
        row("S3", "c3", since="2024-06-30"),
        row("N4", "c4", since="2025-01-01"),  # a new sticker on an old device
    ]
    parts = (mqtt(live(1), live(2), live(3), live(4, serial="OLD4")), baseline("ｓ1", "", "OLD4", "GONE"))
    found = count(register, *parts, baseline=BASELINE, new_only=True)
    assert status(found) == {"S1": "excluded", "S2": "counted", "S3": "counted", "N4": "excluded"}
    assert excluded(found)["DEV-X-BASELINE"] == 2
    assert (found.facts["baseline_ids"], found.facts["baseline_date"], found.open) == (3, "2024-06-30", ())
    assert codes(found.validity) == {"DEV-V12": "warning", "DEV-V19": "warning"}
    assert "S3" in texts(found)["DEV-V12"]
    whole = count(register, *parts, baseline=BASELINE)
    assert (whole.net, "DEV-X-BASELINE" in excluded(whole)) == (4, False)


def test_new_without_a_baseline_is_open() -> None:
    found = count(rows(1), mqtt(live(1)), new_only=True)
    assert [reason.code for reason in found.open] == ["no_baseline"]
    assert found.net == 1
    assert count(rows(1), mqtt(live(1))).open == ()


# --- findings ------------------------------------------------------------------------------------------------------------


def test_an_honest_site_has_no_finding() -> None:
    found = count(rows(*range(1, 31)), mqtt(*(live(n) for n in range(1, 31))))
    assert (found.net, found.validity) == (30, ())


def test_a_register_or_baseline_that_is_not_there_is_invalid() -> None:
    whole = evidence(rows(1), mqtt(live(1)))
    lost = TreeEvidence({n: whole._streams[n] for n in whole._streams if n != "register.csv"})
    found = analyse(lost, params(), 1)
    assert (found.gross, found.net) == (0, 0)
    assert {"DEV-V01": "invalid", "DEV-V13": "invalid"}.items() <= codes(found.validity).items()
    other = analyse(whole, params(register={**REGISTER, "id": "编号"}), 1)
    assert codes(other.validity)["DEV-V01"] == "invalid"
    no_baseline = analyse(whole, params(baseline=BASELINE, new_only=True), 1)
    assert codes(no_baseline.validity)["DEV-V01"] == "invalid"


def test_an_empty_run_gives_zero_and_is_invalid() -> None:
    found = analyse(TreeEvidence({}), params(audit={"file": "a.csv", "size": 3}), 1)
    assert (found.gross, found.net, found.audit) == (0, 0, None)
    assert codes(found.validity) == {"DEV-V01": "invalid", "DEV-V13": "invalid", "MQT-V01": "invalid"}


def test_every_cut_of_the_evidence_is_invalid_and_none_crashes() -> None:
    whole = evidence(rows(1, 2, 3), mqtt(*(live(n) for n in (1, 2, 3))))
    assert "invalid" not in codes(analyse(whole, params(), 1).validity).values()
    for name, data in whole._streams.items():
        for size in range(0, len(data), 1 + len(data) // 40):
            found = analyse(TreeEvidence({**whole._streams, name: data[:size]}), params(), 1)
            assert "invalid" in codes(found.validity).values(), (name, size)
            assert found.net <= 3
            excluded(found)


@pytest.mark.parametrize(
    "session", [b"", b"[]", b'{"done":true}', b'{"done":false}', b'{"done":true,"files":{"x":"0"}}']
)
def test_a_run_without_its_end_is_invalid(session: bytes) -> None:
    whole = evidence(rows(1), mqtt(live(1)))
    found = analyse(TreeEvidence({**whole._streams, "session.json": session}), params(), 1)
    assert codes(found.validity) == {"DEV-V13": "invalid"}
    assert codes(analyse(evidence(rows(1), mqtt(live(1)), done=False), params(), 1).validity) == {"DEV-V13": "invalid"}


def test_serials_rewritten_by_a_spreadsheet() -> None:
    found = count([row("1.23E+15", "c1")], mqtt(live(1, serial="")))
    assert codes(found.validity) == {"DEV-V02": "warning"}


def test_short_equal_streams_are_named_and_counted() -> None:
    opcua_like = [Said("c1", "S1", wander(1, 4)), Said("c2", "S2", wander(1, 4)), live(3)]
    found = count(rows(1, 2, 3), mqtt(*opcua_like))
    assert (found.net, found.validity) == (3, ())  # MQTT gives no fingerprint of so little
    assert excluded(found)["DEV-X-COPY"] == 0


def test_a_copy_is_found_though_the_window_cuts_it_differently() -> None:
    long = wander(1, 60)
    said = [Said("c1", "S1", long), Said("c2", "S2", long[3:], after_s=4), Said("c3", "S3", long[:57]), live(4)]
    found = count(rows(1, 2, 3, 4), mqtt(*said))
    assert status(found) == {"S1": "counted", "S2": "duplicate", "S3": "duplicate", "S4": "counted"}


@pytest.mark.parametrize(("size", "code"), [(19, set()), (20, {"DEV-V06"})])
def test_one_address_for_many_devices(size: int, code: set[str]) -> None:
    numbers = range(1, size + 1)
    log = b"".join(
        f"{1772438400 - 100 * n}: New client connected from 10.1.1.1:{n} as c{n} (p2, c1, k60).\n".encode()
        for n in numbers
    )
    found = count(rows(*numbers), mqtt(*(live(n) for n in numbers), log=log))
    assert set(codes(found.validity)) == code
    assert found.net == size


@pytest.mark.parametrize(("spread_s", "code"), [(100, set()), (0.2, {"DEV-V07"})])
def test_all_connected_within_seconds(spread_s: float, code: set[str]) -> None:
    numbers = range(1, 31)
    log = b"".join(
        f"{1772438000 - int(spread_s * n)}: New client connected from 10.1.1.{n}:1 as c{n} (p2, c1, k60).\n".encode()
        for n in numbers
    )
    found = count(rows(*numbers), mqtt(*(live(n) for n in numbers), log=log))
    assert set(codes(found.validity)) == code


def test_all_appearing_together_in_the_middle_of_the_window() -> None:
    numbers = range(1, 31)
    found = count(rows(*numbers), mqtt(*(live(n, after_s=120 + n // 5) for n in numbers)))
    assert set(codes(found.validity)) == {"DEV-V07"}


def test_no_demand_to_be_live_is_a_warning() -> None:
    found = count(rows(1, 2), mqtt(live(1), Said("c2", "S2", [1.0])), live=None)
    assert (found.net, codes(found.validity)) == (2, {"DEV-V08": "warning"})
    assert "DEV-X-STALE" not in excluded(found)


def test_sources_that_cannot_see_what_is_asked_are_invalid() -> None:
    register = [row("S1", imei="490154203237518")]
    found = count(register, export(("490154203237518", "", "")), sources=[EXPORT])
    assert codes(found.validity) == {"DEV-V09": "invalid"}
    emqx = {"kind": "emqx", "url": "http://h:1", "credentials": "k"}
    rounds = [
        {
            "t": START + n,
            "round": n,
            "page": 1,
            "body": {"data": [{"clientid": "c1", "connected": True, "recv_msg": 9 * n}], "meta": {}},
        }
        for n in range(2)
    ]
    streams = {"emqx/clients.jsonl": jsonl([*rounds, {"t": START, "end": True}])}
    assert codes(count(rows(1), streams, sources=[emqx]).validity) == {"DEV-V09": "invalid"}
    found = count(rows(1), streams, sources=[emqx], live={"messages": 9, "distinct": 1})
    assert (found.net, found.validity) == (0, ())  # no value at all is not one value
    assert count(rows(1), streams, sources=[emqx], live=None).net == 1


def test_one_client_with_many_serials_is_one_device_unless_it_is_a_gateway() -> None:
    said = [Said("gw1", f"S{n}", wander(n)) for n in range(1, 6)]
    found = count([row(f"S{n}") for n in range(1, 6)], mqtt(*said))
    assert (found.net, codes(found.validity)) == (1, {"DEV-V11": "warning"})
    assert "gw1" in texts(found)["DEV-V11"]
    behind = [Said("", f"S{n}", wander(n), gateway="gw1") for n in range(1, 6)]
    found = count([row(f"S{n}") for n in range(1, 6)], mqtt(*behind))
    assert (found.net, found.validity, found.columns) == (5, (), (("网关后", 5),))


def test_evidence_of_a_source_that_cannot_be_read_is_invalid() -> None:
    broken = mqtt(live(1)) | {
        "mqtt/messages.csv": b"utc_ns,topic,size,digest,retain,serial,client_id,gateway,value,payload\nx,t,1,d,0,S,c,,1,\n"
    }
    found = count(rows(1), broken)
    assert codes(found.validity)["DEV-V18"] == "invalid"


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"round": 0, "t": 1, "body": {"data": [], "meta": []}}', b"[]", b"\xff"]
)
def test_lines_that_no_source_writes_are_a_finding_and_never_a_crash(line: bytes) -> None:
    emqx = {"kind": "emqx", "url": "http://127.0.0.1:1", "credentials": "k"}
    found = count(rows(1), {"emqx/clients.jsonl": line + b"\n"}, sources=[emqx])
    assert codes(found.validity)["DEV-V18"] == "invalid"


@pytest.mark.parametrize(
    "session", [b"[" * 100_000, b"[]", b"null", b'{"files": []}', b'{"files": {"x": "y"}, "done": true}']
)
def test_a_session_that_no_capture_writes_is_a_finding_and_never_a_crash(session: bytes) -> None:
    found = count(rows(1), mqtt(live(1)) | {"session.json": session})
    assert codes(found.validity)["DEV-V13"] == "invalid"


# --- audit ---------------------------------------------------------------------------------------------------------------

AUDIT = {"file": "a.csv", "size": 5}


def visits(*lines: tuple[str, str, str, str]) -> dict[str, bytes]:
    return {"audit.csv": table(["sn", "result", "serial", "unplug", "note"], [[*line, ""] for line in lines])}


LISTED = rows(*range(1, 21))
HANDED = REGISTER | {"sha256": sha256_bytes(table(HEADER, LISTED))}
"""The register, with the digest that was handed in before there was a seed."""


def audited(audit: dict[str, bytes], live_ones: int = 20, **changes: Any) -> Count:
    said = mqtt(*(live(n) for n in range(1, live_ones + 1)))
    return count(LISTED, said, audit, seed=7, **{"audit": AUDIT, "register": HANDED, **changes})


def drawn(seed: int = 7, **changes: Any) -> list[str]:
    return sample_ids(evidence(rows(*range(1, 21))), params(**{"audit": AUDIT, **changes}), seed)


def test_an_audit_that_confirms_everything() -> None:
    chosen = drawn()
    assert len(set(chosen)) == 5
    found = audited(visits(*((i, "好", i.lower(), "是") for i in chosen)))
    assert (found.audit, found.validity) == (Audit(20, 5, 5), ())


def test_a_register_that_could_have_been_arranged_for_the_draw_is_named() -> None:
    """Of twenty rows of which five are drawn; nobody arranges rows of which all are, and a baseline counts like the register."""
    chosen = visits(*((i, "好", i, "是") for i in drawn()))
    assert codes(audited(chosen, register=REGISTER).validity) == {"DEV-V23": "warning"}
    new = {"new_only": True, "baseline": BASELINE}
    known = {**new, "baseline": BASELINE | {"sha256": sha256_bytes(baseline("S0")["baseline.csv"])}}
    assert codes(audited(baseline("S0"), **new).validity)["DEV-V23"] == "warning"
    assert "DEV-V23" not in codes(audited(baseline("S0"), **known).validity)
    every = count(LISTED, mqtt(live(1)), audit=AUDIT | {"size": 21})
    assert "DEV-V23" not in codes(every.validity)


def test_a_register_of_another_digest_than_was_handed_in_is_refused(case: Path) -> None:
    other = REGISTER | {"sha256": "0" * 64}
    assert codes(count(LISTED, mqtt(live(1)), register=other).validity)["DEV-V24"] == "invalid"
    (case / "a.csv").write_bytes(visits()["audit.csv"])
    given = table_params(register=other, audit=AUDIT)
    assert refused(case, given).problem.code == "DEV-E08"
    with pytest.raises(ValueError, match="不是计划里的那一份"):
        sheets(case, given, 7)
    agreed = table_params(register=REGISTER | {"sha256": sha256_bytes((case / "r.csv").read_bytes())})
    assert "DEV-V24" not in codes(analyse(record(case, capture, agreed), agreed, 1).validity)


def test_what_an_audit_finds_on_site() -> None:
    a, b, c, d, e = drawn()
    found = audited(
        visits((a, "好", a, "是"), (b, "坏", "", ""), (c, "好", "OTHER", "是"), (d, "好", d, "否"), (e, "好", e, ""))
    )
    assert found.audit == Audit(20, 5, 2)
    assert codes(found.validity) == {"DEV-V16": "warning", "DEV-V17": "warning"}
    assert "OTHER" not in texts(found)["DEV-V17"]
    assert c in texts(found)["DEV-V17"]
    assert d in texts(found)["DEV-V17"]


def test_a_drawn_device_that_does_not_count_is_no_part_of_the_sample() -> None:
    chosen = drawn()
    silent = [i for i in chosen if int(i[1:]) > 15]
    assert silent
    found = audited(visits(*((i, "好", i, "是") for i in chosen)), live_ones=15)
    assert (found.net, found.audit) == (15, Audit(15, 5 - len(silent), 5 - len(silent)))


def test_answers_that_are_missing_or_foreign_are_invalid() -> None:
    a, *others = drawn()
    good = [(i, "好", i, "是") for i in others]
    assert codes(audited(visits(*good)).validity) == {"DEV-V15": "invalid"}
    assert codes(audited(visits(*good, (a, "", "", ""))).validity) == {"DEV-V15": "invalid"}
    assert audited(visits(*good)).audit == Audit(20, 5, 4)
    stranger = next(f"S{n}" for n in range(1, 21) if f"S{n}" not in (a, *others))
    assert codes(audited(visits(*good, (a, "好", a, "是"), (stranger, "好", stranger, "是"))).validity) == {
        "DEV-V14": "invalid"
    }
    assert codes(audited(visits(*good, (a, "好", a, "是"), (a, "坏", a, "是"))).validity) == {"DEV-V14": "invalid"}
    assert codes(audited({}).validity) == {"DEV-V15": "invalid"}


def test_the_draw_depends_on_seed_register_and_baseline_and_keeps_to_the_scope(tmp_path: Path) -> None:
    assert drawn(7) == drawn(7) != drawn(8)
    assert drawn(audit=None) == []
    more = sample_ids(evidence(rows(*range(1, 22))), params(audit=AUDIT), 7)
    assert more != drawn()
    old = evidence(rows(*range(1, 21)), baseline(*(f"S{n}" for n in range(1, 11))))
    new = sample_ids(old, params(audit=AUDIT, baseline=BASELINE, new_only=True), 7)
    assert {int(i[1:]) for i in new} <= set(range(11, 21))
    mixed = [row(f"S{n}", access="5G" if n % 2 else "有线") for n in range(1, 21)] + rows(1)
    direct = sample_ids(evidence(mixed), params(audit=AUDIT, count_only="direct"), 7)
    assert all(int(i[1:]) % 2 for i in direct)
    (tmp_path / "r.csv").write_bytes(table(HEADER, rows(*range(1, 21))))
    assert sample_ids(tmp_path, params(audit=AUDIT), 7) == drawn()


def test_the_sheet_to_take_along_names_what_was_drawn(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(table(HEADER, rows(*range(1, 21))))
    sheet = sheets(tmp_path, params(audit=AUDIT), 7)
    assert sheet == {"a.csv": "sn,result,serial,unplug,note\n" + "".join(f"{i},,,,\n" for i in drawn())}
    assert sheets(tmp_path, params(), 7) == {}


# --- table ---------------------------------------------------------------------------------------------------------------


def test_the_table_in_the_facts_is_bounded_and_the_export_is_not() -> None:
    many = rows(*range(1, TABLE_ROWS + 11))
    whole = evidence(many, mqtt(live(1)))
    found = analyse(whole, params(), 1)
    assert len(found.facts["devices"]) == found.facts["devices_listed"] == TABLE_ROWS
    assert found.facts["devices_total"] == TABLE_ROWS + 10
    table_ = device_table(whole, params())
    assert len(table_) == TABLE_ROWS + 10
    lines = list(csv.DictReader(io.StringIO(as_csv(table_))))
    assert len(lines) == TABLE_ROWS + 10
    assert lines[0]["ids"] == "serial=S1@mqtt client_id=c1@mqtt"
    assert (lines[0]["status"], lines[0]["first"], lines[0]["messages"]) == ("counted", "2026-03-02T08:00:00Z", "12")
    assert (lines[1]["status"], lines[1]["first"], lines[1]["messages"]) == ("ghost", "", "")
    json.dumps(found.facts, allow_nan=False)


def test_analysis_is_the_same_every_time() -> None:
    whole = evidence(rows(*range(1, 9)), mqtt(*(live(n) for n in range(1, 12))))
    assert analyse(whole, params(), 1) == analyse(whole, params(), 1)


# --- identities ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "a", "b", "same"),
    [
        ("serial", "ab-1", " ＡＢ-1", True),
        ("serial", "ab1", "ab-1", False),
        ("mac", "0A:1b:2C:3d:4E:5f", "0a1b.2c3d.4e5f", True),
        ("mac", "0a-1b-2c-3d-4e", "0a:1b:2c:3d:4e", False),
        ("imei", "490154203237518", "4901542032375101", True),
        ("imei", "490154203237518", "49015420323751", True),
        ("imei", "490154203237518", "490154203237526", False),
        ("imei", "49015", "490", False),
        ("supi", "imsi-460001234567890", "460001234567890", True),
        ("client_id", "Dev1", "dev1", False),
    ],
)
def test_spellings_of_one_identity(kind: str, a: str, b: str, same: bool) -> None:
    assert (normal(kind, a) == normal(kind, b)) is same


def test_every_kind_has_a_word() -> None:
    assert all(word(kind) != kind for kind in KINDS if kind not in ("imei", "mac", "ip"))
    assert set(KINDS) > OWN


# --- parameters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sources": []}, "sources"),
        ({"sources": [MQTT, MQTT]}, "重复"),
        ({"paths": 2}, "paths"),
        ({"count_only": "direct", "register": {"file": "r", "id": "sn"}}, "access"),
        ({"baseline": {**BASELINE, "date": "去年"}}, "2024-06-30"),
        ({"register": {**REGISTER, "encoding": "utf-9"}}, "编码"),
        ({"register": {**REGISTER, "access": {"column": "a", "direct": ["x"], "wired": ["x"]}}}, "相同"),
        ({"register": {**REGISTER, "identities": {"colour": "c"}}}, "identities"),
        ({"sources": [{**MQTT, "kind": "telepathy"}]}, "kind"),
        ({"sources": [{**MQTT, "value": "value"}]}, "topic:2"),
        ({"sources": [{**MQTT, "name": "../x"}]}, "name"),
        ({"window_s": 0}, "window_s"),
        ({"live": {"messages": 0}}, "messages"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        params(**changes)


def test_parameters_survive_json_and_take_yaml_dates() -> None:
    from datetime import date

    given = params(baseline={**BASELINE, "date": date(2024, 6, 30)}, new_only=True, audit=AUDIT, sources=[MQTT, EXPORT])
    dumped = given.model_dump(mode="json")
    assert "register" in dumped
    assert dumped["baseline"]["date"] == "2024-06-30"
    assert Params.model_validate(json.loads(json.dumps(dumped))) == given


# --- sources keep to their interface -------------------------------------------------------------------------------------


def test_every_source_is_whole_and_its_pure_side_loads_no_impure_one() -> None:
    kinds = sorted(p.parent.name for p in SOURCES.glob("*/params.py"))
    assert {"mqtt", "emqx", "export"} <= set(kinds)
    for kind in kinds:
        text = (SOURCES / kind / "record.py").read_text(encoding="utf-8")
        assert "run.progress(" in text or "_run.progress(" in text, f"{kind} never says that it is connected"
    code = "\n".join(f"import yanshou.probes.devices.sources.{kind}.read" for kind in kinds)
    code += "\nimport sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [m for m in loaded if m.endswith(".record") or m.split(".")[0] in ("paho", "asyncua", "pymodbus")] == []


# --- capture -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A case folder with a register and an export that lists its device."""
    (tmp_path / "r.csv").write_bytes(table(HEADER, [row("S1", imei="490154203237518", access="5G")]))
    (tmp_path / "e.csv").write_bytes(table(["imei", "ip", "mac"], [("490154203237518", "", "")]))
    return tmp_path


def table_params(**changes: Any) -> Params:
    return params(**{"sources": [EXPORT], "live": None, "window_s": 60, **changes})


def test_capture_of_files_alone_ends_at_once(case: Path) -> None:
    (case / "b.csv").write_bytes(baseline("S0")["baseline.csv"])
    (case / "a.csv").write_bytes(visits(("S1", "好", "S1", "是"))["audit.csv"])
    given = table_params(baseline=BASELINE, new_only=True, audit=AUDIT)
    found_evidence = record(case, capture, given)
    names = ("audit.csv", "baseline.csv", "export/export.csv", "register.csv", "session.json")
    assert found_evidence.streams() == names
    assert found_evidence.open("register.csv").read() == (case / "r.csv").read_bytes()
    found = analyse(found_evidence, given, 1)
    assert (found.net, found.audit) == (1, Audit(1, 1, 1))
    assert codes(found.validity) == {"DEV-V08": "warning"}


def test_registers_come_as_workbooks_too(case: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "封面"
    listed = book.create_sheet("清册")
    listed.append(["编号", "IMEI", None])
    listed.append([1001, 490154203237518.0])
    listed.append([None, None])
    listed.append(["S2", None])
    book.save(case / "r.xlsx")
    register = {"file": "r.xlsx", "id": "编号", "identities": {"imei": "IMEI"}, "sheet": "清册"}
    given = table_params(register=register)
    found = analyse(record(case, capture, given), given, 1)
    assert (found.gross, status(found)) == (2, {"1001": "counted", "S2": "ghost"})


def refused(folder: Path, given: Params) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        record(folder, capture, given)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("name", "data", "changes", "code", "says"),
    [
        ("r.csv", None, {}, "DEV-E01", "清册"),
        ("r.csv", b"", {}, "DEV-E01", "空文件"),
        ("r.csv", "sn,client\n设备,x\n".encode("gb18030"), {}, "DEV-E02", "gb18030"),
        ("r.csv", b"sn,client\n", {}, "DEV-E03", "imei"),
        ("r.csv", b"sn,sn\n", {"register": {"file": "r.csv", "id": "sn"}}, "DEV-E03", "2 次"),
        ("r.xlsx", b"no workbook", {"register": {"file": "r.xlsx", "id": "sn"}}, "DEV-E02", "xlsx"),
        ("r.csv", table(HEADER, [row("S1", access="5G SA")]), {}, "DEV-E06", "5G SA"),
        ("b.csv", None, {"baseline": BASELINE}, "DEV-E01", "基线"),
        ("b.csv", b"id\n", {"baseline": BASELINE}, "DEV-E03", "编号"),
        ("a.csv", None, {"audit": AUDIT}, "DEV-E01", "核验"),
        ("a.csv", b"sn,result\n", {"audit": AUDIT}, "DEV-E03", "serial"),
        ("a.csv", b"sn,result,serial,unplug\nS1,ok,S1,\n", {"audit": AUDIT}, "DEV-E04", "result“ok”"),
        ("a.csv", b"sn,result,serial,unplug\nS1,1,S1,maybe\n", {"audit": AUDIT}, "DEV-E04", "unplug“maybe”"),
    ],
)
def test_files_that_could_not_be_counted_are_refused(
    case: Path, name: str, data: bytes | None, changes: dict[str, Any], code: str, says: str
) -> None:
    if data is None:
        (case / name).unlink(missing_ok=True)
    else:
        (case / name).write_bytes(data)
    error = refused(case, table_params(**changes))
    assert error.problem.code == code
    assert says in str(error)


def test_a_workbook_without_the_sheet_is_refused(case: Path) -> None:
    openpyxl.Workbook().save(case / "r.xlsx")
    error = refused(case, table_params(register={"file": "r.xlsx", "id": "sn", "sheet": "清册"}))
    assert (error.problem.code, "清册" in error.problem.text) == ("DEV-E02", True)


SHEET = "xl/worksheets/sheet1.xml"


def workbook(change: Callable[[bytes], bytes], part: str = SHEET, rows: int = 3) -> bytes:
    """A register of devices as openpyxl writes it, with one part changed."""
    book = openpyxl.Workbook()
    for line in (["sn"], *([f"S{n}"] for n in range(1, rows + 1))):
        book.active.append(line)
    plain, out = io.BytesIO(), io.BytesIO()
    book.save(plain)
    with zipfile.ZipFile(plain) as there, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as changed:
        for name in there.namelist():
            data = there.read(name)
            changed.writestr(name, change(data) if name == part else data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        (SHEET, lambda xml: xml[: len(xml) // 2], "xlsx"),
        (SHEET, lambda xml: xml.replace(b"<sheetData>", b"<sheetData><row r='x'>"), "xlsx"),
        ("xl/styles.xml", lambda xml: xml + b" " * (2 << 20), "占满内存"),
    ],
    ids=["cut", "senseless", "bomb"],
)
def test_a_workbook_that_is_broken_inside_or_a_bomb_is_refused(
    case: Path, part: str, change: Callable[[bytes], bytes], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yanshou.formats.office.BLOATED", 1 << 20)
    (case / "r.xlsx").write_bytes(workbook(change, part))
    error = refused(case, table_params(register={"file": "r.xlsx", "id": "sn"}))
    assert error.problem.code == "DEV-E02"
    assert says in error.problem.text


def test_a_workbook_broken_inside_is_a_finding_where_it_is_in_evidence_already() -> None:
    given = table_params(register={"file": "r.xlsx", "id": "sn"})
    broken = MemoryEvidence({"register.xlsx": workbook(lambda xml: xml[: len(xml) // 2])})
    assert codes(analyse(broken, given, 1).validity)["DEV-V01"] == "invalid"


def test_a_workbook_that_says_it_is_enormous_is_as_large_as_its_rows(case: Path) -> None:
    """Formats on whole columns make spreadsheets write the largest sheet there can be; it has three rows, one in the last line."""

    def swell(xml: bytes) -> bytes:
        return re.sub(b'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', xml).replace(b'"A4"', b'"A1048576"').replace(
            b'<row r="4"', b'<row r="1048576"'
        )  # fmt: skip

    (case / "r.xlsx").write_bytes(workbook(swell))
    given = table_params(register={"file": "r.xlsx", "id": "sn"})
    found = analyse(record(case, capture, given), given, 1)
    assert found.gross == 3
    assert [row for row in ("S1", "S2", "S3") if status(found)[row] == "ghost"] == ["S1", "S2", "S3"]


def test_a_register_that_changes_while_it_is_copied_is_refused(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = iter(range(100))
    monkeypatch.setattr(capture_module, "stamp", lambda _path: next(stamps))
    assert refused(case, table_params()).problem.code == "DEV-E05"


class _Fake:
    """A source of one kind, played by a function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, record_source: Any) -> None:
        from yanshou.probes.devices.sources.export import record as module

        monkeypatch.setattr(module, "record", record_source)
        monkeypatch.setattr(capture_module, "CONNECT_S", 0.5)
        monkeypatch.setattr(capture_module, "END_S", 0.5)


def test_a_source_that_never_connects_stops_the_run(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _Fake(monkeypatch, lambda _source, _run, stop: stop.wait())
    error = refused(case, table_params())
    assert (error.problem.code, "没有连上" in error.problem.text) == ("DEV-E07", True)


def test_a_source_that_never_ends_stops_the_run(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    forever = threading.Event()

    def record_source(_source: Any, run: RunContext, _stop: Any) -> None:
        run.progress(Progress(1, 0))
        forever.wait()

    _Fake(monkeypatch, record_source)
    error = refused(case, table_params(window_s=0.1))
    forever.set()
    assert (error.problem.code, "没有收尾" in error.problem.text) == ("DEV-E07", True)


@pytest.mark.parametrize("early", [True, False])
def test_what_a_source_raises_stops_the_run(case: Path, monkeypatch: pytest.MonkeyPatch, early: bool) -> None:
    def record_source(_source: Any, run: RunContext, stop: Any) -> None:
        if not early:
            run.progress(Progress(1, 0))
            stop.wait(0.2)
        raise OSError(28, "No space left on device")

    _Fake(monkeypatch, record_source)
    with pytest.raises(OSError, match="No space"):
        record(case, capture, table_params())


def test_progress_tells_what_each_source_has_seen(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def record_source(_source: Any, run: RunContext, stop: Any) -> None:
        run.progress(Progress(41, 0))
        stop.wait()

    _Fake(monkeypatch, record_source)
    news: list[Progress] = []
    with Ledger(case) as ledger, RunWriter(ledger, "probe", {}) as run:
        capture(table_params(window_s=0.5), RunContext(run.sink, 1, case, progress=news.append))
        run.close(RunStatus.COMPLETED)
    assert news
    assert {n.text for n in news} == {"export 见到 41"}


# --- what is simulated ---------------------------------------------------------------------------------------------------


def test_a_fleet_and_its_register_are_what_they_say(tmp_path: Path) -> None:
    devices = fleet(10, silent=2, constant=3, reused=4, copied=5, twice=1, ghosts=2, strangers=1)
    assert len(devices) == 28
    assert len({d.client_id for d in devices}) == len({d.serial for d in devices}) == 28
    write_register(tmp_path / "r.csv", devices)
    text = (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines()
    assert len(text) == 1 + 27
    assert text[1] == "SN000001,dev000001,5G直连,,2025-03-03"
    assert re.fullmatch(r"SN000002,dev000002,网关后,CPE-\d\d,2025-03-03", text[2])
    Params.model_validate({"register": register_params("r.csv"), "sources": [MQTT]})
