"""A FISCO BCOS 3.x node's answers -> blocks, and what of them holds by SM3 and SM2, or by keccak-256 and secp256k1. Pure.

Sources: FISCO BCOS 3.x documentation, develop/api.md (fields, and a block of a real chain that the tests recompute); its
source, bcos-tars-protocol/impl/TarsHashable.h (what is hashed, in which order) and bcos-crypto/merkle/Merkle.h (width 2).
Transactions of version 1 and later are hashed with more fields, of which the interface may show another spelling: the
likely ones are tried. Transactions of the Web3 kind are not recomputed: they are not genuine here.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import product, starmap

from yanshou.chains.crypto import EVM_SUITES, Suite, recovered
from yanshou.chains.model import Block, Counter, Link, Log, Member, Proof, Seals, Transaction, View, paired
from yanshou.chains.trees import width_root
from yanshou.harness.basics import Json

WIDTH = 2
SYSTEM = 0xFFFFFF
"""Highest address of the chain's own contracts: precompiled ones at 0x1000 and above, the committee at 0x10001."""
EMPTY_ROOT = bytes(32)


def block(row: Json) -> Block:
    """See `Reads`."""
    at, time_s = link(row), int(row["block"]["timestamp"]) // 1000
    return Block(at.number, at.hash, at.parent, time_s, tuple(starmap(_transaction, paired(row))))


def link(row: Json) -> Link:
    """See `Reads`."""
    b = row["block"]
    parents = b["parentInfo"]
    return Link(int(b["number"]), b["hash"].lower(), parents[0]["blockHash"].lower() if parents else "")


def _transaction(t: Json, receipt: Json) -> Transaction:
    logs = tuple(
        Log(_address(log["address"]), tuple(x.lower() for x in log["topics"]), _data(log["data"]))
        for log in receipt["logEntries"]
    )
    return Transaction(
        t["hash"].lower(), _address(t["from"]), _address(t["to"]), _data(t["input"]), int(receipt["status"]) == 0, logs
    )


def suite(row: Json) -> Suite | None:
    """See `Reads`."""
    hashed, stated = _header(row["block"]), _data(row["block"]["hash"])
    return next((s for s in EVM_SUITES if s.hash(hashed) == stated), None)


def counter(answer: Json) -> Counter | None:
    """See `Reads`. The documentation's prose has other names than the wire."""
    if answer is None:
        return None
    failed = answer.get("failedTransactionCount")
    return Counter(int(answer["blockNumber"]), int(answer["transactionCount"]), None if failed is None else int(failed))


def claims_sm(about: Json) -> bool | None:
    """See `Reads`: each node's own settings are JSON within a string."""
    said = [json.loads(node["iniConfig"]).get("smCryptoType") for node in about["getGroupInfo"]["nodeList"]]
    return any(said) if any(word is not None for word in said) else None


def is_system(address: str) -> bool:
    """See `Reads`."""
    return address.startswith("0x") and int(address, 16) <= SYSTEM


def prove(row: Json, indices: Collection[int]) -> Proof:
    """See `Reads`. Raises UserError where 国密 needs a library that is not installed."""
    b, found = row["block"], suite(row)
    s = found or Suite.SM
    root = _root(s, [_data(t["hash"]) for t in b["transactions"]])
    receipts = _root(s, [s.hash(_receipt(r)) for r in row["receipts"]])
    genuine = {i: _genuine(s, b["transactions"][i]) for i in indices}
    return Proof(
        found is not None,
        root == _data(b["txsRoot"]),
        receipts == _data(b["receiptsRoot"]),
        genuine,
        _seals(s, b),
    )


def seals(row: Json) -> Seals:
    """See `Reads`."""
    return _seals(suite(row) or Suite.SM, row["block"])


def view(answer: Json) -> View:
    """See `Reads`. The sync status is JSON within a string; nodes of the network have other keys than those of consensus."""
    status = answer["getSyncStatus"]
    status = json.loads(status) if isinstance(status, str) else status
    roles = {entry["nodeID"].lower(): "sealer" for entry in answer["getSealerList"]}
    roles |= {key.lower(): "observer" for key in answer["getObserverList"]}
    said = {entry["nodeID"].lower(): entry for entry in (status, *status["peers"])}
    addresses: dict[str, set[str]] = defaultdict(set)
    network = answer["getPeers"]
    for entry in (network, *network["peers"]):
        for group in entry["groupNodeIDInfo"]:
            for key in group["nodeIDList"]:
                addresses[key.lower()].add(entry["endPoint"])
    keys = dict.fromkeys([*roles, *said])
    return View(status["nodeID"].lower(), tuple(_member(key, roles, said, addresses) for key in keys))


def _member(key: str, roles: Mapping[str, str], said: Mapping[str, Json], addresses: Mapping[str, set[str]]) -> Member:
    word = said.get(key)
    return Member(
        key,
        roles.get(key, ""),
        int(word["blockNumber"]) if word else None,
        _prefixed(word["latestHash"]) if word else "",
        _prefixed(word["genesisHash"]) if word else "",
        tuple(sorted(addresses.get(key, ()))),
    )


def _prefixed(digest: str) -> str:
    return "0x" + digest.lower().removeprefix("0x")


def _address(text: str) -> str:
    """An account with 0x; "" stays "". Names that are no address (contracts under /apps/) stay as they are."""
    text = text.lower()
    return "0x" + text if len(text) == 40 else text


def _data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _header(b: Json) -> bytes:
    """What a block's hash is the digest of."""
    parents = b"".join(struct.pack(">q", p["blockNumber"]) + _data(p["blockHash"]) for p in b["parentInfo"])
    roots = _data(b["txsRoot"]) + _data(b["receiptsRoot"]) + _data(b["stateRoot"])
    return b"".join(
        (
            struct.pack(">i", b["version"]), parents, roots, struct.pack(">q", b["number"]), str(b["gasUsed"]).encode(),
            struct.pack(">qq", b["timestamp"], b["sealer"]), *map(_data, b["sealerList"]), _data(b["extraData"]),
            *(struct.pack(">q", weight) for weight in b["consensusWeights"]),
        )
    )  # fmt: skip


def _root(s: Suite, leaves: list[bytes]) -> bytes:
    return width_root(leaves, WIDTH, s.hash) if leaves else EMPTY_ROOT


def _receipt(r: Json) -> bytes:
    """What a receipt's hash is the digest of."""
    logs = b"".join(
        log["address"].encode() + b"".join(map(_data, log["topics"])) + _data(log["data"]) for log in r["logEntries"]
    )
    return b"".join(
        (
            struct.pack(">i", r["version"]), str(r["gasUsed"]).encode(), r["contractAddress"].removeprefix("0x").encode(),
            struct.pack(">i", r["status"]), _data(r["output"]),
            r["effectiveGasPrice"].encode() if r["version"] >= 1 else b"", logs, struct.pack(">q", r["blockNumber"]),
        )
    )  # fmt: skip


def _preimages(t: Json) -> Iterator[bytes]:
    """What a transaction's hash may be the digest of: one for version 0."""
    start = b"".join(
        (
            struct.pack(">i", t["version"]), t["chainID"].encode(), t["groupID"].encode(), struct.pack(">q", t["blockLimit"]),
            _data(t["nonce"]), t["to"].encode(), _data(t["input"]), t.get("abi", "").encode(),
        )
    )  # fmt: skip
    if t["version"] == 0:
        yield start
        return
    extension = b"".join(bytes([byte & 0xFF]) for byte in t.get("extension", ()))
    names = ("value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas")
    for value, price, fee, tip in product(*(_spellings(str(t.get(name, ""))) for name in names)):
        limit = struct.pack(">q", int(t.get("gasLimit", 0)))
        yield start + value + price + limit + fee + tip + extension


def _spellings(text: str) -> list[bytes]:
    """A number as the interface shows it, and as it may have been hashed."""
    found = {text, text.removeprefix("0x")}
    if text in ("0", "0x0", "0x"):
        found |= {"", "0", "0x0"}
    return [spelling.encode() for spelling in sorted(found)]


def _genuine(s: Suite, t: Json) -> bool:
    digest, signature = _data(t["hash"]), _data(t["signature"])
    if all(s.hash(preimage) != digest for preimage in _preimages(t)):
        return False
    if s is Suite.SM:  # r, s and the key
        key = signature[64:]
        return s.verifies(key, digest, signature) and s.address(key) == _address(t["from"])
    recovered_key = recovered(digest, signature)
    return recovered_key is not None and s.address(recovered_key) == _address(t["from"])


def _seals(s: Suite, b: Json) -> Seals:
    """PBFT: of the weight W of all sealers, W - (W - 1) // 3 must have signed the block's hash."""
    keys = [key.removeprefix("0x").lower() for key in b["sealerList"]]
    weights = dict(zip(keys, map(int, b["consensusWeights"]), strict=True))
    digest, signed, wrong = _data(b["hash"]), list[str](), 0
    for entry in b["signatureList"]:
        at = int(entry["sealerIndex"])
        if 0 <= at < len(keys) and s.verifies(bytes.fromhex(keys[at]), digest, _data(entry["signature"])):
            signed.append(keys[at])
        else:
            wrong += 1
    total = sum(weights.values())
    return Seals(weights, tuple(signed), wrong, total - (total - 1) // 3)
