"""Names of the streams, and what stands in the small ones: the pinned height, how it stood at the end, what was handed over.

Read by whoever analyses and by a capture that goes on from an interrupted one. It must never touch the world.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence

BLOCKS, PIN, END, ORIGINALS = "blocks.jsonl.gz", "pin.json", "end.json", "originals.jsonl"


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

    `later_height`, `later_hash`: the newest block then, which nobody could know when the plan was frozen.
    """

    hash: str | None
    witnesses: tuple[str | None, ...]
    later_height: int
    later_hash: str


@dataclass(frozen=True)
class Original:
    """One file that was handed over: its path in the folder, its size, and its digest (hex) by the declared scheme."""

    file: str
    bytes: int
    digest: str


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
