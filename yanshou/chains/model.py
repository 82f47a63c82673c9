"""What every kind of chain is turned into: blocks, transactions, logs, and what of a block holds by itself.

Addresses and hashes are lower-case hex with 0x. It must never do I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from yanshou.chains.crypto import Suite
from yanshou.harness.basics import Json

MALFORMED = (
    KeyError, ValueError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError, struct.error,
)  # fmt: skip
"""What reading answers raises that are not what they should be, or nested without end."""


@dataclass(frozen=True, slots=True)
class Log:
    """One event that a contract raised. `values`: its values in order, where the chain has no ABI; then topic 0 is its name."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    values: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What was called, where contracts and methods have names and no ABI: arguments in order, each with its name ("" for none)."""

    method: str
    arguments: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction with what came of it. `to` is "" for a deployment, else an address or, with a `call`, a contract's name.

    `hash`: what it is known by; `input`: everything that its sender wrote.
    """

    hash: str
    sender: str
    to: str
    input: bytes
    succeeded: bool
    logs: tuple[Log, ...]
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A block's place in its chain; `parent` is "" for the first."""

    number: int
    hash: str
    parent: str


@dataclass(frozen=True, slots=True)
class Block:
    """One block. `time_s`: UTC seconds that its sealer wrote; `parent` is "" for the first."""

    number: int
    hash: str
    parent: str
    time_s: int
    transactions: tuple[Transaction, ...]


def paired(row: Json) -> Iterator[tuple[Json, Json]]:
    """(transaction, its receipt) of a row, as they came. Raises ValueError, KeyError where these do not belong together."""
    transactions, receipts = row["block"]["transactions"], row["receipts"]
    if len(transactions) != len(receipts):
        raise ValueError("receipts do not match the transactions")
    for transaction, receipt in zip(transactions, receipts, strict=True):
        if transaction["hash"].lower() != receipt["transactionHash"].lower():
            raise ValueError("receipt of another transaction")
        yield transaction, receipt


@dataclass(frozen=True, slots=True)
class Seals:
    """Who may seal a block (consensus key in hex -> weight), and whose signatures over it were verified.

    `wrong`: signatures that stand there and do not verify. `quorum`: the weight that must have signed. With no `sealers`
    this kind of chain puts no signatures into its blocks, or none that can be verified. `mixed`: how many of `signed` are by
    another algorithm than belongs with the block's hash. `each_signs`: whether every sealer signs sooner or later, so that one
    that never does takes no part.
    """

    sealers: Mapping[str, int] = field(default_factory=dict)
    signed: tuple[str, ...] = ()
    wrong: int = 0
    quorum: int = 0
    mixed: int = 0
    each_signs: bool = True

    @property
    def enough(self) -> bool:
        """True when the verified signatures are a quorum. False where there are no sealers at all."""
        return bool(self.sealers) and sum(self.sealers[key] for key in set(self.signed)) >= self.quorum


@dataclass(frozen=True, slots=True)
class Proof:
    """What of one block holds: `header` its hash from its fields, `root` its transactions' root from all of them, `receipts`
    the root of what came of them (None where that is not recomputed).

    `genuine`: of each transaction asked for, by index, whether its hash follows from its fields and its sender from its signature.
    `mixed`: those whose signature is by another algorithm than belongs with the block's hash.
    """

    header: bool
    root: bool
    receipts: bool | None
    genuine: dict[int, bool]
    seals: Seals
    mixed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Counter:
    """What a chain itself says that it holds, up to `height`: transactions, and those of them that failed (None: not said)."""

    height: int
    transactions: int
    failed: int | None


@dataclass(frozen=True, slots=True)
class Member:
    """One node of a chain as one of its nodes sees it.

    `key`: its consensus key (hex; the network key where a chain has no other). `role`: "sealer", "observer", or "" where
    neither list has it. `height`, `hash`, `genesis`: how far it is by its last word, None and "" where it has said nothing.
    `addresses`: host:port, as seen or stated. `operator`: who runs it, where the chain itself knows that.
    """

    key: str
    role: str
    height: int | None
    hash: str
    genesis: str
    addresses: tuple[str, ...]
    operator: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What one node says of all: its own key, and every member that it lists or sees, itself among them."""

    me: str
    members: tuple[Member, ...]


class Reads(Protocol):
    """The pure half of a kind of chain. A row is {"block": answer, "receipts": [answer, …]} as `rpc.Asks.rows` gave it."""

    def block(self, row: Json) -> Block:
        """The block of a row. Raises one of MALFORMED for what is no block with all its receipts."""

    def link(self, row: Json) -> Link:
        """Where a block stands, of which only the header need be there. Raises as `block` does."""

    def suite(self, row: Json) -> Suite | None:
        """The hash under which the block's hash follows from its header; None for none. Header only. Raises as `block` does."""

    def prove(self, row: Json, indices: Collection[int]) -> Proof:
        """What of the block holds; single transactions only at `indices`. Raises as `block` does."""

    def seals(self, row: Json) -> Seals:
        """The verified signatures of a block, of which only the header need be there. Raises as `block` does."""

    def view(self, answer: Json) -> View:
        """What `rpc.Asks.view` answered. Raises as `block` does."""

    def counter(self, answer: Json) -> Counter | None:
        """What `rpc.Asks.counter` answered; None for None. Raises as `block` does."""

    def claims_sm(self, about: Json) -> bool | None:
        """Whether a node says of itself, in what `rpc.Asks.about` answered, that it uses 国密; None where it says nothing."""

    def is_system(self, address: str) -> bool:
        """True for addresses of the chain's own administration."""
