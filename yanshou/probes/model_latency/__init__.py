"""Latency of a model's answers, request by request, timed from the schedule or from the first byte sent.

It must never know a limit, and never let an answer that is no answer look fast.
"""
