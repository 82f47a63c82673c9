"""rtt: round-trip latency by STAMP (RFC 8762) with kernel transmit and receive timestamps.

It is for measuring the delay that packets of an agreed size meet on an agreed path. It must never know a limit.
`schedule`, `stamp`, `timestamps`, `timing`, `capture` and `reflector` use the standard library only.
"""
