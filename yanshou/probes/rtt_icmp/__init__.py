"""Round-trip time by ICMP echo: for far ends that accept no software.

It must never claim that the far end is anybody's: no echo reply proves who made it.
"""
