"""YAML 1.2 data that ships with the tool, read strictly: every error names its file and line.

It is for data whose shape is fixed by code (the public list). Duplicate, missing and unknown keys and values of another type
are refused; numbers keep the exact text they were written with. It must never know what the data means.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from yanshou.harness.basics import Json, Problem, UserError, refusal
from yanshou.harness.model import plain_number

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

T = TypeVar("T")
MEND = "改正此处；没有改动过数据文件的，重新安装 yanshou"


def _refuse(code: str, text: str, file: Path, line: int | None = None, remedy: str = MEND) -> NoReturn:
    raise UserError(Problem(code, text, remedy, file, line))


def read_bytes(file: Path) -> bytes:
    """The whole file. Raises UserError."""
    try:
        return file.read_bytes()
    except OSError as error:
        _refuse("L-FILE", f"数据文件读不出：{refusal(error)}", file)


def decode(file: Path, data: bytes) -> str:
    """`data` of `file` as UTF-8. Raises UserError."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        _refuse("L-FILE", "不是 UTF-8 文本", file, data.count(b"\n", 0, error.start) + 1)


def _kind(node: Node | None) -> str:
    """Tag of a node in the YAML 1.2 core schema: map, seq, str, int, float, bool or null (also for no node)."""
    return "null" if node is None else str(node.tag).rpartition(":")[2]


def _line(node: Node | None) -> int:
    return 1 if node is None else int(node.start_mark.line) + 1


def _true(node: Node) -> bool:
    return str(node.value).lower() == "true"


class YamlMap:
    """A mapping whose keys are asked for one by one; what nobody asked for is unknown.

    `lines`: line of each key. Every method raises UserError at the line of the key it is asked for.
    """

    def __init__(self, file: Path, node: Node | None) -> None:
        self.file, self.line = file, _line(node)
        self.lines: dict[str, int] = {}
        self._values: dict[str, Node] = {}
        self._asked: set[str] = set()
        if node is None or _kind(node) != "map":
            _refuse("L-VALUE", "此处应为“键: 值”", file, self.line)
        for key, value in node.value:
            if key.value in self.lines:
                _refuse("L-KEY", f"键 {key.value} 重复", file, _line(key))
            self.lines[key.value], self._values[key.value] = _line(key), value

    @classmethod
    def parse(cls, file: Path, data: bytes) -> YamlMap:
        """The mapping that `data` of `file` holds."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            return cls(file, YAML(typ="safe", pure=True).compose(decode(file, data)))
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            text = getattr(error, "problem", None) or "有不允许的字符"
            _refuse("L-YAML", f"不是正确的 YAML：{text}", file, mark.line + 1 if mark else None)

    def refuse(self, key: str, text: str, code: str = "L-VALUE", remedy: str = MEND) -> NoReturn:
        """Raise UserError at the line of `key`."""
        _refuse(code, text, self.file, self.lines.get(key, self.line), remedy)

    def read(self, build: Callable[[YamlMap], T]) -> T:
        """What `build` makes of this mapping; afterwards no key may be left that it did not ask for."""
        result = build(self)
        for key in self.lines:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked - self.lines.keys(), 1)
                self.refuse(key, f"未知的键 {key}", "L-KEY", f"是否想写 {near[0]}？" if near else MEND)
        return result

    def _need(self, key: str, *kinds: str) -> Node:
        self._asked.add(key)
        if key not in self._values:
            near = [*difflib.get_close_matches(key, self.lines.keys() - self._asked, 1), ""][0]
            self.refuse(near, f"缺少 {key}", "L-KEY", f"此处的 {near} 是否写错？" if near else MEND)
        node = self._values[key]
        if _kind(node) not in kinds:
            self.refuse(key, f"{key} 的类型应为 {'或'.join(kinds)}，实为 {_kind(node)}")
        return node

    def _get(self, key: str, *kinds: str) -> Node | None:
        self._asked.add(key)
        return None if _kind(self._values.get(key)) == "null" else self._need(key, *kinds)

    def given(self, key: str) -> bool:
        """Whether `key`, which may be left out, is there."""
        self._asked.add(key)
        return key in self.lines

    def text(self, key: str, default: str | None = None, pattern: str = "(?s).+") -> str:
        """A text that `pattern` matches as a whole; required without `default`."""
        node = self._need(key, "str") if default is None else self._get(key, "str")
        if node is None:
            return default or ""
        if not re.fullmatch(pattern, node.value):
            self.refuse(key, f"{key} 的写法不对：{node.value!r}")
        return str(node.value)

    def choice(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        """One of `allowed`; required without `default`."""
        names = [str(a) for a in allowed]
        text = self.text(key, default)
        if text not in (*names, default):
            self.refuse(key, f"{key} 不能是 {text}", remedy=f"可用：{'、'.join(names)}")
        return text

    def calendar_date(self, key: str) -> date:
        """A date as YYYY-MM-DD, quoted or not."""
        node = self._need(key, "timestamp", "str")
        try:
            return date.fromisoformat(node.value)
        except ValueError:
            self.refuse(key, f"{key} 应为日期，如 2024-11-01，实为 {node.value}")

    def texts(self, key: str, allowed: Iterable[str] = ()) -> tuple[str, ...]:
        """A list of texts, each one of `allowed` if there are any; empty when absent."""
        node = self._get(key, "seq")
        items = () if node is None else tuple(node.value)
        for item in items:
            if _kind(item) != "str" or (allowed and item.value not in allowed):
                self.refuse(key, f"{key} 中不能有 {item.value}")
        return tuple(str(item.value) for item in items)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false; required without `default`."""
        node = self._need(key, "bool") if default is None else self._get(key, "bool")
        return bool(default) if node is None else _true(node)

    def integer(self, key: str) -> int:
        """An integer."""
        return int(self._number(self._need(key, "int")))

    def exact(self, key: str) -> Decimal | bool:
        """A number, exactly as it is written, or true."""
        node = self._need(key, "int", "float", "bool")
        return True if _true(node) else self._number(node)

    def numbers(self, key: str) -> tuple[Decimal, ...]:
        """A list of numbers, exactly as they are written; empty when absent."""
        node = self._get(key, "seq")
        return () if node is None else tuple(self._exact_items(key, node))

    def rows(self, key: str) -> tuple[tuple[Decimal, ...], ...]:
        """A list of lists of numbers; empty when absent."""
        node = self._get(key, "seq")
        rows = [] if node is None else node.value
        if any(_kind(row) != "seq" for row in rows):
            self.refuse(key, f"{key} 的每一行应为数的列表")
        return tuple(tuple(self._exact_items(key, row)) for row in rows)

    def _exact_items(self, key: str, node: Node) -> Iterator[Decimal]:
        for item in node.value:
            if _kind(item) not in ("int", "float"):
                self.refuse(key, f"{key} 中不能有 {item.value}")
            yield self._number(item)

    def _number(self, node: Node) -> Decimal:
        try:
            return Decimal(node.value)
        except InvalidOperation:
            _refuse("L-VALUE", f"应为十进制数，实为 {node.value}", self.file, _line(node))

    def one(self, key: str, build: Callable[[YamlMap], T]) -> T:
        """What `build` makes of the mapping under `key`."""
        return YamlMap(self.file, self._need(key, "map")).read(build)

    def all(self, key: str, build: Callable[[YamlMap], T], unique: str = "id") -> tuple[T, ...]:
        """What `build` makes of each mapping in the list under `key`, empty when absent. Each has another `unique`."""
        node = self._get(key, "seq")
        entries = [] if node is None else [YamlMap(self.file, item) for item in node.value]
        seen: set[str] = set()
        for entry in entries:
            identity = entry.text(unique)
            if identity in seen:
                entry.refuse(unique, f"{unique} {identity} 重复", "L-KEY")
            seen.add(identity)
        return tuple(entry.read(build) for entry in entries)

    def nested(self) -> Iterator[YamlMap]:
        """This mapping and every mapping below it, in the order of the file."""
        yield self
        for value in self._values.values():
            for node in [value] if _kind(value) == "map" else value.value if _kind(value) == "seq" else ():
                if _kind(node) == "map":
                    yield from YamlMap(self.file, node).nested()

    def plain(self) -> dict[str, Json]:
        """The whole mapping as plain data."""
        return {key: self._plain(value) for key, value in self._values.items()}

    def table(self, key: str) -> dict[str, Json]:
        """The mapping under `key` as plain data, empty when absent."""
        node = self._get(key, "map")
        return {} if node is None else YamlMap(self.file, node).plain()

    def _plain(self, node: Node) -> Json:
        match _kind(node):
            case "map":
                return YamlMap(self.file, node).plain()
            case "seq":
                return [self._plain(item) for item in node.value]
            case "int" | "float":
                return plain_number(self._number(node))
            case "bool":
                return _true(node)
            case "null":
                return None
        return node.value
