"""Counting a chain: ours beside a plain web3.py walk over the same anvil, thin blocks and 100,000 records in fat ones.

Not like for like, and said so: ours writes every block into evidence, asks for the receipts too, and on analysis recomputes every
header and a thousand records; the walk counts transactions. The walk over fat blocks asks for receipts as ours does.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.table import show
from tests.probes.chain_support import CONTRACT, START_S, Anvil, anvil
from tests.probes.records_support import record
from yanshou.probes.contract import Probe

THIN = 5_000
RECORDS, PLANTED, PER_BLOCK = 100_000, 3_000, 500
WALK = """
import sys, time
from web3 import Web3
w3 = Web3(Web3.HTTPProvider(sys.argv[1]))
started, transactions = time.perf_counter(), 0
for n in range(w3.eth.block_number + 1):
    block = w3.eth.get_block(n, full_transactions=True)
    if sys.argv[2] == "receipts" and block.transactions:
        transactions += sum(r.status for r in w3.eth.get_block_receipts(n))
    else:
        transactions += len(block.transactions)
print(time.perf_counter() - started, transactions)
"""


def walked(node: Anvil, mode: str) -> tuple[float, str]:
    """Seconds of web3.py and what it counted; (nan, why not) where it is not installed."""
    python = Path(sys.prefix) / "peers/bin/python"
    if not python.exists():
        return float("nan"), "web3.py is not installed"
    done = subprocess.run([python, "-c", WALK, node.url, mode], capture_output=True, text=True, check=True)
    seconds, transactions = done.stdout.split()
    return float(seconds), transactions


def ours(node: Anvil) -> tuple[float, float, str]:
    """Seconds of capture and of analysis, and what was counted."""
    probe = Probe("chain.records")
    params = probe.params(
        {"chain": {"kind": "ethereum"}, "endpoint": {"url": node.url}, "record": {"contracts": [CONTRACT]}}
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        evidence = record(Path(folder), probe.capture, params)
        captured = time.perf_counter()
        count = probe.analyse(evidence, params, 1)
        analysed = time.perf_counter()
    return captured - started, analysed - captured, f"gross {count.gross}, net {count.net}"  # type: ignore[union-attr]


def thin(blocks: int) -> None:
    """Blocks without transactions."""
    with anvil() as node:
        for _ in range(blocks // 100):
            node.ask("anvil_mine", "0x64", "0x1")
        capture, analysis, _ = ours(node)
        walk, _ = walked(node, "plain")
    show(
        f"chain: {blocks:,} thin blocks",
        ("", "s", "blocks/s", "ours / its"),
        [
            ("ours, capture", f"{capture:.2f}", f"{blocks / capture:,.0f}", ""),
            ("ours, capture and analysis", f"{capture + analysis:.2f}", f"{blocks / (capture + analysis):,.0f}", ""),
            ("plain web3.py walk", f"{walk:.2f}", f"{blocks / walk:,.0f}", f"{walk / capture:.1f}"),
        ],
    )


def fat(records: int, planted: int) -> None:
    """`records` among `planted` failed, repeated and empty ones: the count must be the truth."""
    rng = random.Random(1)
    payloads = [b"\x12\x34\x56\x78" + rng.randbytes(32) for _ in range(records)]
    third = planted // 3
    junk = [b"\xff" + rng.randbytes(35) for _ in range(third)] + [b"\x12\x34\x56\x78" + bytes(32) for _ in range(third)]
    junk += [rng.choice(payloads) for _ in range(planted - len(junk))]
    data = payloads + junk
    rng.shuffle(data)
    with anvil() as node:
        started = time.perf_counter()
        for number in range(0, len(data), PER_BLOCK):
            node.send([(rng.randrange(10), CONTRACT, d) for d in data[number : number + PER_BLOCK]])
            node.mine(START_S + (number // PER_BLOCK + 1) * 3600)
        sent = time.perf_counter() - started
        capture, analysis, found = ours(node)
        walk, transactions = walked(node, "receipts")
    rate = len(data) / capture
    show(
        f"chain: {records:,} records and {planted:,} planted, {PER_BLOCK} a block (sending took {sent:.0f} s)",
        ("", "s", "transactions/s", "ours / its", "counted"),
        [
            ("ours, capture", f"{capture:.1f}", f"{rate:,.0f}", "", ""),
            ("ours, analysis", f"{analysis:.1f}", f"{len(data) / analysis:,.0f}", "", found),
            (
                "web3.py walk with receipts",
                f"{walk:.1f}",
                f"{len(data) / walk:,.0f}",
                f"{walk / capture:.1f}",
                transactions,
            ),
        ],
    )


def main(arguments: Sequence[str] = ()) -> None:
    """Both; `arguments[0]` records instead of 100,000."""
    records = int(arguments[0]) if arguments else RECORDS
    thin(THIN)
    fat(records, records * PLANTED // RECORDS)


if __name__ == "__main__":
    main(sys.argv[1:])
