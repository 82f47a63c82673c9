"""An IBFT 2.0 or QBFT chain made up block by block, really sealed, and its nodes: written from Besu's documentation and source.

No Besu node was run. Blocks hold no transactions: how these are hashed is shown on a real chain (anvil).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from yanshou.chains.bcos3.simulate import NoSuchMethod, Signer
from yanshou.chains.crypto import Suite
from yanshou.chains.trees import Item, big_endian, rlp, trie_root

KECCAK = Suite.KECCAK.hash
VANITY = b"made up".ljust(32, b"\0")
START_S = 1_735_689_600


def raw(value: str) -> bytes:
    return bytes.fromhex(value[2:])


@dataclass
class BftChain:
    """A chain of `validators`; `qbft` or else IBFT 2.0."""

    qbft: bool
    validators: Sequence[Signer]
    blocks: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seal(())

    def extra(self, turn: int | None, seals: Sequence[bytes] | None) -> bytes:
        """extraData with the round and the seals, or without (None)."""
        addresses = [raw(v.address) for v in self.validators]
        if self.qbft:
            return rlp([VANITY, addresses, [], big_endian(turn or 0), list(seals or ())])
        parts: list[Item] = [VANITY, addresses, b""]
        if turn is not None:
            parts.append(turn.to_bytes(4, "big"))
        if seals is not None:
            parts.append(list(seals))
        return rlp(parts)

    def seal(self, signers: Sequence[int], turn: int = 1) -> dict[str, Any]:
        """The next block, signed by those validators in round `turn`."""
        number = len(self.blocks)
        empty = "0x" + trie_root([], KECCAK).hex()
        block: dict[str, Any] = {
            "parentHash": self.blocks[-1]["hash"] if number else "0x" + "00" * 32,
            "sha3Uncles": "0x" + KECCAK(rlp([])).hex(),
            "miner": self.validators[0].address,
            "stateRoot": "0x" + "05" * 32,
            "transactionsRoot": empty,
            "receiptsRoot": empty,
            "logsBloom": "0x" + "00" * 256,
            "difficulty": "0x1",
            "number": hex(number),
            "gasLimit": "0x1fffffffffffff",
            "gasUsed": "0x0",
            "timestamp": hex(START_S + 2 * number),
            "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
            "nonce": "0x0000000000000000",
            "baseFeePerGas": "0x7",
            "transactions": [],
        }
        digest = KECCAK(self._header(block, self.extra(turn, None)))
        seals = [self.validators[i].sign(digest) for i in signers]
        block["hash"] = "0x" + KECCAK(self._header(block, self.extra(None, None))).hex()
        block["extraData"] = "0x" + self.extra(turn, seals).hex()
        self.blocks.append(block)
        return block

    @staticmethod
    def _header(block: dict[str, Any], extra: bytes) -> bytes:
        head = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
        counts = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
        fields: list[Item] = [raw(block[name]) for name in head]
        fields += [big_endian(int(block[name], 16)) for name in counts]
        fields += [extra, raw(block["mixHash"]), raw(block["nonce"]), big_endian(int(block["baseFeePerGas"], 16))]
        return rlp(fields)


@dataclass
class BftNode:
    """Number `me` of the chain's validators, or, beyond these, of `others`; connected with everybody at `addresses`."""

    chain: BftChain
    addresses: Sequence[str]
    me: int
    others: Sequence[Signer] = ()
    batches: bool = True

    def _signers(self) -> Sequence[Signer]:
        return [*self.chain.validators, *self.others]

    def _entry(self, number: int) -> dict[str, Any]:
        signer = self._signers()[number]
        host, port = self.addresses[number].split(":")
        return {
            "id": "0x" + KECCAK(signer.key).hex(),
            "enode": f"enode://{signer.key.hex()}@{host}:{port}",
            "ip": host,
            "ports": {"listener": int(port)},
            "network": {"remoteAddress": self.addresses[number]},
        }

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "admin_nodeInfo":
            return self._entry(self.me)
        if method == "admin_peers":
            return [self._entry(n) for n in range(len(self.addresses)) if n != self.me]
        if method == "eth_blockNumber":
            return hex(len(self.chain.blocks) - 1)
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16)
            return self.chain.blocks[number] if number < len(self.chain.blocks) else None
        raise NoSuchMethod(method)
