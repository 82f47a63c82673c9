"""The streams of a load and their columns: what the capture writes and the analysis reads. Times are ns.

requests.csv  one row per request, when its fate is known, in the order in which workers hand them in. Times are those of the
              worker's own clock (MONOTONIC, written as REALTIME by one reading taken at its start). status: HTTP status code,
              or "ok" for an acknowledged message; else timeout | refused | closed | tls | error.
events.jsonl  "worker" (who takes part: first user, number of users, start on its clock, offset and bound of that clock), "steady"
              (all users have joined), "lost" (a worker is gone), "stop" (the planned end, or the order to end: ns from the
              start) and "end" (rows of each worker, and locust's own numbers, which nobody judges).
hold.csv      only in a calibration: how long the standard truly held each request.
"""

from __future__ import annotations

REQUESTS, EVENTS, HOLD = "requests.csv", "events.jsonl", "hold.csv"
REQUEST_COLUMNS = "worker,user,seq,t_sched_ns,t_start_ns,t_done_ns,status,bytes"
HOLD_COLUMNS = "user,seq,hold_ns"
PREFIX = "load"
"""Where a load that accompanies another measurement keeps its streams."""
REQUEST_ID = "yanshou-{}-{}"
"""User and number, by which each request names itself (HTTP: X-Request-Id)."""
