"""`make bench`, or `python -m tests.benchmarks [name…]`: jobs done by us and by peers in the same run, and the ratios.

Absolute times are this machine's.
"""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("records", "latency", "captures", "chain", "weights", "model_latency", "nmea", "reports")


def main(names: list[str]) -> None:
    """The named benchmarks, or all."""
    for name in names or BENCHMARKS:
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
