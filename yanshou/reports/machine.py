"""The report for programs: results.json, results.csv and junit.xml.

They must never say less than the report (nothing is skipped, no undecided indicator looks passed) nor more than the record.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from xml.etree import ElementTree as ET

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.harness.model import Kind, Verdict
from yanshou.reports.display import Data, fit, limit_text, statistic_word

FORMAT = "yanshou/results/1"
BOM = "\ufeff"
"""Excel takes a CSV for UTF-8 only with it."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def machine_files(record: Data) -> dict[str, bytes]:
    """All of this module's files by name."""
    printable = fit(record)
    return {
        "results.json": results_json(record),
        "results.csv": results_csv(printable),
        "junit.xml": junit_xml(printable),
    }


def results(record: Data) -> dict[str, Json]:
    """The record without what only a plot needs."""
    return {**_without_figures(record), "format": FORMAT}


def _without_figures(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {k: _without_figures(v) for k, v in value.items() if k != "figure"}
    if isinstance(value, list):
        return [_without_figures(v) for v in value]
    return value


def results_json(record: Data) -> bytes:
    """`results` as canonical JSON and a newline."""
    return canonical(results(record)) + b"\n"


def results_csv(record: Data) -> bytes:
    """One row per finding, numbers in full, UTF-8 with BOM. Texts that a spreadsheet would compute get a leading '."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for f in record["findings"]:
        writer.writerow([_safe(column(record, f)) for column in COLUMNS.values()])
    return (BOM + out.getvalue()).encode()


def _limit(limit: Data | None) -> str | None:
    return limit_text(limit).replace("\u00a0", " ") if limit else None


COLUMNS: Mapping[str, Callable[[Data, Data], Json]] = {
    "报告编号": lambda record, _: record["case"].get("report_number"),
    "标识": lambda record, _: record["marking"],
    "指标编号": lambda _, f: f["indicator"],
    "指标": lambda _, f: f["name"],
    "方式": lambda _, f: Kind(f["kind"]).word,
    "判定": lambda _, f: f["verdict_word"],
    "简单接受": lambda _, f: Verdict(f["simple"]).word,
    "统计量": lambda _, f: statistic_word(f["statistic"]) if f.get("statistic") else None,
    "实测值": lambda _, f: f.get("value"),
    "下界": lambda _, f: f.get("lower"),
    "上界": lambda _, f: f.get("upper"),
    "单位": lambda _, f: f["unit"],
    "余量": lambda _, f: f.get("margin"),
    "样本数": lambda _, f: f.get("n"),
    "有效样本数": lambda _, f: f.get("n_effective"),
    "每次α": lambda _, f: f.get("alpha"),
    "规则": lambda _, f: f["rule"],
    "有效限值": lambda _, f: _limit(f["limit"]),
    "榜单限值": lambda _, f: _limit(f.get("list_limit")),
    "榜单文字": lambda _, f: f.get("list_source"),
    "承诺限值": lambda _, f: _limit(f.get("commitment_limit")),
    "承诺原文": lambda _, f: f.get("commitment_text"),
    "原因": lambda _, f: "；".join(r["text"] for r in f["reasons"]),
    "测量次数": lambda _, f: len(f["attempts"]),
}


def _safe(value: Json) -> Json:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def junit_xml(record: Data) -> bytes:
    """One test case per finding; whatever is not 符合 is a failure whose type begins with the verdict's word."""
    findings = record["findings"]
    failures = str(sum(f["verdict"] != Verdict.PASS for f in findings))
    counts = {"tests": str(len(findings)), "failures": failures, "errors": "0", "skipped": "0"}
    name = record["case"].get("report_number") or "yanshou"
    root = ET.Element("testsuites", {"name": name, **counts})
    started = record["ledger"]["started"]
    suite = ET.SubElement(
        root, "testsuite", {"name": record["case"]["project"]["name"], "timestamp": started, **counts}
    )
    _properties(suite, {"mode": record["mode"], "marking": record["marking"], "verdict": record["verdict"]})
    for f in findings:
        title = f"{f['indicator']} {f['name']}"
        case = ET.SubElement(
            suite, "testcase", {"classname": f"yanshou.S{record['case']['scenario']:02d}", "name": title}
        )
        told = {key: f.get(key) for key in ("value", "lower", "upper", "unit", "n", "rule", "verdict", "simple")}
        _properties(case, {"limit": _limit(f["limit"]), **told})
        if f["verdict"] != Verdict.PASS:
            codes = ",".join(r["code"] for r in f["reasons"])
            texts = "；".join(r["text"] for r in f["reasons"])
            kind = f"{f['verdict_word']}:{codes}" if codes else f["verdict_word"]
            failure = ET.SubElement(case, "failure", {"type": kind, "message": f"{f['verdict_word']} {texts}".strip()})
            failure.text = texts
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _properties(parent: ET.Element, values: Mapping[str, Json]) -> None:
    holder = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(holder, "property", {"name": name, "value": "" if value is None else str(value)})
