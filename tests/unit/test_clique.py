from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.probes.clique_chain import NOBODY, CliqueChain, CliqueNode
from tests.probes.records_support import codes, excluded, record
from yanshou.chains.bcos3.simulate import Signer, serving
from yanshou.chains.crypto import Suite
from yanshou.chains.ethereum import blocks as ethereum
from yanshou.chains.ethereum.clique import clique_extra
from yanshou.chains.ethereum.wire import Wire
from yanshou.chains.rpc import Refused, Rpc
from yanshou.harness.basics import ProbeError
from yanshou.harness.model import Count
from yanshou.probes.chain_nodes.analyse import analyse
from yanshou.probes.chain_nodes.capture import capture
from yanshou.probes.chain_nodes.reference import listening, params_for
from yanshou.probes.chain_nodes.spec import Params

GOERLI_SIGNER = "0xe0a2bd4258d2768837baa26a28fe71dc079f84c7"
"""The one signer that Görli's first block names."""
GOERLI = (
    ("0xbf7e331f7f7c1dd2e05159666b3bf8bc7a8a3a9eb1d518969eab529dd9b88c1a", 1, 10475521, 1548947453,
     "506172697479205465636820417574686f7269747900000000000000000000002bbf886181970654ed46e3fae0ded41ee53fec702c47431988a7ae80"
     "e6576f3552684f069af80ba11d36327aaf846d470526e4a1c461601b2fd4ebdcdc2b734a01",
     "0x8f5bab218b6bb34476f51ca588e9f4553a3a7ce5e13a66c660a5283e97e9a85a"),
    ("0x8f5bab218b6bb34476f51ca588e9f4553a3a7ce5e13a66c660a5283e97e9a85a", 2, 10465292, 1548947468,
     "506172697479205465636820417574686f726974790000000000000000000000fdd66d441eff7d4116fe987f0f10812fc68b06cc500ff71c492234b9"
     "a7b8b2f45597190d97cd85f6daa45ac9518bef9f715f4bd414504b1a21d8c681654055df00",
     "0xe675f1362d82cdd1ec260b16fb046c17f61d8a84808150f5d715ccce775f575e"),
)  # fmt: skip
"""Görli, a real chain: parent, number, gas limit, time, extraData and hash of its blocks 1 and 2."""


def goerli(number: int) -> dict[str, Any]:
    parent, height, gas, time_s, extra, digest = GOERLI[number - 1]
    empty = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    return {
        "parentHash": parent, "number": hex(height), "gasLimit": hex(gas), "timestamp": hex(time_s), "hash": digest,
        "extraData": "0x" + extra, "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "stateRoot": "0x5d6cded585e73c4e322c30c2f782a336316f17dd85a4863b9d838d2d4b8b3008", "transactionsRoot": empty,
        "receiptsRoot": empty, "logsBloom": "0x" + "00" * 256, "difficulty": "0x2", "gasUsed": "0x0", "miner": NOBODY,
        "mixHash": "0x" + "00" * 32, "nonce": "0x0000000000000000", "transactions": [],
    }  # fmt: skip


@pytest.mark.parametrize("number", [1, 2])
def test_blocks_of_a_real_chain_hold(number: int) -> None:
    row = {"block": goerli(number), "receipts": [], "signers": [GOERLI_SIGNER]}
    assert ethereum.suite(row) is Suite.KECCAK
    seals = ethereum.seals(row)
    assert (seals.signed, seals.wrong, seals.quorum, seals.enough) == ((GOERLI_SIGNER[2:],), 0, 1, True)
    assert ethereum.prove(row, []).seals == seals
    other = ethereum.seals(row | {"signers": ["0x" + "11" * 20]})
    assert (other.signed, other.wrong, other.enough) == ((), 1, False), "a signer that may not sign"
    assert ethereum.seals({"block": goerli(number)}).sealers == {}, "nobody told who may sign: nothing is verified"


@pytest.mark.parametrize(("name", "value"), [("timestamp", "0x1"), ("extraData", None), ("gasUsed", "0x1")])
def test_every_field_is_in_the_signature(name: str, value: str | None) -> None:
    block = goerli(1)
    block[name] = value or block[name][:4] + "00" + block[name][6:]
    seals = ethereum.seals({"block": block, "signers": [GOERLI_SIGNER]})
    assert (seals.signed, seals.wrong) == ((), 1)


@pytest.mark.parametrize(
    ("extra", "difficulty", "mix"),
    [(bytes(97), 0, bytes(32)), (bytes(96), 2, bytes(32)), (bytes(98), 2, bytes(32)), (bytes(97), 2, b"\1" * 32)],
)
def test_other_headers_are_none_of_these(extra: bytes, difficulty: int, mix: bytes) -> None:
    assert clique_extra(extra, difficulty, mix) is None


def asked(node: CliqueNode, heights: range) -> list[Any]:
    with serving(node) as url, Rpc(url, 100) as rpc:  # type: ignore[arg-type]
        return Wire(rpc, "").headers(heights)


def test_signers_are_asked_again_after_a_vote() -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)])
    chain.grow(5)
    fourth = Signer.new(Suite.KECCAK)
    chain.seal(chain.turn(), vote=fourth.address)
    chain.signers.append(fourth)
    chain.lists[-1] = chain.addresses  # decided by that vote
    chain.grow(4)
    node = CliqueNode(chain, [], 0)  # type: ignore[arg-type]
    rows = asked(node, range(11))
    assert node.asked == [0, 6]
    assert [len(ethereum.seals(row).sealers) for row in rows] == [0, *[3] * 6, *[4] * 4]
    assert all(ethereum.seals(row).enough for row in rows[1:])
    node.asked.clear()
    asked(node, range(8, 11))
    assert node.asked == [7]


def test_an_epochs_own_list_must_be_what_the_node_says() -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)], epoch=4)
    chain.grow(8)
    rows = asked(CliqueNode(chain, [], 0), range(9))  # type: ignore[arg-type]
    assert [ethereum.seals(row).wrong for row in rows] == [0] * 9
    rows[4]["signers"] = [*rows[4]["signers"], "0x" + "12" * 20]
    assert ethereum.seals(rows[4]).wrong == 1


def test_a_signature_out_of_turn_says_so() -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)])
    late = next(s for s in chain.signers if s is not chain.turn())
    honest = {"block": chain.seal(late), "signers": chain.addresses}
    assert ethereum.seals(honest).enough
    late = next(s for s in chain.signers if s is not chain.turn())
    boasting = {"block": chain.seal(late, difficulty=2), "signers": chain.addresses}
    assert (ethereum.seals(boasting).wrong, ethereum.seals(boasting).enough) == (1, False)
    unsigned = {"block": chain.seal(None), "signers": chain.addresses}
    assert ethereum.seals(unsigned).wrong == 1


def test_a_node_that_told_some_signers_must_tell_all() -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)])
    chain.grow(8)
    node = CliqueNode(chain, [], 0)  # type: ignore[arg-type]
    with serving(node) as url, Rpc(url, 100) as rpc:  # type: ignore[arg-type]
        wire = Wire(rpc, "")
        wire.headers(range(1, 4))
        node.tells = False
        with pytest.raises(ProbeError, match="clique_getSigners") as caught:
            wire.headers(range(4, 8))
        assert caught.value.problem.code == "CHN-E06"
        assert all("signers" not in row for row in Wire(rpc, "").headers(range(4, 8)))


@pytest.mark.parametrize(("code", "told"), [(-32601, False), (-32604, False), (-32000, None)])
def test_a_closed_interface_is_no_failure_and_any_other_refusal_is(code: int, told: bool | None) -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)])
    chain.grow(2)

    class Closed(Rpc):
        def ask(self, method: str, *params: Any) -> Any:
            raise Refused(method, code, "no")

        def answers(self, questions: Any) -> Any:
            return chain.blocks[1:]

    wire = Wire(Closed("http://127.0.0.1:1", 1), "")
    if told is None:
        with pytest.raises(ProbeError, match="-32000 no"):
            wire.headers(range(1, 3))
    else:
        assert all("signers" not in row for row in wire.headers(range(1, 3)))


# --- nodes ---------------------------------------------------------------------------------------------------------------


def counted(folder: Path, chain: CliqueChain, **changes: Any) -> Count:
    folder.mkdir(exist_ok=True)
    with listening(len(chain.signers)) as addresses:
        nodes = [CliqueNode(chain, addresses, n, **changes) for n in range(len(chain.signers))]  # type: ignore[arg-type]
        with serving(nodes[0]) as a, serving(nodes[1]) as b, serving(nodes[2]) as c:  # type: ignore[arg-type]
            values = params_for([a, b, c], window_s=0.05, chain={"kind": "ethereum"}, count="consensus")
            params = Params.model_validate(values)
            return analyse(record(folder, capture, params), params, 1)


def fell(count: Count) -> dict[str, int]:
    return {code: n for code, n in excluded(count).items() if n}


def test_nodes_of_a_clique_chain(tmp_path: Path) -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)])
    chain.grow(40)
    found = counted(tmp_path, chain)
    assert (found.net, found.facts["consensus"], fell(found)) == (3, 3, {})
    assert "CHO-V06" not in codes(found.validity)
    assert {node["key"] for node in found.facts["nodes"]} == {s.address[2:] for s in chain.signers}


def test_a_signer_that_never_signs_and_one_that_may_not(tmp_path: Path) -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)])
    stranger = Signer.new(Suite.KECCAK)
    for number in range(40):
        chain.seal(stranger if number == 20 else chain.signers[number % 2])
    found = counted(tmp_path, chain)
    assert fell(found) == {"CHO-X-SILENT": 1}
    assert codes(found.validity)["CHO-V06"] == "warning"


def test_where_nobody_tells_the_signers_nothing_is_taken_for_verified(tmp_path: Path) -> None:
    chain = CliqueChain([Signer.new(Suite.KECCAK) for _ in range(3)])
    chain.grow(40)
    found = counted(tmp_path, chain, tells=False)
    assert codes(found.validity)["CHO-V04"] == "warning"
