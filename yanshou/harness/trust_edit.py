"""A key entered into trust.yaml: one line more, every other byte as its keeper wrote it.

It is for taking in a key whose fingerprint its holder has confirmed over another way than the file came. It must never replace an
entry, and never write a file that reads as anything but the old one with that one entry more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.encryption import ReadingKey
from yanshou.harness.envelope import Role
from yanshou.harness.evidence import write_atomic
from yanshou.harness.keys import PublicKey
from yanshou.harness.strict_yaml import decode, read_bytes
from yanshou.harness.trust import Reader, Trust, TrustedKey, load_trust

NEW = """\
# 信任文件：谁的密钥、以什么身份、在什么时候可以签什么。由核验的人自己保管，不随数据包传递。
keys:
  {entry}
require:  # 每份文件要有哪些人签；同一角色写两次即要两人
  plan: [project, tester]
  package: [tester, reviewer, approver]
"""


def signing_entry(key: PublicKey, roles: tuple[Role, ...], start: date, end: date) -> TrustedKey:
    """What trust.yaml says of a signing key."""
    return TrustedKey(key.name, roles, key.algorithm, key.id, start, end, key)


def reading_entry(key: ReadingKey, start: date, end: date) -> Reader:
    """What trust.yaml says of a reading key."""
    return Reader(key.name, key.recipient, start, end)


def add_entry(file: Path, entry: TrustedKey | Reader) -> None:
    """Write `entry` into the trust file `file`, which is made where there is none. Raises UserError, and changes nothing then."""
    data = with_entry(file, read_bytes(file) if file.exists() else None, entry)
    write_atomic(file, data)


def with_entry(file: Path, data: bytes | None, entry: TrustedKey | Reader) -> bytes:
    """The bytes of `file` with `entry`; `data` is what is in it, None for a new file. Raises UserError."""
    if entry.valid_until < entry.valid_from:
        raise UserError(Problem("T-DATES", f"有效期 {entry.valid_from} 至 {entry.valid_until} 倒置", "改正日期"))
    if data is None:
        if isinstance(entry, Reader):
            raise UserError(Problem("T-FILE", "没有这个信任文件", "先登记一把签名密钥", file))
        return NEW.format(entry=f"- {_line(entry)}").encode()
    old = load_trust(file, data)
    _refuse_known(file, old, entry)
    text = decode(file, data)
    place = "readers" if isinstance(entry, Reader) else "keys"
    start, written = _insertion(file, text, place, _line(entry))
    newline = "\r\n" if "\r\n" in text else "\n"
    result = (text[:start] + written.replace("\n", newline) + text[start:]).encode()
    if _as_sets(load_trust(file, result)) != _as_sets(_with(old, entry)):
        raise _not_ours(file, place)
    return result


def _refuse_known(file: Path, old: Trust, entry: TrustedKey | Reader) -> None:
    known: list[TrustedKey | Reader] = [k for k in old.keys if isinstance(entry, TrustedKey) and k.id == entry.id]
    known += [r for r in old.readers if isinstance(entry, Reader) and r.recipient == entry.recipient]
    for k in known:
        text = f"这把密钥已登记给 {k.name}，{k.valid_from} 至 {k.valid_until}"
        raise UserError(Problem("T-KNOWN", text, "不覆盖；要改就由保管人改这一条", file))


def _line(entry: TrustedKey | Reader) -> str:
    """The entry as a YAML flow mapping on one line."""
    dates = {"valid_from": entry.valid_from.isoformat(), "valid_until": entry.valid_until.isoformat()}
    values: Mapping[str, Any]
    if isinstance(entry, Reader):
        values = {"name": entry.name, "age": entry.recipient, **dates}
    else:
        values = {
            "name": entry.name, "roles": [r.value for r in entry.roles], "algorithm": entry.algorithm.value,
            "id": entry.id, **dates, "public": entry.public.pem if entry.public else None,
        }  # fmt: skip
    return "{" + ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()) + "}"


def _insertion(file: Path, text: str, place: str, line: str) -> tuple[int, str]:
    """Where in `text` what is to be put, so that the list `place` has `line` as its first entry. Raises UserError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    root = YAML(typ="safe", pure=True).compose(text)
    if not isinstance(root, MappingNode) or root.flow_style:
        raise _not_ours(file, place)
    node = next((value for key, value in root.value if key.value == place), None)
    if node is None:
        first = root.value[0][0].start_mark
        return first.index, f"{place}:\n  - {line}\n" if first.column == 0 else ""
    if not isinstance(node, SequenceNode) or not node.value:
        raise _not_ours(file, place)
    start = node.start_mark
    if node.flow_style:
        return start.index + 1, f"{line}, "
    return start.index, f"- {line}\n{' ' * start.column}"


def _not_ours(file: Path, place: str) -> UserError:
    text = f"{place} 的写法不能代填"
    return UserError(Problem("T-YAML", text, f"{place} 写成每条一行、以“- ”开头的列表，至少一条", file))


def _with(old: Trust, entry: TrustedKey | Reader) -> Trust:
    if isinstance(entry, Reader):
        return replace(old, readers=(entry, *old.readers))
    return replace(old, keys=(entry, *old.keys))


def _as_sets(trust: Trust) -> tuple[object, ...]:
    return set(trust.keys), set(trust.readers), dict(trust.require), trust.pdf
