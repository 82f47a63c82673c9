"""A made-up network with a known number of nodes that exist and take part, among some that do not: the standard of `chain.nodes`.

It shows that every honest node counts once and no other counts, through the same questions, evidence and analysis as on site. It
must never use the probe's own analysis to arrive at its truth. All is on loopback, each node at an address of its own where the
system has more than one (Linux); keys are secp256k1, so that it needs no extra.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from yanshou.chains.bcos3.simulate import Signer, SimulatedChain, SimulatedMember, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.harness.basics import Json
from yanshou.harness.evidence import canonical
from yanshou.probes.capturing import RunContext

POINTS = (4.0, 12.0)
START_MS = 1_735_689_600_000
ASKED = 3
WINDOW_S = 0.3
CHEATS = 4
BLOCKS_PER_SEALER = 10


def loopback(number: int) -> str:
    """An address of node `number`'s own, where loopback is a whole network."""
    return f"127.0.0.{2 + number}" if sys.platform == "linux" else "127.0.0.1"


@contextmanager
def listening(count: int) -> Iterator[list[str]]:
    """`count` addresses that accept connections, as long as the block runs."""
    with ExitStack() as stack:
        addresses = []
        for number in range(count):
            listener = stack.enter_context(socket.create_server((loopback(number), 0)))
            addresses.append("{}:{}".format(*listener.getsockname()))
        yield addresses


def sealed_chain(suite: Suite, signers: Sequence[Signer], blocks: int) -> SimulatedChain:
    """A chain of `blocks` empty blocks, each signed by a quorum of `signers` in turn."""
    chain = SimulatedChain(suite, list(signers), START_MS)
    quorum = len(signers) - (len(signers) - 1) // 3
    for number in range(blocks):
        chain.seal([], signers=[(number + i) % len(signers) for i in range(quorum)])
    return chain


def params_for(urls: Sequence[str], **changes: Any) -> dict[str, Any]:
    """The parameters that count the nodes behind `urls`."""
    endpoints = [{"url": url, "operator": f"单位{n}"} for n, url in enumerate(urls)]
    return {"chain": {"kind": "bcos3"}, "endpoints": endpoints, "window_s": WINDOW_S, "node_is": "key", **changes}


@contextmanager
def network(members: Sequence[SimulatedMember], chain: SimulatedChain, asked: Sequence[int]) -> Iterator[list[str]]:
    """The interfaces of the members number `asked`."""
    with ExitStack() as stack:
        yield [stack.enter_context(serving(SimulatedNode(chain, members=members, me=n))) for n in asked]


@contextmanager
def standard(true_value: float, run: RunContext) -> Iterator[dict[str, Any]]:
    """A network with exactly `true_value` honest nodes and CHEATS others, as long as the context lasts; truth in truth.json."""
    honest, suite = int(true_value), Suite.KECCAK
    signers = [Signer.new(suite) for _ in range(honest)]
    chain = sealed_chain(suite, signers, BLOCKS_PER_SEALER * (honest + CHEATS))
    with listening(honest + 3) as addresses:
        members = [SimulatedMember(s, a) for s, a in zip(signers, addresses, strict=False)]
        dead, behind, forked, shut = (Signer.new(suite) for _ in range(CHEATS))
        members += [
            SimulatedMember(dead, addresses[honest], "observer", online=False),
            SimulatedMember(behind, addresses[honest + 1], "observer", lag=3),
            SimulatedMember(forked, addresses[honest + 2], "observer", hash="0x" + "ab" * 32),
            SimulatedMember(shut, f"{loopback(honest + 3)}:1", "observer"),
        ]
        truth: Json = {
            "true": true_value,
            "unit": "个",
            "n": len(members),
            "basis": "造出的网络：如实的节点数按构造已知，另有已停、落后、分叉与连不上的；区块真实签名",
            "planted": {"CHO-X-OFFLINE": 1, "CHO-X-LAG": 1, "CHO-X-FORK": 1, "CHO-X-UNREACHABLE": 1},
        }
        run.sink.stream("truth.json").write(canonical(truth) + b"\n")
        with network(members, chain, range(ASKED)) as urls:
            yield params_for(urls)
