"""A package in hostile hands: whatever is done to it is found, and reading it never harms the reader."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from yanshou.harness import bag as bag_module
from yanshou.harness import container
from yanshou.harness.bag import ENVELOPE, Bag, PackageContents, make_bag, open_package, write_package
from yanshou.harness.basics import ExitCode, UserError
from yanshou.harness.container import Entry, Item, Limits, read_container, write_container
from yanshou.harness.digests import measure
from yanshou.harness.envelope import DEMO, TEST_RESULT, Role, Signer, sign, statement
from yanshou.harness.keys import PrivateKey, load_private, new_key
from yanshou.harness.names import name_problem
from yanshou.harness.seal import countersign, verify_package

INFO = {"Bagging-Date": "2024-11-22", "External-Identifier": "演示-2024-001", "Source-Organization": "某检测中心"}
PAYLOAD = {
    "record.json": b'{"verdict":"pass"}\n',
    "runs/0001-S10-I03/packets.csv": b"".join(b"%d,%d\n" % (i, i * i) for i in range(20)),
    "runs/0001-S10-I03/空.bin": b"",
    "report/报告.pdf": random.Random(1).randbytes(40),
}
TOP = "演示-S10"


@dataclass(frozen=True)
class Sample:
    path: Path
    bag: Bag
    envelope: bytes
    keys: Mapping[Role, PrivateKey]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    for name, data in PAYLOAD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    keys = {}
    for role in (Role.TESTER, Role.REVIEWER):
        new_key(folder / role, algorithm="ed25519", name=role.word)
        keys[role] = load_private(folder / role)
    bag = make_bag(TOP, [(name, folder / name) for name in PAYLOAD], INFO)
    draft = statement(
        bag.subjects,
        DEMO,
        {"result": "PASSED"},
        [Signer(r, k.public) for r, k in keys.items()],
        "2024-11-22T00:00:00.000Z",
    )
    path = folder / "package.zip"
    write_package(path, bag, sign(draft, keys[Role.TESTER], Role.TESTER).to_bytes())
    signed = countersign(path, keys[Role.REVIEWER], Role.REVIEWER)
    return Sample(path, bag, signed.to_bytes(), keys)


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: for tests that unpack thousands of packages."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def unpacked(sample: Sample, tmp_path: Path) -> Path:
    return open_package(sample.path, tmp_path / "unpacked").root


def refused(path: Path, target: Path, limits: Limits = container.LIMITS) -> list[str]:
    with pytest.raises(UserError) as error:
        open_package(path, target, limits)
    assert error.value.exit_code is ExitCode.UNVERIFIED
    assert all(problem.file is not None for problem in error.value.problems)
    return sorted({problem.code for problem in error.value.problems})


def files_of(sample: Sample, tmp_path: Path) -> dict[str, bytes]:
    root = unpacked(sample, tmp_path)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def repack(path: Path, files: Mapping[str, bytes], top: str = TOP) -> Path:
    """A correct container around whatever files."""
    write_container(path, [Item(f"{top}/{name}", data, measure(data)) for name, data in files.items()])
    return path


def forge(path: Path, files: list[tuple[str, bytes]], change: Callable[[Entry], Entry] = lambda e: e) -> Path:
    """A container as ours, but in the given order, with any names, and with entries that `change` lies about."""
    with path.open("wb") as out:
        entries: list[Entry] = []
        for name, data in files:
            offset = entries[-1].end if entries else 0
            entry = change(container._write_entry(out, Item(name, data, measure(data)), offset))
            out.seek(offset)
            out.write(entry.local)
            out.seek(0, os.SEEK_END)
            entries.append(entry)
        start = out.tell()
        out.write(b"".join(entry.central for entry in entries))
        out.write(container._tail(len(entries), out.tell() - start, start))
    return path


# --- what ordinary tools say --------------------------------------------------------------------------------------------


def test_bagit_accepts_the_unzipped_package(sample: Sample, tmp_path: Path) -> None:
    with zipfile.ZipFile(sample.path) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    command = [sys.executable, "-m", "bagit", "--validate", str(tmp_path / TOP)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "is valid" in result.stderr
    (tmp_path / TOP / "manifest-sm3.txt").write_bytes(b"")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1, "bagit.py must cover the SM3 manifest as a tag file"


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_accepts_the_package(sample: Sample) -> None:
    result = subprocess.run(["unzip", "-t", sample.path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees_with_the_sm3_manifest(sample: Sample, tmp_path: Path) -> None:
    root = unpacked(sample, tmp_path)
    lines = (root / "manifest-sm3.txt").read_text().splitlines()
    assert len(lines) == len(PAYLOAD)
    for line in lines:
        digest, name = line.split("  ")
        out = subprocess.run(["openssl", "dgst", "-sm3", "-r", root / name], capture_output=True, text=True, check=True)
        assert out.stdout.split()[0] == digest


# --- the untouched package ----------------------------------------------------------------------------------------------


def test_an_intact_package_reads_the_same_as_zip_and_as_folder(sample: Sample, tmp_path: Path) -> None:
    zipped = open_package(sample.path, tmp_path / "a")
    folder = open_package(zipped.root, tmp_path / "unused")
    assert replace(folder, root=zipped.root) == zipped
    assert {name: (zipped.root / "data" / name).read_bytes() for name in PAYLOAD} == PAYLOAD
    assert zipped.info == INFO
    assert set(zipped.subjects) == {"bag-info.txt", "bagit.txt", "manifest-sha256.txt", "manifest-sm3.txt"}
    assert (zipped.root / "bag-info.txt").read_text().splitlines()[2].startswith("Payload-Oxum: ")
    report = verify_package(zipped, None)
    assert report.problems == ()
    assert not report.identities_checked


def test_the_same_case_gives_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    for turn in ("a", "b"):
        write_package(tmp_path / turn, sample.bag, sample.envelope)
        assert (tmp_path / turn).read_bytes() == sample.path.read_bytes()
    again = open_package(sample.path, tmp_path / "x").bag
    write_package(tmp_path / "c", again, sample.envelope)
    assert (tmp_path / "c").read_bytes() == sample.path.read_bytes()


def test_large_files_pass_through_a_small_memory(tmp_path: Path) -> None:
    size = 24 << 20
    block = random.Random(2).randbytes(1 << 20)
    with (tmp_path / "big").open("wb") as f:
        for _ in range(size >> 20):
            f.write(block)
    tracemalloc.start()
    write_package(tmp_path / "p.zip", make_bag("big", [("big.pcap", tmp_path / "big")], INFO), None)
    contents = open_package(tmp_path / "p.zip", tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert contents.payload["data/big.pcap"].size == size
    assert contents.envelope is None
    assert peak < 12 << 20


def test_sizes_beyond_32_bits_fit_the_headers() -> None:
    entry = Entry("a/b", 1, 5 << 32, 6 << 32, 7 << 32, bytes(32))
    assert struct.unpack("<QQ", entry.local[-16:]) == (6 << 32, 5 << 32)
    assert struct.unpack("<QQQ", entry.central[-60:-36]) == (6 << 32, 5 << 32, 7 << 32)


# --- one byte -----------------------------------------------------------------------------------------------------------


def test_every_flipped_byte_of_the_zip_is_found(sample: Sample, ram: Path) -> None:
    data, draw, unnoticed = sample.path.read_bytes(), random.Random(3), []
    shutil.copy(sample.path, ram / "copy.zip")
    with (ram / "copy.zip").open("r+b", buffering=0) as copy:
        for place, byte in enumerate(data):
            copy.seek(place)
            copy.write(bytes([byte ^ draw.randrange(1, 256)]))
            try:
                open_package(ram / "copy.zip", ram / "out")
                unnoticed.append(place)
            except UserError:
                pass
            if (ram / "out").exists():
                shutil.rmtree(ram / "out")
            copy.seek(place)
            copy.write(data[place : place + 1])
    assert unnoticed == []
    assert verify_package(open_package(ram / "copy.zip", ram / "out"), None).problems == ()


def test_bits_that_deflate_ignores_are_found(tmp_path: Path) -> None:
    path = repack(tmp_path / "p.zip", {"f": b"a"})
    with path.open("rb") as f:
        (entry,) = container._read_directory(f, path, container.LIMITS)
    data = bytearray(path.read_bytes())
    last = entry.end - 1
    data[last] ^= 0x80
    assert zlib.decompress(data[entry.end - entry.compressed : entry.end], -15) == b"a", (
        "the bit means nothing to inflate"
    )
    path.write_bytes(data)
    with pytest.raises(UserError, match="V-B06"):
        read_container(path, tmp_path / "out")


def test_one_byte_of_any_file_in_a_correct_container_is_found(sample: Sample, tmp_path: Path, ram: Path) -> None:
    files = files_of(sample, tmp_path)
    draw = random.Random(4)
    for name, data in files.items():
        places = [draw.randrange(len(data)) for _ in range(5)] if data else []
        changed = [data[:p] + bytes([data[p] ^ draw.randrange(1, 256)]) + data[p + 1 :] for p in places]
        for number, each in enumerate((*changed, data + b"\n", data[:-1] or b"x")):
            path = repack(ram / "p.zip", {**files, name: each})
            with pytest.raises(UserError) as error:
                open_package(path, ram / f"{Path(name).name}-{number}")
            assert name in str(error.value)


def test_a_payload_edited_with_all_manifests_is_found_by_the_signatures(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(PAYLOAD["record.json"].replace(b"pass", b"fail"))
    files = [(name.removeprefix("data/"), path) for name, path in sample.bag.sources.items()]
    edited = make_bag(TOP, [(n, tmp_path / n if n == "record.json" else p) for n, p in files], INFO)
    renamed = replace(sample.bag, info={**INFO, "External-Identifier": "演示-2024-002"})
    for bag, changed in ((edited, {"manifest-sha256.txt", "manifest-sm3.txt"}), (renamed, {"bag-info.txt"})):
        write_package(tmp_path / "p.zip", bag, sample.envelope)
        contents = open_package(tmp_path / "p.zip", tmp_path / f"out{len(changed)}")
        problems = verify_package(contents, None).problems
        assert {p.code for p in problems} == {"V-S04"}
        assert {p.text.split()[0] for p in problems} == changed


# --- the container ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"", lambda data: data[:-1], lambda data: data[1:], lambda data: data + b"\0",
        lambda data: b"#!/bin/sh\n" + data, lambda data: data[:-2] + b"\x02\x00hi", lambda data: data[: len(data) // 2],
        lambda data: data + data, lambda data: b"PK\5\6" + bytes(18), lambda data: b"\xff" * 98, lambda data: bytes(98),
    ],
)  # fmt: skip
def test_leading_trailing_missing_and_commenting_bytes(
    sample: Sample, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "p.zip").write_bytes(change(sample.path.read_bytes()))
    assert refused(tmp_path / "p.zip", tmp_path / "out") == ["V-B01"]
    assert not (tmp_path / "out").exists()


def test_a_package_zipped_again_says_what_to_do(sample: Sample, tmp_path: Path) -> None:
    root = unpacked(sample, tmp_path)
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(root.parent))
    with pytest.raises(UserError, match="对文件夹核验") as error:
        open_package(tmp_path / "p.zip", tmp_path / "out")
    assert error.value.problems[0].code == "V-B01"


@pytest.mark.parametrize(
    "name",
    [
        "../x", "a/../../x", f"{TOP}/data/../x", "/etc/x", f"{TOP}//x", f"{TOP}/./x", "..", f"{TOP}/..", f"{TOP}/x/",
        f"{TOP}\\x", "C:/x", f"{TOP}/C:x", f"{TOP}/a\0b", f"{TOP}/a\nb", f"{TOP}/a\u202egpj.exe", f"{TOP}/\u200bx",
        f"{TOP}/NUL", f"{TOP}/com1.txt", f"{TOP}/x.", f"{TOP}/x ", f"{TOP}/50%.png", f"{TOP}/e\u0301", f"{TOP}/*",
        f"{TOP}/{'x' * 256}", "/".join(["y" * 200] * 6),
    ],
)  # fmt: skip
def test_names_that_could_lead_elsewhere(tmp_path: Path, name: str) -> None:
    assert name_problem(name) is not None
    path = forge(tmp_path / "p.zip", [(name, b"x")])
    before = sorted(tmp_path.parent.rglob("*"))
    assert refused(path, tmp_path / "out") == ["V-B02"]
    assert sorted(tmp_path.parent.rglob("*")) == before
    with pytest.raises(UserError, match="B-E01"):
        repack(tmp_path / "q.zip", {"ok": b"", f"../{name}": b""})
    assert not (tmp_path / "q.zip").exists()


def test_names_that_people_do_use() -> None:
    for name in (
        "data/runs/0001-S10-I03/北斗 差分 (2).nmea",
        "data/a+b=c,d;e@f.txt",
        "data/～$草稿.docx",
        "data/䶮.csv",
    ):
        assert name_problem(name) is None


@pytest.mark.parametrize(
    "names",
    [["t/a", "t/a"], ["t/A", "t/a"], ["t/a", "t/a/b"], ["t/B/x", "t/b/y"], ["T/a", "t/a"], ["t/Straße", "t/STRASSE"]],
)
def test_names_that_would_meet_on_another_system(tmp_path: Path, names: list[str]) -> None:
    assert refused(forge(tmp_path / "p.zip", [(n, b"x") for n in names]), tmp_path / "out") == ["V-B03"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [[], ["a"], ["a/b", "c/d"], ["a", "b/c"]])
def test_everything_is_in_one_top_folder(tmp_path: Path, names: list[str]) -> None:
    assert refused(forge(tmp_path / "p.zip", [(n, b"x") for n in names]), tmp_path / "out") == ["V-B07"]


def patched(path: Path, record: int, place: int, value: bytes) -> Path:
    """`path` with bytes of the central record number `record` replaced, in the local header too where it has them."""
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(record + 1):
        at = data.index(b"PK\1\2", at + 1)
    data[at + place : at + place + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("place", "value", "code", "hint"),
    [
        (38, struct.pack("<L", 0o120777 << 16), "V-B04", "符号链接"),
        (38, struct.pack("<L", 0o020644 << 16), "V-B04", "特殊文件"),
        (38, struct.pack("<L", 0o040755 << 16), "V-B04", "特殊文件"),
        (8, struct.pack("<H", (1 << 11) | 1), "V-B04", "加密"),
        (10, struct.pack("<H", 0), "V-B01", "压缩方法"),
        (12, struct.pack("<H", 1), "V-B01", "时间"),
        (32, struct.pack("<H", 4), "V-B01", "注释长度"),
        (38, struct.pack("<L", 0o100755 << 16), "V-B01", "外部属性"),
    ],
)
def test_special_entries(sample: Sample, tmp_path: Path, place: int, value: bytes, code: str, hint: str) -> None:
    shutil.copy(sample.path, tmp_path / "p.zip")
    with pytest.raises(UserError, match=hint) as error:
        open_package(patched(tmp_path / "p.zip", 1, place, value), tmp_path / "out")
    assert error.value.problems[0].code == code
    assert not (tmp_path / "out").exists()


def test_local_headers_that_tell_another_story(tmp_path: Path) -> None:
    path = repack(tmp_path / "p.zip", {"a": b"x", "b": b"y"}, "t")
    data = path.read_bytes()
    for number, place in enumerate((4, 6, 8, 10, 14, 18, 22, 30, 36, 50)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(UserError, match="t/a：本地文件头"):
            read_container(path, tmp_path / f"out{number}")


def test_order_gaps_and_overlaps(tmp_path: Path) -> None:
    assert refused(forge(tmp_path / "order.zip", [("t/b", b"x"), ("t/a", b"x")]), tmp_path / "out") == ["V-B01"]
    path = repack(tmp_path / "gap.zip", {"a": b"x", "b": b"y"}, "t")
    with path.open("rb") as f:
        first, second = container._read_directory(f, path, container.LIMITS)
    data = path.read_bytes()
    moved = replace(second, offset=second.offset + 5)
    overlap = replace(second, offset=first.offset)
    for entries, body in (
        ((first, moved), data[: first.end] + b"extra" + data[second.offset : second.end]),
        ((first, overlap), data[: first.end]),
        ((first, second), data[: second.end] + b"extra"),
        ((first,), data[: second.end]),
    ):
        records = b"".join(entry.central for entry in entries)
        path.write_bytes(body + records + container._tail(len(entries), len(records), len(body)))
        assert refused(path, tmp_path / "out") == ["V-B01"]
    records = first.central + second.central + b"extra"
    path.write_bytes(data[: second.end] + records + container._tail(2, len(records), second.end))
    assert refused(path, tmp_path / "out") == ["V-B01"]


# --- bombs --------------------------------------------------------------------------------------------------------------


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    path = repack(tmp_path / "p.zip", {"zeros": bytes(1 << 22)}, "t")
    assert path.stat().st_size < 1 << 13
    assert refused(path, tmp_path / "out", Limits(free=1 << 20)) == ["V-B05"]
    assert refused(path, tmp_path / "out", Limits(bytes=1 << 21)) == ["V-B05"]
    assert refused(path, tmp_path / "out", Limits(entries=0)) == ["V-B05"]
    assert not (tmp_path / "out").exists()
    assert list(read_container(path, tmp_path / "ok")) == ["t/zeros"]


@pytest.mark.parametrize("declared", [0, 10, 3 << 19])
def test_headers_that_understate_a_bomb(tmp_path: Path, declared: int) -> None:
    path = forge(tmp_path / "p.zip", [("t/zeros", bytes(1 << 24))], lambda e: replace(e, size=declared))
    with pytest.raises(UserError, match="超过声明的大小"):
        read_container(path, tmp_path / "out", Limits(free=1))
    assert (tmp_path / "out/t/zeros").stat().st_size <= declared + container.CHUNK


def test_headers_that_overstate(tmp_path: Path) -> None:
    for number, lie in enumerate((1 << 20, 1 << 63)):
        path = forge(tmp_path / "p.zip", [("t/f", b"abc")], lambda e, lie=lie: replace(e, size=lie))
        assert refused(path, tmp_path / f"out{number}") == (["V-B06"] if lie < 1 << 36 else ["V-B05"])


def test_compressed_data_with_something_behind(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "p.zip"
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflater.compress(b"abc") + deflater.flush()
    for body, hint in (
        (packed + b"hidden", "后面还有数据"),
        (packed[:-2], "不完整"),
        (b"\xff" + packed, "损坏"),
        (b"", "不完整"),
    ):
        entry = Entry("t/f", zlib.crc32(b"abc"), len(body), 3, 0, hashlib.sha256(body).digest())
        start = entry.end
        path.write_bytes(entry.local + body + entry.central + container._tail(1, len(entry.central), start))
        with pytest.raises(UserError, match=hint):
            read_container(path, tmp_path / f"out{len(body)}")


def test_a_target_that_holds_something_is_not_touched(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        open_package(sample.path, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


# --- the bag ------------------------------------------------------------------------------------------------------------


def edited(files: Mapping[str, bytes], name: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    return {**files, name: change(files[name])}


def without(files: Mapping[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name not in names}


def retagged(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """`files` with tag manifests that know every change: no digest will tell."""
    tags = {n: measure(d).digests for n, d in sorted(files.items()) if not n.startswith(("data/", "tagmanifest-"))}
    lines = {a: "".join(f"{getattr(d, a)}  {n}\n" for n, d in tags.items()) for a in ("sha256", "sm3")}
    return {**files, **{f"tagmanifest-{a}.txt": text.encode() for a, text in lines.items()}}


RECORD = "data/record.json"
BAGS: list[tuple[str, Callable[[dict[str, bytes]], dict[str, bytes]], set[str], str]] = [
    ("extra payload", lambda f: {**f, "data/more": b"x"}, {"V-B09", "V-B12"}, "data/more"),
    ("extra empty payload", lambda f: {**f, "data/more": b""}, {"V-B09", "V-B12"}, "data/more"),
    ("extra tag file", lambda f: {**f, "note.txt": b"x"}, {"V-B09"}, "note.txt"),
    ("extra tag folder", lambda f: {**f, "meta/note.txt": b"x"}, {"V-B09"}, "meta/note.txt"),
    ("fetch.txt", lambda f: {**f, "fetch.txt": b"http://x/ 1 data/x\n"}, {"V-B09"}, "fetch.txt"),
    ("other manifest", lambda f: {**f, "manifest-md5.txt": b""}, {"V-B09"}, "manifest-md5.txt"),
    ("listed tag file", lambda f: retagged({**f, "note.txt": b"x"}), {"V-B09"}, "note.txt"),
    ("second envelope", lambda f: retagged({**f, "other.dsse.json": f[ENVELOPE]}), {"V-B09"}, "other.dsse.json"),
    ("info order", lambda f: retagged(edited(f, "bag-info.txt", lambda d: b"".join(d.splitlines(True)[::-1]))),
     {"V-B12"}, "写法不规范"),
    ("info twice", lambda f: retagged(edited(f, "bag-info.txt", lambda d: d + d.splitlines(True)[-1])), {"V-B12"}, "写法不规范"),
    ("missing payload", lambda f: without(f, RECORD), {"V-B08", "V-B12"}, RECORD),
    ("no payload", lambda f: {n: d for n, d in f.items() if not n.startswith("data/")}, {"V-B07"}, "data/"),
    ("no envelope", lambda f: without(f, ENVELOPE), {"V-B08"}, ENVELOPE),
    *((f"no {n}", lambda f, n=n: without(f, n), {"V-B07"}, n) for n in (
        "bagit.txt", "bag-info.txt", "manifest-sha256.txt", "manifest-sm3.txt", "tagmanifest-sha256.txt", "tagmanifest-sm3.txt")),
    ("swapped manifests", lambda f: {**f, "manifest-sha256.txt": f["manifest-sm3.txt"],
                                     "manifest-sm3.txt": f["manifest-sha256.txt"]}, {"V-B10"}, "SM3"),
    ("swapped payload", lambda f: {**f, RECORD: f["data/report/报告.pdf"], "data/report/报告.pdf": f[RECORD]},
     {"V-B10"}, RECORD),
    ("wrong oxum", lambda f: edited(f, "bag-info.txt", lambda d: d.replace(b"Payload-Oxum: ", b"Payload-Oxum: 1")),
     {"V-B10", "V-B12"}, "Payload-Oxum"),
    ("no oxum", lambda f: edited(f, "bag-info.txt", lambda d: d.replace(b"Payload-Oxum", b"Payload-Oxxm")),
     {"V-B10", "V-B12"}, "Payload-Oxum"),
    ("folded info", lambda f: edited(f, "bag-info.txt", lambda d: d.replace(b": ", b":  ", 1)), {"V-B10", "V-B12"}, "bag-info.txt"),
    ("no date", lambda f: edited(f, "bag-info.txt", lambda d: d.replace(b"Bagging-Date", b"Bugging-Date")),
     {"V-B10", "V-B12"}, "缺少 Bagging-Date"),
    ("CRLF", lambda f: edited(f, "bagit.txt", lambda d: d.replace(b"\n", b"\r\n")), {"V-B10", "V-B11"}, "bagit.txt"),
    ("manifest order", lambda f: edited(f, "manifest-sm3.txt", lambda d: b"".join(d.splitlines(True)[::-1])),
     {"V-B10", "V-B11"}, "manifest-sm3.txt"),
    ("manifest case", lambda f: edited(f, "manifest-sm3.txt", bytes.upper), {"V-B09", "V-B10"}, "manifest-sm3.txt"),
    ("manifest line twice", lambda f: edited(f, "manifest-sha256.txt", lambda d: d + d.splitlines(True)[0]),
     {"V-B10", "V-B11"}, "manifest-sha256.txt"),
    ("manifest comment", lambda f: edited(f, "tagmanifest-sm3.txt", lambda d: d + b"# hi\n"), {"V-B11"}, "tagmanifest-sm3.txt"),
    ("tag manifest short", lambda f: edited(f, "tagmanifest-sha256.txt", lambda d: b"".join(d.splitlines(True)[1:])),
     {"V-B09"}, "bag-info.txt"),
    ("one SM3 digest", lambda f: edited(f, "manifest-sm3.txt", lambda d: (b"0" if d[:1] != b"0" else b"1") + d[1:]),
     {"V-B10"}, "SM3"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected", "hint"), [case[1:] for case in BAGS], ids=[case[0] for case in BAGS])
def test_bags_that_are_not_as_they_say(
    sample: Sample,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    expected: set[str],
    hint: str,
) -> None:
    path = repack(tmp_path / "p.zip", change(files_of(sample, tmp_path)))
    with pytest.raises(UserError) as error:
        open_package(path, tmp_path / "out")
    # a change of a tag file also shows in the tag manifests
    found = {problem.code for problem in error.value.problems}
    assert expected <= found <= expected | {"V-B10"}
    assert hint in str(error.value)
    assert error.value.exit_code is ExitCode.UNVERIFIED
    folder = next((tmp_path / "out").iterdir())
    assert refused(folder, tmp_path / "unused") == sorted(found), "the unpacked folder is judged the same"


@pytest.mark.skipif(os.name != "posix", reason="needs FIFOs and free symbolic links")
def test_a_folder_with_links_or_special_files(sample: Sample, tmp_path: Path) -> None:
    root = unpacked(sample, tmp_path)
    link = root / "data" / "link"
    for make in (lambda: link.symlink_to("/etc/passwd"), lambda: link.symlink_to(tmp_path), lambda: os.mkfifo(link)):
        make()
        assert refused(root, tmp_path / "unused") == ["V-B04"]
        link.unlink()
    (root / "data" / "RECORD.json").write_text("x")
    assert "V-B03" in refused(root, tmp_path / "unused")


def test_tag_files_are_read_up_to_a_bound(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bag_module, "MAX_TAG_FILE", 1000)
    assert refused(sample.path, tmp_path / "out") == ["V-B05"]


def test_what_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty", tmp_path / "out") == ["V-B07"]
    assert refused(tmp_path / "none", tmp_path / "out") == ["V-B13"]
    (tmp_path / "text.zip").write_text("hello")
    assert refused(tmp_path / "text.zip", tmp_path / "out") == ["V-B01"]


# --- writing ------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_packed(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    one = [("f", tmp_path / "f")]
    attempts = [
        ("B-E01", "p", [("../f", tmp_path / "f")], INFO), ("B-E01", "p", one * 2, INFO), ("B-E01", "a/b", one, INFO),
        ("B-E01", "..", one, INFO), ("B-E03", "p", [], INFO), ("B-E03", "p", one, {"Bagging-Date": "2024-11-22"}),
        ("B-E03", "p", one, {**INFO, "Bagging-Date": "today"}), ("B-E03", "p", one, {**INFO, "Payload-Oxum": "1.1"}),
        ("B-E03", "p", one, {**INFO, "Contact": "a\nb"}), ("B-E03", "p", one, {**INFO, "Contact: x": "a"}),
        ("B-E05", "p", [("g", tmp_path / "g")], INFO),
    ]  # fmt: skip
    for code, name, files, info in attempts:
        with pytest.raises(UserError) as error:
            make_bag(name, files, info)
        assert error.value.problems[0].code == code
    bag = make_bag("p", one, INFO)
    target = tmp_path / "p.zip"
    target.write_bytes(b"before")
    (tmp_path / "f").write_text("y")
    with pytest.raises(UserError, match="B-E02"):
        write_package(target, bag, None)
    (tmp_path / "f").unlink()
    with pytest.raises(UserError, match="E-DISK"):
        write_package(target, bag, None)
    with pytest.raises(UserError, match="E-DISK"):
        write_package(tmp_path / "none" / "p.zip", sample.bag, None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.zip"]
    assert target.read_bytes() == b"before"


def test_a_package_that_reading_would_refuse_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "LIMITS", Limits(free=1 << 16))
    with pytest.raises(UserError, match="B-E04"):
        repack(tmp_path / "p.zip", {"zeros": bytes(1 << 20)})
    assert list(tmp_path.iterdir()) == []


# --- signatures in a package --------------------------------------------------------------------------------------------


def opened(sample: Sample, tmp_path: Path, envelope: bytes | None) -> PackageContents:
    write_package(tmp_path / "p.zip", sample.bag, envelope)
    return open_package(tmp_path / "p.zip", tmp_path / "out")


def test_a_package_stripped_of_its_signatures(sample: Sample, tmp_path: Path) -> None:
    contents = opened(sample, tmp_path, None)
    with pytest.raises(UserError) as error:
        verify_package(contents, None)
    assert error.value.problems[0].code == "V-S02"
    assert error.value.exit_code is ExitCode.UNVERIFIED


def test_an_envelope_of_another_package(sample: Sample, tmp_path: Path) -> None:
    key = sample.keys[Role.TESTER]
    other = statement({}, TEST_RESULT, {}, [Signer(Role.TESTER, key.public)], "2024-11-22T00:00:00.000Z")
    contents = opened(sample, tmp_path, sign(other, key, Role.TESTER).to_bytes())
    report = verify_package(contents, None)
    assert [p.code for p in report.problems] == ["V-S04"] * 4


def test_countersigning_needs_an_intact_package_that_expects_it(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    reviewer = sample.keys[Role.REVIEWER]

    def attempt() -> str:
        before = path.read_bytes()
        with pytest.raises(UserError) as error:
            countersign(path, reviewer, Role.REVIEWER)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["p.zip"], "nothing is left behind"
        return error.value.problems[0].code

    shutil.copy(sample.path, path)
    assert attempt() == "S-E04"
    write_package(path, sample.bag, None)
    assert attempt() == "V-S02"
    write_package(path, replace(sample.bag, info={**INFO, "Bagging-Date": "2024-11-23"}), sample.envelope)
    assert attempt() == "V-S04"
    path.write_bytes(sample.path.read_bytes()[:-1])
    assert attempt() == "V-B01"
