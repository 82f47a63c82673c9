"""Gauges of a core or a platform (Prometheus text, REST JSON): a cross-check beside the count, never a count."""
