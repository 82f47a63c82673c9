"""Asks a FISCO BCOS 3.x node. It must never interpret more of an answer than where to look next.

The second parameter of most questions names a node behind the interface; empty lets the interface choose.
"""

from __future__ import annotations

from yanshou.chains.rpc import Refused, Rpc, joined, require_blocks
from yanshou.harness.basics import Json

GROUP = "group0"
"""The group of a chain that has only one."""


class Wire:
    """One interface, one group."""

    def __init__(self, rpc: Rpc, group: str) -> None:
        self._rpc = rpc
        self._group = group or GROUP

    def about(self) -> Json:
        """What the group says of itself: nodes, versions, and whether it claims 国密."""
        return {"getGroupInfo": self._rpc.answer("getGroupInfo", self._group)}

    def head(self) -> int:
        """The newest block."""
        return int(self._rpc.answer("getBlockNumber", self._group, ""))

    def hash_at(self, number: int) -> str | None:
        """None where the node has no such block."""
        try:
            header = self._rpc.ask("getBlockByNumber", self._group, "", number, True, True)
        except Refused:
            return None
        return str(header["hash"]).lower() if header else None

    def rows(self, numbers: range) -> list[Json]:
        """Blocks with their transactions, then the receipts of these one by one: there is no call for all of a block."""
        blocks = self._rpc.answers([("getBlockByNumber", [self._group, "", n, False, False]) for n in numbers])
        require_blocks(numbers, blocks)
        hashes = [t["hash"] for block in blocks for t in block["transactions"]]
        receipts = self._rpc.answers([("getTransactionReceipt", [self._group, "", digest, False]) for digest in hashes])
        return joined(blocks, receipts)

    def headers(self, numbers: range) -> list[Json]:
        """Headers with their signatures."""
        blocks = self._rpc.answers([("getBlockByNumber", [self._group, "", n, True, True]) for n in numbers])
        return [{"block": block} for block in blocks]

    def view(self) -> Json:
        """Lists, sync status and connections."""
        names = ("getSealerList", "getObserverList", "getSyncStatus")
        told = {name: self._rpc.answer(name, self._group, "") for name in names}
        return told | {"getPeers": self._rpc.answer("getPeers", self._group)}

    def counter(self) -> Json:
        """Transactions so far, and at which height."""
        return self._rpc.answer("getTotalTransactionCount", self._group, "")
