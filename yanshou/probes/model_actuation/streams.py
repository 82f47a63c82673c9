"""The streams of a run of `model.actuation`: what the capture writes and the analysis reads.

events.csv    every trigger and actuation in the order of the log: kind (trigger | actuation), time of the log's one clock in ns,
              frame; that of a trigger is empty where it cannot be read.
session.json  the log's name, format, size and SHA-256, and how much was read of it; written last, so that a cut run has none.
"""

from __future__ import annotations

EVENTS, SESSION = "events.csv", "session.json"
FORMAT = "yanshou/actuation/1"
COLUMNS = "kind,t_ns,frame"
TRIGGER, ACTUATION = "trigger", "actuation"
LONGEST_FRAME = 64
