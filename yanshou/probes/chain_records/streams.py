"""Names of the streams, and what stands in the small ones: the pinned height, how it stood at the end, what was handed over.

Read by whoever analyses and by a capture that goes on from an interrupted one. It must never touch the world.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from yanshou.chains.model import Block
from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence

BLOCKS, PIN, END, ORIGINALS = "blocks.jsonl.gz", "pin.json", "end.json", "originals.jsonl"
OUTCOMES = "outcomes.jsonl"
SPAN = 1000
"""Blocks that one digest of what came of their transactions covers."""


@dataclass(frozen=True)
class Adopted:
    """What was taken over from an interrupted run: its folder, and the packed bytes and blocks that were."""

    run: str
    bytes: int
    blocks: int


@dataclass(frozen=True)
class Pin:
    """The height that was pinned, its block's hash and the first block's; `since_ns` UTC when.

    `about` and `counter`: what the node said of itself, and the chain's own count of transactions, as they came.
    """

    kind: str
    height: int
    hash: str
    genesis: str
    since_ns: int
    about: Json
    counter: Json
    adopted: Adopted | None = None


@dataclass(frozen=True)
class End:
    """How it stood once all blocks were in: the hash at the pinned height again, at the node and at each witness.

    `later_height`, `later_hash`: the newest block then, which the evaluator cannot choose. Whoever seals the chain can, or lets it
    stand still: `salt` is what the evaluator's host took at random when all blocks were in evidence, and they cannot.
    """

    hash: str | None
    witnesses: tuple[str | None, ...]
    later_height: int
    later_hash: str
    salt: str = ""

    @property
    def draw(self) -> str:
        """What a draw takes beside the plan's seed."""
        return f"{self.later_hash}:{self.salt}" if self.salt else self.later_hash


@dataclass(frozen=True)
class Original:
    """One file that was handed over: its path in the folder, its size, and its digest (hex) by the declared scheme."""

    file: str
    bytes: int
    digest: str


class Outcomes:
    """What came of the transactions of block after block, as one digest for each SPAN of them: to compare what two nodes say."""

    def __init__(self) -> None:
        self._whole: list[str] = []
        self._open = hashlib.sha256()
        self._blocks = 0

    def take(self, one: bytes) -> None:
        """The next block's `outcome`."""
        self._open.update(one)
        self._blocks += 1
        if self._blocks % SPAN == 0:
            self._whole.append(self._open.hexdigest())
            self._open = hashlib.sha256()

    def digests(self) -> list[str]:
        """Those of whole spans, and the last one's."""
        return [*self._whole, self._open.hexdigest()]


def outcome(block: Block) -> bytes:
    """Of each of a block's transactions its hash, and whether it succeeded, as bytes."""
    told = "".join(f"{t.hash} {t.succeeded:d}\n" for t in block.transactions)
    return f"{block.number}\n{told}".encode()


def read_outcomes(evidence: RunEvidence) -> list[list[str]]:
    """The digests of each witness, in order. Raises KeyError, ValueError, TypeError for none."""
    with evidence.open(OUTCOMES) as f:
        return [list(json.loads(row)["digests"]) for row in f]


def line(value: Pin | End | Original) -> bytes:
    """The stream's content, or a line of it."""
    return json.dumps(asdict(value), ensure_ascii=False, sort_keys=True).encode() + b"\n"


def read_pin(evidence: RunEvidence) -> Pin:
    """Raises KeyError, ValueError, TypeError for none."""
    with evidence.open(PIN) as f:
        said = json.load(f)
    adopted = said.pop("adopted")
    return Pin(**said, adopted=Adopted(**adopted) if adopted else None)


def read_end(evidence: RunEvidence) -> End:
    """Raises KeyError, ValueError, TypeError for none."""
    with evidence.open(END) as f:
        said = json.load(f)
    return End(**{**said, "witnesses": tuple(said["witnesses"])})


def read_originals(evidence: RunEvidence) -> list[Original]:
    """Raises KeyError, ValueError, TypeError for none."""
    with evidence.open(ORIGINALS) as f:
        return [Original(**json.loads(row)) for row in f]
