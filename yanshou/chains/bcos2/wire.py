"""Asks a FISCO BCOS 2.x node. It must never interpret more of an answer than where to look next."""

from __future__ import annotations

from yanshou.chains.rpc import Refused, Rpc, joined, require_blocks
from yanshou.harness.basics import Json, ProbeError

GROUP = 1
"""The group of a chain that has only one."""


class Wire:
    """One node, one group (a number)."""

    def __init__(self, rpc: Rpc, group: str) -> None:
        """Raises ProbeError CHN-E05 for a group that is no number."""
        if group and not group.isdecimal():
            raise ProbeError("CHN-E05", f"FISCO BCOS 2.x 的群组是数字，不是 {group}", "把 chain.group 写成 1、2 等")
        self._rpc = rpc
        self._group = int(group) if group else GROUP

    def about(self) -> Json:
        """The node's version."""
        return {"getClientVersion": self._rpc.answer("getClientVersion")}

    def head(self) -> int:
        """The newest block."""
        return int(self._rpc.answer("getBlockNumber", self._group), 16)

    def hash_at(self, number: int) -> str | None:
        """None where the node has no such block."""
        try:
            block = self._rpc.ask("getBlockByNumber", self._group, hex(number), False)
        except Refused:
            return None
        return str(block["hash"]).lower() if block else None

    def rows(self, numbers: range) -> list[Json]:
        """Blocks with their transactions; headers with signatures where the blocks lack these; receipts one by one."""
        blocks = self._rpc.answers([("getBlockByNumber", [self._group, hex(n), True]) for n in numbers])
        require_blocks(numbers, blocks)
        hashes = [t["hash"] for block in blocks for t in block["transactions"]]
        rows = joined(
            blocks, self._rpc.answers([("getTransactionReceipt", [self._group, digest]) for digest in hashes])
        )
        unsigned = [row for row in rows if "signatureList" not in row["block"] and int(row["block"]["number"], 16)]
        headers = self._headers([row["block"]["number"] for row in unsigned])
        for row, header in zip(unsigned, headers, strict=True):
            row["header"] = header
        return rows

    def headers(self, numbers: range) -> list[Json]:
        """Headers with their signatures."""
        return [{"block": header} for header in self._headers([hex(n) for n in numbers])]

    def _headers(self, numbers: list[str]) -> list[Json]:
        return self._rpc.answers([("getBlockHeaderByNumber", [self._group, n, True]) for n in numbers])

    def view(self) -> Json:
        """Lists, sync status and connections."""
        names = ("getSealerList", "getObserverList", "getSyncStatus", "getPeers")
        return {name: self._rpc.answer(name, self._group) for name in names}

    def counter(self) -> Json:
        """Transactions so far, and at which height."""
        return self._rpc.answer("getTotalTransactionCount", self._group)
