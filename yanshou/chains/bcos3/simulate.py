"""A FISCO BCOS 3.x chain made up block by block, really hashed and signed, and nodes that answer for it: what standards measure.

Written from the 3.x documentation (develop/api.md) and from what the node's source hashes; no FISCO BCOS node was run. It
executes nothing: what came of a transaction is what the maker says. It must never be put where anybody takes it for a chain.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from yanshou.chains.crypto import Suite
from yanshou.chains.trees import width_root
from yanshou.harness.basics import Json
from yanshou.harness.keys import Algorithm, fresh_key

VERSION = 0x03030000
CHAIN, GROUP = "chain0", "group0"
BLOCK_S = 1
METHOD_NOT_FOUND = -32601


@dataclass(frozen=True)
class Signer:
    """A key of a node or an account."""

    suite: Suite
    sign: Callable[[bytes], bytes] = field(repr=False)
    """Digest -> r, s and what follows them in a block (nothing for SM2, the recovery id for secp256k1)."""
    key: bytes
    """x and y."""

    @classmethod
    def new(cls, suite: Suite) -> Signer:
        """A fresh key. Raises UserError where SM2 needs a library that is not installed."""
        if suite is Suite.SM:
            private = fresh_key(Algorithm.SM2, "simulated")
            return cls(suite, lambda digest: raw(private.sign(digest)), private.public.raw)
        from coincurve import PrivateKey

        secret = PrivateKey()
        return cls(
            suite,
            lambda digest: secret.sign_recoverable(digest, hasher=None),
            secret.public_key.format(compressed=False)[1:],
        )

    @cached_property
    def address(self) -> str:
        """The account of the key."""
        return self.suite.address(self.key)

    def sign_transaction(self, digest: bytes) -> bytes:
        """What a transaction carries: with SM2 the key follows, as it cannot be recovered."""
        return self.sign(digest) + (self.key if self.suite is Suite.SM else b"")


def raw(signature: bytes) -> bytes:
    """r and s (64 bytes) of an ASN.1 signature."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@dataclass(frozen=True)
class Call:
    """One transaction to be sealed. `to` "" deploys; `status` 0 is success; `logs` are (address, topics, data)."""

    sender: Signer
    to: str
    input: bytes
    status: int = 0
    logs: tuple[tuple[str, tuple[bytes, ...], bytes], ...] = ()


@dataclass
class SimulatedChain:
    """A chain of `sealers`, grown by `seal`; `rows` hold each block and its receipts as a node would show them."""

    suite: Suite
    sealers: Sequence[Signer]
    start_ms: int
    rows: list[Json] = field(default_factory=list)
    _nonce: int = 0

    def __post_init__(self) -> None:
        self._append([], [], self.start_ms, signers=())

    @property
    def height(self) -> int:
        """The newest block's number."""
        return len(self.rows) - 1

    def seal(self, calls: Sequence[Call], time_ms: int | None = None, signers: Sequence[int] | None = None) -> Json:
        """Seal one block and return its row; `signers` are the indices of those who sign it, all unless told."""
        number = len(self.rows)
        transactions = [self._transaction(call) for call in calls]
        receipts = [self._receipt(call, t, number) for call, t in zip(calls, transactions, strict=True)]
        chosen = range(len(self.sealers)) if signers is None else signers
        when = self.rows[-1]["block"]["timestamp"] + 1000 * BLOCK_S if time_ms is None else time_ms
        return self._append(transactions, receipts, when, chosen)

    def _transaction(self, call: Call) -> Json:
        self._nonce += 1
        nonce = str(self._nonce).encode()
        hashed = b"".join(
            (
                struct.pack(">i", 0), CHAIN.encode(), GROUP.encode(), struct.pack(">q", 500), nonce,
                call.to.encode(), call.input,
            )
        )  # fmt: skip
        digest = self.suite.hash(hashed)
        return {
            "abi": "", "blockLimit": 500, "chainID": CHAIN, "extraData": "", "from": call.sender.address, "groupID": GROUP,
            "hash": _hex(digest), "importTime": 0, "input": _hex(call.input), "nonce": nonce.hex(),
            "signature": _hex(call.sender.sign_transaction(digest)), "to": call.to, "version": 0,
        }  # fmt: skip

    def _receipt(self, call: Call, t: Json, number: int) -> Json:
        logs = [{"address": a, "topics": [_hex(x) for x in topics], "data": _hex(d)} for a, topics, d in call.logs]
        address = "" if call.to else self.suite.hash(t["hash"].encode())[-20:].hex()
        hashed = b"".join(
            (
                struct.pack(">i", 0), b"24363", address.encode(), struct.pack(">i", call.status),
                *(a.encode() + b"".join(topics) + d for a, topics, d in call.logs), struct.pack(">q", number),
            )
        )  # fmt: skip
        return {
            "blockNumber": number, "checksumContractAddress": address and "0x" + address,
            "contractAddress": address and "0x" + address, "extraData": "", "from": t["from"], "gasUsed": "24363",
            "hash": _hex(self.suite.hash(hashed)), "input": t["input"], "logEntries": logs, "message": "", "output": "0x",
            "status": call.status, "to": call.to, "transactionHash": t["hash"], "version": 0,
        }  # fmt: skip

    def _append(self, transactions: list[Json], receipts: list[Json], time_ms: int, signers: Sequence[int]) -> Json:
        number, h = len(self.rows), self.suite.hash
        parent = self.rows[-1]["block"] if self.rows else None
        roots = [
            width_root([bytes.fromhex(x["hash"][2:]) for x in part], 2, h) if part else bytes(32)
            for part in (transactions, receipts)
        ]
        keys = [s.key for s in self.sealers] if number else []
        sealer = number % (len(self.sealers) or 1)
        state = h(number.to_bytes(8, "big")) if number else bytes(32)
        hashed = b"".join(
            (
                struct.pack(">i", VERSION),
                struct.pack(">q", number - 1) + bytes.fromhex(parent["hash"][2:]) if parent else b"",
                *roots, state, struct.pack(">q", number), b"0", struct.pack(">qq", time_ms, sealer), *keys,
                *(struct.pack(">q", 1) for _ in keys),
            )
        )  # fmt: skip
        digest = h(hashed)
        block = {
            "consensusWeights": [1] * len(keys), "extraData": "0x", "gasUsed": "0", "hash": _hex(digest), "number": number,
            "parentInfo": [{"blockHash": parent["hash"], "blockNumber": number - 1}] if parent else [],
            "receiptsRoot": _hex(roots[1]), "sealer": sealer, "sealerList": [_hex(key) for key in keys],
            "signatureList": [{"sealerIndex": i, "signature": _hex(self.sealers[i].sign(digest))} for i in signers],
            "stateRoot": _hex(state), "timestamp": time_ms, "transactions": transactions, "txsRoot": _hex(roots[0]),
            "version": VERSION,
        }  # fmt: skip
        self.rows.append({"block": block, "receipts": receipts})
        return self.rows[-1]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


@dataclass
class SimulatedMember:
    """One node of a network as the others see it: `lag` blocks behind, with another `hash` or `genesis` where it is on a fork.

    Not `online`: it is in the lists, and nobody sees it.
    """

    signer: Signer
    address: str
    role: str = "sealer"
    lag: int = 0
    hash: str = ""
    genesis: str = ""
    online: bool = True


class NoSuchMethod(Exception):
    """The node does not know the question."""


@dataclass
class SimulatedNode:
    """One node's interface to a chain. Subclass it, or set its fields, to lie.

    `counter`: (transactions, failed) instead of the truth. `batches`: whether it takes several questions at once. `members`: the
    network, of which number `me` is itself; `sees`: the numbers of those that it is connected with (None: all).
    """

    chain: SimulatedChain
    members: Sequence[SimulatedMember] = ()
    me: int = 0
    sees: Sequence[int] | None = None
    claims_sm: bool | None = None
    counter: tuple[int, int] | None = None
    batches: bool = True
    asked: int = 0

    @cached_property
    def _receipts(self) -> dict[str, Json]:
        return {}

    def answer(self, method: str, params: list[Json]) -> Json:
        """The result of one question. Raises NoSuchMethod, LookupError for what is not there."""
        self.asked += 1
        handler = getattr(self, f"on_{method}", None)
        if handler is None:
            raise NoSuchMethod(method)
        return handler(*params)

    def row(self, number: int) -> Json:
        """The row of a block."""
        if not 0 <= number < len(self.chain.rows):
            raise LookupError("no such block")
        return self.chain.rows[number]

    def on_getGroupInfo(self, _group: str) -> Json:
        """What the group says of itself."""
        sm = self.chain.suite is Suite.SM if self.claims_sm is None else self.claims_sm
        nodes = [
            {
                "name": s.key.hex(),
                "nodeID": s.key.hex(),
                "iniConfig": json.dumps({"smCryptoType": sm}) + "\n",
                "type": 1,
            }
            for s in self.chain.sealers
        ]
        return {"chainID": CHAIN, "groupID": GROUP, "iniConfig": "", "nodeList": nodes}

    def on_getBlockNumber(self, _group: str, _node: str) -> Json:
        """The newest block."""
        return self.chain.height

    def on_getBlockByNumber(self, _group: str, _node: str, number: int, only_header: bool, only_hash: bool) -> Json:
        """A block."""
        block = dict(self.row(number)["block"])
        if only_header:
            del block["transactions"]
        elif only_hash:
            block["transactions"] = [t["hash"] for t in block["transactions"]]
        return block

    def on_getTransactionReceipt(self, _group: str, _node: str, digest: str, _proof: bool) -> Json:
        """What came of a transaction."""
        if digest not in self._receipts:
            self._receipts.update({r["transactionHash"]: r for row in self.chain.rows for r in row["receipts"]})
        return self._receipts[digest]

    def on_getTotalTransactionCount(self, _group: str, _node: str) -> Json:
        """The chain's own count."""
        receipts = [r for row in self.chain.rows for r in row["receipts"]]
        total, failed = self.counter or (len(receipts), sum(r["status"] != 0 for r in receipts))
        return {"blockNumber": self.chain.height, "failedTransactionCount": failed, "transactionCount": total}

    def on_getSealerList(self, _group: str, _node: str) -> Json:
        """Consensus nodes."""
        return [{"nodeID": m.signer.key.hex(), "weight": 1} for m in self.members if m.role == "sealer"]

    def on_getObserverList(self, _group: str, _node: str) -> Json:
        """Nodes that only follow."""
        return [m.signer.key.hex() for m in self.members if m.role == "observer"]

    def on_getSyncStatus(self, _group: str, _node: str) -> Json:
        """How far itself and those connected are: JSON within a string, with a line's end."""
        peers = [self._status(m) for m in self._connected()]
        return json.dumps({**self._status(self.members[self.me]), "isSyncing": False, "peers": peers}) + "\n"

    def on_getPeers(self, _group: str) -> Json:
        """Who is connected, and from where. Its own address is what it listens on, not where it is."""
        own = self.members[self.me]
        listens = {**self._peer(own), "endPoint": f"0.0.0.0:{own.address.rpartition(':')[2]}"}
        return {**listens, "peers": [self._peer(m) for m in self._connected()]}

    def _connected(self) -> list[SimulatedMember]:
        others = [n for n in range(len(self.members)) if n != self.me and (self.sees is None or n in self.sees)]
        return [self.members[n] for n in others if self.members[n].online]

    def _status(self, member: SimulatedMember) -> Json:
        height = max(0, self.chain.height - member.lag)
        digest = member.hash or self.chain.rows[height]["block"]["hash"]
        genesis = member.genesis or self.chain.rows[0]["block"]["hash"]
        return {
            "blockNumber": height, "latestHash": digest.removeprefix("0x"), "genesisHash": genesis.removeprefix("0x"),
            "nodeID": member.signer.key.hex(), "archivedBlockNumber": 0,
        }  # fmt: skip

    @staticmethod
    def _peer(member: SimulatedMember) -> Json:
        lists = [{"group": GROUP, "nodeIDList": [member.signer.key.hex()]}]
        return {"endPoint": member.address, "groupNodeIDInfo": lists, "p2pNodeID": "04" + member.signer.key[::-1].hex()}


@contextmanager
def serving(node: SimulatedNode) -> Iterator[str]:
    """`node` on loopback; yields its URL."""

    def one(request: Json) -> Json:
        try:
            return {"id": request["id"], "jsonrpc": "2.0", "result": node.answer(request["method"], request["params"])}
        except NoSuchMethod:
            error = {"code": METHOD_NOT_FOUND, "message": "Method not found"}
        except (LookupError, TypeError) as problem:
            error = {"code": -32603, "message": str(problem)}
        return {"id": request["id"], "jsonrpc": "2.0", "error": error}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: else each answer waits for an acknowledgement

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer: Json
            if isinstance(request, dict):
                answer = one(request)
            elif node.batches:
                answer = [one(r) for r in request]
            else:
                answer = {"id": None, "jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid request"}}
            body = json.dumps(answer, separators=(",", ":")).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """An asker that is gone is no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
