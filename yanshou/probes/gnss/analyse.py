"""Errors of a receiver's positions from the truth, and whether they may be believed, from the bytes that a capture recorded.

Pure: the same bytes give the same measurement. It must never know a limit, never correct an error by what the errors themselves
say, and never leave an epoch out for its quality or its size. Everything is joined on the time in the sentences, never on arrival.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yanshou.harness.basics import Json
from yanshou.harness.model import Picture, Reason, Samples, Series, Severity, Validity
from yanshou.harness.statistics import LEAST_FOR_RMS, rms_bounds
from yanshou.probes.gnss.ablation import Effect, ablation_findings, effect
from yanshou.probes.gnss.challenge import Answer, answers, away, challenge_findings, followed
from yanshou.probes.gnss.checks import (
    beidou_checks,
    fix_checks,
    motion_checks,
    solution_checks,
    standing_checks,
    time_checks,
    uses_beidou,
)
from yanshou.probes.gnss.due import Due, lay_out
from yanshou.probes.gnss.epochs import FIXED, Epochs, Trajectory, dynamic_errors, static_errors
from yanshou.probes.gnss.figures import ALPHA, COMPONENTS, diagnosis, figures, lengths, step_mm
from yanshou.probes.gnss.geodesy import Place, enu
from yanshou.probes.gnss.inputs import Challenge
from yanshou.probes.gnss.link import delay_findings, link_findings, link_of, read_delays
from yanshou.probes.gnss.marks import NO_MARKS, Ablation, Marks, read_marks
from yanshou.probes.gnss.paired import differences
from yanshou.probes.gnss.pictures import deviation, error_traces, sky
from yanshou.probes.gnss.reading import read_epochs, reading_findings
from yanshou.probes.gnss.spec import LEAST_S, ControlPoint, TruthFile
from yanshou.probes.gnss.streams import Event, Step, read_chunks, read_events, read_steps, utc_text
from yanshou.probes.gnss.truth import LONGEST_GAP_S, antenna_place, read_trajectory, trajectory_reasons, truth_reasons

if TYPE_CHECKING:
    from yanshou.harness.evidence import RunEvidence
    from yanshou.probes.gnss.reading import Reading
    from yanshou.probes.gnss.spec import Params

UNKNOWN_SHARE = 0.05
"""Epochs that came but have no truth, or no height, beyond which the rest no longer stands for all."""
SESSION_READINGS = ("rms",)
"""Statistics of session means that a silent commitment may mean: nobody states quantiles of a handful of means."""
_WORDS = {"horizontal": "水平", "vertical": "垂直"}


@dataclass(frozen=True)
class Recorded:
    """What a run brought, read: everything that the measurement depends on beside the parameters."""

    reading: Reading
    events: tuple[Event, ...] = ()
    steps: tuple[Step, ...] = ()
    marks: Marks = NO_MARKS
    trajectory: Trajectory | None = None
    off_names_beidou: dict[Ablation, bool] | None = None


def analyse(evidence: RunEvidence, params: Params, seed: int) -> Samples:
    """Errors of every due epoch, mm, +inf where none came; or of session means. Findings of stream and link are among the rest."""
    reading = _read(read_chunks(evidence), params, seed)
    marks = read_marks(evidence)
    recorded = Recorded(
        reading,
        read_events(evidence),
        read_steps(evidence),
        marks,
        _trajectory(evidence, params),
        _without(evidence, params, marks),
    )
    samples = measure(recorded, params, seed)
    link, delays = link_of(evidence), read_delays(reading.epochs.t_ns, reading.epochs.arrival_ns)
    return replace(
        samples,
        validity=(*samples.validity, *link_findings(link), *(delay_findings(delays) if delays else ())),
        facts={**samples.facts, "link": link.to_json(), "delay": delays and delays.to_json()},
    )


def _trajectory(evidence: RunEvidence, params: Params) -> Trajectory | None:
    if not isinstance(params.truth, TruthFile):
        return None
    with evidence.open(params.truth.stream) as f:
        return read_trajectory(f, params.truth.format)


def paired_errors(evidence: RunEvidence, params: Params, seed: int) -> NDArray[np.float64]:
    """Indicated - true, mm, of each epoch that a standard gave out."""
    return differences(analyse(evidence, params, seed), evidence)


def _read(chunks: Iterator[tuple[int, bytes]], params: Params, seed: int) -> Reading:
    return read_epochs(chunks, date=params.day, sentence=params.sentence, datum=params.datum, seed=seed)


def _without(evidence: RunEvidence, params: Params, marks: Marks) -> dict[Ablation, bool]:
    """Whether sentences that arrived while a source was off name BeiDou; nothing where arrival was not noted."""
    found = {}
    for ablation in marks.ablations:
        during = (c for c in read_chunks(evidence) if ablation.begin_ns <= c[0] < ablation.end_ns)
        reading = _read(during, params, 0)
        if reading.talkers:
            found[ablation] = uses_beidou(reading.systems, reading.talkers)
    return found


@dataclass(frozen=True)
class _Errors:
    """Errors of each due epoch: east, north, up in metres, shape (3, m), NaN unknown; velocity likewise, None where it stands."""

    of: NDArray[np.float64]
    velocity: NDArray[np.float64] | None = None


def measure(recorded: Recorded, params: Params, seed: int) -> Samples:
    """The whole measurement from what was read."""
    reading = recorded.reading
    epochs = _with_height(reading.epochs, params)
    window = _window(epochs, recorded.events)
    answered = _answers(recorded, epochs, params)
    spans = [*recorded.marks.spans(), *away(recorded.steps, _challenge(params))]
    due = lay_out(epochs, reading.without_ns, params.rate_hz, window, spans, params.session_gap_s, params.initialise_s)
    errors = _errors(due, epochs, recorded, params)
    reasons = tuple(_reasons(recorded, params, errors))
    judged = errors.of - _mean(errors.of)[:, None] if reasons else errors.of
    came = due.came
    known = came & np.isfinite(judged[list(COMPONENTS[params.component])]).all(axis=0)
    facts = {
        "component": params.component,
        "motion": params.motion,
        "about": "own mean" if reasons else "truth",
        "start": utc_text(int(due.t_ns[0])) if due.t_ns.size else "",
        "sentence": reading.sentence,
        "dated": reading.dated,
        "shares": due.shares(),
        "left_out": due.left_out,
        "unknown": int((came & ~known).sum()),
        "to_first_fix_s": list(due.to_first_fix_s),
        "pauses": len(due.pauses),
        "age_s": _ages(epochs),
        "epochs_mm": figures(judged[:, came] * 1000, seed),
        "challenge": [a.to_json() for a in answered],
        "systems": sorted(reading.systems),
        "talkers": sorted(reading.talkers),
    }
    if errors.velocity is not None:
        facts["diagnosis"] = diagnosis(errors.of, errors.velocity)
    means, times = _session_means(judged, due, known)
    if params.motion == "static":
        facts["sessions_mm"] = {"n": means.shape[1], **figures(means * 1000, seed)}
    effects = tuple(_effects(recorded, params, epochs, window, due, errors))
    facts["ablations"] = [e.to_json() for e in effects]
    validity = (
        *reading_findings(reading),
        *time_checks(epochs),
        *motion_checks(*_path(epochs), params.motion, params.rate_hz),
        *solution_checks(epochs, due, params.least_fixed),
        *(_unknown(came, known) if known.any() else ()),
        *(_standing(epochs, due, judged, means, recorded, answered, params) if params.motion == "static" else ()),
        *beidou_checks(reading.systems, reading.talkers),
        *ablation_findings(params.sources, effects),
        *_short_by_plan(params),
    )
    samples = _samples(params, due, judged, known, means, times, epochs, reasons, validity, facts)
    return replace(samples, pictures=tuple(_pictures(params, due, judged, means, reading, not reasons)))


def _with_height(epochs: Epochs, params: Params) -> Epochs:
    """Ellipsoidal heights by a declared separation, where the sentences give none."""
    if params.separation_m is None:
        return epochs
    height = np.where(np.isnan(epochs.height), epochs.altitude + params.separation_m, epochs.height)
    return replace(epochs, height=height)


def _window(epochs: Epochs, events: tuple[Event, ...]) -> tuple[int, int] | None:
    """When a live recording began and ended, on the receiver's time: this host's less how late epochs usually arrive."""
    noted = {e.event: e.utc_ns for e in reversed(events)}
    arrived = epochs.arrival_ns > 0
    if not {"opened", "ended"} <= set(noted) or not arrived.any():
        return None
    late = int(np.median(epochs.arrival_ns[arrived] - epochs.t_ns[arrived]))
    return noted["opened"] - late, noted["ended"] - late


def _answers(recorded: Recorded, epochs: Epochs, params: Params) -> tuple[Answer, ...]:
    return answers(recorded.steps, *_path(epochs), _challenge(params)) if len(epochs) else ()


def _challenge(params: Params) -> Challenge:
    """How steps are judged: also those that came with another indicator's run."""
    return params.challenge or Challenge()


def _path(epochs: Epochs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(time, place): east, north, up in metres about the first epoch, in time order."""
    if not len(epochs):
        return epochs.t_ns, np.zeros((3, 0))
    epochs = epochs.where(np.argsort(epochs.t_ns, kind="stable"))
    height = np.nan_to_num(epochs.height, nan=0.0)
    first = Place(float(epochs.latitude[0]), float(epochs.longitude[0]), float(height[0]))
    place = enu(epochs.latitude, epochs.longitude, height, first)
    place[2][np.isnan(epochs.height)] = np.nan
    return epochs.t_ns, place


def _errors(due: Due, epochs: Epochs, recorded: Recorded, params: Params) -> _Errors:
    found = np.full((3, due.t_ns.size), np.nan)
    if not due.came.any():
        return _Errors(found)
    came = epochs.where(due.index[due.came])
    if recorded.trajectory is not None:
        velocity = found.copy()
        if not _usable(recorded.trajectory, params):
            return _Errors(found)
        assert isinstance(params.truth, TruthFile)
        found[:, due.came], velocity[:, due.came] = dynamic_errors(
            came, recorded.trajectory, params.truth.lever_arm_m, _longest_gap_s(recorded.trajectory)
        )
        return _Errors(found, velocity)
    point = antenna_place(params.truth) if isinstance(params.truth, ControlPoint) else None
    if point is None:  # only differences count then, and any place near will do
        height = float(np.nanmedian(came.height)) if np.isfinite(came.height).any() else 0.0
        point = Place(float(np.median(came.latitude)), float(np.median(came.longitude)), height)
    found[:, due.came] = static_errors(came, point)
    return _Errors(found)


def _usable(trajectory: Trajectory, params: Params) -> bool:
    assert isinstance(params.truth, TruthFile)
    return trajectory.t_ns.size > 1 and not (any(params.truth.lever_arm_m) and trajectory.attitude is None)


def _longest_gap_s(trajectory: Trajectory) -> float:
    """A truth too slow for accuracy is bridged at its own rate, for what it is worth as precision."""
    return max(LONGEST_GAP_S, 1.5 * float(np.median(np.diff(trajectory.t_ns))) / 1e9)


def _reasons(recorded: Recorded, params: Params, errors: _Errors) -> Iterator[Reason]:
    yield from truth_reasons(params)
    if recorded.trajectory is not None and isinstance(params.truth, TruthFile):
        yield from trajectory_reasons(params.truth, recorded.trajectory)
    if params.component == "vertical" and len(recorded.reading.epochs) and not np.isfinite(errors.of[2]).any():
        text = "语句没有给出大地水准面差距，也没有声明 separation_m：没有大地高，不作垂直精度结论"
        yield Reason("no_separation", text)


def _mean(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(errors)
    total: NDArray[np.float64] = np.where(known, errors, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return total


def _session_means(
    errors: NDArray[np.float64], due: Due, known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean error of each session, metres, shape (3, k); its middle, ns)."""
    names = np.unique(due.sessions[known])
    means, times = np.full((3, names.size), np.nan), np.zeros(names.size)
    for i, name in enumerate(names):
        inside = known & (due.sessions == name)
        means[:, i] = _mean(errors[:, inside])
        means[~np.isfinite(errors[:, inside]).any(axis=1), i] = np.nan
        times[i] = float(due.t_ns[inside].mean())
    return means, times


def _ages(epochs: Epochs) -> dict[str, Json]:
    known = epochs.age[np.isfinite(epochs.age)]
    if not known.size:
        return {"given": 0}
    return {"given": int(known.size), "p50": float(np.median(known)), "max": float(known.max())}


def _effects(
    recorded: Recorded, params: Params, epochs: Epochs, window: tuple[int, int] | None, due: Due, errors: _Errors
) -> Iterator[Effect]:
    for ablation in recorded.marks.ablations:
        inside = (epochs.t_ns >= ablation.begin_ns) & (epochs.t_ns < ablation.end_ns)
        last = window[1] if window else int(epochs.t_ns.max()) if len(epochs) else ablation.begin_ns
        off = lay_out(
            epochs.where(inside), np.zeros(0, np.int64), params.rate_hz, (ablation.begin_ns, min(ablation.end_ns, last))
        )
        names = (recorded.off_names_beidou or {}).get(ablation)
        yield effect(ablation, due, errors.of, off, _errors(off, epochs.where(inside), recorded, params).of, names)


def _unknown(came: NDArray[np.bool_], known: NDArray[np.bool_]) -> Iterator[Validity]:
    lost, all_of = int((came & ~known).sum()), int(came.sum())
    if lost:
        severity = Severity.INVALID if lost > UNKNOWN_SHARE * all_of else Severity.WARNING
        text = f"{all_of} 个历元中有 {lost} 个那一刻没有真值，或没有大地高，不能参加判定"
        yield Validity("GNS-V16", severity, text)


def _standing(
    epochs: Epochs,
    due: Due,
    errors: NDArray[np.float64],
    means: NDArray[np.float64],
    recorded: Recorded,
    answered: tuple[Answer, ...],
    params: Params,
) -> Iterator[Validity]:
    live = followed(answered, recorded.steps, params.component)
    raw = np.where(due.quality == FIXED, errors, np.nan)
    edges = np.flatnonzero(np.diff(due.sessions) != 0) + 1
    raw = np.insert(raw, edges, np.nan, axis=1)  # no difference is taken across a pause
    judged = epochs.where(due.index[due.came])
    yield from standing_checks(judged, raw, params.component, params.rate_hz, challenged=live)
    yield from fix_checks(means)
    planned = params.challenge is not None or bool(recorded.steps)
    yield from challenge_findings(answered, recorded.steps, params.component, planned)


def _samples(
    params: Params,
    due: Due,
    errors: NDArray[np.float64],
    known: NDArray[np.bool_],
    means: NDArray[np.float64],
    session_times: NDArray[np.float64],
    epochs: Epochs,
    reasons: tuple[Reason, ...],
    validity: tuple[Validity, ...],
    facts: dict[str, Json],
) -> Samples:
    rows = list(COMPONENTS[params.component])
    kept = known | ~due.came  # an epoch that came and cannot be compared is no exceedance: it is counted in GNS-V16
    values = np.where(known, lengths(errors, params.component) * 1000, np.inf)[kept]
    parts = tuple(errors[rows][:, known] * 1000)
    start = due.t_ns[0] if due.t_ns.size else 0
    times = (due.t_ns[kept] - start) / 1e9
    word = _WORDS[params.component]
    kind = f"{params.component}_{'deviation' if reasons else 'error'}"
    usable = np.isfinite(means[rows]).all(axis=0)
    session_values = lengths(means[:, usable], params.component) * 1000
    session_parts = tuple(means[rows][:, usable] * 1000)
    said = "离散（精密度）" if reasons else "误差"
    sessions = Series("session", f"时段平均的{word}{said}", kind, session_values, components=session_parts)
    each = Series("epoch", f"逐历元的{word}{said}", kind, values, components=parts)
    series: tuple[Series, ...] = ()
    if params.observable == "session":
        values, parts, series = session_values, session_parts, (each,)
        times = (session_times[usable] - start) / 1e9
    elif params.motion == "static" and session_values.size:
        silent = params.observable is None
        series = (replace(sessions, plausible=SESSION_READINGS) if silent else sessions,)
    truth = params.truth
    u95 = 0.0
    if truth is not None and not reasons:
        u95 = truth.u95_horizontal_mm if params.component == "horizontal" else truth.u95_vertical_mm
    short = tuple(_too_little(due, parts, params.least_s))
    return Samples(
        unit="mm",
        values=values,
        times=times,
        measurand=kind,
        components=parts,
        resolution=_resolution(epochs, params),
        truth_u95=u95,
        series=series,
        open=(*reasons, *short),
        validity=validity,
        facts=facts,
    )


def _short_by_plan(params: Params) -> Iterator[Validity]:
    if params.least_s < LEAST_S:
        text = f"计划把参加判定的最短时间从 {LEAST_S:g} s 改为 {params.least_s:g} s：真接收机的误差变化慢，这样短的录取不能判定它"
        yield Validity("GNS-V18", Severity.WARNING, text)


def _too_little(due: Due, parts: tuple[NDArray[np.float64], ...], least_s: float) -> Iterator[Reason]:
    """What forbids a verdict by any statistic: errors that may be slow against the recording."""
    if due.expected * due.period_ns < least_s * 1e9:
        minutes = due.expected * due.period_ns / 60e9
        text = f"参加判定的只有 {minutes:.1f} min，至少要 {least_s / 60:.3g} min：比这更慢的误差在这段里看起来是常数"
        yield Reason("insufficient_samples", text)
    elif parts[0].size and (bounds := rms_bounds(np.stack(parts), ALPHA)).upper is None:
        worth = int(bounds.n_effective)
        text = f"各分量（连同其中的慢变部分）只相当于 {worth} 个独立样本，至少要 {LEAST_FOR_RMS} 个：录得更久，或多录几个时段"
        yield Reason("insufficient_samples", text)


def _pictures(
    params: Params,
    due: Due,
    errors: NDArray[np.float64],
    means: NDArray[np.float64],
    reading: Reading,
    about_truth: bool,
) -> Iterator[Picture]:
    came = due.came
    if came.any():
        of_sessions = means if params.motion == "static" else None
        quality = due.quality[came]
        yield deviation(errors[:, came], quality, params.component, means=of_sessions, about_truth=about_truth)
        times = (due.t_ns - due.t_ns[0]) / 1e9
        yield error_traces(times, errors, due.quality, params.component, about_truth=about_truth)
    if reading.satellites:
        yield sky(reading.satellites)


def _resolution(epochs: Epochs, params: Params) -> float:
    if not len(epochs):
        return 0.0
    height = float(np.nanmedian(epochs.height)) if np.isfinite(epochs.height).any() else 0.0
    place = Place(float(np.median(epochs.latitude)), float(np.median(epochs.longitude)), height)
    return step_mm(epochs.step, place, params.component)
