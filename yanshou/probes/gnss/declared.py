"""Takes into evidence what people hand in beside the stream: the truth's trajectory and the marks.

It is for refusing, before anything is recorded, what could not be used afterwards. It must never change a byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yanshou.harness.basics import ProbeError
from yanshou.probes.capturing import RunContext
from yanshou.probes.gnss.marks import MARKS, parse_marks
from yanshou.probes.gnss.spec import TruthFile
from yanshou.probes.gnss.truth import read_trajectory
from yanshou.probes.importing import checked_file, one_line

if TYPE_CHECKING:
    from yanshou.probes.gnss.spec import Params


def take_declared(params: Params, run: RunContext) -> None:
    """Copy truth and marks in. Raises ProbeError GNS-E16 (truth), GNS-E17 (marks): missing, or not readable in one way."""
    if isinstance(params.truth, TruthFile):
        truth, what = params.truth, "真值轨迹"
        path = checked_file(
            run.folder, truth.file, what, missing="GNS-E16", directory="GNS-E16", empty="GNS-E16", unreadable="GNS-E16"
        )
        try:
            with path.open("rb") as f:
                read_trajectory(f, truth.format)
        except ValueError as error:
            text = f"{what} {path.name} {one_line(str(error))}"
            raise ProbeError("GNS-E16", text, "改正后重新运行；格式见 docs/probes/p-060-gnss.md") from None
        run.sink.attach(path, truth.stream)
    if params.marks:
        path = checked_file(
            run.folder, params.marks, "标记文件", missing="GNS-E17", directory="GNS-E17", empty="GNS-E17", unreadable="GNS-E17"
        )  # fmt: skip
        try:
            parse_marks(path.read_bytes().decode("utf-8-sig"))
        except ValueError as error:
            text = f"标记文件 {path.name} {one_line(str(error))}"
            raise ProbeError("GNS-E17", text, "改正后重新运行；格式见 docs/probes/p-060-gnss.md") from None
        run.sink.attach(path, MARKS)
