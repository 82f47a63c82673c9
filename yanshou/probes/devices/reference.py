"""A fleet of virtual devices before an embedded broker, of which the true number is known: the standard of the `devices` probe.

It is for showing that every honest device counts once and no cheat counts at all, through the same network, source and
analysis as on site. It must never use the probe's own analysis to arrive at its truth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.probes.capturing import RunContext
from yanshou.probes.devices.simulate import fleet, register_params, running, source_params, write_register
from yanshou.probes.mqtt_broker import running as broker_running

POINTS = (5.0, 20.0)
WINDOW_S = 2.5
INTERVAL_S = 0.12
"""Some twenty messages of each device within the window: enough for a copied stream to be told from its model."""


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """`true_value` honest devices, and of each kind of cheat a few, alive as long as the context lasts; truth in truth.json."""
    planted = {"silent": 2, "constant": 1, "reused": 1, "copied": 2, "twice": 1, "ghosts": 2}
    devices = fleet(int(true_value), **planted, strangers=1)
    with tempfile.TemporaryDirectory() as folder, broker_running() as port:
        register = Path(folder) / "register.csv"
        write_register(register, devices)
        truth: Json = {
            "true": true_value,
            "unit": "台(套)",
            "n": sum(d.registered for d in devices),
            "basis": "虚拟设备：如实的台数按构造已知，另有静默、恒值、冒用序列号、抄数据流、一机两号与空挂的",
            "planted": {
                "DEV-X-DUP": planted["reused"] + planted["twice"],
                "DEV-X-GHOST": planted["ghosts"]
                + planted["silent"],  # without the broker's log nothing shows the silent
                "DEV-X-STALE": planted["constant"],
                "DEV-X-COPY": planted["copied"],
            },
        }
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        with running("127.0.0.1", port, devices, interval_s=INTERVAL_S, sockets=3):
            yield {
                "register": register_params(str(register)),
                "sources": [source_params("127.0.0.1", port)],
                "window_s": WINDOW_S,
            }
