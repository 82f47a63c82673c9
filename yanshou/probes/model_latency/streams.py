"""The streams of a run of `model.latency` and their columns: what the capture writes and the analysis reads. Times are ns.

requests.csv  one row per request when its fate is known. All times are of one monotonic clock, from the run's origin; 0 is the
              origin, what never came is empty. t_free: when a stream was free for it; t_sched: when it was planned (closed loop:
              the same); t_start: before its first byte; t_sent: after its last; t_byte: first byte of the answer; t_first, t_last:
              first and last piece with content; t_done: the end. `input`, `answer`: SHA-256, first 16 hex digits.
gaps.csv      of each streamed answer the times between pieces with content, one line: seq, then the gaps.
host.csv      about once a second: temperatures (mC), frequency (kHz), throttle counts, packets and bytes of each network
              interface so far, where the system tells them.
sensors.txt   only with a command that tells temperatures: its lines, each after the time at which it came.
session.json  target, pool, surroundings; written first.     end.json  rows there must be; written last.
ablation.csv  only where pictures are swapped and blanked after the measurement: what each of the three inputs was answered.
loadgen/      only where MLPerf LoadGen asks too: requests.csv of its queries, its three logs and its trace.
uplink.csv    only where the uplink is listened to: what passed in each tenth of a millisecond between the same two ends, the
              first at t. way: out and in (from and to the model), group (from it to a group address), own (between it and this
              host on the connection on which it is measured), here (between these two otherwise), other (neither). local: the
              model's address (of other: the sender's); remote, port: the other end's. bytes: of whole frames; content: of them,
              what lies above the transport header. No payloads.
uplink.json   how it was listened to, what the kernel dropped, whether somebody confirmed that the uplink is cut; written last.
hold.csv      only in a calibration: how long the standard truly took for each request.

status: ok | empty | http-NNN | error (said so in the answer) | cut (no proper end) | closed | refused | timeout | garbled
"""

from __future__ import annotations

SESSION, REQUESTS, GAPS, HOST, SENSORS, ABLATION, END, HOLD = (
    "session.json", "requests.csv", "gaps.csv", "host.csv", "sensors.txt", "ablation.csv", "end.json", "hold.csv"
)  # fmt: skip
UPLINK, UPLINK_END = "uplink.csv", "uplink.json"
FORMAT = "yanshou/latency/1"
COLUMNS = (
    "seq,index,stream,t_free_ns,t_sched_ns,t_start_ns,t_sent_ns,t_byte_ns,t_first_ns,t_last_ns,t_done_ns,"
    "status,pieces,empty,tokens,prompt_tokens,cached_tokens,choices,bytes,chars,input,answer"
)
GAP_COLUMNS = "seq,gaps_ns"
HOST_COLUMNS = "t_ns,channel,value"
UPLINK_BIN_NS = 100_000
UPLINK_COLUMNS = "t_ns,way,protocol,local,remote,port,packets,bytes,content"
WAYS = OUT, IN, GROUP, OWN, HERE, OTHER = "out", "in", "group", "own", "here", "other"
ABLATION_COLUMNS = "seq,variant,status,input,answer"
HOLD_COLUMNS = "seq,first_ns,done_ns"
LOADGEN = "loadgen"
SUMMARY, DETAIL, ACCURACY, TRACE = LOADGEN_LOGS = (
    "mlperf_log_summary.txt", "mlperf_log_detail.txt", "mlperf_log_accuracy.json", "mlperf_log_trace.json"
)  # fmt: skip
REQUEST_ID = "X-Request-Id"
