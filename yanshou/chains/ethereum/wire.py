"""Asks an Ethereum-type node. It must never interpret more of an answer than where to look next."""

from __future__ import annotations

from itertools import chain

from yanshou.chains.ethereum.clique import is_clique
from yanshou.chains.rpc import UNSUPPORTED, Refused, Rpc, joined, require_blocks
from yanshou.harness.basics import Json

DISABLED = -32604
"""Code of a question that a node knows and does not take (Besu)."""
NOT_TAKEN = (UNSUPPORTED, DISABLED)


class Wire:
    """One node."""

    def __init__(self, rpc: Rpc, _group: str) -> None:
        self._rpc = rpc
        self._whole_receipts = True
        self._tells_signers: bool | None = None

    def about(self) -> Json:
        """Client version and chain id."""
        return {name: self._rpc.answer(name) for name in ("web3_clientVersion", "eth_chainId")}

    def head(self) -> int:
        """The newest block."""
        return int(self._rpc.answer("eth_blockNumber"), 16)

    def hash_at(self, number: int) -> str | None:
        """None where the node has no such block."""
        block = self._rpc.answer("eth_getBlockByNumber", hex(number), False)
        return None if block is None else str(block["hash"]).lower()

    def rows(self, numbers: range) -> list[Json]:
        """Blocks with their transactions, then the receipts of those that hold any."""
        blocks = self._rpc.answers([("eth_getBlockByNumber", [hex(n), True]) for n in numbers])
        require_blocks(numbers, blocks)
        return self._with_signers(joined(blocks, self._receipts([block for block in blocks if block["transactions"]])))

    def headers(self, numbers: range) -> list[Json]:
        """Blocks with the hashes of their transactions only."""
        blocks = self._rpc.answers([("eth_getBlockByNumber", [hex(n), False]) for n in numbers])
        require_blocks(numbers, blocks)
        return self._with_signers([{"block": block} for block in blocks])

    def _with_signers(self, rows: list[Json]) -> list[Json]:
        """Clique blocks with who might sign them, as far as the node tells: asked again where a header carries a vote.

        Who may sign a block is what stood after the one before. Few blocks carry votes, so that few questions are asked.
        """
        signers: Json = None
        for row in rows:
            block = row["block"]
            height = int(block["number"], 16)
            if self._tells_signers is False or not height or not is_clique(block):
                continue
            if signers is None:
                signers = self._signers(height - 1)
            if signers is not None:
                row["signers"] = signers
            if int(block["miner"], 16):  # a vote
                signers = None
        return rows

    def _signers(self, height: int) -> Json:
        """None where the node never tells them. One that told some must tell all."""
        try:
            told = self._rpc.ask("clique_getSigners", hex(height))
        except Refused as error:
            if self._tells_signers or error.code not in NOT_TAKEN:
                raise error.problem from None
            self._tells_signers = False
            return None
        self._tells_signers = True
        return told

    def view(self) -> Json:
        """Itself and its peers, by the administration's interface, and how far it is itself."""
        height = self.head()
        (header,) = self.headers(range(height, height + 1))
        return {
            "admin_nodeInfo": self._rpc.answer("admin_nodeInfo"),
            "admin_peers": self._rpc.answer("admin_peers"),
            "head": {"number": height, "hash": self.hash_at(height), "genesis": self.hash_at(0), **header},
        }

    def counter(self) -> Json:
        """Execution clients keep none."""
        return None

    def _receipts(self, full: list[Json]) -> list[Json]:
        """All receipts of the blocks `full` in order: a block's at once where the node can, else one by one."""
        if self._whole_receipts and full:
            try:
                found = self._rpc.ask_all([("eth_getBlockReceipts", [block["number"]]) for block in full])
                return list(chain.from_iterable(receipts or () for receipts in found))
            except Refused as error:
                if error.code not in NOT_TAKEN:
                    raise error.problem from None
                self._whole_receipts = False
        hashes = [t["hash"] for block in full for t in block["transactions"]]
        return self._rpc.answers([("eth_getTransactionReceipt", [digest]) for digest in hashes])
