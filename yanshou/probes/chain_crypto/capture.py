"""Takes a chain's last headers and blocks, and says hello at ports, in three tongues.

It is for recording what can be verified later. It must never verify: a flag, a signature and an answer are recorded alike.
"""

from __future__ import annotations

import json
import os
import socket
import time

from yanshou.chains import reader
from yanshou.chains.connect import connect
from yanshou.chains.crypto import require_sm
from yanshou.chains.model import MALFORMED
from yanshou.chains.rpc import Asks
from yanshou.chains.segments import lines, member
from yanshou.formats.hello import Tongue, client_hello, read_answer
from yanshou.harness.basics import Json
from yanshou.harness.evidence import StreamWriter
from yanshou.probes.capturing import Progress, RunContext
from yanshou.probes.chain_crypto.spec import Params
from yanshou.probes.chain_crypto.streams import ABOUT, BLOCKS, END, HEADERS, HELLO

ANSWER_S = 3.0
WHOLE_S = 10.0
"""How long a port may take for all of its answer, however slowly it drips."""
LONGEST_ANSWER = 1 << 16
PART = 100
MOST_BLOCKS = 1000
"""How far down the chain is searched for transactions."""


def capture(params: Params, run: RunContext) -> None:
    """The streams of `streams`. Raises ProbeError CHN-E01 to E05 (the node cannot be asked), UserError (no 国密 library)."""
    require_sm()
    with connect(params.chain, params.endpoint, run.folder) as node:
        top = node.head()
        _write(run.sink.stream(ABOUT), {"about": node.about(), "head": top})
        headers = run.sink.stream(HEADERS)
        for start in range(max(0, top + 1 - params.blocks), top + 1, PART):
            headers.write(member(lines(node.headers(range(start, min(start + PART, top + 1))))))
        _blocks(params, node, top, run.sink.stream(BLOCKS))
    hello = run.sink.stream(HELLO)
    for number, address in enumerate(params.channels):
        run.progress(Progress(number, len(params.channels), text=f"试 {address}"))
        for tongue in Tongue:
            connected, answer = _said(address, client_hello(tongue, os.urandom(32)))
            _write(hello, {"address": address, "tongue": tongue.value, "connected": connected, "answer": answer.hex()})
    _write(run.sink.stream(END), {"channels": len(params.channels)})


def _write(stream: StreamWriter, row: Json) -> None:
    stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _blocks(params: Params, node: Asks, top: int, stream: StreamWriter) -> None:
    """Whole blocks from the newest down, until they hold `transactions` of them, or MOST_BLOCKS were looked at."""
    found = 0
    for height in range(top, max(-1, top - MOST_BLOCKS), -1):
        if found >= params.transactions:
            return
        row = node.rows(range(height, height + 1))[0]
        try:
            inside = len(reader(params.chain.kind).block(row).transactions)
        except MALFORMED:
            inside = params.transactions  # kept, and enough: whoever analyses will say what is wrong with it
        if inside:
            found += inside
            stream.write(member(lines([row])))


def _said(address: str, hello: bytes) -> tuple[bool, bytes]:
    """Whether a port took the connection, and what it answered."""
    host, _, port = address.rpartition(":")
    answer = b""
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S) as connection:
            connection.settimeout(ANSWER_S)
            end = time.monotonic() + WHOLE_S
            try:
                connection.sendall(hello)
                while len(answer) < LONGEST_ANSWER and not read_answer(answer).done and time.monotonic() < end:
                    data = connection.recv(LONGEST_ANSWER)
                    if not data:
                        break
                    answer += data
            except OSError:
                pass  # closed or silent: what came is the answer
            return True, answer
    except (OSError, ValueError, OverflowError):
        return False, answer
