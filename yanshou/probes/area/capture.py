"""Takes a boundary, and the results of the visits, into evidence byte for byte. It must never measure or correct anything.

Stream `session.json`, written last, says that the run is whole.
"""

from __future__ import annotations

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.area.analyse import VISITS
from yanshou.probes.area.spec import COLUMNS, Params
from yanshou.probes.area.visits import read_visits
from yanshou.probes.boundary import close_session, take_boundary
from yanshou.probes.capturing import RunContext
from yanshou.probes.importing import check_columns, checked_file, one_line, stamp
from yanshou.probes.notes import check_notes
from yanshou.probes.sampling import RESULTS


def capture(params: Params, run: RunContext) -> None:
    """Raises ProbeError ARE-E01 (visits missing, empty), E02 (column), E03 (word, personal data), E04 (changed), BND-E."""
    path = None
    if params.visits is not None:
        codes = dict.fromkeys(("missing", "directory", "empty", "unreadable"), "ARE-E01")
        path = checked_file(run.folder, params.visits.file, "现场核验结果", **codes)
        before = stamp(path)
        columns, visits = read_visits(path.open("rb"))
        check_columns(path, columns, COLUMNS, missing="ARE-E02", twice="ARE-E02")
        if unknown := next((v for v in visits if v.result and v.result not in RESULTS), None):
            text = f"{path.name} 里 {unknown.point} 的 result“{unknown.result}”不认识"
            raise ProbeError("ARE-E03", one_line(text), f"只用：{'、'.join(RESULTS)}；没有去的留空")
        check_notes(path, COLUMNS[:-1], "ARE-E03")
    digests: dict[str, Json] = take_boundary(params.boundary, run)
    if path is not None:
        digests[VISITS] = run.sink.attach(path, VISITS)
        if stamp(path) != before:
            raise ProbeError("ARE-E04", f"{path.name} 在导入时被改动", "等编辑结束、关掉占用它的程序后重新运行")
    close_session(run, digests)
