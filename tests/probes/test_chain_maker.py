"""ChainMaker chains through real gRPC: counted, inspected, and every lie told. The chains are made up and really signed."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.probes.chain_support import counted, measure
from tests.probes.records_support import codes, excluded, record
from yanshou.chains.certificates import certificate, public_key
from yanshou.chains.chainmaker import blocks as reads
from yanshou.chains.chainmaker.simulate import (
    CHAIN,
    Call,
    Party,
    Sealer,
    SimulatedChain,
    SimulatedMember,
    SimulatedNode,
    evaluator,
    serving,
)
from yanshou.chains.connect import connect
from yanshou.chains.crypto import Suite
from yanshou.chains.model import MALFORMED, Proof
from yanshou.chains.protowire import Message, edited, field, part, without
from yanshou.chains.spec import Chain, Endpoint
from yanshou.harness.basics import Json, ProbeError, RunStatus
from yanshou.harness.evidence import Ledger
from yanshou.harness.keys import pem
from yanshou.harness.model import Answer, Audit, Checklist, Count
from yanshou.harness.runs import runs_of
from yanshou.probes.chain_crypto.analyse import analyse as inspect
from yanshou.probes.chain_crypto.capture import capture as look
from yanshou.probes.chain_crypto.spec import Params as CryptoParams
from yanshou.probes.chain_nodes.analyse import analyse as count_nodes
from yanshou.probes.chain_nodes.capture import capture as ask_nodes
from yanshou.probes.chain_nodes.reference import listening, loopback
from yanshou.probes.chain_nodes.spec import Params as NodesParams
from yanshou.probes.chain_nodes.spec import plain_key
from yanshou.probes.chain_records.analyse import analyse
from yanshou.probes.chain_records.spec import Params
from yanshou.probes.chain_subjects.analyse import analyse as count_subjects
from yanshou.probes.chain_subjects.capture import capture as take_subjects
from yanshou.probes.chain_subjects.reference import COLUMNS, table
from yanshou.probes.chain_subjects.reference import codes as credit_codes
from yanshou.probes.chain_subjects.spec import Params as SubjectsParams

P256, SM = Suite.SHA256, Suite.SM
START_S, DAY_S = 1_735_689_600, 86_400
CONTRACT, METHOD = "evidence", "save(file_name, file_hash)"
SEALERS = 4
QUIET = {"CHR-V07": "warning"}
"""What one endpoint alone always says: nobody else was asked."""
MEMBER = {"org": "wx-org1.chainmaker.org", "cert": "member.crt", "key": "member.key"}


@pytest.fixture(autouse=True)
def _needs_guomi(request: pytest.FixtureRequest) -> None:
    if "suite" in request.fixturenames and request.getfixturevalue("suite") is SM:
        pytest.importorskip("gmssl_pyx")


def saved(sender: Party, name: str, digest: bytes, **changes: Any) -> Call:
    return Call(sender, CONTRACT, "save", {"file_hash": digest, "file_name": name.encode()}, **changes)


def new_chain(suite: Suite, keys: Sequence[Suite | None] = (None,) * SEALERS) -> SimulatedChain:
    return SimulatedChain(suite, [Sealer.new(suite, n, kind) for n, kind in enumerate(keys)], START_S)


def users_of(chain: SimulatedChain, count: int) -> list[Party]:
    """Senders, certified by the organisations in turn."""
    authorities = [s.authority for s in chain.sealers]
    certifiers = [authorities[n % len(authorities)] for n in range(count)]
    return [Party.new(a.suite, a.org, f"client{n}", a) for n, a in enumerate(certifiers)]


def planted(suite: Suite, valid: int, seed: int = 5) -> tuple[SimulatedChain, list[Party], dict[str, int]]:
    """A chain with `valid` records among transactions that are none, those who sent them, and how many for each reason."""
    chain, rng = new_chain(suite), random.Random(seed)
    users = users_of(chain, 5)

    def save(n: int, **changes: Any) -> Call:
        return saved(rng.choice(users), f"存证-{n:06d}", rng.randbytes(32), **changes)

    def other(contract: str, method: str, **arguments: bytes) -> Call:
        return Call(rng.choice(users), contract, method, arguments)

    calls = [save(n, by_hash=n % 3 == 0) for n in range(valid)]
    more = {
        "CHR-X-FAILED": [save(valid + n, code=4) for n in range(2)],
        "CHR-X-DEPLOY": [
            other("CONTRACT_MANAGE", "INIT_CONTRACT", CONTRACT_BYTECODE=rng.randbytes(99)) for _ in range(3)
        ],
        "CHR-X-SYSTEM": [other("CERT_MANAGE", "CERT_ADD", data=rng.randbytes(9)) for _ in range(4)],
        "CHR-X-OTHER": [
            other("token", "save", file_hash=b"1", file_name=b"2"),
            other(CONTRACT, "find", file_hash=b"1"),
        ],
        "CHR-X-MALFORMED": [other(CONTRACT, "save", file_hash=rng.randbytes(32)) for _ in range(5)],
        "CHR-X-EMPTY": [other(CONTRACT, "save", file_hash=bytes(32), file_name=b"") for _ in range(6)],
        "CHR-X-CONSTANT": [other(CONTRACT, "save", file_hash=b"aa", file_name=b"aaa") for _ in range(7)],
        "CHR-X-DUP": [Call(rng.choice(users), CONTRACT, "save", rng.choice(calls).arguments) for _ in range(8)],
    }
    mixed = calls + [call for group in more.values() for call in group]
    rng.shuffle(mixed)
    for number, at in enumerate(range(0, len(mixed), 20)):
        voters = rng.sample(range(SEALERS), 3)
        chain.seal(mixed[at : at + 20], START_S + number * DAY_S, voters)
    reasons = {code: len(group) for code, group in more.items()} | {"CHR-X-WINDOW": 0}
    reasons["CHR-X-SYSTEM"] += 1  # the first block's configuration
    return chain, users, reasons


def params_for(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "chain": {"kind": "chainmaker", "group": CHAIN, "batch": 4, "parallel": 2, "member": MEMBER},
        "endpoint": {"url": url},
        "record": {"contracts": [CONTRACT], "method": METHOD},
        **changes,
    }


def seen(folder: Path, node: SimulatedNode, **changes: Any) -> Count:
    folder.mkdir(exist_ok=True)
    evaluator(node.chain, folder)
    with serving(node) as url:
        return counted(folder, params_for(url, **changes))


@pytest.fixture(scope="module")
def small() -> tuple[SimulatedChain, list[Party]]:
    """Thirty records of three senders, five in a block, each block with the votes of three of four."""
    chain = new_chain(P256)
    users = users_of(chain, 3)
    for b in range(6):
        calls = [saved(users[i % 3], f"{b}-{i}", bytes([b + 1, i + 1]) * 16) for i in range(5)]
        chain.seal(calls, START_S + (b + 1) * 9 * DAY_S, [(b + i) % SEALERS for i in range(3)])
    return chain, users


# --- records ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [P256, SM])
def test_every_record_counts_once_and_nothing_else_does(tmp_path: Path, suite: Suite) -> None:
    chain, users, why = planted(suite, 60)
    found = seen(tmp_path, SimulatedNode(chain, people=users))
    assert found.net == 60
    assert excluded(found) == why
    assert codes(found.validity) == QUIET
    assert found.audit == Audit(60, 60, 60)
    facts = found.facts
    assert facts["suites"] == {suite.value: chain.height + 1}
    assert (facts["height"], facts["failed"], facts["counter"]) == (chain.height, 2, None)
    assert facts["sample"]["blocks_with_quorum"] == facts["sample"]["blocks"]
    assert set(facts["sample"]["signers"]) == {sealer.node for sealer in chain.sealers}
    assert {row["address"] for row in facts["top_senders"]} <= {user.account for user in users}


def test_the_same_evidence_gives_the_same_count_without_grpc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, users, _ = planted(P256, 25)
    evaluator(chain, tmp_path)
    with serving(SimulatedNode(chain, people=users)) as url:
        params = Params.model_validate(params_for(url))
        measure(tmp_path, params)
    with Ledger(tmp_path) as ledger:
        (run,) = runs_of(ledger.records)
    evidence = run.evidence(tmp_path)
    first = analyse(evidence, params, 1)
    monkeypatch.setitem(__import__("sys").modules, "grpc", None)
    assert analyse(evidence, params, 1) == first
    assert (first.net, codes(first.validity)) == (25, QUIET)
    secret = (tmp_path / "member.key").read_bytes().splitlines()[1]
    for path in tmp_path.rglob("*"):
        assert path.name == "member.key" or not path.is_file() or secret not in path.read_bytes()


def test_events_and_originals(tmp_path: Path) -> None:
    """A record may be an event, whose values come in order; what its original is, it says."""
    chain = new_chain(P256)
    (user,) = users_of(chain, 1)
    texts = [f"原件 {n}".encode() for n in range(4)]
    for text in texts:
        digest = P256.hash(text).hex()
        raised = ((CONTRACT, "saved", (digest, "x")), ("token", "saved", (digest, "x")), (CONTRACT, "moved", ()))
        chain.seal([Call(user, "entry", "go", {}, events=raised)])
    (tmp_path / "originals").mkdir()
    for n, text in enumerate(texts[:3]):
        (tmp_path / "originals" / str(n)).write_bytes(text)
    found = seen(
        tmp_path,
        SimulatedNode(chain),
        record={"contracts": [CONTRACT], "event": "saved(hash,kind)", "payload": [0]},
        originals={"folder": "originals", "digest": "sha256", "argument": 0},
    )
    assert found.net == 4
    assert found.audit == Audit(4, 4, 3)
    assert found.facts["sample"]["faults"] == {"original": 1}


Change = Callable[[SimulatedChain], None]


def put(chain: SimulatedChain, number: int, change: Callable[[bytes], bytes]) -> None:
    chain.blocks[number] = change(chain.blocks[number])


def votes(block: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A block with `change` made to its set of votes."""
    return edited(block, 4, lambda extra: edited(extra, 1, lambda entry: edited(entry, 2, change)))


def one_vote(block: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A block with `change` made to the first vote of its set."""

    def first(vote_set: bytes) -> bytes:
        all_votes = Message(vote_set).all(6)
        changed = [edited(all_votes[0], 2, change), *all_votes[1:]]
        return without(vote_set, (6,)) + b"".join(part(6, vote) for vote in changed)

    return votes(block, first)


def exchange(chain: SimulatedChain) -> None:
    """A transaction of another block in place of one."""
    theirs = Message(chain.blocks[2]).all(3)[0]
    mine = Message(chain.blocks[3]).all(3)
    rest = without(chain.blocks[3], (3,))
    chain.blocks[3] = rest + b"".join(part(3, t) for t in [theirs, *mine[1:]])


def excuse(chain: SimulatedChain) -> None:
    """A result that says something else than was hashed."""
    put(chain, 3, lambda block: edited(block, 3, lambda t: edited(t, 4, lambda r: field(1, 0) + without(r, (1, 3)))))


def borrow(chain: SimulatedChain) -> None:
    """The votes for another block."""
    others = Message(chain.blocks[2]).blob(4)
    put(chain, 3, lambda block: edited(block, 4, lambda _: others))


def spoil(chain: SimulatedChain) -> None:
    """One wrong signature."""
    put(
        chain,
        3,
        lambda b: one_vote(b, lambda v: edited(v, 6, lambda e: without(e, (2,)) + field(2, b"0\6\2\1\1\2\1\1"))),
    )


def twice(chain: SimulatedChain) -> None:
    """One node's vote under two names."""

    def again(vote_set: bytes) -> bytes:
        first, second, _ = Message(vote_set).all(6)
        return without(vote_set, (6,)) + b"".join(
            part(6, v) for v in (first, field(1, "x") + part(2, Message(first).blob(2)), second)
        )

    put(chain, 3, lambda block: votes(block, again))


def impostor(chain: SimulatedChain) -> None:
    """A voter whom no authority of its organisation certified."""
    sealer = chain.sealers[0]
    fake = Sealer(sealer.node, Party.new(P256, sealer.party.org, "fake"), sealer.authority)
    vote_set = SimulatedChain._votes(SimulatedChain(P256, [fake], START_S), 3, chain.hash_of(3), [0])

    def first(old: bytes) -> bytes:
        kept = [v for v in Message(old).all(6) if Message(v).text(1) != sealer.node][:2]
        return without(old, (6,)) + b"".join(part(6, v) for v in [*Message(vote_set).all(6), *kept])

    put(chain, 3, lambda block: votes(block, first))


def minority(chain: SimulatedChain) -> None:
    """Too few votes."""
    put(chain, 3, lambda b: votes(b, lambda s: without(s, (6,)) + b"".join(part(6, v) for v in Message(s).all(6)[:2])))


LIES: dict[str, tuple[Change, dict[str, int]]] = {
    "a transaction exchanged": (exchange, {"root": 4, "receipts": 4}),
    "a result changed": (excuse, {"root": 5, "receipts": 5}),
    "votes for another block": (borrow, {"seals": 5}),
    "one wrong signature": (spoil, {"seals": 5}),
    "one vote twice": (twice, {"seals": 5}),
    "a voter whom nobody certified": (impostor, {"seals": 5}),
    "a minority": (minority, {"seals": 5}),
}


def copied(chain: SimulatedChain) -> SimulatedChain:
    copy = SimulatedChain(chain.suite, chain.sealers, chain.start_s)
    copy.blocks = list(chain.blocks)
    return copy


@pytest.mark.parametrize("name", LIES)
def test_lies_in_a_block_are_named(tmp_path: Path, small: tuple[SimulatedChain, list[Party]], name: str) -> None:
    chain = copied(small[0])
    change, faults = LIES[name]
    assert reads.prove(row_of(chain, 3), range(5)).seals.wrong == 0
    change(chain)
    found = seen(tmp_path, SimulatedNode(chain))
    assert codes(found.validity) == QUIET | {"CHR-V10": "warning"}
    assert found.facts["sample"]["faults"] == faults
    assert found.audit is not None
    assert found.audit.good == found.audit.drawn - max(faults.values())


class Forged(SimulatedChain):
    """Seals transactions that their senders never signed."""

    def _transaction(self, call: Call) -> bytes:
        whole = super()._transaction(call)
        return edited(whole, 2, lambda sender: without(sender, (2,)) + field(2, call.sender.sign(b"something else")))


class Foreign(SimulatedChain):
    """Seals transactions that were meant for another chain."""

    def _transaction(self, call: Call) -> bytes:
        payload = field(1, "chain2") + without(Message(super()._transaction(call)).blob(1), (1,))
        signed = part(1, call.sender.member) + field(2, call.sender.signs(self.suite, payload))
        return part(1, payload) + part(2, signed) + part(4, Message(super()._transaction(call)).blob(4))


@pytest.mark.parametrize("kind", [Forged, Foreign])
def test_a_sender_that_signed_nothing_of_the_kind(tmp_path: Path, kind: type[SimulatedChain]) -> None:
    chain = kind(P256, [Sealer.new(P256, n) for n in range(SEALERS)], START_S)
    (user,) = users_of(chain, 1)
    chain.seal([saved(user, str(n), bytes([n + 1, n]) * 16) for n in range(4)])
    found = seen(tmp_path, SimulatedNode(chain))
    assert found.audit == Audit(4, 4, 0)
    assert found.facts["sample"]["faults"] == {"genuine": 4}


def test_a_sender_whom_no_authority_certified(tmp_path: Path) -> None:
    """Anybody can make a certificate with somebody's name, organisation and account in it."""
    chain = new_chain(P256)
    (user,) = users_of(chain, 1)
    stranger = Party.new(P256, user.org, user.name)
    chain.seal([saved(user, "a", bytes(range(32))), saved(stranger, "b", bytes(range(1, 33)))])
    found = seen(tmp_path, SimulatedNode(chain))
    assert (found.audit, found.facts["sample"]["faults"]) == (Audit(2, 2, 1), {"genuine": 1})
    config = chain.config() + part(10, field(1, stranger.pem) + field(2, user.org) + field(3, "client"))
    assert reads.prove(row_of(chain, 1) | {"config": encoded(config)}, [1]).genuine == {1: True}, "a trusted member"
    assert reads.prove(row_of(chain, 1) | {"config": encoded(without(chain.config(), (9,)))}, [0]).genuine == {0: False}


def test_a_certificate_that_the_node_does_not_give_proves_nobody(tmp_path: Path) -> None:
    chain = new_chain(P256)
    (user,) = users_of(chain, 1)
    chain.seal([saved(user, "known", bytes(range(32))), saved(user, "by hash", bytes(range(1, 33)), by_hash=True)])
    found = seen(tmp_path / "knows", SimulatedNode(chain, people=[user]))
    assert (found.audit, found.facts["senders"]) == (Audit(2, 2, 2), 1)
    found = seen(tmp_path / "not", SimulatedNode(chain))
    assert (found.audit, found.facts["senders"]) == (Audit(2, 2, 1), 2)
    assert found.facts["sample"]["faults"] == {"genuine": 1}


def test_votes_may_name_their_certificates_by_hash(tmp_path: Path) -> None:
    chain = new_chain(P256)
    chain.votes_by_hash = True
    (user,) = users_of(chain, 1)
    chain.seal([saved(user, "a", bytes(range(32)))])
    voters = [sealer.party for sealer in chain.sealers]
    assert seen(tmp_path / "knows", SimulatedNode(chain, people=voters)).audit == Audit(1, 1, 1)
    found = seen(tmp_path / "not", SimulatedNode(chain, people=voters[:2]))
    assert found.facts["sample"]["faults"] == {"seals": 1}


def test_who_may_vote_is_what_was_configured_for_that_height(tmp_path: Path) -> None:
    """Three of four, then five of seven: each block by those who might vote for it."""
    chain = new_chain(P256)
    (user,) = users_of(chain, 1)
    chain.seal([saved(user, "before", bytes(range(32)))], voters=[0, 1, 2])
    chain.reconfigure([*chain.sealers, *(Sealer.new(P256, n) for n in range(4, 7))])
    chain.seal([saved(user, "after", bytes(range(1, 33)))], voters=[2, 3, 4, 5, 6])
    chain.seal([saved(user, "too few", bytes(range(2, 34)))], voters=[0, 1, 2, 3])
    found = seen(tmp_path, SimulatedNode(chain))
    assert found.audit == Audit(3, 3, 2)
    assert found.facts["sample"]["faults"] == {"seals": 1}
    old = SimulatedNode(chain).on_GET_CHAIN_CONFIG_AT({"block_height": b"0"}, "")
    seals = reads.seals(row_of(chain, 3) | {"config": encoded(old)})
    assert (len(seals.sealers), len(seals.signed), seals.wrong) == (4, 2, 3), "by the old one three are strangers"


class Rewritten(SimulatedNode):
    """Has another block at the pinned height once all blocks were taken."""

    def on_GET_BLOCK_HEADER_BY_HEIGHT(self, parameters: Any, org: str) -> bytes:
        header = super().on_GET_BLOCK_HEADER_BY_HEIGHT(parameters, org)
        taken = len(self.__dict__.get("given", ())) == self.height + 1
        return without(header, (5,)) + field(5, b"\7" * 32) if taken else header

    def on_GET_BLOCK_BY_HEIGHT(self, parameters: Any, org: str) -> bytes:
        self.__dict__.setdefault("given", set()).add(int(parameters["blockHeight"]))
        return super().on_GET_BLOCK_BY_HEIGHT(parameters, org)


def test_a_chain_rewritten_meanwhile_is_refused(tmp_path: Path, small: tuple[SimulatedChain, list[Party]]) -> None:
    found = seen(tmp_path, Rewritten(small[0]))
    assert codes(found.validity)["CHR-V02"] == "invalid"


def test_a_witness_on_another_chain_is_named(tmp_path: Path, small: tuple[SimulatedChain, list[Party]]) -> None:
    """Both are asked by the same member: a fork has the same organisations."""
    fork = copied(small[0])
    fork.blocks = fork.blocks[:4]
    for _ in range(3):
        fork.seal([])
    with serving(SimulatedNode(fork)) as other, serving(SimulatedNode(small[0])) as same:
        assert codes(seen(tmp_path / "same", SimulatedNode(small[0]), witnesses=[{"url": same}]).validity) == {}
        found = seen(tmp_path / "fork", SimulatedNode(small[0]), witnesses=[{"url": other}])
    assert codes(found.validity) == {"CHR-V06": "invalid"}


def test_a_block_with_fewer_transactions_than_it_counts_is_refused(
    tmp_path: Path, small: tuple[SimulatedChain, list[Party]]
) -> None:
    """Light members see only their own organisation's; and an inflated count is in the same place."""
    with pytest.raises(ProbeError) as caught:
        seen(tmp_path / "light", SimulatedNode(small[0], light=True))
    assert caught.value.problem.code == "CHN-E03"
    assert "轻节点" in caught.value.problem.remedy
    inflated = copied(small[0])
    put(inflated, 2, lambda block: edited(block, 1, lambda header: without(header, (8,)) + field(8, 5000)))
    with pytest.raises(ProbeError, match="5000 笔交易，节点只给出 5 笔"):
        seen(tmp_path / "inflated", SimulatedNode(inflated))
    with pytest.raises(ValueError, match="not all"):
        reads.block(row_of(inflated, 2))


class Breaking(SimulatedNode):
    """Has no fifth block until it is repaired; remembers which were asked for."""

    broken = True

    def on_GET_BLOCK_BY_HEIGHT(self, parameters: Any, org: str) -> bytes:
        number = int(parameters["blockHeight"])
        if self.broken and number == 5:
            raise LookupError("archived")
        self.__dict__.setdefault("given", []).append(number)
        return super().on_GET_BLOCK_BY_HEIGHT(parameters, org)


def test_an_interrupted_count_goes_on(tmp_path: Path, small: tuple[SimulatedChain, list[Party]]) -> None:
    node = Breaking(small[0])
    evaluator(small[0], tmp_path)
    with serving(node) as url:
        values = params_for(url)
        values["chain"] |= {"batch": 1, "parallel": 1}
        params = Params.model_validate(values)
        with pytest.raises(ProbeError) as caught:
            measure(tmp_path, params)
        assert caught.value.problem.code == "CHN-E03"
        assert "archived" in str(caught.value)
        node.broken, node.given = False, []
        measure(tmp_path, params)
    with Ledger(tmp_path) as ledger:
        first, second = runs_of(ledger.records)
    assert (first.status, second.status) == (RunStatus.ABORTED, RunStatus.COMPLETED)
    found = analyse(second.evidence(tmp_path), params, 1)
    assert found.facts["adopted"]["blocks"] == 5
    assert set(node.given) == {5, 6}, "the rest only"
    assert (found.net, codes(found.validity)) == (30, QUIET | {"CHR-V11": "info"})


# --- subjects --------------------------------------------------------------------------------------------------------------


def test_subjects_of_a_chain(tmp_path: Path) -> None:
    chain = new_chain(P256)
    users, known = users_of(chain, 6), credit_codes(6)
    for n, user in enumerate(users[:4]):
        chain.seal([saved(user, f"{n}", bytes([n + 1, 9]) * 16)], START_S + n * DAY_S)
    rows = [[user.account, known[n], ""] for n, user in enumerate(users)]
    (tmp_path / "r.csv").write_bytes(table(rows))
    evaluator(chain, tmp_path)
    with serving(SimulatedNode(chain)) as url:
        values = {"records": params_for(url), "subjects": {"file": "r.csv", "controller": COLUMNS[2]}}
        params = SubjectsParams.model_validate(values)
        found = count_subjects(record(tmp_path, take_subjects, params), params, 1)
    assert (found.net, excluded(found)["CHS-X-SILENT"]) == (4, 2)
    assert found.audit == Audit(4, 4, 4)


# --- nodes -----------------------------------------------------------------------------------------------------------------


@contextmanager
def network(
    honest: SimulatedChain, observers: int = 0, **lies: dict[int, Any]
) -> Iterator[tuple[list[SimulatedMember], list[str]]]:
    """Every node of a chain, served: its members, and where each is asked. `lies`: fields of node number n."""
    count = len(honest.sealers) + observers
    with listening(count) as addresses, ExitStack() as stack:
        names = [s.node for s in honest.sealers] + [f"Qm{'k' * 43}{n + 1}" for n in range(observers)]
        members = [SimulatedMember(name, address) for name, address in zip(names, addresses, strict=True)]
        nodes = [
            SimulatedNode(
                **{"chain": honest, "members": members, "me": n}
                | {name: values[n] for name, values in lies.items() if n in values}
            )
            for n in range(count)
        ]
        yield members, [stack.enter_context(serving(node)) for node in nodes]


def nodes_params(urls: Sequence[str], **changes: Any) -> dict[str, Any]:
    chain = {"kind": "chainmaker", "group": CHAIN, "member": MEMBER}
    endpoints = [{"url": url, "operator": f"单位{n}"} for n, url in enumerate(urls)]
    return {"chain": chain, "endpoints": endpoints, "window_s": 0.02, "node_is": "key", **changes}


def nodes(folder: Path, chain: SimulatedChain, urls: Sequence[str], **changes: Any) -> Count:
    evaluator(chain, folder)
    params = NodesParams.model_validate(nodes_params(urls, **changes))
    return count_nodes(record(folder, ask_nodes, params), params, 1)


def fell(count: Count) -> dict[str, int]:
    return {code: n for code, n in excluded(count).items() if n}


@pytest.fixture(scope="module")
def sealed() -> SimulatedChain:
    """Fifty empty blocks with votes of three of four in turn."""
    chain = new_chain(P256)
    for number in range(50):
        chain.seal([], voters=[(number + i) % SEALERS for i in range(3)])
    return chain


def test_an_honest_network_is_counted_exactly(tmp_path: Path, sealed: SimulatedChain) -> None:
    with network(sealed, observers=1) as (_, urls):
        found = nodes(tmp_path, sealed, urls)
    assert (found.net, found.gross, fell(found)) == (5, 5, {})
    assert found.columns == (("共识", 4), ("观察", 1))
    assert codes(found.validity) == {"CHO-V09": "info"}
    assert (found.facts["registered"], found.facts["in_sync"], found.facts["hosts"]) == (5, 5, 5)


def test_a_node_that_is_not_asked_has_not_said_how_far_it_is(tmp_path: Path, sealed: SimulatedChain) -> None:
    with network(sealed) as (_, urls):
        found = nodes(tmp_path, sealed, urls[:3])
    assert (found.net, fell(found)) == (3, {"CHO-X-OFFLINE": 1})


def test_a_node_that_lags(tmp_path: Path, sealed: SimulatedChain) -> None:
    with network(sealed, lag={3: 4}) as (_, urls):
        found = nodes(tmp_path, sealed, urls)
    assert (found.net, fell(found)) == (3, {"CHO-X-LAG": 1})


def test_a_node_on_a_fork(tmp_path: Path, sealed: SimulatedChain) -> None:
    fork = copied(sealed)
    fork.blocks = fork.blocks[:40]
    for number in range(11):
        fork.seal([], START_S + 7 * DAY_S + number)
    with network(sealed, chain={3: fork}) as (_, urls):
        found = nodes(tmp_path, sealed, urls)
    assert (found.net, fell(found)) == (3, {"CHO-X-FORK": 1})


def test_a_consensus_node_that_never_votes(tmp_path: Path) -> None:
    chain = new_chain(P256)
    for _ in range(45):
        chain.seal([], voters=[0, 1, 2])
    with network(chain) as (members, urls):
        found = nodes(tmp_path, chain, urls)
    assert (found.net, fell(found)) == (3, {"CHO-X-SILENT": 1})
    assert next(n for n in found.facts["nodes"] if n["reason"])["key"] == members[3].node


def test_keys_on_one_host_are_left_undecided(tmp_path: Path, sealed: SimulatedChain) -> None:
    with ExitStack() as stack:
        import socket

        ports = [stack.enter_context(socket.create_server((loopback(0), 0))).getsockname()[1] for _ in range(SEALERS)]
        with network(sealed) as (members, urls):
            declared = [
                {"key": m.node, "address": f"{loopback(0)}:{port}"} for m, port in zip(members, ports, strict=True)
            ]
            found = nodes(tmp_path, sealed, urls, declared=declared, node_is=None)
            hosts = nodes(tmp_path, sealed, urls, declared=declared, node_is="host")
    assert (found.net, found.facts["hosts"]) == (4, 1)
    assert [reason.code for reason in found.open] == ["keys_share_hosts"]
    assert (hosts.net, fell(hosts)) == (1, {"CHO-X-HOST": 3})


def test_node_ids_are_declared_as_they_are_written() -> None:
    assert plain_key("0xABcd") == "abcd"
    assert plain_key("QmUyFq9qQL5Dq8Yv917z6jEsdPXH4EAtW6PgZRjP7QVUae").startswith("QmUyF")
    declared = [{"key": "QmUyFq9qQL5Dq8Yv917z6jEsdPXH4EAtW6PgZRjP7QVUae", "address": "h:1"}]
    assert NodesParams.model_validate(nodes_params(["grpc://h:1"], declared=declared)).declared[0].address == "h:1"


def test_which_node_answers() -> None:
    """A consensus node says so, in either of two forms; another is the only one at its own addresses."""
    config = base64.b64encode(field(1, CHAIN) + part(8, part(2, field(1, "o") + field(3, "QmA")))).decode()

    def told(state: bytes | None, *listed: tuple[str, str]) -> Any:
        info = field(1, 7) + b"".join(part(2, field(1, name) + field(2, address)) for name, address in listed)
        text = base64.b64encode(state).decode() if state else None
        encoded = base64.b64encode(info).decode()
        return reads.view({"info": encoded, "config": config, "state": text, "hash": "0x1", "genesis": "0x0"})

    seen_a = ("QmA", "/ip4/10.0.0.1/tcp/11301/p2p/QmA,/ip6/::1/tcp/5")
    assert told(field(1, "QmA"), seen_a).me == told(b'{"id":"QmA"}', seen_a).me == "QmA"
    view = told(None, ("QmA", "/dns4/a.example/tcp/11301"), ("QmB", "/ip4/127.0.0.1/tcp/11302,/unix/x"))
    assert view.me == "QmB"
    assert [(m.key, m.role, m.height, m.addresses) for m in view.members] == [
        ("QmA", "sealer", None, ("a.example:11301",)),
        ("QmB", "observer", 7, ("127.0.0.1:11302",)),
    ]
    for listed in (
        (),
        (("QmA", "/ip4/10.0.0.1/tcp/1"),),
        (("QmA", "/ip4/127.0.0.1/tcp/1"), ("QmB", "/ip4/0.0.0.0/tcp/2")),
    ):
        with pytest.raises(ValueError, match="which one"):
            told(None, *listed)


# --- 国密 ------------------------------------------------------------------------------------------------------------------


def inspected(folder: Path, node: SimulatedNode) -> Checklist:
    evaluator(node.chain, folder)
    with serving(node) as url:
        chain = {"kind": "chainmaker", "group": CHAIN, "member": MEMBER}
        params = CryptoParams.model_validate({"chain": chain, "endpoint": {"url": url}})
        return inspect(record(folder, look, params), params, 1)


def answers(found: Checklist) -> dict[str, Answer]:
    return {item.id: item.answer for item in found.items}


def said(found: Checklist, id_: str) -> str:
    return next(item.observed for item in found.items if item.id == id_)


def busy(suite: Suite, keys: Sequence[Suite | None] = (None,) * SEALERS) -> SimulatedChain:
    """Twelve blocks, each with one transaction."""
    chain = new_chain(suite, keys)
    users = users_of(chain, SEALERS)
    for number in range(12):
        call = saved(users[number % SEALERS], f"{number}", bytes([number + 1, 3]) * 16)
        chain.seal([call], voters=[(number + i) % SEALERS for i in range(3)])
    return chain


@pytest.mark.parametrize("suite", [SM])
class TestGuomi:
    def test_a_chain_that_is_sm_throughout_is_proven(self, tmp_path: Path, suite: Suite) -> None:
        found = inspected(tmp_path, SimulatedNode(busy(suite)))
        assert answers(found) == dict.fromkeys(("G01", "G02", "G03"), Answer.YES)
        assert (codes(found.validity), found.facts["claims_sm"], found.facts["transactions"]) == ({}, True, 13)
        assert len(found.facts["signers"]) == SEALERS

    def test_one_wrong_signature_is_named(self, tmp_path: Path, suite: Suite) -> None:
        chain = busy(suite)
        put(
            chain,
            7,
            lambda b: one_vote(b, lambda v: edited(v, 6, lambda e: without(e, (2,)) + field(2, b"0\6\2\1\1\2\1\1"))),
        )
        found = inspected(tmp_path, SimulatedNode(chain))
        assert answers(found)["G02"] is Answer.NO
        assert said(found, "G02") == "高度 7 有不成立的签名"

    def test_a_claim_without_sm3_is_no_proof(self, tmp_path: Path, suite: Suite) -> None:
        found = inspected(tmp_path, SimulatedNode(busy(P256), hash_name="SM3"))
        assert answers(found) == dict.fromkeys(("G01", "G02", "G03"), Answer.NO)
        assert said(found, "G02") == "13 块的签名是 ECDSA P-256"
        assert codes(found.validity) == {"CHC-V02": "warning"}

    def test_ecdsa_under_sm3_holds_and_is_no_sm(self, tmp_path: Path, suite: Suite) -> None:
        """Signatures that hold, by keys that are none of 国密; the evaluator's own key, too, is of that kind."""
        chain = busy(suite, [P256] * SEALERS)
        found = inspected(tmp_path, SimulatedNode(chain))
        assert answers(found) == {"G01": Answer.YES, "G02": Answer.NO, "G03": Answer.NO}
        assert said(found, "G02").endswith("的签名成立，但不是 SM2")
        assert said(found, "G03").startswith("13 笔交易不是以 SM2 签名")
        row = row_of(chain, 5)
        proof = reads.prove(row, [0])
        assert (proof.seals.enough, proof.seals.wrong) == (True, 0)

    def test_sm2_keys_under_sha256(self, tmp_path: Path, suite: Suite) -> None:
        chain = busy(P256, [SM] * SEALERS)
        proof = reads.prove(row_of(chain, 4), [0])
        assert (proof.genuine, proof.mixed, proof.seals.enough, proof.seals.mixed) == ({0: True}, {0}, True, 3)


# --- the wire --------------------------------------------------------------------------------------------------------------


def asked(folder: Path, url: str, group: str = CHAIN) -> Any:
    chain = Chain(kind="chainmaker", group=group, member=MEMBER)
    return connect(chain, Endpoint(url=url), folder)


def test_only_members_are_answered(tmp_path: Path, small: tuple[SimulatedChain, list[Party]]) -> None:
    evaluator(new_chain(P256), tmp_path)  # of another chain
    with serving(SimulatedNode(small[0])) as url, asked(tmp_path, url) as node, pytest.raises(ProbeError) as caught:
        node.head()
    assert caught.value.problem.code == "CHN-E03"
    assert "authentication fail" in str(caught.value)


def test_what_a_node_has_not_is_none_and_never_zero(tmp_path: Path, small: tuple[SimulatedChain, list[Party]]) -> None:
    chain = small[0]
    evaluator(chain, tmp_path)
    with serving(SimulatedNode(chain)) as url:
        with asked(tmp_path, url) as node:
            assert (node.head(), node.hash_at(99), node.counter()) == (6, None, None)
            assert node.hash_at(6) == "0x" + chain.hash_of(6).hex()
            with pytest.raises(ProbeError) as caught:
                node.rows(range(5, 9))
            assert caught.value.problem.code == "CHN-E03"
        with asked(tmp_path, url, "chain2") as node, pytest.raises(ProbeError, match="CHN-E03"):
            node.about()
        with pytest.raises(ProbeError, match="CHN-E05"), asked(tmp_path, url, ""):
            pass


class Junk(SimulatedNode):
    answer = b""

    def send(self, request: bytes) -> bytes:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"\xff", "CHN-E02"),
        (part(1, b"x"), "CHN-E02"),
        (part(3, part(2, b"\xff")), "CHN-E02"),
        (part(3, part(2, field(1, 7))), "CHN-E02"),
        (b"", "CHN-E03"),
        (part(3, part(2, part(1, b""))), "CHN-E03"),
    ],
)
def test_junk_is_refused_in_one_line(
    tmp_path: Path, small: tuple[SimulatedChain, list[Party]], answer: bytes, code: str
) -> None:
    evaluator(small[0], tmp_path)
    junk = Junk(small[0])
    junk.answer = answer
    with serving(junk) as url, asked(tmp_path, url) as node, pytest.raises(ProbeError) as caught:
        node.rows(range(1, 2))
    assert caught.value.problem.code == code
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"chain": {"kind": "chainmaker", "group": CHAIN}}, "member"),
        ({"endpoint": {"url": "http://h:1"}}, "grpc://"),
        ({"witnesses": [{"url": "https://h:1"}]}, "grpc://"),
        ({"record": {"contracts": [CONTRACT], "method": "save"}}, "按名称"),
        ({"record": {"contracts": [CONTRACT], "method": METHOD, "payload": [2]}}, "超出"),
        ({"originals": {"folder": "o", "digest": "sm3", "argument": 2}}, "argument"),
    ],
)
def test_parameters_must_make_sense(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Params.model_validate(params_for("grpc://127.0.0.1:1", **changes))


# --- blocks ----------------------------------------------------------------------------------------------------------------


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def row_of(chain: SimulatedChain, number: int) -> Json:
    return {"block": encoded(chain.blocks[number]), "config": encoded(chain.config()), "receipts": []}


def test_every_field_of_a_header_is_in_its_hash(small: tuple[SimulatedChain, list[Party]]) -> None:
    block = small[0].blocks[3]
    assert reads.suite(row_of(small[0], 3)) is P256
    for number in (1, 3, 4, 6, 8, 9, 10, 11, 12, 14):
        changed = edited(block, 1, lambda header, n=number: without(header, (n,)))
        assert reads.suite({"block": encoded(changed), "config": ""}) is None, number


def test_where_a_block_stands_and_what_is_in_it(small: tuple[SimulatedChain, list[Party]]) -> None:
    chain, users = small
    first, second = (reads.block(row_of(chain, n)) for n in (0, 1))
    assert (first.parent, second.parent, second.time_s) == ("", first.hash, START_S + 9 * DAY_S)
    t = second.transactions[1]
    assert (t.sender, t.to, t.succeeded) == (users[1].account, CONTRACT, True)
    assert t.call is not None
    assert t.call.method == "save"
    assert dict(t.call.arguments)["file_name"] == b"0-1"


def test_a_vote_for_no_block_is_neither_wrong_nor_counted(small: tuple[SimulatedChain, list[Party]]) -> None:
    chain = copied(small[0])
    put(chain, 3, lambda b: one_vote(b, lambda v: without(v, (5,)) + field(5, b"NilHash")))
    seals = reads.seals(row_of(chain, 3))
    assert (seals.wrong, len(seals.signed), seals.quorum, seals.enough) == (0, 2, 3, False)


def test_a_vote_of_another_kind_height_or_node_does_not_hold(small: tuple[SimulatedChain, list[Party]]) -> None:
    for change in (
        lambda v: without(v, (1,)),
        lambda v: without(v, (3,)) + field(3, 4),
        lambda v: without(v, (2,)) + field(2, "QmNobody"),
        lambda v: edited(v, 6, lambda e: edited(e, 1, lambda m: field(1, "another org") + without(m, (1,)))),
    ):
        chain = copied(small[0])
        put(chain, 3, lambda b, change=change: one_vote(b, change))
        seals = reads.seals(row_of(chain, 3))
        assert (seals.wrong, len(seals.signed)) == (1, 2)


def test_a_proposer_that_did_not_sign_is_a_wrong_signature(small: tuple[SimulatedChain, list[Party]]) -> None:
    chain = copied(small[0])
    put(chain, 3, lambda b: edited(b, 1, lambda h: without(h, (15,)) + field(15, chain.sealers[0].party.sign(b"x"))))
    seals = reads.seals(row_of(chain, 3))
    assert (seals.wrong, seals.enough) == (1, True)


def test_a_voter_whose_certificate_the_configuration_names(small: tuple[SimulatedChain, list[Party]]) -> None:
    """Such a node needs no authority; and nobody else's certificate will do for it."""
    chain = small[0]
    sealer = chain.sealers[2]  # votes for block 3, after number 1 and before number 3
    for owner, signed in ((sealer, 3), (chain.sealers[3], 2)):
        named = part(10, field(1, owner.party.pem) + field(4, sealer.node))
        config = b"".join(part(9, r) for r in Message(chain.config()).all(9) if Message(r).text(1) != sealer.party.org)
        row = row_of(chain, 3) | {"config": encoded(without(chain.config(), (9,)) + config + named)}
        assert len(reads.seals(row).signed) == signed
    bare = row_of(chain, 3) | {"config": encoded(without(chain.config(), (9,)) + config)}
    assert len(reads.seals(bare).signed) == 2


def test_another_consensus_carries_no_votes_that_are_verified(small: tuple[SimulatedChain, list[Party]]) -> None:
    raft = edited(small[0].config(), 8, lambda consensus: field(1, 4) + without(consensus, (1,)))
    proof: Proof = reads.prove(row_of(small[0], 3) | {"config": encoded(raft)}, [0])
    assert (proof.header, proof.root, proof.genuine) == (True, True, {0: True})
    assert not proof.seals.sealers


def test_gas_is_out_of_the_hash_since_2_3(small: tuple[SimulatedChain, list[Party]]) -> None:
    """Nodes may differ in how much gas a transaction took; before version 2.3 it was hashed."""
    block = small[0].blocks[3]

    def root(version: int, change: bytes) -> bool:
        t = edited(Message(block).all(3)[0], 4, lambda r: edited(r, 2, lambda o: without(o, (4,)) + change))
        header = without(Message(block).blob(1), (1, 5, 8, 9, 15)) + field(1, version) + field(8, 1)
        header += field(9, P256.hash(plain))
        header += field(5, P256.hash(header))
        row = {"block": encoded(part(1, header) + part(3, t)), "config": encoded(small[0].config())}
        return reads.prove(row, []).root

    plain = edited(Message(block).all(3)[0], 4, lambda r: edited(r, 2, lambda o: without(o, (4,))))
    assert root(2300, field(4, 7))
    assert root(2299, b"")
    assert not root(2299, field(4, 7))


def test_accounts_as_the_chain_has_them(small: tuple[SimulatedChain, list[Party]]) -> None:
    chain, users = small
    point = users[0].point
    keccak = Suite.KECCAK
    for kind, expected in (
        (0, keccak.address(P256.hash(b"\4" + point))),
        (1, "0x" + SM.hash(b"\4" + point)[:20].hex()),
        (2, keccak.address(point)),
    ):
        config = encoded(chain.config() + part(17, field(2, kind)))
        assert reads.block(row_of(chain, 1) | {"config": config}).transactions[0].sender == expected


def test_members_that_are_bare_keys_or_nothing_known(small: tuple[SimulatedChain, list[Party]]) -> None:
    chain, users = small
    user = users[0]
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004") + user.point
    key = pem("PUBLIC KEY", spki).encode()
    assert public_key(key).point == certificate(user.pem).key.point == user.point

    def proven(member: bytes) -> tuple[bool, str]:
        block = edited(chain.blocks[1], 3, lambda t: edited(t, 2, lambda s: part(1, member) + without(s, (1,))))
        row = row_of(chain, 1) | {"block": encoded(block)}
        return reads.prove(row, [0]).genuine[0], reads.block(row).transactions[0].sender

    holds, account = proven(field(2, 2) + field(3, key))
    assert (holds, account) == (True, Suite.KECCAK.address(P256.hash(b"\4" + user.point)))
    for member in (
        field(2, 2) + field(3, b"no key"),
        field(3, b"no certificate"),
        field(2, 4) + field(3, "alias"),
        b"",
    ):
        holds, account = proven(member)
        assert not holds
        assert len(account) == 42


@pytest.mark.parametrize(
    "row",
    [
        {}, {"block": ""}, {"block": "!", "config": ""}, {"block": 7, "config": ""}, {"block": encoded(b"\xff"), "config": ""},
        {"block": encoded(part(1, b"\xff")), "config": ""}, {"block": encoded(field(1, 5)), "config": ""},
        {"block": encoded(part(1, field(8, 1)) + field(3, 7)), "config": ""},
        {"block": encoded(part(1, field(8, 1)) + part(3, b"\xff")), "config": ""},
        {"block": encoded(part(1, field(8, 1)) + part(3, part(1, part(6, b"\xff")))), "config": ""},
        {"block": encoded(b""), "config": "", "certs": [encoded(b"none")]}, {"block": encoded(b""), "config": encoded(b"\xff")},
    ],
)  # fmt: skip
def test_junk_is_malformed(row: Json) -> None:
    with pytest.raises(MALFORMED):
        reads.block(row)


def test_system_contracts_are_known_by_name() -> None:
    assert reads.is_system("CHAIN_CONFIG")
    assert not reads.is_system(CONTRACT)
    assert reads.claims_sm({"config": encoded(part(5, field(1, "sm3")))}) is True
    assert reads.claims_sm({"config": ""}) is None
