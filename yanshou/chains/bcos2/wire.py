"""Asks a FISCO BCOS 2.x node. It must never interpret more of an answer than where to look next."""

from __future__ import annotations

from yanshou.chains.rpc import Question, Refused, Rpc
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
        return {"getClientVersion": self._all([("getClientVersion", [])])[0]}

    def head(self) -> int:
        """The newest block."""
        return int(self._asked("getBlockNumber"), 16)

    def hash_at(self, number: int) -> str | None:
        """None where the node has no such block."""
        try:
            block = self._rpc.ask("getBlockByNumber", self._group, hex(number), False)
        except Refused:
            return None
        return str(block["hash"]).lower() if block else None

    def rows(self, numbers: range) -> list[Json]:
        """Blocks with their transactions; headers with signatures where the blocks lack these; receipts one by one."""
        blocks = self._all([("getBlockByNumber", [self._group, hex(n), True]) for n in numbers])
        for number, block in zip(numbers, blocks, strict=True):
            if not isinstance(block, dict) or not isinstance(block.get("transactions"), list):
                raise ProbeError("CHN-E03", f"节点没有给出第 {number} 块", "换一个保存全部历史的节点")
        unsigned = [n for n, block in zip(numbers, blocks, strict=True) if n and "signatureList" not in block]
        headers = self._all([("getBlockHeaderByNumber", [self._group, hex(n), True]) for n in unsigned])
        signed = dict(zip(unsigned, headers, strict=True))
        hashes = [t["hash"] for block in blocks for t in block["transactions"]]
        receipts = iter(self._all([("getTransactionReceipt", [self._group, h]) for h in hashes]))
        return [
            {"block": b, "receipts": [next(receipts) for _ in b["transactions"]]}
            | ({"header": signed[n]} if n in signed else {})
            for n, b in zip(numbers, blocks, strict=True)
        ]

    def headers(self, numbers: range) -> list[Json]:
        """Headers with their signatures."""
        return [
            {"block": b} for b in self._all([("getBlockHeaderByNumber", [self._group, hex(n), True]) for n in numbers])
        ]

    def view(self) -> Json:
        """Lists, sync status and connections."""
        names = ("getSealerList", "getObserverList", "getSyncStatus", "getPeers")
        return {name: self._asked(name) for name in names}

    def counter(self) -> Json:
        """Transactions so far, and at which height."""
        return self._asked("getTotalTransactionCount")

    def _asked(self, method: str, *params: Json) -> Json:
        return self._all([(method, [self._group, *params])])[0]

    def _all(self, questions: list[Question]) -> list[Json]:
        try:
            return self._rpc.ask_all(questions)
        except Refused as error:
            text = f"节点拒绝了询问：{error}"
            raise ProbeError("CHN-E03", text, "检查链的类型、group 与接口权限是否如参数所写") from None
