"""A FISCO BCOS 2.x node's answers -> blocks, and what of them holds by keccak-256 and secp256k1, or by SM3 and SM2. Pure.

Sources: FISCO BCOS 2.x documentation, api.md (fields, and blocks of a real chain that the tests recompute) and
design/merkle_proof.md; its source, libethcore/Transaction.cpp, TransactionReceipt.cpp, libdevcrypto/SM2Signature.cpp and
ParallelMerkleProof.cpp (of 2.2 and later: leaves rlp(index) and hash, width 16, and one last digest on top). A receipt is
recomputed where the node shows its state root; a node that leaves that out shows receipts that nobody can check.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from itertools import starmap

from yanshou.chains.crypto import EVM_SUITES, Suite, recovered
from yanshou.chains.model import Block, Counter, Link, Log, Member, Proof, Seals, Transaction, View, paired
from yanshou.chains.trees import Item, big_endian, rlp, width_root
from yanshou.harness.basics import Json

WIDTH = 16
SYSTEM = 0xFFFF
"""Highest address of the chain's own contracts: precompiled ones at 0x1000 and above."""
NOBODY = "0x" + "00" * 20
V_BASE = 27


def block(row: Json) -> Block:
    """See `Reads`."""
    at, time_s = link(row), _number(row["block"]["timestamp"]) // 1000
    return Block(at.number, at.hash, at.parent, time_s, tuple(starmap(_transaction, paired(row))))


def link(row: Json) -> Link:
    """See `Reads`."""
    b = row["block"]
    height = _number(b["number"])
    return Link(height, b["hash"].lower(), b["parentHash"].lower() if height else "")


def _transaction(t: Json, receipt: Json) -> Transaction:
    logs = tuple(
        Log(log["address"].lower(), tuple(x.lower() for x in log["topics"]), _data(log["data"]))
        for log in receipt["logs"]
    )
    return Transaction(
        t["hash"].lower(), t["from"].lower(), _receiver(t), _data(t["input"]), _number(receipt["status"]) == 0, logs
    )


def _receiver(t: Json) -> str:
    """ "" for a deployment, which is shown with a receiver of zeros, or none."""
    to = (t.get("to") or NOBODY).lower()
    return "" if to == NOBODY else to


def suite(row: Json) -> Suite | None:
    """See `Reads`."""
    encoded, stated = _header(row["block"]), _data(row["block"]["hash"])
    return next((s for s in EVM_SUITES if s.hash(encoded) == stated), None)


def counter(answer: Json) -> Counter | None:
    """See `Reads`. Some versions do not say how many failed."""
    if answer is None:
        return None
    failed = answer.get("failedTxSum")
    return Counter(
        _number(answer["blockNumber"]), _number(answer["txSum"]), None if failed is None else _number(failed)
    )


def claims_sm(about: Json) -> bool | None:
    """See `Reads`: versions built for 国密 have it in their name."""
    return "gm" in str(about["getClientVersion"].get("FISCO-BCOS Version", "")).lower() or None


def is_system(address: str) -> bool:
    """See `Reads`."""
    return address.startswith("0x") and int(address, 16) <= SYSTEM


def prove(row: Json, indices: Collection[int]) -> Proof:
    """See `Reads`. Raises UserError where 国密 needs a library that is not installed."""
    b, found = row["block"], suite(row)
    s = found or Suite.KECCAK
    root = _root(s, [_data(t["hash"]) for t in b["transactions"]]) == _data(b["transactionsRoot"])
    receipts = None
    if all("root" in receipt for receipt in row["receipts"]):
        receipts = _root(s, [s.hash(_receipt(r)) for r in row["receipts"]]) == _data(b["receiptsRoot"])
    genuine = {i: _genuine(s, b["transactions"][i]) for i in indices}
    return Proof(found is not None, root, receipts, genuine, _seals(s, row))


def seals(row: Json) -> Seals:
    """See `Reads`."""
    return _seals(suite(row) or Suite.KECCAK, row)


def view(answer: Json) -> View:
    """See `Reads`."""
    status = answer["getSyncStatus"]
    roles = {key.lower(): "sealer" for key in answer["getSealerList"]}
    roles |= {key.lower(): "observer" for key in answer["getObserverList"]}
    said = {entry["nodeId"].lower(): entry for entry in (status, *status["peers"])}
    addresses: dict[str, set[str]] = defaultdict(set)
    for entry in answer["getPeers"]:
        addresses[entry["nodeId"].lower()].add(entry["IPAndPort"])
    members = []
    for key in dict.fromkeys([*roles, *said]):
        word = said.get(key)
        height = _number(word["blockNumber"]) if word else None
        digest, genesis = (word["latestHash"].lower(), word["genesisHash"].lower()) if word else ("", "")
        members.append(Member(key, roles.get(key, ""), height, digest, genesis, tuple(sorted(addresses.get(key, ())))))
    return View(status["nodeId"].lower(), tuple(members))


def _number(text: str | int) -> int:
    return text if isinstance(text, int) else int(text, 16)


def _data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _root(s: Suite, digests: list[bytes]) -> bytes:
    leaves = [rlp(big_endian(i)) + digest for i, digest in enumerate(digests)]
    return s.hash(width_root(leaves, WIDTH, s.hash) if leaves else b"")


def _receipt(r: Json) -> bytes:
    """What a receipt's hash is the digest of."""
    logs: Item = [[_data(log["address"]), [_data(x) for x in log["topics"]], _data(log["data"])] for log in r["logs"]]
    fields: list[Item] = [_data(r["root"]), big_endian(_number(r["gasUsed"])), _data(r["contractAddress"])]
    return rlp([*fields, _data(r["logsBloom"]), big_endian(_number(r["status"])), _data(r["output"]), logs])


def _header(b: Json) -> bytes:
    """What a block's hash is the digest of."""
    digests = ("parentHash", "stateRoot", "transactionsRoot", "receiptsRoot", "dbHash", "logsBloom")
    numbers = ("number", "gasLimit", "gasUsed", "timestamp")
    fields: list[Item] = [_data(b[name]) for name in digests]
    fields += [big_endian(_number(b[name])) for name in numbers]
    fields += [
        [_data(x) for x in b["extraData"]],
        big_endian(_number(b["sealer"])),
        [_data(x) for x in b["sealerList"]],
    ]
    return rlp(fields)


def _genuine(s: Suite, t: Json) -> bool:
    signature = t["signature"]
    r, last = _data(signature["r"]).rjust(32, b"\0"), _data(signature["s"]).rjust(32, b"\0")
    names = ("nonce", "gasPrice", "gas", "blockLimit")
    fields: list[Item] = [big_endian(_number(t[name])) for name in names]
    fields += [_data(_receiver(t)), big_endian(_number(t["value"])), _data(t["input"])]
    fields += [big_endian(_number(t["chainId"])), big_endian(_number(t["groupId"])), _data(t["extraData"])]
    digest = s.hash(rlp(fields))
    if s is Suite.SM:  # the key itself stands where others have the recovery id
        key: bytes | None = _data(signature["v"])
        v = key or b""
        valid = s.verifies(v, digest, r + last)
    else:
        parity = _number(signature["v"])
        key = recovered(digest, r + last + bytes([parity & 0xFF]))
        v, valid = big_endian(parity + V_BASE), key is not None
    whole = rlp([*fields, v, r.lstrip(b"\0"), last.lstrip(b"\0")])
    return valid and s.hash(whole) == _data(t["hash"]) and s.address(key or b"") == t["from"].lower()


def _seals(s: Suite, row: Json) -> Seals:
    """PBFT: n - (n - 1) // 3 of n sealers must have signed the block's hash."""
    b = row["block"]
    keys = [key.removeprefix("0x").lower() for key in b["sealerList"]]
    digest, signed, wrong = _data(b["hash"]), list[str](), 0
    for entry in row.get("header", b).get("signatureList", ()):
        at = _number(entry["index"])
        if 0 <= at < len(keys) and s.verifies(bytes.fromhex(keys[at]), digest, _data(entry["signature"])):
            signed.append(keys[at])
        else:
            wrong += 1
    return Seals(dict.fromkeys(keys, 1), tuple(signed), wrong, len(keys) - (len(keys) - 1) // 3)
