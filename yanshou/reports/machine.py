"""The report for programs: results.json, results.csv, one CSV per indicator, and junit.xml.

They must never say less than the report (nothing is skipped, no undecided indicator looks passed) nor more than the record.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        **indicator_files(printable),
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
    return _csv(COLUMNS, result_rows(record))


def result_rows(record: Data) -> list[list[Json]]:
    """The values of COLUMNS, a row per finding."""
    return [[column(record, f) for column in COLUMNS.values()] for f in record["findings"]]


def indicator_files(record: Data) -> dict[str, bytes]:
    """`indicators/NN-ID.csv` for each finding: one row per attempt, of all subjects and conditions, also those not completed."""
    return {
        f"indicators/{number:02d}-{_file_name(f['indicator'])}.csv": _csv(ATTEMPT_COLUMNS, attempt_rows(f))
        for number, f in enumerate(record["findings"], 1)
    }


def attempt_rows(f: Data) -> list[list[Json]]:
    """The values of ATTEMPT_COLUMNS, a row per attempt of a finding."""
    return [[column(f, a) for column in ATTEMPT_COLUMNS.values()] for a in f["attempts"]]


def _file_name(indicator: str) -> str:
    """An id that a project may have chosen freely, as part of a file's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in indicator)


def _csv(columns: Iterable[str], rows: Iterable[Sequence[Json]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_safe(value) for value in row] for row in rows)
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
    "改造前": lambda _, f: _side(f, "before"),
    "改造后": lambda _, f: _side(f, "after"),
}


ATTEMPT_COLUMNS: Mapping[str, Callable[[Data, Data], Json]] = {
    "指标编号": lambda f, _: f["indicator"],
    "指标": lambda f, _: f["name"],
    "受检对象": lambda _, a: a.get("subject"),
    "工况": lambda _, a: a.get("condition"),
    "次": lambda _, a: a["attempt"],
    "运行": lambda _, a: a["run"],
    "状态": lambda _, a: a["status"],
    "状态说明": lambda _, a: a.get("status_reason"),
    "开始(UTC)": lambda _, a: a["started"],
    "结束(UTC)": lambda _, a: a["ended"],
    "判定": lambda _, a: Verdict(a["verdict"]).word,
    "统计量": lambda f, _: statistic_word(f["statistic"]) if f.get("statistic") else None,
    "实测值": lambda _, a: a.get("value"),
    "下界": lambda _, a: a.get("lower"),
    "上界": lambda _, a: a.get("upper"),
    "无穷大": lambda _, a: "、".join(a.get("infinite") or ()),
    "单位": lambda f, _: f["unit"],
    "余量": lambda _, a: a.get("margin"),
    "样本数": lambda _, a: a.get("n"),
    "有效样本数": lambda _, a: a.get("n_effective"),
    "每次α": lambda _, a: a.get("alpha"),
    "有效限值": lambda f, _: _limit(f["limit"]),
    "原因": lambda _, a: "；".join(r["text"] for r in a.get("reasons") or ()),
    "有效性": lambda _, a: "；".join(f"{v['code']} {v['text']}" for v in a.get("validity") or ()),
    "证据文件": lambda _, a: len(a["evidence"]),
}


def _side(f: Data, side: str) -> str | None:
    """The level before or after, with its unit, where the limit is on what changed."""
    change = f.get("change")
    return f"{change[side]['value']} {change[side]['unit']}" if change else None


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
