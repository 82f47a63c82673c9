"""MLPerf LoadGen asks the same target, after the measurement: a second driver that nobody here wrote, and its own logs.

It is for a cross-check; no verdict rests on it. LoadGen knows no failure and draws no new inputs, so each query here takes an input
of the pool that nothing has used, and our own stamps of the same requests stand beside its logs. It must never put an answer into
them, only its digest. Needs mlcommons-loadgen, which a bare terminal has not. Runs on Python 3.8.
"""

from __future__ import annotations

import array
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.model_latency.answer import Answer, Target
from yanshou.probes.model_latency.streams import LOADGEN_LOGS

P99, P999 = 0.99, 0.999
P999_LEAST = 6636
"""Fewer queries than this have no P99.9 in LoadGen."""


def require_loadgen() -> Any:
    """The library. Raises ProbeError LAT-E05."""
    try:
        import mlperf_loadgen
    except ImportError:
        text = "loadgen 要用 MLPerf LoadGen，这台主机没有"
        raise ProbeError("LAT-E05", text, "pip install 'yanshou[loadgen]'，或从参数里去掉 loadgen") from None
    return mlperf_loadgen


def drive(
    target: Target,
    inputs: Sequence[Json],
    first: int,
    seed: int,
    note: Callable[[int, int, Answer], None],
    keep: Callable[[Path], object],
) -> None:
    """Let LoadGen ask every input once (SingleStream); `note(number, place, answer)` each, then `keep` each of its logs.

    Requests are numbered from `first` in the order of the inputs, which is not the one in which LoadGen asks.

    A person's interrupt, or whatever `note` raises, is raised when LoadGen has come to its end, without asking on.
    """
    loadgen = require_loadgen()
    prepared: dict[int, Any] = {}
    stopped: list[BaseException] = []
    count = 0

    def load(places: list[int]) -> None:
        prepared.update((place, target.prepare(first + place, inputs[place])) for place in places)

    def issue(queries: list[Any]) -> None:
        nonlocal count
        for query in queries:
            answer = Answer()
            if not stopped:
                with _caught(stopped):
                    target.ask(prepared[query.index], answer)
            data = array.array("B", bytes.fromhex(answer.digest()))
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, *data.buffer_info())])
            if not stopped:
                with _caught(stopped):
                    note(count, query.index, answer)
                    count += 1
                    with suppress(OSError):  # where it cannot, that is the status of the next request
                        target.ready()

    with tempfile.TemporaryDirectory(prefix="yanshou-") as folder:
        asked = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(len(inputs), len(inputs), load, lambda _places: None)
        try:
            loadgen.StartTestWithLogSettings(
                asked, library, _settings(loadgen, len(inputs), seed), _logs(loadgen, folder)
            )
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(asked)
        if stopped:
            raise stopped[0]
        for name in LOADGEN_LOGS:
            keep(Path(folder) / name)


@contextmanager
def _caught(stopped: list[BaseException]) -> Iterator[None]:
    """Nothing may be raised through LoadGen's own frames."""
    try:
        yield
    except BaseException as error:
        stopped.append(error)


def _settings(loadgen: Any, count: int, seed: int) -> Any:
    """Every input once, no shortest duration: how long a measurement must be is the judged run's affair."""
    told = loadgen.TestSettings()
    told.scenario = loadgen.TestScenario.SingleStream
    told.mode = loadgen.TestMode.PerformanceOnly
    told.single_stream_target_latency_percentile = P999 if count >= P999_LEAST else P99
    told.min_query_count = told.max_query_count = told.performance_sample_count_override = count
    told.min_duration_ms = 0
    told.performance_issue_unique = True
    told.accuracy_log_probability = 1.0
    told.qsl_rng_seed = told.sample_index_rng_seed = told.schedule_rng_seed = seed % (1 << 63)
    return told


def _logs(loadgen: Any, folder: str) -> Any:
    told = loadgen.LogSettings()
    told.log_output.outdir = folder
    told.log_output.copy_summary_to_stdout = False
    told.enable_trace = True
    return told
