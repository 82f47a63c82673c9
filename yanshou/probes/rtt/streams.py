"""The streams of an rtt run and their columns: what the capture writes and the analysis reads. Times are ns.

packets.csv  one row per packet, written when its fate is known, and per event; what is unknown is empty. T1, T4 and the
             schedule are on the sender's CLOCK_REALTIME. What the reply claims: T2, T3, the reflector's own sequence number
             and error estimate (as a number of 16 bits), and the true transmit stamp of an earlier reply (follow_t3_ns of
             the reply that had number follow_seq). auth: ok | bad where a key is used, else empty.
clock.csv    clock readings, about one a second: REALTIME and MONOTONIC_RAW, read between the two MONOTONIC readings.
session.json surroundings, written at the start.      end.json  how many rows there must be, written at the end.

status: ok | lost (no reply within the timeout) | late (reply after it; the row of a lost packet that still came has T1 as
sent and follows the lost row) | unsent (the system refused) | dup (one more reply) | foreign (no reply to any packet of ours).
"""

from __future__ import annotations

SESSION, PACKETS, CLOCK, END = "session.json", "packets.csv", "clock.csv", "end.json"
HOLD = "hold.csv"
"""A standard's log: for each packet and direction how long it was truly held."""
PACKET_COLUMNS = (
    "seq,phase,t_sched_ns,t1_user_ns,t1_kernel_ns,t2_ns,t3_ns,t4_kernel_ns,t4_user_ns,"
    "size,status,ttl,auth,reply_seq,error,follow_seq,follow_t3_ns"
)
CLOCK_COLUMNS = "realtime_ns,monotonic_raw_ns,monotonic_before_ns,monotonic_after_ns"
