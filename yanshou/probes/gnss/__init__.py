"""gnss: how far a BeiDou receiver's positions are from the truth, and whether they may be believed.

It is for judging static and dynamic accuracy from NMEA, live or recorded. It must never know a limit.
"""
