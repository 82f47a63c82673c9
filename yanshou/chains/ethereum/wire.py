"""Asks an Ethereum-type node. It must never interpret more of an answer than where to look next."""

from __future__ import annotations

from yanshou.chains.rpc import UNSUPPORTED, Question, Refused, Rpc
from yanshou.harness.basics import Json, ProbeError


class Wire:
    """One node."""

    def __init__(self, rpc: Rpc, _group: str) -> None:
        self._rpc = rpc
        self._whole_receipts = True

    def about(self) -> Json:
        """Client version and chain id."""
        return {
            "web3_clientVersion": self._asked("web3_clientVersion"),
            "eth_chainId": self._asked("eth_chainId"),
        }

    def head(self) -> int:
        """The newest block."""
        return int(self._asked("eth_blockNumber"), 16)

    def hash_at(self, number: int) -> str | None:
        """None where the node has no such block."""
        block = self._asked("eth_getBlockByNumber", hex(number), False)
        return None if block is None else str(block["hash"]).lower()

    def rows(self, numbers: range) -> list[Json]:
        """Blocks with their transactions, then the receipts of those that hold any."""
        blocks = self._all([("eth_getBlockByNumber", [hex(n), True]) for n in numbers])
        for number, block in zip(numbers, blocks, strict=True):
            if not isinstance(block, dict) or not isinstance(block.get("transactions"), list):
                raise ProbeError("CHN-E03", f"节点没有给出第 {number} 块", "换一个保存全部历史的节点（归档或全节点）")
        full = [n for n, block in zip(numbers, blocks, strict=True) if block["transactions"]]
        receipts = dict(zip(full, self._receipts(full, {n: blocks[n - numbers.start] for n in full}), strict=True))
        return [{"block": b, "receipts": receipts.get(n, [])} for n, b in zip(numbers, blocks, strict=True)]

    def headers(self, numbers: range) -> list[Json]:
        """Blocks with the hashes of their transactions only."""
        return [{"block": b} for b in self._all([("eth_getBlockByNumber", [hex(n), False]) for n in numbers])]

    def view(self) -> Json:
        """Itself and its peers, by the administration's interface, and how far it is itself."""
        height = self.head()
        return {
            "admin_nodeInfo": self._asked("admin_nodeInfo"),
            "admin_peers": self._asked("admin_peers"),
            "head": {"number": height, "hash": self.hash_at(height), "genesis": self.hash_at(0)},
        }

    def counter(self) -> Json:
        """Execution clients keep none."""
        return None

    def _receipts(self, full: list[int], blocks: dict[int, Json]) -> list[Json]:
        if self._whole_receipts and full:
            try:
                return self._rpc.ask_all([("eth_getBlockReceipts", [hex(n)]) for n in full])
            except Refused as error:
                if error.code != UNSUPPORTED:
                    raise _refusal(error) from None
                self._whole_receipts = False
        hashes = [t["hash"] for n in full for t in blocks[n]["transactions"]]
        found = iter(self._all([("eth_getTransactionReceipt", [h]) for h in hashes]))
        return [[next(found) for _ in blocks[n]["transactions"]] for n in full]

    def _asked(self, method: str, *params: Json) -> Json:
        try:
            return self._rpc.ask(method, *params)
        except Refused as error:
            raise _refusal(error) from None

    def _all(self, questions: list[Question]) -> list[Json]:
        try:
            return self._rpc.ask_all(questions)
        except Refused as error:
            raise _refusal(error) from None


def _refusal(error: Refused) -> ProbeError:
    if error.code == UNSUPPORTED:
        text = f"节点不支持 {error.method}：不支持不等于没有，无法由它得知"
        return ProbeError("CHN-E06", text, "换一个开放此接口的节点（启动参数里允许 admin、eth 等模块）")
    return ProbeError("CHN-E03", f"节点拒绝了询问：{error}", "检查链的类型与接口权限是否如参数所写")
