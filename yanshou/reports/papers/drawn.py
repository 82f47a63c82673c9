"""Which papers a case has, by now: before anything is measured those that prepare it, afterwards all of them."""

from __future__ import annotations

from yanshou.reports.document import build
from yanshou.reports.papers.comparison import comparison
from yanshou.reports.papers.deviations import deviations
from yanshou.reports.papers.full import full_report
from yanshou.reports.papers.model import Dossier, Paper
from yanshou.reports.papers.opinion import opinion
from yanshou.reports.papers.public import public_summary
from yanshou.reports.papers.raw_records import raw_records
from yanshou.reports.papers.scheme import scheme
from yanshou.reports.papers.site import site_check

BEFORE = (scheme, site_check)
AFTER = (raw_records, deviations, comparison, opinion, public_summary)


def papers(case: Dossier) -> list[Paper]:
    """In the order in which an acceptance needs them; the report itself is the last but one."""
    drawn = [draw(case) for draw in BEFORE]
    if not case.measured:
        return drawn
    return [*drawn, *(draw(case) for draw in AFTER), full_report(build(case.record, case.record_sha256))]
