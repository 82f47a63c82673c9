"""A FISCO BCOS 2.x chain and node for tests, written from the 2.x documentation (api.md, design/merkle_proof.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yanshou.chains.bcos3.simulate import Call, SimulatedChain, SimulatedNode
from yanshou.chains.crypto import Suite
from yanshou.chains.trees import big_endian, rlp

BLOOM = "0x" + "00" * 256
ZERO = "0x" + "00" * 32


def root(suite: Suite, hashes: Sequence[str]) -> str:
    level = [rlp(big_endian(i)) + bytes.fromhex(h[2:]) for i, h in enumerate(hashes)]
    while len(level) > 1:
        level = [suite.hash(b"".join(level[i : i + 16])) for i in range(0, len(level), 16)]
    return "0x" + suite.hash(level[0] if level else b"").hex()


def receipt_rlp(receipt: Any) -> bytes:
    head = [bytes.fromhex(receipt[name][2:]) for name in ("root", "contractAddress", "logsBloom", "output")]
    gas, status = (big_endian(int(receipt[name], 16)) for name in ("gasUsed", "status"))
    logs = [
        [bytes.fromhex(x["address"][2:]), [bytes.fromhex(t[2:]) for t in x["topics"]], bytes.fromhex(x["data"][2:])]
        for x in receipt["logs"]
    ]
    return rlp([head[0], gas, head[1], head[2], status, head[3], logs])


@dataclass
class Chain2(SimulatedChain):
    def _transaction(self, call: Call) -> Any:
        self._nonce += 1
        to = bytes.fromhex(call.to[2:])
        fields = [big_endian(self._nonce), b"\x0a", b"\x64", b"\x05", to, b"", call.input, b"\x01", b"\x01", b""]
        signature = call.sender.sign_transaction(self.suite.hash(rlp(fields)))
        v = signature[64:] if self.suite is Suite.SM else bytes([signature[64] + 27])
        whole = rlp([*fields, v, signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")])
        return {
            "blockLimit": "0x5", "chainId": "0x1", "extraData": "0x", "from": call.sender.address, "gas": "0x64", "gasPrice": "0xa",
            "groupId": "0x1", "hash": "0x" + self.suite.hash(whole).hex(), "input": "0x" + call.input.hex(),
            "nonce": hex(self._nonce),
            "signature": {
                "r": "0x" + signature[:32].hex(), "s": "0x" + signature[32:64].hex(), "signature": "0x" + signature.hex(),
                "v": "0x" + signature[64:].hex() if self.suite is Suite.SM else hex(signature[64]),
            },
            "to": call.to or "0x" + "00" * 20, "value": "0x0",
        }  # fmt: skip

    def _receipt(self, call: Call, t: Any, number: int) -> Any:
        logs = [
            {"address": a, "topics": ["0x" + x.hex() for x in topics], "data": "0x" + d.hex()}
            for a, topics, d in call.logs
        ]
        to = "0x" + (bytes(20) if call.to else self.suite.hash(t["hash"].encode())[-20:]).hex()
        return {
            "blockNumber": hex(number), "contractAddress": to, "gasUsed": "0x802c", "logs": logs, "logsBloom": BLOOM,
            "output": "0x", "root": ZERO, "status": hex(call.status), "transactionHash": t["hash"],
        }  # fmt: skip

    def _append(self, transactions: list[Any], receipts: list[Any], time_ms: int, signers: Sequence[int]) -> Any:
        number = len(self.rows)
        parent = self.rows[-1]["block"]["hash"] if number else ZERO
        keys = [s.key for s in self.sealers]
        roots = root(self.suite, [t["hash"] for t in transactions])
        came_of = root(self.suite, ["0x" + self.suite.hash(receipt_rlp(r)).hex() for r in receipts])
        numbers = [big_endian(n) for n in (number, 0, 0, time_ms)]
        digests = [bytes.fromhex(x[2:]) for x in (parent, ZERO, roots, came_of, ZERO, BLOOM)]
        digest = self.suite.hash(rlp([*digests, *numbers, [b"config"], b"", keys]))
        block = {
            "dbHash": ZERO, "extraData": ["0x" + b"config".hex()], "gasLimit": "0x0", "gasUsed": "0x0",
            "hash": "0x" + digest.hex(), "logsBloom": BLOOM, "number": hex(number), "parentHash": parent, "receiptsRoot": came_of,
            "sealer": "0x0", "sealerList": [k.hex() for k in keys], "stateRoot": ZERO, "timestamp": hex(time_ms),
            "signatureList": [{"index": hex(i), "signature": "0x" + self.sealers[i].sign(digest).hex()} for i in signers],
            "transactions": transactions, "transactionsRoot": roots,
        }  # fmt: skip
        self.rows.append({"block": block, "receipts": receipts})
        return self.rows[-1]

    def seal(self, calls: Sequence[Call], time_ms: int | None = None, signers: Sequence[int] | None = None) -> Any:
        when = int(self.rows[-1]["block"]["timestamp"], 16) + 1000 if time_ms is None else time_ms
        return super().seal(calls, when, signers)


@dataclass
class Node2(SimulatedNode):
    """`signs_blocks`: whether a block is shown with its signatures, or only its header is (older versions)."""

    signs_blocks: bool = True
    says_failed: bool = True

    def on_getClientVersion(self) -> Any:
        return {"FISCO-BCOS Version": "2.9.1", "Chain Id": "1"}

    def on_getBlockNumber(self, _group: int, _node: str = "") -> Any:
        return hex(self.chain.height)

    def on_getBlockByNumber(self, _group: int, number: str, whole: bool) -> Any:  # type: ignore[override]
        block = dict(self.row(int(number, 16))["block"])
        if not (self.signs_blocks and whole):
            del block["signatureList"]
        if not whole:
            block["transactions"] = [t["hash"] for t in block["transactions"]]
        return block

    def on_getBlockHeaderByNumber(self, _group: int, number: str, signatures: bool) -> Any:
        block = dict(self.row(int(number, 16))["block"])
        del block["transactions"]
        return block

    def on_getTransactionReceipt(self, group: int, digest: str) -> Any:  # type: ignore[override]
        return super().on_getTransactionReceipt(str(group), "", digest, False)

    def on_getTotalTransactionCount(self, _group: int, _node: str = "") -> Any:
        receipts = [r for row in self.chain.rows for r in row["receipts"]]
        total, failed = self.counter or (len(receipts), sum(r["status"] != "0x0" for r in receipts))
        said = {"blockNumber": hex(self.chain.height), "txSum": hex(total)}
        return said | ({"failedTxSum": hex(failed)} if self.says_failed else {})
