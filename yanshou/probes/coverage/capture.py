"""Takes boundaries and positions into evidence byte for byte. It must never count, leave out or correct anything.

Stream `session.json`, written last, says that the run is whole.
"""

from __future__ import annotations

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.boundary import close_session, take_boundary
from yanshou.probes.capturing import RunContext
from yanshou.probes.coverage.analyse import fix_streams
from yanshou.probes.coverage.spec import Params
from yanshou.probes.importing import stamp
from yanshou.probes.positions import check_table, table_file


def capture(params: Params, run: RunContext) -> None:
    """Raises ProbeError COV-E01 (positions missing, not the table they should be), E02 (changed while copied), BND-E."""
    paths = {name: table_file(run.folder, table, "COV-E01") for name, table in fix_streams(params).items()}
    before = {name: stamp(path) for name, path in paths.items()}
    for name, table in fix_streams(params).items():
        check_table(paths[name], table, "COV-E01")
    digests: dict[str, Json] = take_boundary(params.boundary, run)
    for name, path in paths.items():
        digests[name] = run.sink.attach(path, name)
        if stamp(path) != before[name]:
            raise ProbeError("COV-E02", f"{path.name} 在导入时被改动", "等导出结束、关掉占用它的程序后重新运行")
    close_session(run, digests)
