"""Asks several nodes of a chain, twice, what they say of all nodes; takes the last blocks; and tries to reach every address.

It is for recording who lists, sees and follows whom. It must never count. To reach an address is to open a TCP connection and
close it again: nothing is sent.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from yanshou.chains import reader
from yanshou.chains.connect import connect, require_verifiable
from yanshou.chains.model import MALFORMED
from yanshou.chains.rpc import Asks
from yanshou.chains.segments import lines, member
from yanshou.harness.basics import Json, ProbeError
from yanshou.harness.evidence import StreamWriter
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.chain_nodes.spec import Params
from yanshou.probes.chain_nodes.streams import END, HEADERS, REACH, ROUNDS, VIEWS, End, located

REACH_S = 3.0
REACH_PARALLEL = 16
TICK_S = 0.5
PART = 100
"""Headers in one member."""


def capture(params: Params, run: RunContext) -> None:
    """Streams `views.jsonl`, `headers.jsonl.gz`, `reach.jsonl` and, last, `end.json`.

    Raises ProbeError CHN-E01 to E06 (a node cannot be asked), CHO-E01 (its answer cannot be read), UserError (no 国密 library).
    """
    with ExitStack() as stack:
        nodes = [stack.enter_context(connect(params.chain, e, run.folder)) for e in params.endpoints]
        views, addresses = run.sink.stream(VIEWS), {d.address for d in params.declared}
        require_verifiable(params.chain, nodes[0], nodes[0].head())
        heads, _ = _round(params, nodes, 0, views, addresses)
        _wait(params.window_s, run)
        _, stated = _round(params, nodes, 1, views, addresses)
        top = _caught_up(nodes[0], stated, params.window_s)
        _headers(params, nodes[0], top, run.sink.stream(HEADERS))
        _reach(addresses, run.sink.stream(REACH))
        height = min(heads)
        end = End(height, tuple(n.hash_at(height) for n in nodes), tuple(n.hash_at(0) for n in nodes))
    run.sink.stream(END).write(end.line())


def _round(
    params: Params, nodes: Sequence[Asks], number: int, views: StreamWriter, addresses: set[str]
) -> tuple[list[int], int]:
    """Ask every node once and note the addresses that it knows; their heights, and the greatest at which anybody is said to be."""
    heads, stated = list[int](), 0
    for endpoint, node in enumerate(nodes):
        url = params.endpoints[endpoint].url
        view, head = node.view(), node.head()
        try:
            seen = reader(params.chain.kind).view(view)
        except MALFORMED as error:
            text = f"{url} 对节点状况的应答读不懂：{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ProbeError("CHO-E01", text, "检查链的类型与版本是否如参数所写") from None
        addresses |= {located(address, url) for m in seen.members for address in m.addresses}
        row: Json = {"round": number, "endpoint": endpoint, "t": time.time_ns(), "head": head, "view": view}
        views.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        heads.append(head)
        stated = max([stated, *(m.height for m in seen.members if m.height is not None)])
    return heads, stated


def _wait(seconds: float, run: RunContext) -> None:
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < seconds:
        run.progress(Progress(int(elapsed), round(seconds), text=f"第 1 次已问完，共问 {ROUNDS} 次"))
        time.sleep(min(TICK_S, seconds - elapsed))


def _caught_up(node: Asks, stated: int, seconds: float) -> int:
    """The newest block of a node, once it has those that others are said to have; what it has after `seconds`, if it never does."""
    end = time.monotonic() + seconds
    while (top := node.head()) < stated and time.monotonic() < end:
        time.sleep(min(TICK_S, seconds))
    return top


def _headers(params: Params, node: Asks, top: int, stream: StreamWriter) -> None:
    for start in range(max(0, top + 1 - params.blocks), top + 1, PART):
        stream.write(member(lines(node.headers(range(start, min(start + PART, top + 1))))))


def _reach(addresses: set[str], stream: StreamWriter) -> None:
    ordered = sorted(addresses)
    with ThreadPoolExecutor(REACH_PARALLEL) as pool:
        for address, reached in zip(ordered, pool.map(_reached, ordered), strict=True):
            stream.write(json.dumps({"address": address, "reached": reached}).encode() + b"\n")


def _reached(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False
