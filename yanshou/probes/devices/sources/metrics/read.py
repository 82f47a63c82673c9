"""Answers of a metrics interface -> what its gauges said. Pure.

A gauge is a cross-check: cores have been seen whose number of registered subscribers rose above all that were ever
administered, because a terminal that registers again is counted again. So there are no observations here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.metrics.params import Gauge, Source
from yanshou.probes.devices.sources.tally import json_lines, some

ANSWERS = "answers.jsonl"
OK = 200
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?[0-9]+)?[ \t]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of each sample in Prometheus text format 0.0.4. Lines that are none are passed over."""
    for line in text.split("\n"):
        if not (match := _SAMPLE.fullmatch(line.strip("\r"))):
            continue
        labels = {
            name: re.sub(r'\\[n"\\]', lambda m: _ESCAPES[m[0]], value) for name, value in _LABEL.findall(match[2] or "")
        }
        try:
            yield match[1], labels, float(match[3])
        except ValueError:
            continue


def value_of(gauge: Gauge, body: str) -> float | None:
    """What `gauge` said in an answer, None when it is not there or no finite number."""
    if gauge.pointer is not None:
        return _pointed(gauge.pointer, body)
    fitting = [
        value
        for name, labels, value in samples(body)
        if name == gauge.metric and gauge.labels.items() <= labels.items()
    ]
    return sum(fitting) if fitting and math.isfinite(sum(fitting)) else None


def _pointed(pointer: str, body: str) -> float | None:
    try:
        found = json.loads(body)
        for token in pointer.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
        number = float(len(found)) if isinstance(found, list) else float(found)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, RecursionError):
        return None
    return number if not isinstance(found, bool | str) and math.isfinite(number) else None


@dataclass
class Course:
    """What one gauge said over the window. `at_end` is None where the last answer lacks it."""

    gauge: Gauge
    values: int = 0
    first: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    at_end: float | None = None

    def take(self, value: float | None) -> None:
        """The next answer said `value`, or nothing."""
        self.at_end = value
        if value is not None:
            self.first = value if not self.values else self.first
            self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
            self.values += 1


@dataclass
class _Read:
    courses: dict[str, list[Course]]
    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


def _read(evidence: RunEvidence, source: Source) -> _Read:
    read = _Read({address.url: [Course(gauge) for gauge in address.gauges] for address in source.addresses})
    for row in json_lines(evidence, ANSWERS):
        good = row.get("status") == OK
        (read.answers if good else read.failures)[row["url"]] += 1
        for course in read.courses[row["url"]]:
            course.take(value_of(course.gauge, row["body"]) if good else None)
    return read


def courses(evidence: RunEvidence, source: Source) -> list[Course]:
    """The course of each gauge that ever said a number. Raises ValueError, KeyError for senseless rows."""
    return [course for told in _read(evidence, source).courses.values() for course in told if course.values]


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """None: gauges name nobody."""
    yield from ()


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What the gauges said, and what is wrong with that."""
    read = _read(evidence, source)
    for course in (course for told in read.courses.values() for course in told):
        gauge = course.gauge
        if not course.values:
            yield Validity(
                "MET-V03",
                Severity.WARNING,
                f"{source.name}：应答里没有 {gauge.metric or gauge.pointer}（{gauge.text}）",
            )
            continue
        end = "没有读到" if course.at_end is None else f"{course.at_end:g}"
        text = f"起 {course.first:g}，最低 {course.lowest:g}，最高 {course.highest:g}，止 {end}"
        yield Validity("MET-V01", Severity.INFO, f"{source.name}：{gauge.text} {text}；只作旁证，不计数")
        if gauge.administered is not None and course.highest > gauge.administered:
            text = f"{gauge.text}最高 {course.highest:g}，超过开户总数 {gauge.administered}：它计的不是终端"
            yield Validity("MET-V02", Severity.WARNING, f"{source.name}：{text}")
    if failed := [f"{url} {times} 次" for url, times in read.failures.items()]:
        yield Validity("MET-V04", Severity.WARNING, f"{source.name}：没有取到：{some(failed)}")


def compared(evidence: RunEvidence, source: Source, counted: int) -> Iterator[Validity]:
    """The count beside each gauge: more than a gauge ever showed needs an explanation, less does not."""
    for course in courses(evidence, source):
        more = counted - course.highest
        if more > 0:
            text = (
                f"计数 {counted} 比{course.gauge.text}的最高值 {course.highest:g} 多 {more:g}：多出的须是网关之后的设备"
            )
            yield Validity("MET-V05", Severity.WARNING, f"{source.name}：{text}")
        else:
            text = f"计数 {counted}，{course.gauge.text}最高 {course.highest:g}，相差 {-more:g}"
            yield Validity("MET-V06", Severity.INFO, f"{source.name}：{text}")
