"""Packets: a capture that somebody recorded, or a live one on an interface of this host (a mirror port)."""
