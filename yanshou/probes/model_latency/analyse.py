"""Latencies, and whether they may be trusted, from the rows that a capture recorded.

Pure: the same bytes give the same measurement. It must never know a limit, and never drop a request: one that failed, came late,
was empty or was answered with what every other one got is +inf.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Samples, Series, Severity, Validity
from yanshou.probes.model_latency.ablation import BLANKED, SAME, SWAPPED
from yanshou.probes.model_latency.crosscheck import Crosscheck, crosschecked, facts_of, read_crosscheck
from yanshou.probes.model_latency.offload import uplink_findings
from yanshou.probes.model_latency.pool import order
from yanshou.probes.model_latency.record import (
    UNKNOWN,
    Ints,
    Record,
    read_ablation,
    read_gaps,
    read_host,
    read_record,
)
from yanshou.probes.model_latency.streams import END, HOLD, SESSION
from yanshou.probes.rtt.record import read_object
from yanshou.probes.rtt.schedule import send_offsets

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.model_latency.spec import Params

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

P99_LEAST, P999_LEAST = 662, 6636
"""MLPerf's least numbers of queries at 99 % confidence with one overrun thrown away (inference_rules.adoc, early stopping)."""
STEADY_S = 600
LATE_NS = 5_000_000
DRIFT_BLOCKS, DRIFT_SHARE, DRIFT_P = 20, 0.05, 0.01
STALL = 10.0
TOGETHER_NS = 1_000_000
PIECES = 1.5
CACHED, COMMON = 0.5, 0.5
HOTTER_MC = 5000
TRACKS = 0.5
"""Packets that go out, and come in, with each request beyond what goes and comes anyway: half of one is no accident."""
IGNORED = 0.5
"""Share of answers that may stay the same with another picture: short answers can be alike by chance."""
CANNED_LEAST = 20
"""Fewer answers than this cannot be called canned."""
SLACK_NS = 1000
MOST_LINES = 100_000_000

TEXTS = {
    "e2e": "完整结果（发出请求至应答结束）",
    "decision_cycle": "决策周期（自计划帧至应答结束）",
    "ttft": "首个非空词元",
    "tpot": "每词元平均（首词元之后）",
    "itl": "词元间隔",
    "service": "自实际发出起（不计排队，不参加判定）",
}
_BAD = ("empty", "error", "cut", "closed", "refused", "timeout", "garbled")


@dataclass(frozen=True)
class _Run:
    """One recorded run: which requests count, when each begins to count, and which were answered."""

    params: Params
    record: Record
    begin: Ints
    """From when a request counts: its planned moment, or its first byte where one is asked after the other."""
    measured: Bools
    good: Bools
    canned: Bools

    def since(self, name: str) -> Floats:
        """Time from `begin` to a stamp, for each measured request, +inf where it was not answered well."""
        times = np.where(self.good & (self.record[name] != UNKNOWN), self.record[name] - self.begin, np.inf)
        return np.asarray(times[self.measured], dtype=np.float64)


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """The committed latency of each measured request in the order of the plan, ns; the others are beside it."""
    record = read_record(evidence, params.warmup + params.count)
    run = _run(params, record)
    gaps = read_gaps(evidence)
    session = read_object(evidence, SESSION)
    metric = params.metric or "e2e"
    quantities = _quantities(run, gaps)
    values = quantities[metric]
    times = np.where(run.begin == UNKNOWN, 0, run.begin)[run.measured] / 1e9
    if metric == "itl":
        times = _times_of_gaps(run, gaps)
    host = read_host(evidence)
    findings = list(_findings(evidence, run, session, host, seed))
    passed, noted = _passed(evidence, run, host)
    findings += passed
    check = read_crosscheck(evidence, params.loadgen) if params.loadgen else None
    if check is not None:
        findings.append(crosschecked(check, _drawn(run, session, seed)[record.status.size :]))
    plausible = ("p99",) if params.metric is None and params.kind == "openai" and params.stream else ()
    return Samples(
        unit="ns",
        values=values,
        times=times,
        measurand=metric,
        series=tuple(
            Series(name, TEXTS[name], name, found, plausible=plausible if name == "ttft" else ())
            for name, found in quantities.items()
            if name != metric and found.size
        ),
        validity=tuple(sorted(findings, key=lambda v: v.code)),
        facts={**_facts(run, session, host, check), **noted},
    )


def _run(params: Params, record: Record) -> _Run:
    planned = record["t_sched_ns"] if params.rate_hz is not None else record["t_start_ns"]
    measured = np.arange(planned.size) >= params.warmup
    late = record["t_done_ns"] - planned > round(params.timeout_s * 1e9)
    well = np.equal(record.status, "ok") & (planned != UNKNOWN) & (record["t_done_ns"] != UNKNOWN) & ~late
    canned = np.zeros(planned.size, bool)
    answers = record.answer[well & measured]
    if answers.size >= CANNED_LEAST:
        words, counts = np.unique(answers, return_counts=True)
        frequent = words[counts > params.repeats * answers.size]
        if words.size == 1:
            frequent = words
        canned = well & measured & np.isin(record.answer, frequent)
    return _Run(params, record, planned, measured, well & ~canned, canned)


def _quantities(run: _Run, gaps: dict[int, Ints]) -> dict[str, Floats]:
    """Every quantity that the run has, by its name."""
    record, params = run.record, run.params
    done = run.since("t_done_ns")
    found = {"decision_cycle" if params.rate_hz is not None else "e2e": done}
    if params.rate_hz is not None:
        found["e2e"] = done
        served = np.where(run.good, record["t_done_ns"] - record["t_start_ns"], np.inf)
        found["service"] = np.asarray(served[run.measured], dtype=np.float64)
    if params.kind == "openai" and params.stream:
        found["ttft"] = run.since("t_first_ns")
        later = record["tokens"] - 1
        later = np.where(record["tokens"] == UNKNOWN, record["pieces"] - 1, later)
        spread = record["t_last_ns"] - record["t_first_ns"]
        each = np.where(run.good & (later > 0), spread / np.maximum(later, 1), np.inf)
        found["tpot"] = np.asarray(each[run.measured], dtype=np.float64)
        found["itl"] = _gap_values(run, gaps)
    return found


def _gap_owners(run: _Run, gaps: dict[int, Ints]) -> Iterator[tuple[int, Floats]]:
    """(request, its gaps) of each measured request; [inf] where it was not answered well or has none."""
    for number in np.flatnonzero(run.measured):
        own = gaps.get(int(number))
        if not run.good[number] or own is None or not own.size:
            yield int(number), np.array([np.inf])
        else:
            yield int(number), own.astype(np.float64)


def _gap_values(run: _Run, gaps: dict[int, Ints]) -> Floats:
    parts = [own for _, own in _gap_owners(run, gaps)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _times_of_gaps(run: _Run, gaps: dict[int, Ints]) -> Floats:
    parts = [np.full(own.size, max(0, run.begin[number]) / 1e9) for number, own in _gap_owners(run, gaps)]
    return np.concatenate(parts) if parts else np.zeros(0)


# Findings


def _invalid(code: str, text: str) -> Validity:
    return Validity(code, Severity.INVALID, text)


def _warning(code: str, text: str) -> Validity:
    return Validity(code, Severity.WARNING, text)


def _info(code: str, text: str) -> Validity:
    return Validity(code, Severity.INFO, text)


def _findings(
    evidence: RunEvidence, run: _Run, session: dict[str, Json], host: dict[str, tuple[Ints, Ints]], seed: int
) -> Iterator[Validity]:
    """Every reason for caution; docs/probes/p-070-model.latency.md says what each means."""
    yield from _record_findings(evidence, run, session, seed)
    yield from _answer_findings(run)
    yield from _course_findings(run, host, _modes(run, session))
    yield from _token_findings(run)
    if run.params.uplink is None or session.get("local"):
        yield _uplink(run, host, session)
    if run.params.ablate:
        yield _ablation(run, read_ablation(evidence))


def _record_findings(evidence: RunEvidence, run: _Run, session: dict[str, Json], seed: int) -> Iterator[Validity]:
    """Is the record whole, was the sender on time, were the inputs those of the plan."""
    record, params = run.record, run.params
    total = record.status.size
    stated = read_object(evidence, END).get("rows")
    if not session or stated != total or record.rows != total or record.bad:
        yield _invalid("LAT-V01", f"记录不完整：计划 {total} 个请求，有 {record.rows} 行，其中 {record.bad} 行不能用")
    if params.rate_hz is not None:
        offsets = np.array(send_offsets("grid", total, 1000 / params.rate_hz, 0.0, seed), np.int64)
        there = record["t_sched_ns"] != UNKNOWN
        base = (record["t_sched_ns"] - offsets)[there]
        early = there & (record["t_start_ns"] < record["t_sched_ns"] - SLACK_NS)
        if base.size and (int(np.ptp(base)) > SLACK_NS or early.any()):
            yield _invalid("LAT-V01", "记录的计划时刻与计划不符，或早于计划发送")
    ready = np.maximum(record["t_free_ns"], record["t_sched_ns"])
    late = (record["t_start_ns"] - ready)[run.measured & (record["t_start_ns"] != UNKNOWN)]
    if (
        params.rate_hz is not None
        and late.size
        and (p99 := float(np.quantile(late, 0.99, method="inverted_cdf"))) > LATE_NS
    ):
        yield _invalid("LAT-V02", f"发送端迟发：P99 {p99 / 1e6:.1f} ms，允许 {LATE_NS / 1e6:g} ms（测量主机太忙）")
    if params.count < P99_LEAST:
        yield _invalid("LAT-V03", f"只有 {params.count} 个样本，P99 按 MLPerf 口径至少 {P99_LEAST} 个")
    elif params.count < P999_LEAST:
        yield _info("LAT-V18", f"有 {params.count} 个样本；P99.9 按 MLPerf 口径至少 {P999_LEAST} 个")
    _, sha256, common = _pool(session)
    used = record["index"][record["index"] != UNKNOWN]
    repeated = record.input[record.input != ""].size - np.unique(record.input[record.input != ""]).size
    drawn = _drawn(run, session, seed)[:total]
    foreign = params.pool_sha256 not in (None, sha256)
    if repeated or foreign or (record.rows == total and used.tolist() != drawn):
        yield _invalid("LAT-V05", f"输入不是由种子从输入池抽出、各用一次的（重复 {repeated} 个）：缓存可能替模型作了答")
    if common > COMMON:
        yield _warning("LAT-V15", f"所有输入有 {common:.0%} 的开头相同：前缀缓存会使首词元时延偏小")


def _drawn(run: _Run, session: dict[str, Json], seed: int) -> list[int]:
    """Lines of the pool in the order of their use: for the plan's requests, then for LoadGen's."""
    lines, sha256, _ = _pool(session)
    return order(lines, run.record.status.size + run.params.loadgen, seed, sha256)


def _pool(session: dict[str, Json]) -> tuple[int, str, float]:
    """Lines, digest and common beginning of the pool, as the capture told them."""
    pool = session.get("pool")
    told = pool if isinstance(pool, dict) else {}
    lines, common = told.get("lines"), told.get("common")
    number = lines if type(lines) is int and 0 <= lines <= MOST_LINES else 0
    return number, str(told.get("sha256")), common if isinstance(common, float) else 0.0


def _answer_findings(run: _Run) -> Iterator[Validity]:
    """What the target answered, and what it did not."""
    record, measured = run.record, run.measured
    if number := int(run.canned.sum()):
        kinds = np.unique(record.answer[run.canned]).size
        text = f"{number} 个不同的输入只得到 {kinds} 种相同的答案（超过 {run.params.repeats:.0%}）：罐头答案，按超限计"
        yield _warning("LAT-V04", text)
    failed = measured & ~run.good & ~run.canned
    if failed.any():
        status = record.status[failed]
        words = [f"{word} {int((status == word).sum())}" for word in _BAD if (status == word).any()]
        words += [f"{word} {int((status == word).sum())}" for word in np.unique(status) if word.startswith("http-")]
        late = int(np.equal(status, "ok").sum())
        words += [f"超时答完 {late}"] if late else []
        begun = int((failed & (record["pieces"] > 0)).sum())
        text = f"{int(failed.sum())} 个请求没有答好（{'、'.join(words) or '没有记录'}），其中 {begun} 个已开始输出：按超限计"
        yield _warning("LAT-V07", text)
    told = measured & (record["cached_tokens"] > 0) & (record["prompt_tokens"] > 0)
    if told.any():
        share = float(
            record["cached_tokens"][told].sum()
            / record["prompt_tokens"][measured & (record["prompt_tokens"] > 0)].sum()
        )
        text = f"服务自报 {share:.0%} 的输入词元命中缓存：时延不是模型推理的"
        yield (_invalid if share > CACHED else _warning)("LAT-V06", text)
    if (record["choices"][measured] > 1).any():
        yield _warning("LAT-V17", "一个请求返回了几个候选答案：只计第一个，按批平均的时延不作数")


def _course_findings(run: _Run, host: dict[str, tuple[Ints, Ints]], modes: dict[str, str]) -> Iterator[Validity]:
    """Did the latency or the temperature move, were there stalls, did answers come in bundles."""
    done = run.since("t_done_ns")
    moved = drift(done)
    if moved is not None:
        text = (
            f"时延在测量中持续{'上升' if moved > 0 else '下降'}（全程 {moved:+.0%}）：没有达到稳态，先预热到热稳定再测"
        )
        yield _invalid("LAT-V08", text)
    times = run.record["t_done_ns"][run.measured]
    times = times[times != UNKNOWN]
    span = float(np.ptp(times)) / 1e9 if times.size else 0.0
    if span < STEADY_S:
        yield _warning("LAT-V09", f"测量只持续了 {span:.0f} s，不足 {STEADY_S} s，不能代表热稳态")
    finite = done[np.isfinite(done)]
    if finite.size and (stalls := int((finite > STALL * np.median(finite)).sum())):
        text = f"有 {stalls}/{done.size} 次停顿超过中位数的 {STALL:g} 倍（最长 {finite.max() / 1e6:.0f} ms）：少于 1% 时 P99 看不见"
        yield _warning("LAT-V13", text)
    if run.params.streams > 1 and times.size > 1:
        near = np.diff(np.sort(times)) < TOGETHER_NS
        if near.sum() > times.size / 2:
            yield _warning("LAT-V14", "多数应答成批同时到达：每个请求按自己的等待计时，按批平均的时延不作数")
    told = "、".join(f"{name} {mode}" for name, mode in modes.items())
    yield _heat(host, told or "没有读出，也没有声明")


def _modes(run: _Run, session: dict[str, Json]) -> dict[str, str]:
    """How speed is traded for power: what the system says, and what was declared."""
    told = session.get("modes")
    read = {str(k).rpartition("/")[2]: str(v)[:40] for k, v in told.items()} if isinstance(told, dict) else {}
    return read | ({"声明": run.params.power_mode} if run.params.power_mode else {})


def _heat(host: dict[str, tuple[Ints, Ints]], modes: str) -> Validity:
    temperatures = {name: values for name, (_, values) in host.items() if name.startswith("temperature")}
    if not temperatures:
        text = "读不到温度（被测模型不在本机，或系统不提供）：热状态以声明为准"
        return _info("LAT-V16", f"{text}；功耗模式：{modes}")
    rise = max(int(v[v.size // 2 :].max()) - int(np.median(v[: v.size // 2 + 1])) for v in temperatures.values())
    throttled = sum(int(v[-1] - v[0]) for name, (_, v) in host.items() if name.startswith("throttled") and v.size)
    hottest = max(int(v.max()) for v in temperatures.values())
    text = f"最高 {hottest / 1000:.0f} ℃，后半程升高 {rise / 1000:.1f} ℃，降频 {throttled} 次；功耗模式：{modes}"
    return (_warning if throttled or rise > HOTTER_MC else _info)("LAT-V16", text)


def _token_findings(run: _Run) -> Iterator[Validity]:
    """Whether pieces are tokens, and whether their reported number can be true."""
    record, params = run.record, run.params
    if params.kind != "openai":
        return
    well = run.measured & np.equal(record.status, "ok")
    begun = int((record["empty"][well] > 0).sum())
    if begun:
        yield _info("LAT-V10", f"{begun} 个应答以没有内容的片段（角色等）开头：不算首词元")
    told = well & (record["tokens"] > 0) & (record["pieces"] > 0)
    if params.stream and told.any():
        each = float(np.median(record["tokens"][told] / record["pieces"][told]))
        if each > PIECES:
            text = f"每个片段有 {each:.1f} 个词元（中位数）：词元不是逐个送出的，词元间隔与每词元平均不可信"
            yield (_invalid if params.metric in ("tpot", "itl") else _warning)("LAT-V11", text)
    if (impossible := int((told & (record["tokens"] > 4 * record["chars"])).sum())) > 0:
        yield _invalid("LAT-V12", f"{impossible} 个应答自报的词元数多于答案的字节数：不可能，每词元平均不可信")


def _uplink(run: _Run, host: dict[str, tuple[Ints, Ints]], session: dict[str, Json]) -> Validity:
    """Whether packets to and from elsewhere keep pace with the requests."""
    if not session.get("local"):
        return _info("LAT-V19", "被测模型不在测量主机上：看不到它的上行链路，是否由云端作答须切断上行或另行监听")
    names = sorted({name.split(":")[1] for name in host if name.startswith("net:")})
    found = {}
    for name in names:
        ways = [_excess(run, host.get(f"net:{name}:{way}")) for way in ("tx", "rx")]
        if None not in ways:
            found[name] = min(way for way in ways if way is not None)
    if not found:
        return _info("LAT-V19", "没有网口的静默底数（quiet_s），看不出应答是否来自云端")
    name = max(found, key=lambda n: found[n])
    octets = [_excess(run, host.get(f"bytes:{name}:{way}")) for way in ("tx", "rx")]
    text = f"除底数外，每个请求有 {max(found[name], 0):.2f} 个包经 {name} 出去又回来"
    if None not in octets:
        out, back = (max(count or 0, 0) for count in octets)
        text += f"（出 {out:.0f} 字节，入 {back:.0f} 字节）"
    if found[name] > TRACKS:
        return _invalid("LAT-V19", f"{text}：应答可能来自云端；若是远程终端的显示所致，脱离终端（nohup）重测")
    return _info("LAT-V19", text)


def _passed(
    evidence: RunEvidence, run: _Run, host: dict[str, tuple[Ints, Ints]]
) -> tuple[list[Validity], dict[str, Json]]:
    """What was heard on the uplink, against every request that was asked; nothing where nobody listened."""
    if run.params.uplink is None:
        return [], {}
    starts, ends = run.record["t_start_ns"], run.record["t_done_ns"]
    whole = (starts != UNKNOWN) & (ends != UNKNOWN)
    answers = int(run.record["chars"][np.equal(run.record.status, "ok")].clip(0).sum())
    return uplink_findings(evidence, run.params, starts[whole], ends[whole], host, answers)


def _ablation(run: _Run, asked: dict[tuple[int, str], tuple[str, str, str]]) -> Validity:
    """Whether answers change with the picture: of those inputs that the same model answered alike twice."""
    alike = 0
    unchanged = {SWAPPED: 0, BLANKED: 0}
    for number in range(run.params.warmup, run.params.warmup + run.params.ablate):
        rows = {variant: asked.get((number, variant), ("", "", "")) for variant in (SAME, *unchanged)}
        own = str(run.record.input[number])
        others = {rows[variant][1] for variant in unchanged} - {"", own}
        if (
            any(status != "ok" for status, _, _ in rows.values())
            or rows[SAME][1] != own
            or len(others) < len(unchanged)
        ):
            return _invalid("LAT-V20", f"换图消融没有做全，或问的不是抽到的输入（第 {number} 个）：不能证明图像起作用")
        answer = str(run.record.answer[number])
        if rows[SAME][2] == answer != "":
            alike += 1
            for variant in unchanged:
                unchanged[variant] += rows[variant][2] == answer
    if alike * 2 < run.params.ablate:
        text = (
            f"同样的输入再问一次，{run.params.ablate} 个里只有 {alike} 个答案不变：答案不随图像也会变，消融说明不了什么"
        )
        return _warning("LAT-V20", text)
    text = f"{alike} 个输入中，换图后答案不变的 {unchanged[SWAPPED]} 个，涂白后不变的 {unchanged[BLANKED]} 个"
    if max(unchanged.values()) > IGNORED * alike:
        return _invalid("LAT-V20", f"{text}：模型没有看图")
    return _info("LAT-V20", text)


def _excess(run: _Run, channel: tuple[Ints, Ints] | None) -> float | None:
    """Packets for each request beyond the rate of the quiet before and after; None where there was none."""
    starts = run.record["t_start_ns"][run.record["t_start_ns"] != UNKNOWN]
    ends = run.record["t_done_ns"][run.record["t_done_ns"] != UNKNOWN]
    if channel is None or not starts.size or not ends.size:
        return None
    times, packets = channel
    before, after = np.flatnonzero(times <= starts.min()), np.flatnonzero(times >= ends.max())
    if not before.size or not after.size or before.size + after.size < 3:
        return None
    quiet = sum(int(times[part[-1]] - times[part[0]]) for part in (before, after))
    idle = sum(int(packets[part[-1]] - packets[part[0]]) for part in (before, after))
    first, last = before[-1], after[0]
    passed = int(packets[last] - packets[first]) - idle / max(quiet, 1) * int(times[last] - times[first])
    return float(passed / starts.size)


def drift(values: Floats) -> float | None:
    """By which share a latency moved where it kept moving (Kendall's tau of block medians, Theil-Sen slope); else None."""
    from scipy.stats import kendalltau, theilslopes

    finite = values[np.isfinite(values)]
    if finite.size < 5 * DRIFT_BLOCKS:
        return None
    medians = np.array([np.median(block) for block in np.array_split(finite, DRIFT_BLOCKS)])
    steps = np.arange(DRIFT_BLOCKS)
    if np.ptp(medians) == 0 or float(kendalltau(steps, medians).pvalue) > DRIFT_P:
        return None
    moved = float(theilslopes(medians, steps)[0]) * (DRIFT_BLOCKS - 1) / float(np.median(medians))
    return moved if abs(moved) > DRIFT_SHARE else None


# For the report, and for calibration


def _facts(
    run: _Run, session: dict[str, Json], host: dict[str, tuple[Ints, Ints]], check: Crosscheck | None
) -> dict[str, Json]:
    record, measured = run.record, run.measured
    words, counts = np.unique(record.status[measured], return_counts=True)
    sent = measured & (record["t_sent_ns"] != UNKNOWN) & (record["t_start_ns"] != UNKNOWN)
    tokens = record["tokens"][measured & (record["tokens"] > 0)]
    model = session.get("model_sha256")
    return {
        "status": {str(w) or "没有记录": int(n) for w, n in zip(words, counts, strict=True)},
        "different_answers": int(np.unique(record.answer[measured & (record.answer != "")]).size),
        "tokens_median": float(np.median(tokens)) if tokens.size else None,
        "upload_p50_ns": int(np.median((record["t_sent_ns"] - record["t_start_ns"])[sent])) if sent.any() else None,
        "pool": dict(zip(("lines", "sha256", "common"), _pool(session), strict=True)),
        "loop": "open" if run.params.rate_hz is not None else "closed",
        "model_sha256": model if isinstance(model, str) else None,
        "loadgen": None if check is None else facts_of(check),
        "modes": _modes(run, session),
        "channels": {name: [int(v.min()), int(v.max())] for name, (_, v) in host.items() if v.size},
    }


def paired_errors(evidence: RunEvidence, params: Params, seed: int) -> Floats:
    """Judged value minus what the standard logged for the same request, ms; without a log the values, which are the floor.

    Raises ValueError for a damaged log.
    """
    values = analyse(evidence, params, seed).values / 1e6
    if HOLD not in evidence.streams():
        return np.asarray(values[np.isfinite(values)], dtype=np.float64)
    true = np.full(params.warmup + params.count, np.nan)
    with io.TextIOWrapper(evidence.open(HOLD), "ascii") as log:
        next(log)
        for line in log:
            number, _, done = line.split(",")
            true[int(number)] = int(done) / 1e6
    errors = values - true[params.warmup :]
    return np.asarray(errors[np.isfinite(errors)], dtype=np.float64)
