"""Takes an answer sheet and every file behind its answers into evidence.

It is for freezing what people answered and on what grounds. It must never answer, correct or complete anything: a sheet
that breaks a rule is refused with the line of each breach.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.evidence import canonical, digest_file, sha256_bytes
from yanshou.harness.model import Answer
from yanshou.harness.names import name_problem
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.inspection.analyse import ATTACHMENTS, ITEMS
from yanshou.probes.inspection.journal import STREAM, differences, read
from yanshou.probes.inspection.spec import Item, Params, Recorded, RecordedFile, RecordedItem, breaches, misread
from yanshou.probes.texts import moment

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

SHEET = "sheet.yaml"
TEXT_KEYS = ("observed", "answer", "reason", "how", "inspector", "witness", "time", "confirmed", "place")
FILE_KEYS = ("file", "sha256", "kind", "obtained_from", "obtained_at", "page")


@dataclass(frozen=True)
class Proof:
    """One evidence file named in a sheet: where it lies, and what the sheet says about it."""

    path: Path
    said: dict[str, str]


@dataclass(frozen=True)
class Response:
    """What a sheet says about one item: its texts verbatim, and its evidence files."""

    said: dict[str, str]
    evidence: tuple[Proof, ...] = ()


def capture(params: Params, run: RunContext) -> None:
    """Streams `sheet.yaml`, `journal.jsonl` where the sheet names one, `attachments/<item>/<file name>` and last `items.json`,
    which ties answers to digests.

    Raises UserError with every problem of the sheet: INS-E01 (not readable), E02 (evidence missing), E03 (是 without
    evidence), E04 (是 without two persons), E05 (evidence empty), E06 (unknown item or key, wrong shape), E07 (duplicate
    key), E08 (answer or time not readable), E09 (a file name that cannot be used), E10 (answer not explained),
    E11 (是 without the right identifier or name where one is asked for), E12 (not what the journal says, or another file),
    E13 (an inspector judged what only experts can).
    """
    data, responses, problems, kept = read_sheet(run.folder, params)
    if problems:
        raise UserError(problems)
    run.sink.stream(SHEET).write(data)
    if kept:
        run.sink.stream(STREAM).write(kept)
    items: list[RecordedItem] = []
    for item in params.items:
        response = responses.get(item.id, Response({}))
        files = tuple(_attach(item, proof, run) for proof in response.evidence)
        items.append(RecordedItem.model_validate({**item.model_dump(), **response.said, "evidence": files}))
        run.progress(Progress(len(items), len(params.items)))
    journal_sha256 = sha256_bytes(kept) if kept else ""
    record = Recorded(sheet_sha256=sha256_bytes(data), items=tuple(items), journal_sha256=journal_sha256)
    run.sink.stream(ITEMS).write(canonical(record.model_dump(mode="json")) + b"\n")


def _stream(item: Item, path: Path) -> str:
    return f"{ATTACHMENTS}/{item.id}/{path.name}"


def _attach(item: Item, proof: Proof, run: RunContext) -> RecordedFile:
    stream = _stream(item, proof.path)
    return RecordedFile.model_validate({**proof.said, "stream": stream, "sha256": run.sink.attach(proof.path, stream)})


def read_sheet(folder: Path, params: Params) -> tuple[bytes, dict[str, Response], list[Problem], bytes]:
    """The sheet's bytes, its responses by item id, everything wrong with it in the order of its lines, its journal's bytes."""
    path = folder / params.sheet
    reader = _Reader(Path(params.sheet), (folder.resolve(), path.parent.resolve()))
    data, root = reader.load(path)
    responses: dict[str, Response] = {}
    top = reader.mapping(root, ("journal", "items"), "答卷") if root is not None else {}
    if root is not None and "items" not in top:
        reader.note(root, "INS-E06", "缺少 items", "用 yanshou 生成的空白答卷填写")
    known = {item.id: item for item in params.items}
    for name, (key, node) in reader.mapping(top.get("items", (None, None))[1], known, "items").items():
        responses[name] = reader.response(known[name], key, node, path.parent)
    kept = reader.journal(top["journal"][1], path.parent, params, responses) if "journal" in top else b""
    return data, responses, sorted(reader.problems, key=lambda problem: problem.line or 0), kept


@dataclass(frozen=True)
class _Reader:
    """Reads one sheet strictly, every scalar as the text that stands there, and collects what is wrong.

    `within`: the folders of which one must hold an evidence file, links followed.
    """

    shown: Path
    within: tuple[Path, Path]
    problems: list[Problem] = field(default_factory=list)

    def note(self, node: Node | int | None, code: str, text: str, remedy: str) -> None:
        line = node if node is None or isinstance(node, int) else node.start_mark.line + 1
        self.problems.append(Problem(code, " ".join(text.split()), remedy, self.shown, line))

    def load(self, path: Path) -> tuple[bytes, Node | None]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        data = b""
        try:
            data = path.read_bytes()
            root = YAML(typ="safe", pure=True).compose(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self.note(line, "INS-E01", "答卷不是 UTF-8 文本", "用编辑器另存为 UTF-8")
        except (OSError, ValueError) as error:
            self.note(None, "INS-E01", f"答卷{_why(error)}", "放好答卷，或改正 sheet 的路径")
        except RecursionError:
            self.note(None, "INS-E01", "答卷的括号或缩进层层相套，读不下去", "用 yanshou 生成的空白答卷填写")
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            text = getattr(error, "problem", None) or "有不允许的字符"
            self.note(
                mark.line + 1 if mark else None, "INS-E01", f"不是正确的 YAML：{text}", "检查缩进、冒号后的空格与引号"
            )
        else:
            if root is None:
                self.note(None, "INS-E01", "答卷是空的", "用 yanshou 生成的空白答卷填写")
            return data, root
        return data, None

    def mapping(self, node: Node | None, allowed: Iterable[str], what: str) -> dict[str, tuple[Node, Node]]:
        """{key: (key node, value node)} of the allowed keys; none for no node."""
        from ruamel.yaml.nodes import MappingNode, ScalarNode

        found: dict[str, tuple[Node, Node]] = {}
        if node is None or not isinstance(node, MappingNode):
            if node is not None:
                self.note(node, "INS-E06", f"{what} 下应为“键: 值”", "照空白答卷的样式填写")
            return found
        names = list(allowed)
        for key, value in node.value:
            name = str(key.value) if isinstance(key, ScalarNode) else "（不是一个词）"
            if name in found:
                self.note(key, "INS-E07", f"{what} 下 {name} 写了两次", "只留一个")
            elif name in names:
                found[name] = (key, value)
            else:
                near = difflib.get_close_matches(name, names, 1)
                remedy = f"是不是 {near[0]}？" if near else f"可用：{'、'.join(names)}"
                self.note(key, "INS-E06", f"{what} 下没有 {name} 这一项", remedy)
        return found

    def text(self, node: Node, what: str) -> str:
        """A scalar verbatim; nothing for null."""
        from ruamel.yaml.nodes import ScalarNode

        if not isinstance(node, ScalarNode):
            self.note(node, "INS-E06", f"{what} 应为一段文字", "照空白答卷的样式填写")
            return ""
        return "" if str(node.tag).endswith(":null") else str(node.value)

    def texts(self, found: dict[str, tuple[Node, Node]], keys: Iterable[str], what: str) -> dict[str, str]:
        return {key: self.text(found[key][1], f"{what} 的 {key}") if key in found else "" for key in keys}

    def sequence(self, node: Node, what: str) -> list[Node]:
        from ruamel.yaml.nodes import SequenceNode

        if isinstance(node, SequenceNode):
            return list(node.value)
        if self.text(node, what):
            self.note(node, "INS-E06", f"{what} 应为列表", "每个文件一行：- {file: 路径, kind: 照片}")
        return []

    def response(self, item: Item, key: Node, node: Node, folder: Path) -> Response:
        found = self.mapping(node, (*TEXT_KEYS, "evidence"), item.id)
        said = self.texts(found, TEXT_KEYS, item.id)
        said["answer"] = said["answer"] or Answer.OPEN.value
        listed = self.sequence(found["evidence"][1], f"{item.id} 的 evidence") if "evidence" in found else []
        answer_at = found["answer"][0] if "answer" in found else key
        if said["time"] and moment(said["time"]) is None:
            text = f"{item.id} 的 time“{said['time']}”不是时刻"
            self.note(found["time"][0], "INS-E08", text, "写作 2025-03-01 09:30")
        if said["answer"] in list(Answer):
            explained = bool(said["observed"] or said["reason"])
            persons = {key: said[key] for key in ("inspector", "witness")}
            answer = Answer(said["answer"])
            rules = breaches(answer, **persons, explained=explained, evidence=len(listed), expert=item.expert)
            for code, text, remedy in rules:
                self.note(answer_at, code, f"{item.id} {text}", remedy)
            if answer is Answer.YES and (wrong := misread(item, said["observed"])):
                self.note(answer_at, "INS-E11", f"{item.id} {wrong[0]}", wrong[1])
        else:
            text = f"{item.id} 的 answer“{said['answer']}”不认识"
            self.note(answer_at, "INS-E08", text, f"只用：{'、'.join(Answer)}")
        return Response(said, self.proofs(item, listed, folder))

    def journal(self, node: Node, folder: Path, params: Params, responses: Mapping[str, Response]) -> bytes:
        """The journal that a sheet says it comes of; noted is each item that it does not bear out."""
        name = self.text(node, "journal")
        try:
            data = (folder / name).read_bytes()
            found = read(io.BytesIO(data))
        except OSError as error:
            self.note(node, "INS-E12", f"查验日志 {name} {_why(error)}", "放回查验日志，或再运行 yanshou inspect")
            return b""
        except ValueError as error:
            self.note(node, "INS-E12", str(error), "再运行一次 yanshou inspect，由它收尾；改动过的从副本恢复")
            return b""
        rows = {i: {**r.said, "evidence": [p.said for p in r.evidence]} for i, r in responses.items()}
        for item, text in differences(params.sheet, params.items, rows, found):
            self.note(node, "INS-E12", f"{item} {text}", "不要手改答卷：再运行 yanshou inspect，由它照日志重写")
        return data

    def proofs(self, item: Item, listed: list[Node], folder: Path) -> tuple[Proof, ...]:
        proofs: list[Proof] = []
        for node in listed:
            what = f"{item.id} 的 evidence"
            said = self.texts(self.mapping(node, FILE_KEYS, what), FILE_KEYS, what)
            path = folder / said["file"]
            taken = {_stream(item, proof.path).casefold() for proof in proofs}
            problem = _unusable(path, _stream(item, path), taken, said["sha256"], self.within)
            if problem:
                code, text, remedy = problem
                self.note(node, code, f"{item.id} 的证据文件 {said['file'] or '（没写 file）'} {text}", remedy)
            else:
                proofs.append(Proof(path, said))
        return tuple(proofs)


def _unusable(
    path: Path, stream: str, taken: set[str], sha256: str, within: tuple[Path, ...]
) -> tuple[str, str, str] | None:
    """(code, text, remedy) when an evidence file cannot be taken in as `stream` beside those that are `taken`.

    `sha256`: the digest that it had when it was taken down, "" where nobody did.
    """
    try:
        if not any(path.resolve().is_relative_to(place) for place in within):
            return "INS-E02", "不在案卷文件夹里", "放进案卷文件夹，或改正 file"
        with path.open("rb") as f:
            if not f.read(1):
                return "INS-E05", "是空的", "换成有内容的文件"
        if sha256 and digest_file(path) != sha256:
            return "INS-E12", "收进来之后被改过", "从原始介质恢复，或在 yanshou inspect 里撤回它"
    except RuntimeError:  # of Path.resolve
        return "INS-E02", "是绕成圈的链接", "换成文件本身"
    except (OSError, ValueError) as error:
        return "INS-E02", _why(error), "放好文件，或改正 file"
    remedy = "改名后重列，同一条目下各不相同"
    if stream.casefold() in taken:
        return "INS-E09", "与前一个同名", remedy
    if unsafe := name_problem(stream):  # it could not be packed later, when nothing can be renamed any more
        return "INS-E09", f"的名称不能用：{unsafe}", remedy
    return None


def _why(error: OSError | ValueError) -> str:
    for kind, text in (
        (FileNotFoundError, "不存在"),
        (IsADirectoryError, "是文件夹"),
        (PermissionError, "没有读权限"),
        (ValueError, "的路径里有不允许的字符"),
    ):
        if isinstance(error, kind):
            return text
    return f"读不出：{error.strerror}" if isinstance(error, OSError) else str(error)
