"""An exported list of terminals -> identities. Pure. It shows that somebody keeps a terminal in a list, never that it speaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from yanshou.harness.evidence import RunEvidence
from yanshou.harness.model import Severity, Validity
from yanshou.probes.devices.identities import KINDS, OWN
from yanshou.probes.devices.observation import Observation
from yanshou.probes.devices.sources.export.params import Source
from yanshou.probes.devices.sources.tally import some
from yanshou.probes.devices.tables import open_table
from yanshou.probes.reading import MANGLED
from yanshou.probes.texts import BEIJING, moment, plain


def stream_name(source: Source) -> str:
    """Name of the copy in evidence."""
    return f"export{source.suffix}"


def columns(source: Source) -> tuple[str, ...]:
    """Every column that the parameters name, each once."""
    optional = (source.gateway, source.time)
    return tuple(dict.fromkeys((*source.identities.values(), *filter(None, optional), *source.where)))


@dataclass(frozen=True)
class _Terminal:
    """One row that is asked for: identities as they stand, in the order of KINDS."""

    told: dict[str, str]
    gateway: str
    t_ns: int


def _terminals(evidence: RunEvidence, source: Source) -> Iterator[_Terminal]:
    """Raises KeyError (no such stream), ValueError (unreadable, column missing)."""
    with open_table(evidence.open(stream_name(source)), source) as (names, rows):
        at = {name: names.index(name) for name in columns(source)}
        wanted = {name: {plain(word) for word in words} for name, words in source.where.items()}
        for row in rows:
            if len(row) != len(names) or any(plain(row[at[n]]) not in words for n, words in wanted.items()):
                continue
            cells = {kind: plain(row[at[name]]) for kind, name in source.identities.items()}
            when = moment(row[at[source.time]]) if source.time else None
            t_ns = int(when.replace(tzinfo=BEIJING).timestamp()) * 10**9 if when else 0
            told: dict[str, str] = {kind: cells[kind] for kind in KINDS if cells.get(kind)}
            yield _Terminal(told, plain(row[at[source.gateway]]) if source.gateway else "", t_ns)


def _bad_imei(told: dict[str, str]) -> bool:
    """True for an IMEI whose check digit (Luhn, 3GPP TS 23.003 annex B) or length is wrong."""
    from stdnum import imei

    return "imei" in told and not imei.is_valid(told["imei"])


def observations(evidence: RunEvidence, source: Source) -> Iterator[Observation]:
    """One per row; an IMEI that cannot be one identifies nothing."""
    for terminal in _terminals(evidence, source):
        bad = _bad_imei(terminal.told)
        told = {kind: value for kind, value in terminal.told.items() if not (bad and kind == "imei")}
        if told:
            kind, *others = told
            same = {k: told[k] for k in others}
            t_ns = terminal.t_ns
            yield Observation(kind, told[kind], source.name, t_ns, t_ns, gateway=terminal.gateway, same=same)


def findings(evidence: RunEvidence, source: Source) -> Iterator[Validity]:
    """What the list itself shows."""
    where = f"来源 {source.name}："
    if stream_name(source) not in evidence.streams():
        yield Validity("EXP-V01", Severity.INVALID, f"{where}导出清单没有收入证据")
        return
    seen: set[tuple[tuple[str, str], ...]] = set()
    bad, twice, mangled = list[str](), list[str](), list[str]()
    for terminal in _terminals(evidence, source):
        if _bad_imei(terminal.told):
            bad.append(terminal.told["imei"])
        own = tuple((k, v) for k, v in terminal.told.items() if k in OWN)[:1] or tuple(terminal.told.items())
        if own and own in seen:
            twice.append(own[0][1])
        seen.add(own)
        mangled.extend(v for v in terminal.told.values() if MANGLED.fullmatch(v))
    for code, values, text in (
        ("EXP-V02", bad, "个 IMEI 的校验位或长度不对，不作标识"),
        ("EXP-V03", twice, "行与前面的重复"),
        ("EXP-V04", mangled, "个标识像被电子表格改写过"),
    ):
        if values:
            yield Validity(code, Severity.WARNING, f"{where}{len(values)} {text}：{some(values)}")
