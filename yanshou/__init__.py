"""yanshou (验收): measures delivered systems, judges them against commitments and writes signed, re-checkable reports.

Rooms, top to bottom: `cli`, `demo` and `pytest_plugin` drive; `harness` plans, records, judges and verifies; `probes` are the
instruments; `reports` render; `scenarios` is the public list as data. This module must never import any of them.
"""

__version__ = "0.1.0"
