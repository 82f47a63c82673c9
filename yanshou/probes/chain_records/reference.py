"""A made-up chain with a known number of records, among transactions that are none: the standard of the `chain.records` probe.

It shows that every record counts once and nothing else counts, through the same questions, evidence and analysis as on site. It
must never use the probe's own analysis to arrive at its truth. Keys are secp256k1, so that it needs no extra.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.probes.capturing import RunContext

POINTS = (100.0, 2000.0)
CONTRACT, OTHER, SYSTEM = "0x" + "c0" * 20, "0x" + "0e" * 20, "0x" + "1000".rjust(40, "0")
METHOD = "save(string,bytes32)"
START_MS = 1_735_689_600_000
"""2025-01-01 08:00 Beijing time."""
DAY_MS = 86_400_000
SEALERS, PER_BLOCK, DAYS = 4, 50, 90


def call_data(suite: Suite, text: str, digest: bytes) -> bytes:
    """A call of METHOD."""
    body = text.encode()
    padded = body + bytes(-len(body) % 32)
    head = (64).to_bytes(32, "big") + digest.ljust(32, b"\0")
    return suite.hash(METHOD.encode())[:4] + head + len(body).to_bytes(32, "big") + padded


def planted_calls(
    suite: Suite, accounts: list[Signer], valid: int, rng: random.Random
) -> tuple[list[Call], dict[str, int]]:
    """`valid` records and, in random order, transactions that are none; and how many there are for each reason, and "gross"."""

    def record(number: int) -> bytes:
        return call_data(suite, f"存证-{number:08d}", rng.randbytes(32))

    def call(data: bytes, to: str = CONTRACT, status: int = 0) -> Call:
        return Call(rng.choice(accounts), to, data, status)

    few = max(2, valid // 50)
    calls = [call(record(n)) for n in range(valid)]
    planted = {
        "CHR-X-FAILED": [call(record(valid + n), status=16) for n in range(few)],
        "CHR-X-DEPLOY": [call(rng.randbytes(200), "") for _ in range(few + 1)],
        "CHR-X-SYSTEM": [call(rng.randbytes(36), SYSTEM) for _ in range(few + 2)],
        "CHR-X-OTHER": [call(record(valid + n), OTHER) for n in range(few)] + [call(rng.randbytes(100))],
        "CHR-X-MALFORMED": [call(record(0)[:40]) for _ in range(few + 3)],
        "CHR-X-EMPTY": [call(call_data(suite, "", bytes(32))) for _ in range(few + 4)],
        "CHR-X-CONSTANT": [call(call_data(suite, "a" * 7, b"a" * 32)) for _ in range(few + 5)],
        "CHR-X-DUP": [call(rng.choice(calls).input) for _ in range(few + 6)],
    }
    mixed = calls + [c for group in planted.values() for c in group]
    rng.shuffle(mixed)
    return mixed, {"gross": len(mixed)} | {code: len(group) for code, group in planted.items()}


def planted_chain(suite: Suite, valid: int, seed: int) -> tuple[SimulatedChain, dict[str, int]]:
    """A chain of SEALERS over DAYS days with exactly `valid` records; and what was planted beside them."""
    rng = random.Random(seed)
    chain = SimulatedChain(suite, [Signer.new(suite) for _ in range(SEALERS)], START_MS)
    calls, planted = planted_calls(suite, [Signer.new(suite) for _ in range(5)], valid, rng)
    blocks = [calls[i : i + PER_BLOCK] for i in range(0, len(calls), PER_BLOCK)]
    for number, part in enumerate(blocks, 1):
        quorum = rng.sample(range(SEALERS), 3)
        chain.seal(part, START_MS + number * DAYS * DAY_MS // len(blocks), quorum)
    return chain, planted


def params_for(url: str) -> dict[str, Any]:
    """The parameters that count what `planted_chain` holds."""
    return {
        "chain": {"kind": "bcos3"},
        "endpoint": {"url": url},
        "record": {"contracts": [CONTRACT], "method": METHOD},
        "sample": 200,
    }


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A node of a chain with exactly `true_value` records, there as long as the context lasts; truth in truth.json."""
    chain, planted = planted_chain(Suite.KECCAK, int(true_value), run.seed)
    basis = "造出的链：记录数按构造已知，另按原因植入不应计数的交易；区块、交易与签名均真实计算"
    truth: Json = {"true": true_value, "unit": "条", "n": planted["gross"], "basis": basis, "planted": planted}
    run.sink.stream("truth.json").write(canonical(truth) + b"\n")
    with serving(SimulatedNode(chain)) as url:
        yield params_for(url)
