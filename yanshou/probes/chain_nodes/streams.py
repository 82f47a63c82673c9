"""Names of the streams, what stands in them, and where a member is. Pure.

`views.jsonl`: {"round": 0 | 1, "endpoint": its number, "head", "view"} an answer; `headers.jsonl.gz`: the last blocks;
`reach.jsonl`: {"address", "reached"}; `end.json`, last: `End`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from yanshou.harness.basics import Json
from yanshou.harness.evidence import RunEvidence

VIEWS, HEADERS, REACH, END = "views.jsonl", "headers.jsonl.gz", "reach.jsonl", "end.json"
ROUNDS = 2


@dataclass(frozen=True)
class End:
    """`height`: a height that every node asked had; `hashes`, `geneses`: of the blocks there and at 0, by each of them."""

    height: int
    hashes: tuple[str | None, ...]
    geneses: tuple[str | None, ...]

    def line(self) -> bytes:
        """The stream's content."""
        return json.dumps(asdict(self)).encode() + b"\n"


def read_end(evidence: RunEvidence, asked: int) -> End:
    """Raises KeyError, ValueError, TypeError for none, or one by another number of nodes than were asked."""
    with evidence.open(END) as f:
        said = json.load(f)
    end = End(said["height"], tuple(said["hashes"]), tuple(said["geneses"]))
    if not len(end.hashes) == len(end.geneses) == asked:
        raise ValueError("not by all that were asked")
    return end


def json_rows(evidence: RunEvidence, name: str) -> Iterator[Json]:
    """The rows of a stream of JSON lines. Raises KeyError, ValueError."""
    with closing(evidence.open(name)) as stream:
        for line in stream:
            yield json.loads(line)


def host_of(address: str) -> str:
    """The host of host:port."""
    return address.rpartition(":")[0].strip("[]")


def located(address: str, url: str) -> str:
    """`address` as seen by the node behind `url`: where that says only "here" or "everywhere", it is that node's own host.

    Loopback addresses stay where the node is asked on loopback: there the whole network is on one machine.
    """
    host, _, port = address.rpartition(":")
    asked = urlsplit(url).hostname or ""
    if not (_is(host, "is_unspecified") or (_is(host, "is_loopback") and not _is(asked, "is_loopback"))):
        return address
    return f"[{asked}]:{port}" if ":" in asked else f"{asked}:{port}"


def _is(host: str, what: str) -> bool:
    try:
        return bool(getattr(ipaddress.ip_address(host.strip("[]")), what))
    except ValueError:
        return what == "is_loopback" and host == "localhost"
