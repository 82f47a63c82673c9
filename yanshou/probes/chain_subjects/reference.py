"""A made-up chain that a known number of registered subjects use, among registered ones that do not: the standard of the probe.

It must never use the probe's own analysis to arrive at its truth. Keys are secp256k1, so that it needs no extra.
"""

from __future__ import annotations

import csv
import io
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.probes.capturing import RunContext
from yanshou.probes.chain_records.reference import CONTRACT, DAY_MS, START_MS, call_data, params_for

POINTS = (20.0, 200.0)
COLUMNS = ("链上账户", "统一社会信用代码", "控制方")
PER_BLOCK, SEALERS, DAYS = 20, 4, 60


def codes(count: int) -> list[str]:
    """Social credit codes with right check digits, of nobody."""
    from stdnum.cn import uscc

    bodies = [f"91420100MA4X{n:05d}" for n in range(count)]
    return [body + uscc.calc_check_digit(body) for body in bodies]


def wrong(code: str) -> str:
    """The code with another check digit."""
    return code[:-1] + ("0" if code[-1] != "0" else "1")


def table(rows: Sequence[Sequence[str]]) -> bytes:
    """A register in UTF-8."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([COLUMNS, *rows])
    return out.getvalue().encode()


def planted(subjects: int, seed: int) -> tuple[SimulatedChain, list[list[str]], dict[str, int]]:
    """A chain that `subjects` use, its register in random order, and how many rows stand there for each reason.

    The first six, or fewer, belong to one controller.
    """
    suite, rng = Suite.KECCAK, random.Random(seed)
    spare = 12
    known, users = codes(subjects + spare), [Signer.new(suite) for _ in range(subjects)]
    silent, second = [Signer.new(suite) for _ in range(5)], [Signer.new(suite) for _ in range(3)]
    rows = [[user.address, known[n], "某集团" if n < 6 else ""] for n, user in enumerate(users)]
    others = {
        "CHS-X-ACCOUNT": [["0x12", known[subjects], ""], ["", known[subjects + 1], ""]],
        "CHS-X-CODE": [[Signer.new(suite).address, wrong(known[subjects + n]), ""] for n in range(4)],
        "CHS-X-SILENT": [[s.address, known[subjects + 4 + n], ""] for n, s in enumerate(silent)],
        "CHS-X-DUP": [[s.address, known[n], ""] for n, s in enumerate(second)],
        "CHS-X-RAGGED": [["0x12"]],
    }
    listed = rows + [row for group in others.values() for row in group]
    rng.shuffle(listed)
    listed += [[users[0].address, known[0], ""], [users[1].address, known[1], ""]]  # again, after their first rows
    senders = [*users, *users, *second, *[Signer.new(suite)] * 7]
    calls = [
        Call(sender, CONTRACT, call_data(suite, f"存证-{n}", rng.randbytes(32))) for n, sender in enumerate(senders)
    ]
    calls += [Call(s, CONTRACT, call_data(suite, f"失败-{n}", rng.randbytes(32)), 16) for n, s in enumerate(silent)]
    calls += [Call(silent[0], CONTRACT, call_data(suite, "", bytes(32)))]
    rng.shuffle(calls)
    chain = SimulatedChain(suite, [Signer.new(suite) for _ in range(SEALERS)], START_MS)
    blocks = [calls[i : i + PER_BLOCK] for i in range(0, len(calls), PER_BLOCK)]
    for number, part in enumerate(blocks, 1):
        chain.seal(part, START_MS + number * DAYS * DAY_MS // len(blocks), rng.sample(range(SEALERS), 3))
    return chain, listed, {code: len(group) for code, group in others.items()} | {"CHS-X-TWICE": 2}


def params_of(url: str, file: str) -> dict[str, Any]:
    """The parameters that count what `planted` holds."""
    return {"records": params_for(url), "subjects": {"file": file, "controller": COLUMNS[2]}}


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A node of a chain that exactly `true_value` subjects use, there as long as the context lasts; truth in truth.json."""
    chain, rows, why = planted(int(true_value), run.seed)
    basis = "造出的链：使用它的主体数按构造已知，清册另按原因植入不应计数的行；区块、交易与签名均真实计算"
    truth: Json = {"true": true_value, "unit": "家", "n": len(rows), "basis": basis, "planted": why}
    run.sink.stream("truth.json").write(canonical(truth) + b"\n")
    with tempfile.TemporaryDirectory() as folder, serving(SimulatedNode(chain)) as url:
        path = Path(folder) / "register.csv"
        path.write_bytes(table(rows))
        yield params_of(url, str(path))
