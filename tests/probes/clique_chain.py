"""A Clique chain made up block by block, really signed, and its nodes: written from EIP-225 and go-ethereum's source.

No node of it was run, but its headers were compared with those of a real one (Görli). Blocks hold no transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.probes.bft_chain import KECCAK, START_S, VANITY, BftNode, raw
from yanshou.chains.bcos3.simulate import NoSuchMethod, Signer
from yanshou.chains.trees import Item, big_endian, rlp, trie_root

NOBODY = "0x" + "00" * 20


def header_of(block: dict[str, Any], extra: bytes) -> bytes:
    head = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
    counts = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
    fields: list[Item] = [raw(block[name]) for name in head]
    fields += [big_endian(int(block[name], 16)) for name in counts]
    return rlp([*fields, extra, raw(block["mixHash"]), raw(block["nonce"])])


def block_of(number: int, parent: str, miner: str, difficulty: int, time_s: int) -> dict[str, Any]:
    """A block without extraData and hash."""
    empty = "0x" + trie_root([], KECCAK).hex()
    return {
        "parentHash": parent, "sha3Uncles": "0x" + KECCAK(rlp([])).hex(), "miner": miner, "stateRoot": "0x" + "05" * 32,
        "transactionsRoot": empty, "receiptsRoot": empty, "logsBloom": "0x" + "00" * 256, "difficulty": hex(difficulty),
        "number": hex(number), "gasLimit": "0x1fffff", "gasUsed": "0x0", "timestamp": hex(time_s), "mixHash": "0x" + "00" * 32,
        "nonce": "0x0000000000000000", "transactions": [],
    }  # fmt: skip


@dataclass
class CliqueChain:
    """A chain of `signers`; every `epoch` blocks the header names them."""

    signers: list[Signer]
    epoch: int = 50
    blocks: list[dict[str, Any]] = field(default_factory=list)
    lists: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seal(None)

    @property
    def addresses(self) -> list[str]:
        return sorted(s.address for s in self.signers)

    def turn(self) -> Signer:
        """Whose turn the next block is."""
        ordered = sorted(self.signers, key=lambda s: s.address)
        return ordered[len(self.blocks) % len(ordered)]

    def seal(self, signer: Signer | None, vote: str = NOBODY, difficulty: int | None = None) -> dict[str, Any]:
        """The next block by `signer`; None signs nothing, as in the first block."""
        number = len(self.blocks)
        parent = self.blocks[-1]["hash"] if number else "0x" + "00" * 32
        turn = 2 if signer is self.turn() else 1
        block = block_of(number, parent, vote, difficulty or turn, START_S + number)
        listed = b"".join(map(raw, self.addresses)) if number % self.epoch == 0 else b""
        head = VANITY + listed
        seal = signer.sign(KECCAK(header_of(block, head))) if signer else bytes(65)
        block["extraData"] = "0x" + (head + seal).hex()
        block["hash"] = "0x" + KECCAK(header_of(block, head + seal)).hex()
        self.blocks.append(block)
        self.lists.append(self.addresses)
        return block

    def grow(self, blocks: int) -> None:
        """Blocks by all signers in turn."""
        for _ in range(blocks):
            self.seal(self.turn())


@dataclass
class CliqueNode(BftNode):
    """Number `me` of the chain's signers. `tells`: whether it says who the signers are; `asked`: the heights at which it was."""

    chain: CliqueChain  # type: ignore[assignment]
    tells: bool = True
    asked: list[int] = field(default_factory=list)

    def _signers(self) -> Sequence[Signer]:
        return [*self.chain.signers, *self.others]

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "clique_getSigners" and self.tells:
            self.asked.append(int(params[0], 16))
            return self.chain.lists[self.asked[-1]]
        if method == "clique_getSigners":
            raise NoSuchMethod(method)
        if method == "eth_getBlockReceipts":
            return []
        return super().answer(method, params)
