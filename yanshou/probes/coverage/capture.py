"""Takes boundaries and positions into evidence byte for byte. It must never count, leave out or correct anything.

Stream `session.json`, written last, says that the run is whole.
"""

from __future__ import annotations

from yanshou.harness.basics import Json
from yanshou.probes.boundary import close_session, take_boundary
from yanshou.probes.capturing import RunContext
from yanshou.probes.coverage.analyse import fix_streams
from yanshou.probes.coverage.spec import Params
from yanshou.probes.positions import take_positions


def capture(params: Params, run: RunContext) -> None:
    """Raises ProbeError COV-E01 (positions missing, not the table they should be), E02 (changed while copied), BND-E."""
    digests: dict[str, Json] = take_boundary(params.boundary, run)
    digests |= take_positions(fix_streams(params), run, unusable="COV-E01", changed="COV-E02")
    close_session(run, digests)
