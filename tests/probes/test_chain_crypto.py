from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.probes.bcos2_chain import Chain2, Node2
from tests.probes.chain_support import anvil, calibrated, verdict
from tests.probes.records_support import MemoryEvidence, codes, record
from tests.probes.sources_support import free_port
from tests.unit.test_hello import DONE, certificate, server_hello
from tests.unit.test_hello import record as tls_record
from yanshou.chains.bcos3.simulate import Call, Signer, SimulatedChain, SimulatedNode, serving
from yanshou.chains.crypto import Suite
from yanshou.chains.fabric.simulate import Key, issue
from yanshou.formats.hello import Tongue, client_hello
from yanshou.harness import keys
from yanshou.harness.basics import UserError
from yanshou.harness.model import Answer, Checklist, Limit, Op, Verdict
from yanshou.probes.chain_crypto.analyse import analyse
from yanshou.probes.chain_crypto.capture import _said, capture
from yanshou.probes.chain_crypto.reference import CONTRACT, POINTS, sealed_chain, spoil
from yanshou.probes.chain_crypto.spec import SPEC, Params, estimate
from yanshou.probes.chain_crypto.streams import END
from yanshou.probes.contract import Probe, indicated

ISSUER = Key.new(Suite.SM)
SM_CERTIFICATE = ssl.PEM_cert_to_DER_cert(issue("node", Key.new(Suite.SM), "ca", ISSUER).decode())


def proven(found: Checklist) -> Verdict:
    return verdict(found, Limit(Op.EQ, True, "bool"))


def inspected(folder: Path, node: SimulatedNode, **changes: Any) -> Checklist:
    folder.mkdir(exist_ok=True)
    with serving(node) as url:
        params = Params.model_validate({"chain": {"kind": "bcos3"}, "endpoint": {"url": url}, **changes})
        return analyse(record(folder, capture, params), params, 1)


def answers(found: Checklist) -> dict[str, Answer]:
    return {item.id: item.answer for item in found.items}


def observed(found: Checklist, id_: str) -> str:
    return next(item.observed for item in found.items if item.id == id_)


YES = dict.fromkeys(("G01", "G02", "G03"), Answer.YES)


@pytest.fixture(scope="module")
def sm() -> SimulatedChain:
    return sealed_chain(Suite.SM)


# --- against the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_value", POINTS)
def test_reference_is_told(tmp_path: Path, true_value: float) -> None:
    evidence, params, truth = calibrated(tmp_path, "chain.crypto", true_value)
    found = analyse(evidence, params, 42)
    assert indicated(found, SPEC.unit) == truth["true"] == true_value
    assert len(found.items) == truth["n"]
    assert analyse(evidence, params, 42) == found


def test_spec_and_estimate() -> None:
    assert Probe("chain.crypto").spec is SPEC
    params = Params.model_validate({"chain": {"kind": "bcos3"}, "endpoint": {"url": "http://h:1"}, "channels": ["h:1"]})
    assert (estimate(params, None).seconds, estimate(params, None).samples) == (10, 4)


@pytest.mark.parametrize("channels", [["h"], ["h:1", "h:1"], ["h:1:2"], ["http://h:1"]])
def test_channels_are_ports(channels: list[str]) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate({"chain": {"kind": "bcos3"}, "endpoint": {"url": "http://h:1"}, "channels": channels})


# --- a chain that uses 国密, and those that say so ---------------------------------------------------------------------------


def test_a_chain_with_real_sm2_signatures_is_proven(tmp_path: Path, sm: SimulatedChain) -> None:
    found = inspected(tmp_path, SimulatedNode(sm))
    assert (answers(found), found.validity) == (YES, ())
    assert "20 块各有法定数的 SM2 签名，签过名的公钥 4 把，共 4 把" in observed(found, "G02")
    assert "20 笔交易" in observed(found, "G03")
    assert all(len(item.evidence) == 1 for item in found.items)
    assert found.facts["claims_sm"] is True
    assert proven(found) is Verdict.PASS


def test_one_wrong_signature_is_named(tmp_path: Path) -> None:
    chain = sealed_chain(Suite.SM)
    spoil(chain, 13)
    found = inspected(tmp_path, SimulatedNode(chain))
    assert answers(found) == YES | {"G02": Answer.NO}
    assert observed(found, "G02") == "高度 13 有不成立的签名"
    assert proven(found) is Verdict.FAIL


def test_a_flag_without_sm2(tmp_path: Path) -> None:
    found = inspected(tmp_path, SimulatedNode(sealed_chain(Suite.KECCAK), claims_sm=True))
    assert answers(found) == dict.fromkeys(YES, Answer.NO)
    assert codes(found.validity) == {"CHC-V02": "warning"}
    assert "secp256k1" in observed(found, "G02")
    assert "Keccak-256" in observed(found, "G01")
    assert proven(found) is Verdict.FAIL
    honest = inspected(tmp_path / "honest", SimulatedNode(sealed_chain(Suite.KECCAK)))
    assert (honest.validity, honest.facts["claims_sm"]) == ((), False)


def test_sm3_hashes_with_other_signatures_are_not_sm(tmp_path: Path) -> None:
    """Blocks hashed with SM3 and signed, over that hash, with secp256k1."""
    chain = SimulatedChain(Suite.SM, [Signer.new(Suite.KECCAK) for _ in range(4)], 0)
    account = Signer.new(Suite.SM)
    for n in range(12):
        chain.seal([Call(account, CONTRACT, bytes([n]) * 40)])
    found = inspected(tmp_path, SimulatedNode(chain))
    assert answers(found) == YES | {"G02": Answer.NO}
    assert codes(found.validity) == {"CHC-V03": "warning"}


def test_too_few_signatures(tmp_path: Path) -> None:
    chain = SimulatedChain(Suite.SM, [Signer.new(Suite.SM) for _ in range(4)], 0)
    chain.seal([], signers=[0, 1, 2])
    chain.seal([], signers=[1, 2])
    found = inspected(tmp_path, SimulatedNode(chain))
    assert answers(found) == YES | {"G02": Answer.NO, "G03": Answer.OPEN}
    assert "高度 2 的有效签名不足法定数" in observed(found, "G02")
    assert codes(found.validity) == {"CHC-V03": "warning"}


def test_blocks_of_which_some_carry_no_signatures_are_not_all_proven(tmp_path: Path) -> None:
    """A chain whose later blocks name no sealers, so that there is nothing to verify in them."""
    chain = SimulatedChain(Suite.SM, [Signer.new(Suite.SM) for _ in range(4)], 0)
    account = Signer.new(Suite.SM)
    chain.seal([Call(account, CONTRACT, b"1" * 40)])
    sealers, chain.sealers = chain.sealers, []
    chain.seal([Call(account, CONTRACT, b"2" * 40)], signers=[])
    found = inspected(tmp_path, SimulatedNode(chain))
    assert len(sealers) == found.facts["sealers"] == 4
    assert answers(found) == YES | {"G02": Answer.OPEN}
    assert observed(found, "G02") == "高度 2 的区块里没有可核对的出块签名"


def test_transactions_that_are_not_in_their_block_prove_nothing(tmp_path: Path, sm: SimulatedChain) -> None:
    """国密 transactions of another chain, shown under a block that has none of them."""
    chain = sealed_chain(Suite.SM, 6)
    row, other = chain.rows[6], sm.rows[3]
    row["block"]["transactions"], row["receipts"] = other["block"]["transactions"], other["receipts"]
    found = inspected(tmp_path, SimulatedNode(chain), transactions=1)
    assert answers(found) == YES | {"G03": Answer.OPEN}
    assert "不在所在区块的交易根里" in observed(found, "G03")


def test_an_altered_header_and_an_altered_transaction(tmp_path: Path) -> None:
    chain = sealed_chain(Suite.SM)
    chain.rows[5]["block"]["gasUsed"] = "9"
    chain.rows[20]["block"]["transactions"][0]["input"] = "0x00"
    found = inspected(tmp_path, SimulatedNode(chain))
    assert answers(found) == YES | {"G01": Answer.NO, "G03": Answer.NO}
    assert "1 块都不合" in observed(found, "G01")
    assert chain.rows[20]["block"]["transactions"][0]["hash"] in observed(found, "G03")


def test_only_the_transactions_asked_for_are_looked_at(tmp_path: Path, sm: SimulatedChain) -> None:
    node = SimulatedNode(sm)
    found = inspected(tmp_path, node, transactions=3, blocks=5)
    assert (found.facts["transactions"], found.facts["suites"]) == (3, {"sm3-sm2": 5})


def test_a_real_ethereum_type_chain_is_not_sm(tmp_path: Path) -> None:
    with anvil() as node:
        node.send([(0, node.accounts[1], b"hello")])
        node.mine(1_735_689_700)
        params = Params.model_validate({"chain": {"kind": "ethereum"}, "endpoint": {"url": node.url}})
        found = analyse(record(tmp_path, capture, params), params, 1)
    assert answers(found) == {"G01": Answer.NO, "G02": Answer.OPEN, "G03": Answer.NO}
    assert proven(found) is Verdict.FAIL


def test_a_2x_chain(tmp_path: Path) -> None:
    chain = Chain2(Suite.SM, [Signer.new(Suite.SM) for _ in range(4)], 1_735_689_600_000)
    account = Signer.new(Suite.SM)
    for n in range(6):
        chain.seal([Call(account, CONTRACT, bytes([n]) * 40)])
    found = inspected(tmp_path, Node2(chain), chain={"kind": "bcos2"})
    assert answers(found) == YES


def test_nothing_is_recorded_where_sm2_could_not_be_verified(
    tmp_path: Path, sm: SimulatedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str) -> Any:
        raise ImportError(module)

    monkeypatch.setattr(keys.importlib, "import_module", missing)
    params = Params.model_validate({"chain": {"kind": "bcos3"}, "endpoint": {"url": "http://127.0.0.1:1"}})
    with pytest.raises(UserError, match="guomi"):
        record(tmp_path, capture, params)


# --- ports -------------------------------------------------------------------------------------------------------------


@contextmanager
def speaking(answer_of: dict[int, bytes]) -> Iterator[str]:
    """A port that answers a hello by its first record version (0x0101 TLCP, 0x0301 others) and closes; b"" closes at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    data = connection.recv(65536)
                    suites = 0x00C6 if b"\0\xc6\0\xc7" in data else struct.unpack_from(">H", data, 1)[0]
                    connection.sendall(answer_of.get(suites, b"\x15\x03\x01\0\x02\x02\x28"))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


TLCP = tls_record(0x0101, server_hello(0x0101, 0xE013) + certificate(SM_CERTIFICATE, SM_CERTIFICATE) + DONE)
BARE = tls_record(0x0101, server_hello(0x0101, 0xE013) + DONE)
MIXED = tls_record(0x0101, server_hello(0x0101, 0xE013) + certificate(SM_CERTIFICATE, b"rsa") + DONE)


@pytest.mark.parametrize(
    ("said", "answer", "text"),
    [
        ({0x0101: TLCP}, Answer.YES, "TLCP，套件 ECC_SM4_CBC_SM3，出示 SM2 证书 2 张"),
        ({0x00C6: tls_record(0x0303, server_hello(0x0303, 0x00C7))}, Answer.YES, "TLS_SM4_CCM_SM3"),
        ({0x0101: MIXED}, Answer.NO, "1 张不是 SM2"),
        ({0x0101: BARE}, Answer.OPEN, "没有出示证书"),
        ({0x0301: tls_record(0x0303, server_hello(0x0303, 0x1301))}, Answer.NO, "只接受国际算法"),
        ({}, Answer.OPEN, "只说明不在这个端口"),
        ({0x0101: b"", 0x0301: b"HTTP/1.1 400\r\n\r\n"}, Answer.OPEN, "只说明不在这个端口"),
        ({0x0101: tls_record(0x0303, server_hello(0x0303, 0xC02F))}, Answer.OPEN, "只说明不在这个端口"),
    ],
    ids=["tlcp", "rfc 8998", "foreign certificate", "no certificate", "plain", "refuses", "no tls", "a suite that was not offered"],
)  # fmt: skip
def test_what_a_port_speaks(
    tmp_path: Path, sm: SimulatedChain, said: dict[int, bytes], answer: Answer, text: str
) -> None:
    with speaking(said) as port:
        found = inspected(tmp_path, SimulatedNode(sm), channels=[port], blocks=5, transactions=1)
    assert answers(found) == YES | {"T01": answer}
    assert text in observed(found, "T01")
    expected = {Answer.YES: Verdict.PASS, Answer.NO: Verdict.FAIL, Answer.OPEN: Verdict.INCONCLUSIVE}
    assert proven(found) is expected[answer]


def test_a_port_that_drips_does_not_hold_the_inspection_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanshou.probes.chain_crypto.capture.WHOLE_S", 0.2)
    stopped = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"\x16\x01\x01\xff\xff")
            while not stopped.wait(0.02):
                connection.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        connected, answer = _said(f"127.0.0.1:{server.getsockname()[1]}", client_hello(Tongue.TLCP, bytes(32)))
        stopped.set()
        thread.join()
    assert connected
    assert 5 <= len(answer) < 1000


def test_a_port_that_nobody_listens_on(tmp_path: Path, sm: SimulatedChain) -> None:
    found = inspected(tmp_path, SimulatedNode(sm), channels=[f"127.0.0.1:{free_port()}"], blocks=5)
    assert (answers(found)["T01"], observed(found, "T01")) == (Answer.OPEN, "连不上")


# --- evidence that is cut or wrong -----------------------------------------------------------------------------------------


def test_evidence_cut_anywhere_is_invalid_and_never_crashes(tmp_path: Path, sm: SimulatedChain) -> None:
    with serving(SimulatedNode(sm)) as url:
        channels = [f"127.0.0.1:{free_port()}"]
        values = {"chain": {"kind": "bcos3"}, "endpoint": {"url": url}, "channels": channels, "blocks": 5}
        params = Params.model_validate(values)
        evidence = record(tmp_path, capture, params)
    whole = {}
    for name in evidence.streams():
        with evidence.open(name) as f:
            whole[name] = f.read()
    assert analyse(MemoryEvidence(whole), params, 1).validity == ()
    assert codes(analyse(MemoryEvidence({}), params, 1).validity) == {"CHC-V01": "invalid"}
    for name, data in whole.items():
        parts = {k: v for k, v in whole.items() if k != name}
        assert codes(analyse(MemoryEvidence(parts), params, 1).validity)["CHC-V01"] == "invalid"
        for cut in (0, 1, len(data) // 2, len(data) - 2):
            parts = {**whole, name: data[:cut]}
            if name != END:  # what is written last is missing when something else is cut
                parts.pop(END)
            assert codes(analyse(MemoryEvidence(parts), params, 1).validity)["CHC-V01"] == "invalid"
