"""What an rtt.http run records beside the streams of `rtt`. Times are ns on the clock of packets.csv.

exchanges.csv  one row per request, when it ended: on which connection (numbered in the order of opening), when its first octet was
               given to the system, and how it ended. status: the HTTP status, or closed (the connection ended before the
               answer did) | garbage (no HTTP) | timeout (given up, the connection with it) | expired (never sent: all
               connections were busy until its time was over; the two cells before are empty). octets: of the answer's body.
"""

from __future__ import annotations

EXCHANGES = "exchanges.csv"
EXCHANGE_COLUMNS = "seq,connection,sent_ns,status,octets"
CLOSED, GARBAGE, TIMEOUT, EXPIRED = "closed", "garbage", "timeout", "expired"
