"""Fabric for tests: a channel with its organisations, peers that answer over real gRPC, and the evaluator's own identity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanshou.chains.crypto import Suite
from yanshou.chains.fabric.channel import RAFT
from yanshou.chains.fabric.simulate import (
    CHANNEL,
    ORDERING,
    Consenter,
    Holder,
    Invocation,
    Key,
    Org,
    SimulatedChannel,
    SimulatedMember,
    SimulatedPeer,
    issue,
    serving,
)

CHAINCODE = "evidence"


@dataclass
class Network:
    """Two organisations with peers, one that orders, and a client of each."""

    channel: SimulatedChannel
    peers: list[Holder]
    clients: list[Holder]
    evaluator: Holder
    tls_keys: list[Key] = field(default_factory=list)

    def record(self, *arguments: bytes, sender: int = 0, **more: Any) -> Invocation:
        """A call of the evidence chaincode, endorsed by a peer of each organisation."""
        more = {"chaincode": CHAINCODE, "endorsers": (self.peers[0], self.peers[1]), **more}
        return Invocation(self.clients[sender], arguments=(b"save", *arguments), **more)

    def members(self, addresses: Sequence[str]) -> list[SimulatedMember]:
        return [SimulatedMember(holder, address) for holder, address in zip(self.peers, addresses, strict=True)]

    def chain(self, folder: Path) -> dict[str, Any]:
        """The parameters of the chain, with the evaluator's files in `folder`."""
        (folder / "member.pem").write_bytes(self.evaluator.cert)
        (folder / "member.key").write_bytes(self.evaluator.key.private)
        member = {"org": self.evaluator.org, "cert": "member.pem", "key": "member.key"}
        return {"kind": "fabric", "group": CHANNEL, "member": member}


def network(
    suite: Suite = Suite.SHA256,
    consensus: str = RAFT,
    peers: int = 4,
    orderers: int = 4,
    addresses: Sequence[str] = (),
) -> Network:
    orgs, ordering = [Org.new(f"Org{n}MSP", suite) for n in (1, 2)], Org.new(ORDERING, suite)
    tls_keys = [Key.new(Suite.SHA256) for _ in range(orderers)] if consensus == RAFT else []
    tls = [issue(f"orderer{n}", key, f"orderer{n}", key) for n, key in enumerate(tls_keys)] or [b""] * orderers
    where = addresses or [f"127.0.0.1:{n + 1}" for n in range(orderers)]
    consenters = [Consenter(ordering.enrol(f"orderer{n}"), where[n], tls[n]) for n in range(orderers)]
    channel = SimulatedChannel(suite, orgs, ordering, consenters, consensus)
    return Network(
        channel,
        [orgs[n % 2].enrol(f"peer{n}") for n in range(peers)],
        [orgs[n].enrol(f"client{n}") for n in range(2)],
        orgs[0].enrol("evaluator"),
        tls_keys,
    )


@contextmanager
def peers_of(net: Network, addresses: Sequence[str], asked: Sequence[int] = (0, 1), **lies: Any) -> Iterator[list[str]]:
    """The interfaces of the peers number `asked`."""
    members = net.members(addresses)
    with ExitStack() as stack:
        yield [stack.enter_context(serving(SimulatedPeer(net.channel, members, n, **lies))) for n in asked]


@contextmanager
def peer(net: Network, **lies: Any) -> Iterator[str]:
    """One peer."""
    member = SimulatedMember(net.peers[0], "127.0.0.1:7051")
    with serving(SimulatedPeer(net.channel, [member], 0, **lies)) as url:
        yield url
