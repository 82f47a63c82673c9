"""Asks a FISCO BCOS 3.x node. It must never interpret more of an answer than where to look next.

The second parameter of every question names a node behind the interface; empty lets the interface choose.
"""

from __future__ import annotations

from yanshou.chains.rpc import Question, Refused, Rpc
from yanshou.harness.basics import Json, ProbeError

GROUP = "group0"
"""The group of a chain that has only one."""


class Wire:
    """One interface, one group."""

    def __init__(self, rpc: Rpc, group: str) -> None:
        self._rpc = rpc
        self._group = group or GROUP

    def about(self) -> Json:
        """What the group says of itself: nodes, versions, and whether it claims 国密."""
        return {"getGroupInfo": self._asked("getGroupInfo")}

    def head(self) -> int:
        """The newest block."""
        return int(self._asked("getBlockNumber", ""))

    def hash_at(self, number: int) -> str | None:
        """None where the node has no such block."""
        try:
            header = self._rpc.ask("getBlockByNumber", self._group, "", number, True, True)
        except Refused:
            return None
        return str(header["hash"]).lower() if header else None

    def rows(self, numbers: range) -> list[Json]:
        """Blocks with their transactions, then the receipts of these one by one: there is no call for all of a block."""
        blocks = self._all([("getBlockByNumber", [self._group, "", n, False, False]) for n in numbers])
        for number, block in zip(numbers, blocks, strict=True):
            if not isinstance(block, dict) or not isinstance(block.get("transactions"), list):
                raise ProbeError("CHN-E03", f"节点没有给出第 {number} 块", "换一个没有归档旧块的节点")
        hashes = [t["hash"] for block in blocks for t in block["transactions"]]
        receipts = iter(self._all([("getTransactionReceipt", [self._group, "", h, False]) for h in hashes]))
        return [{"block": b, "receipts": [next(receipts) for _ in b["transactions"]]} for b in blocks]

    def headers(self, numbers: range) -> list[Json]:
        """Headers with their signatures."""
        return [
            {"block": b} for b in self._all([("getBlockByNumber", [self._group, "", n, True, True]) for n in numbers])
        ]

    def view(self) -> Json:
        """Lists, sync status and connections."""
        names = ("getSealerList", "getObserverList", "getSyncStatus")
        return {"getPeers": self._asked("getPeers")} | {name: self._asked(name, "") for name in names}

    def counter(self) -> Json:
        """Transactions so far, and at which height."""
        return self._asked("getTotalTransactionCount", "")

    def _asked(self, method: str, *params: Json) -> Json:
        return self._all([(method, [self._group, *params])])[0]

    def _all(self, questions: list[Question]) -> list[Json]:
        try:
            return self._rpc.ask_all(questions)
        except Refused as error:
            text = f"节点拒绝了询问：{error}"
            raise ProbeError("CHN-E03", text, "检查链的类型、group 与接口权限是否如参数所写") from None
