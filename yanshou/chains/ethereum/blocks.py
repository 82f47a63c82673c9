"""An Ethereum-type node's answers -> blocks, and what of them holds by keccak-256 and secp256k1. Pure.

Sources: Ethereum Yellow Paper 4.3 (header, transactions root); EIP-155, 2718, 2930, 1559, 4844, 7702 (transactions); EIP-1559,
4895, 4844, 4788, 7685 (header fields, in that order). Blocks of IBFT 2.0 and QBFT (`bft`) and of Clique (`clique`) carry signatures
that are verified; others do not.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import starmap

from yanshou.chains.crypto import Suite, recovered
from yanshou.chains.ethereum.bft import MIX_HASH, BftExtra, bft_extra, quorum
from yanshou.chains.ethereum.clique import CliqueExtra, clique_extra, holds
from yanshou.chains.model import Block, Counter, Link, Log, Member, Proof, Seals, Transaction, View, paired
from yanshou.chains.trees import Item, big_endian, rlp, trie_root
from yanshou.harness.basics import Json

HASH = Suite.KECCAK.hash
PRECOMPILED = 0x1FF
"""Highest address that is no contract of anybody but part of the machine (EIP-7910 and the like stay far below)."""
HEADER = (
    ("parentHash", True), ("sha3Uncles", True), ("miner", True), ("stateRoot", True), ("transactionsRoot", True),
    ("receiptsRoot", True), ("logsBloom", True), ("difficulty", False), ("number", False), ("gasLimit", False),
    ("gasUsed", False), ("timestamp", False), ("extraData", True), ("mixHash", True), ("nonce", True),
)  # fmt: skip
"""Header fields that every block has, in order; True for bytes, False for numbers."""
LATER = (
    ("baseFeePerGas", False), ("withdrawalsRoot", True), ("blobGasUsed", False), ("excessBlobGas", False),
    ("parentBeaconBlockRoot", True), ("requestsHash", True),
)  # fmt: skip
"""Header fields that came later: each where it is there."""


def data(text: str) -> bytes:
    """DATA: hex with 0x, two digits a byte."""
    if not text.startswith("0x"):
        raise ValueError("no 0x")
    return bytes.fromhex(text[2:])


def number(text: str) -> int:
    """QUANTITY: hex with 0x."""
    if not text.startswith("0x"):
        raise ValueError("no 0x")
    return int(text, 16)


def block(row: Json) -> Block:
    """See `Reads`."""
    at, time_s = link(row), number(row["block"]["timestamp"])
    return Block(at.number, at.hash, at.parent, time_s, tuple(starmap(_transaction, paired(row))))


def link(row: Json) -> Link:
    """See `Reads`."""
    b = row["block"]
    height = number(b["number"])
    return Link(height, b["hash"].lower(), b["parentHash"].lower() if height else "")


def _transaction(t: Json, receipt: Json) -> Transaction:
    logs = tuple(
        Log(log["address"].lower(), tuple(x.lower() for x in log["topics"]), data(log["data"]))
        for log in receipt["logs"]
    )
    return Transaction(
        t["hash"].lower(),
        t["from"].lower(),
        (t.get("to") or "").lower(),
        data(t["input"]),
        number(receipt["status"]) == 1,
        logs,
    )


def suite(row: Json) -> Suite | None:
    """See `Reads`."""
    return Suite.KECCAK if _header_holds(row["block"]) else None


def seals(row: Json) -> Seals:
    """See `Reads`. Sealers are known by their addresses."""
    b = row["block"]
    if clique := _clique(b):
        return _clique_seals(row, clique)
    extra = _bft(b)
    if extra is None or not extra.validators:
        return Seals()
    digest = HASH(_header(b, extra.signed))
    validators = {address.hex(): 1 for address in extra.validators}
    keys = [recovered(digest, seal) for seal in extra.seals]
    signed = [Suite.KECCAK.address(key)[2:] for key in keys if key is not None]
    right = tuple(address for address in signed if address in validators)
    return Seals(validators, right, len(extra.seals) - len(right), quorum(len(validators)))


def _bft(b: Json) -> BftExtra | None:
    return bft_extra(data(b["extraData"])) if data(b["mixHash"]) == MIX_HASH else None


def _clique(b: Json) -> CliqueExtra | None:
    return clique_extra(data(b["extraData"]), number(b["difficulty"]), data(b["mixHash"]))


def _clique_seals(row: Json, extra: CliqueExtra) -> Seals:
    """One signature is enough, and all there is. The first block has none; without the node's list there are no sealers.

    A signature does not hold either where the header names other signers than the node does.
    """
    b, told = row["block"], row.get("signers")
    height = number(b["number"])
    if not height or not told:
        return Seals()
    signers = {address.lower().removeprefix("0x"): 1 for address in told}
    named = {address.hex() for address in extra.signers}
    key = recovered(HASH(_header(b, extra.signed)), extra.seal)
    signer = Suite.KECCAK.address(key)[2:] if key else ""
    if (named and named != signers.keys()) or not holds(signer, signers, height, number(b["difficulty"])):
        return Seals(signers, (), 1, 1)
    return Seals(signers, (signer,), 0, 1)


def view(answer: Json) -> View:
    """See `Reads`. A peer's own height is not told: only a node that is asked itself shows that it is in sync.

    Where blocks name validators these are the sealers, and every node is known by the address of its key, as they are.
    """
    me, head = answer["admin_nodeInfo"], answer["head"]
    extra = _bft(head["block"])
    validators = [address.hex() for address in extra.validators] if extra else list(seals(head).sealers)

    def key(entry: Json) -> str:
        return Suite.KECCAK.address(_public_key(entry))[2:] if validators else _node_key(entry)

    def role(name: str) -> str:
        return "" if not validators else "sealer" if name in validators else "observer"

    own = Member(
        key(me),
        role(key(me)),
        int(head["number"]),
        head["hash"],
        head["genesis"],
        (f"{me['ip']}:{me['ports']['listener']}",),
    )
    peers = [
        Member(key(p), role(key(p)), None, "", "", (p["network"]["remoteAddress"],)) for p in answer["admin_peers"]
    ]
    seen = {own.key, *(peer.key for peer in peers)}
    unseen = [Member(name, "sealer", None, "", "", ()) for name in validators if name not in seen]
    return View(own.key, (own, *peers, *unseen))


def _public_key(entry: Json) -> bytes:
    """x and y, from the node's URL or its identity: some clients give a digest of the key as the latter."""
    text = entry.get("enode") or entry["id"]
    key = bytes.fromhex(text.removeprefix("enode://").removeprefix("0x").partition("@")[0])
    if len(key) != 64:
        raise ValueError("no public key")
    return key


def _node_key(entry: Json) -> str:
    return str(entry["id"]).removeprefix("0x").lower()


def counter(_answer: Json) -> Counter | None:
    """See `Reads`: execution clients keep none."""
    return None


def claims_sm(_about: Json) -> bool | None:
    """See `Reads`: nothing is said."""
    return None


def is_system(address: str) -> bool:
    """See `Reads`."""
    return address.startswith("0x") and int(address, 16) <= PRECOMPILED


def prove(row: Json, indices: Collection[int]) -> Proof:
    """See `Reads`."""
    b = row["block"]
    encoded = [_encoded(t) for t in b["transactions"]]
    root = trie_root(encoded, HASH) == data(b["transactionsRoot"])
    receipts = trie_root([_encoded_receipt(r) for r in row["receipts"]], HASH) == data(b["receiptsRoot"])
    genuine = {i: _genuine(b["transactions"][i], encoded[i]) for i in indices}
    return Proof(_header_holds(b), root, receipts, genuine, seals(row))


def _header_holds(b: Json) -> bool:
    extra = _bft(b)
    return HASH(_header(b, extra.hashed if extra else data(b["extraData"]))) == data(b["hash"])


def _header(b: Json, extra: bytes) -> bytes:
    """RLP of a header with `extra` in place of its extraData."""
    fields = [*HEADER, *(field for field in LATER if b.get(field[0]) is not None)]
    shown = b | {"extraData": "0x" + extra.hex()}
    encoded: list[Item] = [data(shown[name]) if raw else big_endian(number(shown[name])) for name, raw in fields]
    return rlp(encoded)


def _access_list(t: Json) -> list[Item]:
    return [[data(e["address"]), [data(k) for k in e["storageKeys"]]] for e in t.get("accessList") or []]


def _authorizations(t: Json) -> list[Item]:
    return [
        [
            big_endian(number(a["chainId"])), data(a["address"]), big_endian(number(a["nonce"])),
            big_endian(number(a["yParity"])), big_endian(number(a["r"])), big_endian(number(a["s"])),
        ]
        for a in t["authorizationList"]
    ]  # fmt: skip


def _fields(t: Json) -> tuple[int, list[Item]]:
    """Type, and the fields that its sender signed, in order. Raises ValueError for a type that is not known."""
    kind = number(t.get("type") or "0x0")
    quantity = partial(_quantity, t)
    common: list[Item] = [data(t["to"]) if t.get("to") else b"", quantity("value"), data(t["input"])]
    if kind == 0:
        signed = [quantity("nonce"), quantity("gasPrice"), quantity("gas"), *common]
        if number(t["v"]) >= 35:  # EIP-155: the chain id is signed too, and v tells it
            signed += [big_endian((number(t["v"]) - 35) // 2), b"", b""]
        return kind, signed
    head: list[Item] = [quantity("chainId"), quantity("nonce")]
    fees: list[Item] = (
        [quantity("maxPriorityFeePerGas"), quantity("maxFeePerGas")] if kind > 1 else [quantity("gasPrice")]
    )
    signed = [*head, *fees, quantity("gas"), *common, _access_list(t)]
    if kind == 3:
        signed += [quantity("maxFeePerBlobGas"), [data(h) for h in t["blobVersionedHashes"]]]
    elif kind == 4:
        signed.append(_authorizations(t))
    elif kind > 4:
        raise ValueError(f"transaction of type {kind}")
    return kind, signed


def _quantity(t: Json, name: str) -> bytes:
    return big_endian(number(t[name]))


def _parity(t: Json, kind: int) -> int:
    """Recovery id 0 or 1."""
    v = number(t["v"]) if kind == 0 else number(t.get("yParity") or t["v"])
    return (v - 35) % 2 if v >= 35 else v - 27 if v >= 27 else v


def _encoded(t: Json) -> bytes:
    """The signed transaction as it is hashed and put into the tree."""
    kind, signed = _fields(t)
    v = _quantity(t, "v") if kind == 0 else big_endian(_parity(t, kind))
    body = signed[:6] if kind == 0 else signed
    encoded = rlp([*body, v, _quantity(t, "r"), _quantity(t, "s")])
    return encoded if kind == 0 else bytes([kind]) + encoded


def _encoded_receipt(r: Json) -> bytes:
    """A receipt as it is put into the tree (EIP-658, 2718)."""
    kind = number(r.get("type") or "0x0")
    logs: Item = [[data(log["address"]), [data(x) for x in log["topics"]], data(log["data"])] for log in r["logs"]]
    encoded = rlp([_quantity(r, "status"), _quantity(r, "cumulativeGasUsed"), data(r["logsBloom"]), logs])
    return encoded if kind == 0 else bytes([kind]) + encoded


def _genuine(t: Json, encoded: bytes) -> bool:
    kind, signed = _fields(t)
    message = rlp(signed) if kind == 0 else bytes([kind]) + rlp(signed)
    signature = number(t["r"]).to_bytes(32, "big") + number(t["s"]).to_bytes(32, "big") + bytes([_parity(t, kind)])
    key = recovered(HASH(message), signature)
    return HASH(encoded) == data(t["hash"]) and key is not None and Suite.KECCAK.address(key) == t["from"].lower()
