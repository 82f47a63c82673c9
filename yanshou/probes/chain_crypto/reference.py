"""Made-up chains of which it is known what a 国密 inspection must find: the standard of the `chain.crypto` probe.

One uses SM3 and SM2 throughout; one has a single wrong signature; one claims 国密 and uses keccak-256 and secp256k1. It must never
use the probe's own analysis to arrive at its truth. It needs the extra `guomi`, as the probe itself does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.probes.capturing import RunContext

POINTS = (0.0, 2.0, 3.0)
"""Items answered 是: none, all but the sealers' signatures, all."""
START_MS = 1_735_689_600_000
SEALERS, BLOCKS = 4, 20
CONTRACT = "0x" + "c0" * 20


def sealed_chain(suite: Suite, blocks: int = BLOCKS) -> SimulatedChain:
    """A chain of `suite` with one transaction in each block, signed by three of four sealers in turn."""
    chain = SimulatedChain(suite, [Signer.new(suite) for _ in range(SEALERS)], START_MS)
    account = Signer.new(suite)
    for number in range(blocks):
        signers = [(number + i) % SEALERS for i in range(SEALERS - 1)]
        chain.seal([Call(account, CONTRACT, number.to_bytes(36, "big"))], signers=signers)
    return chain


def spoil(chain: SimulatedChain, height: int) -> None:
    """Put another block's signature into the block at `height`."""
    seals = chain.rows[height]["block"]["signatureList"]
    seals[0]["signature"] = chain.rows[height - 1]["block"]["signatureList"][0]["signature"]


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A node of a chain of which `true_value` items are 国密, as long as the context lasts; truth in truth.json."""
    chain = sealed_chain(Suite.SM if true_value else Suite.KECCAK)
    if true_value == POINTS[1]:
        spoil(chain, BLOCKS // 2)
    basis = "造出的链：哈希与签名均真实计算，全部国密、一个签名有误、或声称国密而不是"
    truth: Json = {"true": true_value, "unit": "项", "n": 3, "basis": basis}
    run.sink.stream("truth.json").write(canonical(truth) + b"\n")
    with serving(SimulatedNode(chain, claims_sm=True)) as url:
        yield {"chain": {"kind": "bcos3"}, "endpoint": {"url": url}}
