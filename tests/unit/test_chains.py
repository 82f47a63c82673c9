from __future__ import annotations

import copy
import gzip
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.probes.bcos2_chain import Chain2
from tests.probes.bft_chain import BftChain
from yanshou.chains import abi, reader
from yanshou.chains.bcos2 import blocks as bcos2
from yanshou.chains.bcos3 import blocks as bcos3
from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain
from yanshou.chains.crypto import EVM_SUITES, Suite, recovered
from yanshou.chains.ethereum import blocks as ethereum
from yanshou.chains.ethereum.bft import bft_extra
from yanshou.chains.model import MALFORMED
from yanshou.chains.rpc import Refused, Rpc, joined, require_blocks
from yanshou.chains.segments import lines, member, members, raw_rows
from yanshou.chains.trees import big_endian, doubled_root, rlp, trie_root, unrlp, width_root
from yanshou.harness.basics import ProbeError

DOCUMENTED = json.loads((Path(__file__).parents[1] / "golden/bcos_blocks.json").read_text(encoding="utf-8"))
KECCAK = Suite.KECCAK.hash
LOREM = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit"


# --- hashes, RLP and roots ------------------------------------------------------------------------------------------------


def test_digests_of_known_texts() -> None:
    assert Suite.KECCAK.hash(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    # GB/T 32905-2016, appendix A.1
    assert Suite.SM.hash(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (b"", "80"),
        ([], "c0"),
        (b"\x00", "00"),
        (big_endian(15), "0f"),
        (big_endian(1024), "820400"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (LOREM, "b838" + LOREM.hex()),
    ],
)  # fmt: skip
def test_rlp_examples_of_the_ethereum_wiki(item: Any, encoded: str) -> None:
    assert rlp(item).hex() == encoded


def test_the_empty_trie() -> None:
    assert trie_root([], KECCAK).hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


def test_every_leaf_and_its_place_move_a_root() -> None:
    leaves = [bytes([n]) * (1 + n % 40) for n in range(1, 140)]
    for root in (lambda x: trie_root(x, KECCAK), lambda x: width_root([KECCAK(v) for v in x], 2, KECCAK)):
        whole = root(leaves)
        for at in (0, 1, 127, 128, 138):
            changed = [*leaves]
            changed[at] += b"x"
            assert root(changed) != whole
        assert root([leaves[1], leaves[0], *leaves[2:]]) != whole
        assert root(leaves[:-1]) != whole


def test_doubled_roots_by_hand() -> None:
    """Three and five leaves: the last of an odd level stands beside itself."""
    h = Suite.SHA256.hash
    a, b, c, d, e = (bytes([n]) * 32 for n in range(5))
    assert doubled_root([], h) == b""
    assert doubled_root([a], h) == a
    assert doubled_root([a, b, c], h) == h(h(a + b) + h(c + c))
    ee = h(e + e)
    assert doubled_root([a, b, c, d, e], h) == h(h(h(a + b) + h(c + d)) + h(ee + ee))


def test_width_roots_by_hand() -> None:
    a, b, c, d, e = (KECCAK(bytes([n])) for n in range(5))
    assert width_root([a], 2, KECCAK) == a
    assert width_root([a, b, c], 2, KECCAK) == KECCAK(KECCAK(a + b) + KECCAK(c))
    assert width_root([a, b, c, d, e], 2, KECCAK) == KECCAK(KECCAK(KECCAK(a + b) + KECCAK(c + d)) + KECCAK(KECCAK(e)))
    assert width_root([a, b, c, d, e], 16, KECCAK) == KECCAK(a + b + c + d + e)
    with pytest.raises(ValueError, match="no leaves"):
        width_root([], 2, KECCAK)


# --- signatures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", EVM_SUITES)
def test_a_signature_holds_for_its_key_and_digest_only(suite: Suite) -> None:
    signer, other = Signer.new(suite), Signer.new(suite)
    digest = suite.hash(b"message")
    signature = signer.sign(digest)
    assert suite.verifies(signer.key, digest, signature)
    assert not suite.verifies(other.key, digest, signature)
    assert not suite.verifies(signer.key, suite.hash(b"messagf"), signature)
    assert not suite.verifies(signer.key, digest, bytes([signature[0] ^ 1]) + signature[1:])
    for junk in (b"", b"\0" * 64, b"\xff" * 65, signature[:63]):
        assert not suite.verifies(signer.key, digest, junk)
    assert not suite.verifies(b"\0" * 64, digest, signature)
    assert not suite.verifies(signer.key[:63], digest, signature)


def test_neither_suite_takes_the_others_signature() -> None:
    sm, ec = Signer.new(Suite.SM), Signer.new(Suite.KECCAK)
    digest = Suite.SM.hash(b"message")
    assert not Suite.SM.verifies(ec.key, digest, ec.sign(digest))
    assert not Suite.KECCAK.verifies(sm.key, digest, sm.sign(digest))


def test_recovering_a_key() -> None:
    signer, digest = Signer.new(Suite.KECCAK), KECCAK(b"message")
    signature = signer.sign(digest)
    assert recovered(digest, signature) == signer.key
    assert recovered(KECCAK(b"other"), signature) != signer.key
    for junk in (b"", b"\0" * 65, b"\xff" * 65, signature[:64], signature[:64] + b"\x09"):
        assert recovered(digest, junk) is None


# --- FISCO BCOS 3.x ------------------------------------------------------------------------------------------------------


def documented_row() -> Any:
    block = {**copy.deepcopy(DOCUMENTED["v3_header"]), "transactions": []}
    return {"block": block, "receipts": [copy.deepcopy(DOCUMENTED["v3_receipt"])]}


def test_a_documented_block_of_a_real_chain_holds() -> None:
    row = documented_row()
    assert bcos3.suite(row) is Suite.SM
    row["block"]["transactions"] = [{"hash": row["block"]["txsRoot"]}]
    proof = bcos3.prove(row, [])
    assert (proof.header, proof.root, proof.receipts) == (True, True, True)
    assert (len(proof.seals.signed), proof.seals.wrong, proof.seals.quorum, proof.seals.enough) == (3, 0, 3, True)


@pytest.mark.parametrize("name", [n for n in DOCUMENTED["v3_header"] if n not in ("signatureList", "hash")])
def test_every_header_field_is_in_the_hash(name: str) -> None:
    row = documented_row()
    value = row["block"][name]
    changed = {
        "parentInfo": [{**value[0], "blockNumber": 0}] if name == "parentInfo" else None,
        "sealerList": list(reversed(value)) if name == "sealerList" else None,
        "consensusWeights": [1, 1, 1, 2],
        "extraData": "0x00",
        "gasUsed": "24364",
    }
    row["block"][name] = changed.get(name) or (
        value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1] != "0" else "1")
    )
    assert bcos3.suite(row) is None


def test_wrong_and_missing_seals_are_no_quorum() -> None:
    row = documented_row()
    seals = row["block"]["signatureList"]
    seals[2]["signature"] = seals[1]["signature"]
    proof = bcos3.prove(row, [])
    assert (len(proof.seals.signed), proof.seals.wrong, proof.seals.enough) == (2, 1, False)
    row["block"]["signatureList"] = [seals[0]] * 3
    assert not bcos3.prove(row, []).seals.enough
    seals[0]["sealerIndex"] = 9
    assert bcos3.prove(row, []).seals.wrong == 3
    row["block"]["signatureList"] = []
    assert bcos3.prove(row, []).seals.signed == ()


@pytest.mark.parametrize("suite", EVM_SUITES)
def test_a_simulated_chain_holds_and_every_lie_in_a_transaction_shows(suite: Suite) -> None:
    accounts = [Signer.new(suite) for _ in range(3)]
    chain = SimulatedChain(suite, [Signer.new(suite) for _ in range(4)], 1_735_689_600_000)
    log = ("c0" * 20, (b"\1" * 32,), b"data")
    calls = [Call(accounts[n % 3], "0x" + "c0" * 20, bytes([n]) * 40, 0, (log,) if n % 2 else ()) for n in range(7)]
    row = chain.seal(calls)
    assert bcos3.suite(chain.rows[0]) is bcos3.suite(row) is suite
    proof = bcos3.prove(row, range(7))
    assert (proof.header, proof.root, proof.receipts, all(proof.genuine.values())) == (True, True, True, True)
    block = bcos3.block(row)
    assert block.parent == chain.rows[0]["block"]["hash"]
    assert block.transactions[1].logs[0].address == "0x" + "c0" * 20
    assert block.transactions[0].sender == accounts[0].address

    def lie(change: Callable[[Any], None]) -> Any:
        lied = copy.deepcopy(row)
        change(lied)
        return bcos3.prove(lied, range(6))

    assert not lie(lambda r: r["block"]["transactions"][3].update(input="0x00")).genuine[3]
    assert not lie(lambda r: r["block"]["transactions"][3].update({"from": accounts[1].address})).genuine[3]
    assert not lie(lambda r: r["block"]["transactions"][3].update(signature="0x" + "11" * 128)).genuine[3]
    assert not lie(lambda r: r["block"]["transactions"].pop()).root
    assert not lie(lambda r: r["receipts"][2].update(status=1)).receipts
    assert not lie(lambda r: r["receipts"][1]["logEntries"][0].update(data="0x00")).receipts


def test_later_versions_are_hashed_with_the_fields_as_shown() -> None:
    import struct

    chain = SimulatedChain(Suite.KECCAK, [Signer.new(Suite.KECCAK)], 0)
    sender = Signer.new(Suite.KECCAK)
    row = chain.seal([Call(sender, "0x" + "c0" * 20, b"\1\2")])
    t = row["block"]["transactions"][0]
    fees = {"value": "0x0", "gasPrice": "0x5", "gasLimit": 7, "maxFeePerGas": "", "maxPriorityFeePerGas": ""}
    t.update(version=1, **fees)
    hashed = struct.pack(">i", 1) + b"chain0group0" + struct.pack(">q", 500) + b"1" + t["to"].encode() + b"\1\2"
    hashed += b"0x5" + struct.pack(">q", 7)  # an unset value, which the interface shows as 0x0
    t["hash"] = "0x" + KECCAK(hashed).hex()
    t["signature"] = "0x" + sender.sign_transaction(KECCAK(hashed)).hex()
    assert bcos3.prove(row, [0]).genuine[0]
    t["gasLimit"] = 8
    assert not bcos3.prove(row, [0]).genuine[0]


# --- FISCO BCOS 2.x ------------------------------------------------------------------------------------------------------


def test_documented_blocks_of_a_real_2x_chain_hold() -> None:
    block = {**DOCUMENTED["v2_block"], "logsBloom": "0x" + "00" * 256}
    row = {"block": block, "receipts": [{}]}
    assert bcos2.suite(row) is Suite.KECCAK
    proof = bcos2.prove(row, [0])
    assert (proof.header, proof.root, proof.receipts, proof.genuine) == (True, True, None, {0: True})
    assert (len(proof.seals.signed), proof.seals.wrong, proof.seals.enough) == (1, 0, True)
    header = {**DOCUMENTED["v2_header"], "logsBloom": "0x" + "00" * 256, "transactions": []}
    proof = bcos2.prove({"block": header, "receipts": []}, [])
    assert (proof.header, len(proof.seals.signed), proof.seals.wrong, proof.seals.quorum) == (True, 3, 0, 3)
    assert not proof.root, "its transactions are not in the documentation"


@pytest.mark.parametrize(
    ("name", "value"),
    [("nonce", "0x1"), ("gasPrice", "0x1"), ("to", "0x" + "01" * 20), ("input", "0x"), ("groupId", "0x2"),
     ("from", "0x" + "01" * 20)],
)  # fmt: skip
def test_every_field_of_a_2x_transaction_is_in_its_hash_or_signature(name: str, value: str) -> None:
    block = copy.deepcopy(DOCUMENTED["v2_block"]) | {"logsBloom": "0x" + "00" * 256}
    block["transactions"][0][name] = value
    assert bcos2.prove({"block": block, "receipts": [{}]}, [0]).genuine == {0: False}


@pytest.mark.parametrize("suite", EVM_SUITES)
def test_a_simulated_2x_chain_holds(suite: Suite) -> None:
    accounts = [Signer.new(suite) for _ in range(3)]
    chain = Chain2(suite, [Signer.new(suite) for _ in range(4)], 1_735_689_600_000)
    row = chain.seal([Call(accounts[n % 3], "0x" + "c0" * 20 if n else "", bytes([n]) * 40) for n in range(20)])
    assert bcos2.suite(chain.rows[0]) is bcos2.suite(row) is suite
    proof = bcos2.prove(row, [0, 5, 19])
    assert (proof.header, proof.root, set(proof.genuine.values()), proof.seals.enough) == (True, True, {True}, True)
    assert [t.to for t in bcos2.block(row).transactions][:2] == ["", "0x" + "c0" * 20]
    row["block"]["transactions"][3]["hash"] = "0x" + "00" * 32
    assert not bcos2.prove(row, []).root


# --- Ethereum-type: the seals of IBFT 2.0 and QBFT --------------------------------------------------------------------------

FOUR = ["44add0ec310f115a0e603b2d7db9f067778eaf8a", "294fc7e8f22b3bcdcf955dd7ff3ba2ed833f8212",
        "6beaaed781d2d2ab6350f5c4566a2c6eaac407a6", "8be76812f765c24641ec63dc2852b378aba2b440"]  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "validators", "signed_end", "hashed_end"),
    [
        # Besu documentation, "Example IBFT 2.0 genesis file": hashed without round and seals
        ("f83ea0" + "00" * 32 + "d5949811ebc35d7b06b3fa8dc5809a1f9c52751e1deb808400000000c0",
         ["9811ebc35d7b06b3fa8dc5809a1f9c52751e1deb"], "808400000000", "52751e1deb80"),
        # GoQuorum's own test of QBFT's extraData: hashed with both empty
        ("f87aa0" + "00" * 32 + "f85494" + "94".join(FOUR) + "c080c0", FOUR, "c080c0", "c080c0"),
    ],
)  # fmt: skip
def test_documented_extra_data(extra: str, validators: list[str], signed_end: str, hashed_end: str) -> None:
    found = bft_extra(bytes.fromhex(extra))
    assert found is not None
    assert [v.hex() for v in found.validators] == validators
    assert found.seals == ()
    assert found.signed.hex().endswith(signed_end)
    assert found.hashed.hex().endswith(hashed_end)


@pytest.mark.parametrize(
    "extra", ["", "00" * 32, "c0", "c58080808080", "f83e", "f87aa0" + "00" * 32, "b8" * 9, "c50102030405"]
)
def test_other_extra_data_is_none_of_these(extra: str) -> None:
    assert bft_extra(bytes.fromhex(extra)) is None


@pytest.mark.parametrize(
    "item", [b"", b"a", b"\x80", b"x" * 55, b"x" * 300, [], [b"", [b"a", [b"b" * 60]]], [b"y" * 70] * 9]
)
def test_rlp_is_read_as_it_is_written(item: Any) -> None:
    assert unrlp(rlp(item)) == item
    for junk in (rlp(item) + b"\0", rlp(item)[:-1]):
        with pytest.raises(ValueError, match="RLP"):
            unrlp(junk)


@pytest.mark.parametrize("junk", [b"\x81\x05", b"\xb8\x01a", b"\xf8\x00", b"\xc1\x82", b"\xff" * 9])
def test_a_second_spelling_is_no_rlp(junk: bytes) -> None:
    with pytest.raises(ValueError, match="RLP"):
        unrlp(junk)


@pytest.mark.parametrize("qbft", [False, True])
def test_seals_of_a_bft_chain(qbft: bool) -> None:
    signers = [Signer.new(Suite.KECCAK) for _ in range(4)]
    chain = BftChain(qbft, signers)
    for turn in (0, 1, 300):
        row = {"block": chain.seal([0, 2, 3], turn), "receipts": []}
        assert ethereum.suite(row) is Suite.KECCAK
        seals = ethereum.seals(row)
        assert set(seals.sealers) == {s.address[2:] for s in signers}
        assert seals.signed == tuple(signers[i].address[2:] for i in (0, 2, 3))
        assert (seals.wrong, seals.quorum, seals.enough) == (0, 3, True)
        proof = ethereum.prove(row, [])
        assert (proof.header, proof.root, proof.receipts, proof.seals) == (True, True, True, seals)
    few = ethereum.seals({"block": chain.seal([0, 2]), "receipts": []})
    assert (len(few.signed), few.wrong, few.enough) == (2, 0, False)
    assert not ethereum.seals({"block": chain.seal([1, 1, 1]), "receipts": []}).enough
    assert ethereum.suite({"block": {**chain.blocks[1], "gasUsed": "0x1"}, "receipts": []}) is None


@pytest.mark.parametrize("qbft", [False, True])
def test_seals_that_do_not_hold(qbft: bool) -> None:
    signers = [Signer.new(Suite.KECCAK) for _ in range(4)]
    chain = BftChain(qbft, signers)
    block = chain.seal([0, 1, 2])
    extra = bft_extra(bytes.fromhex(block["extraData"][2:]))
    assert extra is not None

    def with_seals(*seals: bytes) -> Any:
        changed = {**block, "extraData": "0x" + chain.extra(1, seals).hex()}
        return ethereum.seals({"block": changed, "receipts": []})

    foreign = Signer.new(Suite.KECCAK).sign(KECCAK(b"x"))
    one, two, three = extra.seals
    assert (with_seals(one, two, foreign).wrong, with_seals(one, two, foreign).enough) == (1, False)
    assert (with_seals(one, two, bytes(65)).wrong, with_seals(one, two, three).wrong) == (1, 0)
    other_round = {**block, "extraData": "0x" + chain.extra(2, extra.seals).hex()}
    assert ethereum.suite({"block": other_round, "receipts": []}) is Suite.KECCAK, "the round is not in the hash"
    assert ethereum.seals({"block": other_round, "receipts": []}).wrong == 3
    later = {**block, "timestamp": "0x1"}
    assert ethereum.seals({"block": later, "receipts": []}).wrong == 3


def test_a_chain_that_is_none_of_these_carries_no_seals() -> None:
    block = BftChain(True, [Signer.new(Suite.KECCAK)]).seal([0])
    for changed in ({"mixHash": "0x" + "00" * 32}, {"extraData": "0x"}):
        assert ethereum.seals({"block": {**block, **changed}, "receipts": []}).sealers == {}


def test_system_addresses() -> None:
    assert bcos3.is_system("0x" + "1000".rjust(40, "0"))
    assert bcos3.is_system("0x" + "10001".rjust(40, "0"))
    assert not bcos3.is_system("0x" + "c0" * 20)
    assert not bcos3.is_system("/apps/evidence")
    assert ethereum.is_system("0x" + "9".rjust(40, "0"))


@pytest.mark.parametrize("kind", ["bcos2", "bcos3", "ethereum"])
@pytest.mark.parametrize(
    "row",
    [
        None, [], {}, {"block": None, "receipts": []}, {"block": {}, "receipts": []},
        {"block": {"number": "x", "transactions": []}, "receipts": []},
        {"block": {"number": 1 << 70, "transactions": [], "hash": "0x", "parentInfo": [], "timestamp": 0}, "receipts": []},
    ],
)  # fmt: skip
def test_junk_is_malformed(kind: str, row: Any) -> None:
    def read() -> None:
        reader(kind).block(row)
        reader(kind).suite(row)

    with pytest.raises(MALFORMED):
        read()


# --- contract ABI --------------------------------------------------------------------------------------------------------


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_arguments_of_the_specification() -> None:
    # Solidity documentation, "Examples": sam(bytes,bool,uint256[]) without its array, and f(uint256,bytes10)
    data = word(64) + word(1) + word(4) + b"dave".ljust(32, b"\0")
    assert abi.arguments(["bytes", "bool"], data) == (b"dave", word(1))
    assert abi.arguments(["uint256", "bytes10"], word(0x123) + b"1234567890".ljust(32, b"\0")) == (
        word(0x123),
        b"1234567890",
    )
    assert abi.arguments([], b"") == ()
    for size in range(len(data)):
        if size < 64 + 32 + 4:
            with pytest.raises(ValueError, match="too short"):
                abi.arguments(["bytes", "bool"], data[:size])
    with pytest.raises(ValueError, match="too short"):
        abi.arguments(["string"], word(1 << 255))


def test_signatures() -> None:
    parsed = abi.signature(" Saved(bytes32 indexed id, uint,string)")
    assert (parsed.text, parsed.indexed) == ("Saved(bytes32,uint256,string)", (True, False, False))
    assert abi.signature("stop()").types == ()
    transfer = KECCAK(abi.signature("transfer(address,uint256)").text.encode())[:4]
    assert transfer.hex() == "a9059cbb"
    for bad in ("save", "save(", "save(bytes32[])", "save((uint256))", "save(,)", "save(foo)", "1a()"):
        with pytest.raises(ValueError, match=r"签名|参数"):
            abi.signature(bad)


# --- segments ------------------------------------------------------------------------------------------------------------


def test_a_stream_cut_anywhere_yields_its_whole_members() -> None:
    parts = [member(lines([{"n": n, "x": "y" * n}, {"n": n}])) for n in (1, 50, 3)]
    stream = b"".join(parts)
    assert gzip.decompress(stream).count(b"\n") == 6
    for size in range(len(stream) + 1):
        whole = sum(size >= sum(map(len, parts[: n + 1])) for n in range(3))
        packed = [p for p, _ in members(io.BytesIO(stream[:size]))]
        assert packed == parts[:whole]
    assert [json.loads(line)["n"] for line in raw_rows(io.BytesIO(stream))] == [1, 1, 50, 50, 3, 3]


def test_what_is_no_gzip_is_refused() -> None:
    with pytest.raises(ValueError, match="not gzip"):
        list(members(io.BytesIO(b"junk" * 10)))


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.chains.segments.LARGEST", 1 << 16)
    assert len(list(members(io.BytesIO(gzip.compress(bytes(1 << 16)))))) == 1
    with pytest.raises(ValueError, match="too much"):
        list(members(io.BytesIO(gzip.compress(bytes((1 << 16) + 1)))))


# --- JSON-RPC ------------------------------------------------------------------------------------------------------------


@contextmanager
def answering(handle: Callable[[Any], bytes], status: Callable[[], int] = lambda: 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = handle(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def echo(request: Any) -> Any:
    if request["method"] == "no":
        return {"id": request["id"], "error": {"code": -32601, "message": "Method\nnot found"}}
    return {"id": request["id"], "result": request["params"][0]}


def asked(batches: bool, most: int = 1000) -> tuple[Callable[[Any], bytes], list[Any]]:
    seen: list[Any] = []

    def handle(request: Any) -> bytes:
        seen.append(request)
        if isinstance(request, dict):
            return json.dumps(echo(request)).encode()
        if not batches or len(request) > most:
            return json.dumps({"id": None, "error": {"code": -32600, "message": "no"}}).encode()
        return json.dumps([echo(r) for r in reversed(request)]).encode()

    return handle, seen


@pytest.mark.parametrize(
    ("batches", "most", "requests"), [(True, 1000, 3), (False, 1000, 26), (True, 5, 7)], ids=["whole", "none", "small"]
)
def test_batches_are_used_where_they_are_taken(batches: bool, most: int, requests: int) -> None:
    handle, seen = asked(batches, most)
    with answering(handle) as url, Rpc(url, 10 if most > 10 else 8) as rpc:
        if most <= 10:
            assert rpc.ask_all([("m", [n]) for n in range(5)]) == list(range(5))
        assert rpc.ask_all([("m", [n]) for n in range(25)]) == list(range(25))
    if most > 10:
        assert len(seen) == requests
    else:
        assert sum(isinstance(r, dict) for r in seen) <= 1


def test_refusals_are_never_results() -> None:
    handle, _ = asked(True)
    with answering(handle) as url, Rpc(url, 10) as rpc:
        with pytest.raises(Refused, match="no: -32601 Method not found"):
            rpc.ask("no")
        assert rpc.answer("m", 0) == 0
        with pytest.raises(ProbeError, match="不支持不等于没有") as caught:
            rpc.answers([("m", [1]), ("no", [])])
        assert caught.value.problem.code == "CHN-E06"
        with pytest.raises(Refused):
            rpc.ask_all([("m", [1]), ("no", [])])


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}", b"\xff", b'{"id":1}', b"[" * 100_000])
def test_garbage_is_refused_in_one_line(body: bytes) -> None:
    with answering(lambda _: body) as url, Rpc(url, 1) as rpc, pytest.raises(ProbeError) as caught:
        rpc.ask("m")
    assert caught.value.problem.code == "CHN-E02"
    assert "\n" not in str(caught.value)


def test_a_page_that_says_too_large_is_no_end() -> None:
    def handle(request: Any) -> bytes:
        return b"<html>413</html>" if isinstance(request, list) and len(request) > 3 else answer(request)

    answer, seen = asked(True)
    with answering(handle) as url, Rpc(url, 10) as rpc:
        assert rpc.ask_all([("m", [n]) for n in range(5)]) == list(range(5))
    assert seen


def test_what_the_node_did_not_give_is_refused() -> None:
    blocks = [{"transactions": [1, 2]}, {"transactions": []}]
    require_blocks(range(7, 9), blocks)
    assert joined(blocks, ["a", "b"]) == [
        {"block": blocks[0], "receipts": ["a", "b"]},
        {"block": blocks[1], "receipts": []},
    ]
    for wrong in (None, {}, {"transactions": None}, []):
        with pytest.raises(ProbeError, match="第 8 块"):
            require_blocks(range(7, 9), [blocks[0], wrong])
    for receipts in (["a"], ["a", None], ["a", "b", "c"]):
        with pytest.raises(ProbeError, match="回执"):
            joined(blocks, receipts)


def test_an_endpoint_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.chains.rpc.time.sleep", lambda _: None)
    states = iter([503, 429, 200])
    with answering(lambda r: json.dumps(echo(r)).encode(), lambda: next(states)) as url, Rpc(url, 1) as rpc:
        assert rpc.ask("m", 7) == 7


@pytest.mark.parametrize("code", [-40011, -32005])
def test_an_endpoint_that_limits_questions_is_given_time(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    waited: list[float] = []
    monkeypatch.setattr("yanshou.chains.rpc.time.sleep", waited.append)
    busy = {0, 3, 7}

    def one(request: Any) -> Any:
        number = request["params"][0]
        if number in busy:
            busy.remove(number)
            return {"id": request["id"], "error": {"code": code, "message": "Over QPS limit"}}
        return echo(request)

    def handle(request: Any) -> bytes:
        return json.dumps(one(request) if isinstance(request, dict) else [one(r) for r in request]).encode()

    with answering(handle) as url, Rpc(url, 10) as rpc:
        assert rpc.ask_all([("m", [n]) for n in range(9)]) == list(range(9))
        assert waited == [0.5] * 3
        busy |= {0}
        assert rpc.ask("m", 0) == 0
    always = json.dumps({"id": 1, "error": {"code": code, "message": "Over QPS limit"}}).encode()
    with answering(lambda _: always) as url, Rpc(url, 10) as rpc, pytest.raises(Refused, match="Over QPS"):
        rpc.ask("m", 0)


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.chains.rpc.time.sleep", lambda _: None)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(ProbeError) as caught:
        Rpc(f"http://127.0.0.1:{port}", 1).ask("m")
    assert caught.value.problem.code == "CHN-E01"


def test_a_ca_that_cannot_be_read() -> None:
    with pytest.raises(ProbeError) as caught:
        Rpc("https://127.0.0.1:1", 1, "/nowhere.pem")
    assert caught.value.problem.code == "CHN-E04"
