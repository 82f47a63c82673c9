"""A generated CAN log of known delays: the standard that calibrates the `model.actuation` probe.

Its truth is what was drawn, never what the probe pairs. Actuations overtake one another: pairing by nearness would be wrong.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext

POINTS = (20.0, 100.0)
"""About what the delays are, ms."""
NUMBER, PERIOD_S, SPREAD = 701, 0.05, 0.6
BASIS = "由种子生成的 CAN 日志：每个触发至其执行的时延已知，执行互相超越，帧号 16 位"
DBC = """VERSION ""

NS_ :

BS_:

BU_: ADC

BO_ 256 Camera: 8 ADC
 SG_ Frame : 0|16@1+ (1,0) [0|65535] "" ADC

BO_ 512 Brake: 8 ADC
 SG_ BasedOn : 8|16@1+ (1,0) [0|65535] "" ADC
"""


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A log whose delays spread about `true_value`, there as long as the context lasts; truth in truth.json. Raises ProbeError."""
    with tempfile.TemporaryDirectory(prefix="yanshou-") as name:
        delays = write_log(Path(name) / "log.blf", true_value, run.seed)
        truth = {"true": median(delays), "unit": "ms", "n": len(delays), "basis": BASIS}
        run.sink.stream("truth.json").write(json.dumps(truth, ensure_ascii=False).encode() + b"\n")
        (Path(name) / "log.dbc").write_text(DBC, encoding="ascii")
        yield {"file": f"{name}/log.blf", "dbc": f"{name}/log.dbc", **SIGNALS}


SIGNALS = {"trigger": "Camera", "trigger_frame": "Frame", "actuation": "Brake", "actuation_frame": "BasedOn"}


def write_log(path: Path, about_ms: float, seed: int) -> list[float]:
    """The delays, ms, of a log (BLF or ASC) of NUMBER frames whose count wraps around. Raises ProbeError ACT-E05."""
    try:
        import can
    except ImportError as error:
        from yanshou.probes.model_actuation.logs import MISSING

        raise ProbeError("ACT-E05", f"没有安装 {error.name}，标准器写不了日志", MISSING) from None
    draw = random.Random(seed)
    delays = [round(about_ms * (1 + SPREAD * (2 * draw.random() - 1)), 2) for _ in range(NUMBER)]
    sent = []
    for n, delay in enumerate(delays):
        frame, at = (65_000 + n) % 65_536, n * PERIOD_S
        sent.append((at, 256, frame.to_bytes(2, "little") + bytes(6)))
        sent.append((at + delay / 1000, 512, b"\1" + frame.to_bytes(2, "little") + bytes(5)))
    with can.Logger(str(path)) as log:
        for at, number, data in sorted(sent):
            log(can.Message(timestamp=1_700_000_000 + at, arbitration_id=number, is_extended_id=False, data=data))
    return delays
