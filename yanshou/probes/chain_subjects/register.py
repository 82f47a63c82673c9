"""Which registered subjects count: every row of the register to its reason, or to a subject. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from yanshou.probes.chain_records.candidates import Activity
from yanshou.probes.chain_subjects.spec import Register
from yanshou.probes.reading import Key
from yanshou.probes.texts import plain

REASONS = {
    "CHS-X-RAGGED": "列数与表头不符或引号不配对",
    "CHS-X-ACCOUNT": "账户地址不是 40 位十六进制",
    "CHS-X-CODE": "统一社会信用代码的校验位不对",
    "CHS-X-TWICE": "账户已在前面登记过，只认首行",
    "CHS-X-SILENT": "账户没有一条计入的业务记录",
    "CHS-X-DUP": "同一主体的又一个账户，主体只计一次",
}
"""Code -> Chinese text of every exclusion, in order of application."""
_ACCOUNT = re.compile(r"(0x)?([0-9a-f]{40})")


@dataclass
class Judged:
    """What came of the register.

    `subjects`: the code of each that counts, in its order, and what its first active account did. `controllers`: who controls a
    code, by the first of its rows that says so. `accounts`: all that are named rightly; `shared`: how many of them by several.
    """

    gross: int
    excluded: Counter[str]
    subjects: dict[str, Activity]
    controllers: dict[str, str]
    accounts: frozenset[str]
    shared: int

    @property
    def net(self) -> int:
        """How many count."""
        return len(self.subjects)

    def affiliates(self) -> Counter[str]:
        """Controller -> counted subjects, of those controllers that have several."""
        sizes = Counter(self.controllers[code] for code in self.subjects if code in self.controllers)
        return Counter({name: n for name, n in sizes.items() if n > 1})


def account(cell: str) -> str | None:
    """An address as chains give it, lower case with 0x; None for none."""
    match = _ACCOUNT.fullmatch(plain(cell).lower())
    return f"0x{match[2]}" if match else None


def credit_code(cell: str) -> str | None:
    """A unified social credit code in its normal form (GB 32100-2015); None where the check digit does not fit."""
    from stdnum.cn import uscc

    code: str = uscc.compact(plain(cell))
    return code if uscc.is_valid(code) else None


def judge(columns: Key, rows: Iterable[list[str]], register: Register, active: Mapping[str, Activity]) -> Judged:
    """Each row falls under the first reason that applies; `active` are the senders of counted records.

    Raises ValueError when a declared column is missing.
    """
    at = [columns.index(name) for name in register.columns()]
    excluded: Counter[str] = Counter()
    owners: dict[str, str] = {}
    shared: set[str] = set()
    subjects: dict[str, Activity] = {}
    controllers: dict[str, str] = {}
    gross = 0
    for row in rows:
        gross += 1
        if len(row) != len(columns):
            excluded["CHS-X-RAGGED"] += 1
            continue
        cells = [row[i] for i in at]
        address, code = account(cells[0]), credit_code(cells[1])
        if address is None:
            excluded["CHS-X-ACCOUNT"] += 1
        elif code is None:
            excluded["CHS-X-CODE"] += 1
        elif address in owners:
            excluded["CHS-X-TWICE"] += 1
            if owners[address] != code:
                shared.add(address)
        else:
            owners[address] = code
            if register.controller and (stated := plain(cells[2])):
                controllers.setdefault(code, stated)
            if address not in active:
                excluded["CHS-X-SILENT"] += 1
            elif code in subjects:
                excluded["CHS-X-DUP"] += 1
            else:
                subjects[code] = active[address]
    return Judged(gross, excluded, subjects, controllers, frozenset(owners), len(shared))
