"""Reading a receiver's log: three jobs, each by ours and by peers in a process of its own, on a million lines; ours on 8.6 million.

The log is one of four systems (GGA, RMC, GST, VTG, four GSA, eleven GSV an epoch) whose every number moves; 8.6 million lines are
five days of one line at 20 Hz. The jobs, in each of which every checksum is proven:

- split: every sentence by kind and cut into fields. Ours says where each field lies, pynmea2 makes a text of it.
- numbers: besides all that the sentences say (time, position, height, age; sigmas; satellites used; elevation, azimuth and C/N0 of
  those in view), and ours refuses what cannot be. pynmea2 makes a number only when it is asked for one; pynmeagps makes all.
- epochs: columns of dated epochs, sums over every satellite of the sky, sigmas, systems in use, counts; ours also takes the step of
  the digits and reads a sample again by pynmea2.

The last columns, means over all lines, show that each did it. Seconds are those of the processor: each reader is one thread, and
the machine may have others.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from tests.benchmarks.table import show
from yanshou.probes.gnss.simulate import sentence

LINES = 1_000_000
MANY = 8_640_000
PER_EPOCH = 19
FEWER, SLOW = 250_000, 50_000
"""Lines that pynmea2 with numbers, and pynmeagps, are given: their rate does not depend on it."""

HEAD = """
import resource, sys, time
from itertools import islice
path, most = sys.argv[1], int(sys.argv[2])
lines, fields, latitude, cn0 = 0, 0, 0.0, 0.0
def number(text):
    return float(text) if text else None
"""
TAIL = """
spent = time.process_time() - started
means = [f"{value / lines:.8g}" if value else "-" for value in (fields, latitude, cn0)]
print(lines, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, *means)
"""
OURS_SPLIT = """
import numpy
from yanshou.formats.nmea import read_blocks
started = time.process_time()
with open(path, "rb") as f:
    for block in read_blocks(iter(lambda: f.read(1 << 16), b"")):
        for some in block.lines.values():
            lines += len(some)
            fields += int(some.commas.sum())
"""
OURS_NUMBERS = """
import numpy as np
from yanshou.formats.nmea import read_blocks
started = time.process_time()
with open(path, "rb") as f:
    for block in read_blocks(iter(lambda: f.read(1 << 16), b"")):
        lines += sum(len(table) for table in block.tables.values())
        latitude += float(np.nansum(block.tables["GGA"]["latitude"]))
        cn0 += float(np.nansum(block.tables["GSV"]["cn0"]))
"""
OURS_EPOCHS = """
import numpy, pynmea2
from yanshou.probes.gnss.reading import read_epochs
started = time.process_time()
with open(path, "rb") as f:
    reading = read_epochs((0, part) for part in iter(lambda: f.read(1 << 16), b""))
lines = sum(reading.counts.accepted.values())
latitude = float(reading.epochs.latitude.sum())
cn0 = sum(one.cn0 * one.tracked for one in reading.satellites if one.tracked)
"""
PYNMEA2_SPLIT = """
import pynmea2
started = time.process_time()
with open(path, encoding="ascii") as f:
    for line in islice(f, most):
        fields += len(pynmea2.parse(line, check=True).data)
        lines += 1
"""
PYNMEA2_NUMBERS = """
import pynmea2
started = time.process_time()
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
PYNMEA2_EPOCHS = """
import math
from collections import Counter
from datetime import datetime
import pynmea2
started = time.process_time()
counts, systems, epochs, sky, sigma, day = Counter(), set(), [], {}, [0.0] * 3, None
with open(path, encoding="ascii") as f:
    for line in islice(f, most):
        message = pynmea2.parse(line, check=True)
        kind, data = message.sentence_type, message.data
        counts[kind] += 1
        if kind == "GGA":
            height = message.altitude + number(message.geo_sep)
            epochs.append(
                (message.timestamp, message.latitude, message.longitude, height, message.gps_qual, number(data[12]), data[13])
            )
        elif kind == "RMC":
            if message.status == "A" and day is None:
                day = datetime.combine(message.datestamp, message.timestamp)
        elif kind == "GSA":
            if data[2]:
                systems.add(data[17])
        elif kind == "GSV":
            for at in range(3, len(data) - 4, 4):
                sums = sky.setdefault((message.talker, int(data[at])), [0] * 6)
                elevation, azimuth, power = number(data[at + 1]), number(data[at + 2]), number(data[at + 3])
                if elevation is not None and azimuth is not None:
                    turn = math.radians(azimuth)
                    sums[0] += 1
                    sums[1] += elevation
                    sums[2] += math.cos(turn)
                    sums[3] += math.sin(turn)
                if power is not None:
                    sums[4] += 1
                    sums[5] += power
        elif kind == "GST":
            sigma = [old + number(text) ** 2 for old, text in zip(sigma, data[5:8])]
lines = sum(counts.values())
latitude = sum(epoch[1] for epoch in epochs)
cn0 = sum(sums[5] for sums in sky.values())
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
    ("split", "yanshou"): (OURS_SPLIT, 0),
    ("split", "pynmea2"): (PYNMEA2_SPLIT, LINES),
    ("numbers", "yanshou"): (OURS_NUMBERS, 0),
    ("numbers", "pynmea2"): (PYNMEA2_NUMBERS, FEWER),
    ("numbers", "pynmeagps"): (PYNMEAGPS, SLOW),
    ("epochs", "yanshou"): (OURS_EPOCHS, 0),
    ("epochs", "pynmea2"): (PYNMEA2_EPOCHS, FEWER),
}
"""What does which job, and how many lines it is given; ours reads all."""


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
    """What one reader, in a process of its own, says: lines, seconds, MB, fields, latitude and C/N0 a line."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code + TAIL, str(path), str(most)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def _table(title: str, path: Path, readers: Iterable[tuple[str, str]]) -> None:
    rows = []
    ours = 0.0
    for job, name in readers:
        lines, seconds, memory, *means = read(READERS[job, name][0], path, READERS[job, name][1])
        rate = int(lines) / float(seconds)
        ours = rate if name == "yanshou" else ours
        rows.append(
            (job, name, f"{int(lines):,}", f"{rate:,.0f}", f"{ours / rate:.1f}", f"{float(memory):.0f}", *means)
        )
    show(title, ("job", "reader", "lines", "lines/CPU s", "ours / its", "peak MB", "fields", "latitude", "C/N0"), rows)


def main(arguments: Sequence[str] = ()) -> None:
    """All readers on a million lines, then ours on `arguments[0]` lines instead of 8.64 million."""
    many = int(arguments[0]) if arguments else MANY
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.nmea"
        write(path, LINES)
        _table(f"nmea: {LINES:,} lines, {path.stat().st_size / 1e6:.0f} MB", path, READERS)
        large = Path(folder) / "many.nmea"
        write(large, many)
        ours = [one for one in READERS if one[1] == "yanshou"]
        _table(f"nmea: {many:,} lines, {large.stat().st_size / 1e6:.0f} MB", large, ours)


if __name__ == "__main__":
    main(sys.argv[1:])
