"""Values written into a case.yaml that a person keeps: every byte that is not replaced or added stays, comments included.

Round trips through a YAML library move comments that stand before the next section and re-indent lists; here the places are
found in the parsed tree and the text is changed only there. It must never replace what a person wrote, only blanks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from yanshou.harness.basics import Json, Problem, UserError
from yanshou.harness.case import Case, Place, compose, is_blank, parse_case

Written = str | list[str]
"""What is written: a text, or a list of names."""

_UNPRINTABLE = re.compile("[\x7f-\xa0\xad\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def conflicts(case: Case, values: Mapping[Place, Written]) -> Iterator[Problem]:
    """One problem for every place where a person wrote something else."""
    for place, value in values.items():
        old = value_at(case.data, place)
        if not _open(old) and old != value:
            dotted = ".".join(map(str, place))
            text = f"{dotted} 已写“{_shown(old)}”，文件里是“{_shown(value)}”"
            remedy = "两者哪个对？案卷错就删去此值再导入，文件错就改正文件"
            yield Problem("I-DIFFERS", text, remedy, case.path, case.line(*place))


def edited(case: Case, values: Mapping[Place, Written]) -> str:
    """The text of `case` with every value at its place; what stands there must be blank (see `conflicts`).

    Raises UserError where the form of the file does not allow it.
    """
    body = case.text.removeprefix("\ufeff")
    newline = "\r\n" if "\r\n" in body else "\n"
    tree: dict[Any, Any] = {}
    for place, value in values.items():
        if value_at(case.data, place) != value:
            _put(tree, place, value)
    edits = sorted(_edits(compose(body, case.path), tree, body, case), key=lambda e: e[:2], reverse=True)
    for start, end, text in edits:
        body = body[:start] + text.replace("\n", newline) + body[end:]
    result = case.text[: len(case.text) - len(case.text.removeprefix("\ufeff"))] + body
    _require_only(case, values, result)
    return result


def value_at(data: Json, place: Place) -> Json:
    """What stands at `place` in plain data; None where nothing does. Dates as their ISO text, true and false as words."""
    for key in place:
        if not isinstance(data, dict) or key not in data:
            return None
        data = data[key]
    if data is None or isinstance(data, list | dict):
        return data
    return str(data).lower() if isinstance(data, bool) else str(data)


def _open(value: Json) -> bool:
    return is_blank(value) or value in ([], {})


def _shown(value: Json) -> str:
    text = " ".join((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).split())
    return text if len(text) <= 60 else f"{text[:60]}…"


def _put(tree: dict[Any, Any], place: Place, value: Written) -> None:
    for key in place[:-1]:
        tree = tree.setdefault(key, {})
    tree[place[-1]] = value


def _edits(node: Node, tree: Mapping[Any, Any], text: str, case: Case) -> Iterator[tuple[int, int, str]]:
    """(start, end, new text) for what `tree` adds below the mapping `node`."""
    assert isinstance(node, MappingNode)
    there = {str(key.value): (key, value) for key, value in node.value}
    added = {key: value for key, value in tree.items() if key not in there}
    for key in tree.keys() - added.keys():
        value, (name, old) = tree[key], there[key]
        if isinstance(value, dict) and isinstance(old, MappingNode) and old.value:
            yield from _edits(old, value, text, case)
        elif isinstance(value, dict) and node.flow_style:
            yield _replacement(name, old, _flow(value), text, case)
        elif isinstance(value, dict):
            start, end, _ = _replacement(name, old, "", text, case)
            block = "".join(f"\n{line}" for line in _block(value, name.start_mark.column + 2))
            yield start, _line_end(text, end), text[end : _line_end(text, end)] + block
        else:
            yield _replacement(name, old, f" {_scalar(value)}", text, case)
    if added and node.flow_style:
        inside = ", ".join(f"{_key(k)}: {_flow(v) if isinstance(v, dict) else _scalar(v)}" for k, v in added.items())
        last = node.value[-1][1].end_mark.index if node.value else node.start_mark.index + 1
        yield last, last, (", " if node.value else "") + inside
    elif added:
        end = _end(node, text)
        yield end, end, "".join(f"\n{line}" for line in _block(added, node.value[0][0].start_mark.column))


def _replacement(name: Node, old: Node, new: str, text: str, case: Case) -> tuple[int, int, str]:
    """`new` for all that stands between the colon after `name` and the end of the blank `old`."""
    if isinstance(old, ScalarNode) and (old.style in ("|", ">") or not is_blank(old.value)):
        remedy = "删去此值，冒号后留空"
        raise UserError(Problem("I-YAML", f"{name.value} 的写法不能代填", remedy, case.path, _line(name)))
    start = _after_colon(name, text)
    return start, max(start, old.end_mark.index) if _written(old) else start, new


def _written(node: Node) -> bool:
    """False for the nothing that stands after a colon, whose marks are those of the next token."""
    return bool(node.start_mark.index < node.end_mark.index)


def _after_colon(name: Node, text: str) -> int:
    return text.index(":", name.end_mark.index) + 1


def _line_end(text: str, start: int) -> int:
    stop = text.find("\n", start)
    return len(text[: len(text) if stop < 0 else stop].rstrip("\r"))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _end(node: Node, text: str) -> int:
    """Where the last line that belongs to a block ends, with a comment that stands on it."""
    end = node.end_mark.index
    while isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        name, node = node.value[-1] if isinstance(node, MappingNode) else (None, node.value[-1])
        end = _after_colon(name, text) if name is not None and not _written(node) else node.end_mark.index
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        end = len(text[:end].rstrip())
    return _line_end(text, end)


def _block(tree: Mapping[Any, Any], indent: int) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield f"{' ' * indent}{_key(key)}:"
            yield from _block(value, indent + 2)
        else:
            yield f"{' ' * indent}{_key(key)}: {_scalar(value)}"


def _flow(tree: Mapping[Any, Any]) -> str:
    pairs = (f"{_key(k)}: {_flow(v) if isinstance(v, dict) else _scalar(v)}" for k, v in tree.items())
    return "{" + ", ".join(pairs) + "}"


def _key(key: object) -> str:
    return str(key) if re.fullmatch(r"[A-Za-z][\w-]*", str(key), re.ASCII) else _scalar(str(key))


def _scalar(value: Written) -> str:
    """A text in double quotes on one line, verbatim; a list of such."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _require_only(case: Case, values: Mapping[Place, Written], text: str) -> None:
    """The result must say what `case` said, with `values`, and nothing else. Raises UserError."""
    expected = json.loads(json.dumps(case.data, default=str))
    for place, value in values.items():
        data = expected
        for key in place[:-1]:
            if not isinstance(data.get(key), dict):
                data[key] = {}
            data = data[key]
        data[place[-1]] = value
    found = json.loads(json.dumps(parse_case(text, case.path).data, default=str))
    if _texts(found) != _texts(expected):
        remedy = "把 commitments 写成一行一个“键: 值”后再导入"
        raise UserError(Problem("I-YAML", "案卷的写法太特别，不能稳妥地代填", remedy, case.path))


def _texts(data: Json) -> Json:
    """Plain data with every number and truth value as its text: `true` and "true" are one answer."""
    if isinstance(data, dict):
        return {key: _texts(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_texts(item) for item in data]
    return str(data).lower() if isinstance(data, bool) else str(data)
