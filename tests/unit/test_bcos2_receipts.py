"""Receipts of FISCO BCOS 2.x: against a block of a real chain (a test of WeCross, which shows block, receipt and proof)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.probes.bcos2_chain import Chain2
from yanshou.chains.bcos2 import blocks as bcos2
from yanshou.chains.bcos3.simulate import Call, Signer
from yanshou.chains.crypto import EVM_SUITES, Suite
from yanshou.chains.trees import width_root

KECCAK = Suite.KECCAK.hash
STATE = "0x70e6fa150a77f34c71ad9e9923734a740e0bd0a3eeb3cf9a804c43e6012b16bd"
TRANSACTION = "0x8b3946912d1133f9fb0722a7b607db2456d468386c2e86b035e81ef91d94eb90"
RECEIPT = {
    "contractAddress": "0x" + "00" * 20, "gasUsed": "0x802c", "logs": [], "logsBloom": "0x" + "00" * 256, "output": "0x",
    "root": STATE, "status": "0x0", "transactionHash": TRANSACTION,
}  # fmt: skip
BLOCK = {
    "dbHash": STATE, "extraData": [], "gasLimit": "0x0", "gasUsed": "0x0", "logsBloom": "0x" + "00" * 256, "number": "0x9",
    "hash": "0xd9e9241be0853aacc88b1ff921eb598af0080a100514e192e9a449f577b3a2ef",
    "parentHash": "0x4ee40e592d4f7243faba04d69d6c8e158c1e2663398484d83bf27827bdbb3117",
    "receiptsRoot": "0xe6caae405e8ae50737cd7a39c9d1cba83335594bf180af40538c970b87ae7bf8", "sealer": "0x1",
    "sealerList": [
        "2ddbc04bea0d57eeb09c2828e3eeca6e392f5d25515210eb4f338aae49233a0fdfcb5f7f6229830729a42c518118645a0e936f353e2795d966494fd494af124d",
        "8d08802246badaa9bf3eed5ba56d6c4b6811dbc0c22dd3aa17ddc566e38470a1fd078eab763c6546f7946e71279c1e466540433ac6b1463f6a60dcd85d2b7004",
        "924d8a3da3ec715a7dda5f860c53e1d1706bc6c7033e18cfa0a093ec07114fda05236a9951dc6fd88baaa1af80490627beb7db826072ee49dca9335190414428",
        "a53da8b4819cd99afac393b961078bd680eb28311d941e5f051b82ebaf6e916c51655dbf6237aa2598d7a364e8714343b1d28109de98f2c7dcdcda60621651c9",
    ],
    "stateRoot": STATE, "timestamp": "0x17152c9a056", "transactions": [{"hash": TRANSACTION}],
    "transactionsRoot": "0x1c816600c113c0639c88ea96d269645bb52fe5a73f64e3496864d2ad2ceec6c0",
}  # fmt: skip


def row(**changes: Any) -> Any:
    return {"block": copy.deepcopy(BLOCK), "receipts": [{**RECEIPT, **changes}]}


def test_a_receipt_of_a_real_chain_holds() -> None:
    assert bcos2.suite(row()) is Suite.KECCAK
    proof = bcos2.prove(row(), [])
    assert (proof.header, proof.root, proof.receipts) == (True, True, True)


def test_the_third_of_five_receipts_of_a_real_block_holds() -> None:
    """The others are known by their hashes only, which the node gave as its proof."""
    receipt = RECEIPT | {
        "root": "0x9abce0e65719f06ee104abf1539e42beef25c164f889420eab9c055cc95de03c",
        "gasUsed": "0x10a88",
        "output": "0x" + "00" * 32,
    }
    leaves = [
        "803fb462c75987b2001a83dbed279aeecec047b1f9bc9c56e195a74932fbaae0b1",
        "01e9fe05b4c30ed7eb927e24b788016114c1c31bf3771181c4d83bb3416c04ba09",
        "02" + KECCAK(bcos2._receipt(receipt)).hex(),
        "03495a1e82c707f19aa55f2135b1dfddf992f39f6a614a910e001b9c00685e66d5",
        "04cf051dd6960c184742948ee3f10883c3bf11f51da6ed6c67eacd37972338ebde",
    ]
    root = KECCAK(width_root([bytes.fromhex(leaf) for leaf in leaves], 16, KECCAK))
    assert root.hex() == "57da96f64cd53b6223fa82a2e499075b20bf45947824cea35ac8345b1d8069d8"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "0x1"}, {"gasUsed": "0x802d"}, {"output": "0x00"}, {"contractAddress": "0x" + "01" * 20},
        {"logs": [{"address": "0x" + "01" * 20, "topics": [], "data": "0x"}]}, {"root": "0x" + "00" * 32},
    ],
)  # fmt: skip
def test_every_field_of_a_receipt_is_in_the_root(changes: dict[str, Any]) -> None:
    assert bcos2.prove(row(**changes), []).receipts is False


def test_a_node_that_leaves_the_state_root_out_shows_nothing_to_check() -> None:
    bare = row()
    del bare["receipts"][0]["root"]
    assert bcos2.prove(bare, []).receipts is None


@pytest.mark.parametrize("suite", EVM_SUITES)
def test_receipts_with_events_of_a_made_up_chain(suite: Suite) -> None:
    account = Signer.new(suite)
    chain = Chain2(suite, [Signer.new(suite) for _ in range(4)], 1_735_689_600_000)
    event = ("0x" + "c0" * 20, (b"\1" * 32, b"\2" * 32), b"data")
    row = chain.seal([Call(account, "0x" + "c0" * 20, bytes([n]), n % 2, (event,) * (n % 3)) for n in range(20)])
    assert bcos2.prove(row, []).receipts is True
    row["receipts"][7]["status"] = "0x0"
    assert bcos2.prove(row, []).receipts is False
