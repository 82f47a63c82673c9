"""Reading a receiver's log: a million lines by ours and by peers, each in a process of its own, and ours on 8.6 million lines.

The log is one of four systems (GGA, RMC, GST, VTG, four GSA, eleven GSV an epoch) whose every number moves; 8.6 million lines are
five days of one line at 20 Hz. Two jobs: every sentence by kind with its checksum proven; and besides the numbers in it (time,
position, height, age; sigmas; satellites used; elevation, azimuth and C/N0 of those in view). Ours always does the second.
pynmea2 splits a line and makes a number only when it is asked for one; pynmeagps makes all. The last columns show that each read.
Seconds are those of the processor: each reader is one thread, and the machine may have others.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tests.benchmarks.table import show
from yanshou.probes.gnss.simulate import sentence

LINES = 1_000_000
MANY = 8_640_000
PER_EPOCH = 19
NUMBERS, SLOW = 250_000, 50_000
"""Lines that pynmea2 with numbers, and pynmeagps, are given: their rate does not depend on it."""

HEAD = """
import resource, sys, time
from itertools import islice
path, most = sys.argv[1], int(sys.argv[2])
lines, latitude, cn0 = 0, 0.0, 0.0
"""
TAIL = """
spent = time.process_time() - started
print(lines, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, f"{latitude / lines:.9f}", f"{cn0 / lines:.6f}")
"""
OURS = """
import numpy as np
from yanshou.formats.nmea import read_blocks
started = time.process_time()
with open(path, "rb") as f:
    for block in read_blocks(iter(lambda: f.read(1 << 16), b"")):
        lines += sum(len(table) for table in block.tables.values())
        latitude += float(np.nansum(block.tables["GGA"]["latitude"]))
        cn0 += float(np.nansum(block.tables["GSV"]["cn0"]))
"""
EPOCHS = """
from yanshou.probes.gnss.reading import read_epochs
started = time.process_time()
with open(path, "rb") as f:
    reading = read_epochs((0, part) for part in iter(lambda: f.read(1 << 16), b""))
lines = sum(reading.counts.accepted.values())
latitude = float(reading.epochs.latitude.sum())
cn0 = sum(one.cn0 * one.tracked for one in reading.satellites if one.tracked)
"""
SPLIT = """
import pynmea2
started = time.process_time()
with open(path, encoding="ascii") as f:
    for line in islice(f, most):
        pynmea2.parse(line, check=True)
        lines += 1
"""
VALUES = """
import pynmea2
started = time.process_time()
def number(text):
    return float(text) if text else None
with open(path, encoding="ascii") as f:
    for line in islice(f, most):
        message = pynmea2.parse(line, check=True)
        kind, data = message.sentence_type, message.data
        if kind == "GGA":
            told = message.timestamp, message.latitude, message.longitude, message.gps_qual, message.altitude
            more = number(message.num_sats), number(message.horizontal_dil), number(message.geo_sep), number(message.age_gps_data)
            latitude += told[1]
        elif kind == "RMC":
            told = message.timestamp, message.datestamp, message.latitude, message.longitude, number(data[6]), number(data[7])
        elif kind == "GSA":
            told = [int(text) for text in data[2:14] if text], [number(text) for text in data[14:17]], data[17]
        elif kind == "GSV":
            for at in range(3, len(data) - 4, 4):
                told = int(data[at]), number(data[at + 1]), number(data[at + 2]), number(data[at + 3])
                cn0 += told[3] or 0
        elif kind == "GST":
            told = message.timestamp, [number(text) for text in data[1:8]]
        else:
            told = number(data[0]), number(data[4]), number(data[6])
        lines += 1
"""
PYNMEAGPS = """
from pynmeagps import NMEAReader
started = time.process_time()
with open(path, "rb") as f:
    for _, message in islice(NMEAReader(f), most):
        if message.msgID == "GGA":
            latitude += message.lat
        elif message.msgID == "GSV":
            cn0 += sum(getattr(message, name) or 0 for name in ("cno_01", "cno_02", "cno_03", "cno_04") if hasattr(message, name))
        lines += 1
"""
READERS = {
    "yanshou, numbers": (OURS, 0),
    "yanshou, epochs and all": (EPOCHS, 0),
    "pynmea2, checked and split": (SPLIT, LINES),
    "pynmea2, numbers": (VALUES, NUMBERS),
    "pynmeagps, numbers": (PYNMEAGPS, SLOW),
}


def _epoch(rng: random.Random, number: int) -> bytes:
    """One epoch: 19 sentences."""
    time = f"{number // 72000 % 24:02d}{number // 1200 % 60:02d}{number // 20 % 60:02d}.{number % 20 * 5:02d}"
    place = f"3031.{rng.randrange(10**7):07d},N,11421.{rng.randrange(10**7):07d},E"
    dop = f"{rng.uniform(1, 2):.2f},{rng.uniform(0.5, 1):.2f},{rng.uniform(0.8, 1.5):.2f}"
    sigma = ",".join(f"{rng.uniform(0.005, 0.02):.4f}" for _ in range(3))
    speed = f"{rng.uniform(0, 20):.3f}"
    bodies = [
        f"GNGGA,{time},{place},{rng.choice('4445')},{rng.randrange(18, 32)},0.{rng.randrange(5, 9)},"
        f"{rng.uniform(20, 60):.4f},M,-14.5000,M,{rng.uniform(0.5, 12):.1f},1023",
        f"GNRMC,{time},A,{place},{speed},{rng.uniform(0, 360):.2f},020326,,,R,V",
        f"GNGST,{time},{rng.uniform(5, 30):.1f},,,,{sigma}",
        f"GNVTG,{rng.uniform(0, 360):.2f},T,,M,{speed},N,{rng.uniform(0, 40):.3f},K,D",
    ]
    for system, (talker, count) in enumerate((("GP", 10), ("GL", 7), ("GA", 8), ("GB", 15)), 1):
        used = [f"{n + 1:02d}" for n in range(count) if rng.random() < 0.8][:12]
        bodies.append(f"GNGSA,A,3,{','.join(used + [''] * (12 - len(used)))},{dop},{system}")
        groups = -(-count // 4)
        for group in range(groups):
            seen = ""
            for n in range(group * 4, min(count, group * 4 + 4)):
                cn0 = f"{rng.randrange(28, 52)}" if rng.random() < 0.9 else ""
                seen += f",{n + 1:02d},{(n * 7 + number // 6000) % 90:02d},{(n * 37 + number // 3000) % 360:03d},{cn0}"
            bodies.append(f"{talker}GSV,{groups},{group + 1},{count:02d}{seen},1")
    return b"".join(map(sentence, bodies))


def write(path: Path, lines: int) -> None:
    """A log of `lines`, always the same; beyond a million it begins anew."""
    rng = random.Random(1)
    part = path.with_suffix(".part")
    with part.open("wb") as f:
        for number in range(min(lines, LINES) // PER_EPOCH + 1):
            f.write(_epoch(rng, number))
    written = 0
    with path.open("wb") as out:
        while written < lines:
            with part.open("rb") as f:
                for line in islice(f, lines - written):
                    out.write(line)
                    written += 1
    part.unlink()


def read(code: str, path: Path, most: int) -> list[str]:
    """What one reader, in a process of its own, says: lines, seconds, MB, mean latitude and C/N0 a line."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code + TAIL, str(path), str(most)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def _table(title: str, found: dict[str, list[str]]) -> None:
    rate = {name: int(told[0]) / float(told[1]) for name, told in found.items()}
    ours = rate["yanshou, numbers"]
    rows = [
        (
            name,
            f"{int(told[0]):,}",
            f"{rate[name]:,.0f}",
            f"{ours / rate[name]:.2f}",
            f"{float(told[2]):.0f}",
            *told[3:],
        )
        for name, told in found.items()
    ]
    show(title, ("reader", "lines", "lines/CPU s", "ours / its", "peak MB", "latitude", "C/N0"), rows)


def main(arguments: Sequence[str] = ()) -> None:
    """All readers on a million lines, then ours and pynmea2 (on a stretch) on `arguments[0]` lines instead of 8.64 million."""
    many = int(arguments[0]) if arguments else MANY
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.nmea"
        write(path, LINES)
        found = {name: read(code, path, most) for name, (code, most) in READERS.items()}
        _table(f"nmea: {LINES:,} lines, {path.stat().st_size / 1e6:.0f} MB", found)
        large = Path(folder) / "many.nmea"
        write(large, many)
        found = {name: read(*(READERS[name][0], large, LINES)) for name in list(READERS)[:3]}
        _table(f"nmea: {many:,} lines, {large.stat().st_size / 1e6:.0f} MB (pynmea2: the first {LINES:,})", found)


if __name__ == "__main__":
    main(sys.argv[1:])
