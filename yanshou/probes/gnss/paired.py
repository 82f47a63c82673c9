"""What the probe indicated for each epoch of a standard, less what the standard truly printed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yanshou.probes.gnss.figures import lengths
from yanshou.probes.gnss.streams import utc_ns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yanshou.harness.evidence import RunEvidence
    from yanshou.harness.model import Samples

KNOWN = "known.csv"
KNOWN_COLUMNS = "utc_ns,east_mm,north_mm,up_mm"
"""Errors that the standard put into each epoch that it gave out."""


def differences(samples: Samples, evidence: RunEvidence) -> NDArray[np.float64]:
    """Indicated - true, mm, of every epoch that the standard gave out while it was listened to, shape (n,); +inf: not seen."""
    import numpy as np

    with evidence.open(KNOWN) as f:
        known = np.loadtxt(f, delimiter=",", skiprows=1, ndmin=2, dtype=np.longdouble)
    given_ns, true = known[:, 0].astype(np.int64), known[:, 1:].astype(np.float64).T
    if not samples.times.size:
        return np.full(given_ns.size, np.inf)
    seen_ns = utc_ns(str(samples.facts["start"])) + np.rint(samples.times * 1e9).astype(np.int64)
    seen = np.isfinite(samples.values)
    seen_ns, values = seen_ns[seen], samples.values[seen]
    if not seen_ns.size:
        return np.full(given_ns.size, np.inf)
    listened = (given_ns >= seen_ns[0]) & (given_ns <= seen_ns[-1])
    place = np.minimum(np.searchsorted(seen_ns, given_ns[listened]), seen_ns.size - 1)
    indicated = np.where(seen_ns[place] == given_ns[listened], values[place], np.inf)
    return np.asarray(indicated - lengths(true[:, listened], str(samples.facts["component"])))
