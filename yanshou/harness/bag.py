"""A package as a BagIt 1.0 bag (RFC 8493): payload, manifests in SHA-256 and SM3, and who says what about them.

It is for handing a case over as one zip and for reading one back without trusting it. Every file that a bag states anything
with is a function of the files it describes, so reading rebuilds it and compares bytes; only then is a difference explained.
bagit.py knows no SM3: it checks manifest-sm3.txt as an ordinary tag file, by its line in tagmanifest-sha256.txt.
It must never read a payload file for its meaning, and never return a package that is not intact.

    NAME/bagit.txt  bag-info.txt  manifest-{sha256,sm3}.txt  data/...      fixed when the bag is made: what is signed
    NAME/package.dsse.json                                                 the signatures over those
    NAME/tagmanifest-{sha256,sm3}.txt                                      over all of the above but data/
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from yanshou.harness.basics import ExitCode, Problem, UserError, refusal
from yanshou.harness.container import (
    DAMAGED,
    LIMITS,
    Item,
    Limits,
    name_problems,
    read_container,
    write_container,
)
from yanshou.harness.digests import ALGORITHMS, Digests, Measured, measure, measure_file
from yanshou.harness.names import name_problem

BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
ENVELOPE = "package.dsse.json"
MAX_TAG_FILE = 1 << 26
REQUIRED_INFO = ("Bagging-Date", "External-Identifier")
_MADE = ("bag-info.txt", "bagit.txt", *(f"manifest-{a}.txt" for a in ALGORITHMS))
_TAGMANIFESTS = tuple(f"tagmanifest-{a}.txt" for a in ALGORITHMS)


def _manifest(files: Mapping[str, Measured], algorithm: str) -> bytes:
    """`digest  name` per line, sorted by name."""
    names = sorted(files, key=str.encode)
    return "".join(f"{getattr(files[name].digests, algorithm)}  {name}\n" for name in names).encode()


def _oxum(payload: Mapping[str, Measured]) -> str:
    """Octets and streams of the payload."""
    return f"{sum(m.size for m in payload.values())}.{len(payload)}"


def _info(info: Mapping[str, str], payload: Mapping[str, Measured]) -> bytes:
    """bag-info.txt: `Label: value` per line, sorted by label, with the Payload-Oxum of `payload`."""
    return "".join(f"{k}: {v}\n" for k, v in sorted({**info, "Payload-Oxum": _oxum(payload)}.items())).encode()


def _parse_info(text: bytes) -> dict[str, str]:
    """What `_info` wrote; of another text whatever fits."""
    return dict(re.findall(r"(?m)^([^:\n]+): (.*)$", text.decode(errors="replace")))


def _info_problem(info: Mapping[str, str]) -> str | None:
    """Why `info` cannot be written as bag-info.txt, if it cannot."""
    if missing := [label for label in REQUIRED_INFO if label not in info]:
        return f"缺少 {'、'.join(missing)}"
    for label, value in info.items():
        if not re.fullmatch("[A-Z][A-Za-z0-9-]*", label) or label == "Payload-Oxum":
            return f"不能有标签 {label}"
        if not value or value != value.strip() or len(value.splitlines()) != 1:
            return f"{label} 应为一行文字"
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", info["Bagging-Date"]):
        return "Bagging-Date 应为 年-月-日"
    return None


@dataclass(frozen=True)
class Bag:
    """A bag before it is signed and written: `payload` by name in the bag ("data/..."), each with where it is now."""

    name: str
    info: Mapping[str, str]
    payload: Mapping[str, Measured]
    sources: Mapping[str, Path]

    @property
    def tags(self) -> dict[str, bytes]:
        """The tag files that follow from payload and info."""
        manifests = {f"manifest-{a}.txt": _manifest(self.payload, a) for a in ALGORITHMS}
        return {"bag-info.txt": _info(self.info, self.payload), "bagit.txt": BAGIT, **manifests}

    @property
    def subjects(self) -> dict[str, Digests]:
        """What a signature over this bag is over: the tag files that fix everything else."""
        return {name: measure(data).digests for name, data in self.tags.items()}


def make_bag(name: str, files: Iterable[tuple[str, Path]], info: Mapping[str, str]) -> Bag:
    """Measure `files` (name below data/, where it is) into a bag called `name`.

    `info` needs Bagging-Date (YYYY-MM-DD) and External-Identifier; Payload-Oxum is added. Raises UserError.
    """
    sources: dict[str, Path] = {}
    for file, path in files:
        if why := name_problem(file) or ("重复" if f"data/{file}" in sources else None):
            raise UserError(Problem("B-E01", f"文件名 {file!r} 不能进证据包：{why}", "改名后重新打包", path))
        sources[f"data/{file}"] = path
    if why := name_problem(name) or ("含 /" if "/" in name else None):
        raise UserError(Problem("B-E01", f"包名 {name!r} 不能用：{why}", "换一个包名"))
    if why := _info_problem(info) or (None if sources else "没有文件可打包"):
        raise UserError(Problem("B-E03", f"证据包的说明不完整：{why}", "补全后重新打包"))
    try:
        payload = {file: measure_file(path) for file, path in sources.items()}
    except OSError as error:
        text = f"文件读不出：{refusal(error)}"
        raise UserError(Problem("B-E05", text, "检查路径与权限后重新打包", Path(str(error.filename)))) from None
    return Bag(name, dict(info), payload, sources)


def write_package(path: Path, bag: Bag, envelope: bytes | None) -> None:
    """Write `bag` with the envelope of its signatures as one zip. The same input gives the same bytes.

    Raises UserError (a file changed since `make_bag`, too large, disk), and then `path` is as it was.
    """
    tags = bag.tags | ({} if envelope is None else {ENVELOPE: envelope})
    measured = {name: measure(data) for name, data in tags.items()}
    tags |= {f"tagmanifest-{a}.txt": _manifest(measured, a) for a in ALGORITHMS}
    write_container(
        path,
        [
            *(Item(f"{bag.name}/{name}", data, measure(data)) for name, data in tags.items()),
            *(Item(f"{bag.name}/{name}", bag.sources[name], m) for name, m in bag.payload.items()),
        ],
    )


@dataclass(frozen=True)
class PackageContents:
    """An intact package: every file is in `root` and is what the manifests say. Who says so is another question.

    `subjects` is what its signatures must be over, `envelope` holds them (None: unsigned).
    """

    root: Path
    info: Mapping[str, str]
    payload: Mapping[str, Measured]
    subjects: Mapping[str, Digests]
    envelope: bytes | None

    @property
    def bag(self) -> Bag:
        """The bag again, to be written with another envelope."""
        return Bag(self.root.name, self.info, self.payload, {name: self.root / name for name in self.payload})


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file below `root` by its POSIX name. Raises UserError at links and special files, OSError."""
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                text = f"{path.relative_to(root).as_posix()}：符号链接或特殊文件"
                raise UserError(Problem("V-B04", text, DAMAGED, root), ExitCode.UNVERIFIED)
            if stat.S_ISREG(mode):
                yield path.relative_to(root).as_posix(), path


def _raise(error: OSError) -> None:
    raise error


def _read_folder(root: Path, limits: Limits) -> dict[str, Measured]:
    """Every file of an unpacked package. Raises UserError, OSError."""
    paths = dict(_walk(root))
    problems = list(name_problems(paths))
    if excess := limits.excess(len(paths), 0, 0):
        problems.append(Problem("V-B05", excess, DAMAGED))
    if problems:
        raise UserError([replace(p, file=root) for p in problems], ExitCode.UNVERIFIED)
    return {name: measure_file(path) for name, path in paths.items()}


def _explain(manifest: str, text: bytes, files: Mapping[str, Measured], algorithm: str) -> Iterator[Problem]:
    """Why `manifest` is not the one that `files` demand: missing, additional and changed files, else its form."""
    lines = re.findall(r"(?m)^([0-9a-f]{64})  (.+)$", text.decode(errors="replace"))
    listed = {name: digest for digest, name in lines}
    whole = True
    for name in sorted({*listed, *files}):
        if name not in files:
            yield Problem("V-B08", f"{name}：{manifest} 列出而包里没有", DAMAGED)
        elif name not in listed:
            yield Problem("V-B09", f"{name}：包里有而 {manifest} 没有列出", DAMAGED)
        elif listed[name] != getattr(files[name].digests, algorithm):
            yield Problem("V-B10", f"{name}：{algorithm.upper()} 摘要与 {manifest} 不符", DAMAGED)
        else:
            continue
        whole = False
    if whole:
        yield Problem("V-B11", f"{manifest}：写法不规范（次序、重复行、空格或多余字符）", DAMAGED)


def _check(files: Mapping[str, Measured], root: Path) -> tuple[dict[str, str], list[Problem]]:
    """The info of the bag in `root`, without Payload-Oxum, and everything that is wrong with the bag."""
    payload = {name: m for name, m in files.items() if name.startswith("data/")}
    tags = {name: m for name, m in files.items() if name not in payload and name not in _TAGMANIFESTS}
    missing = [name for name in (*_MADE, *_TAGMANIFESTS) if name not in files] or ([] if payload else ["data/"])
    if missing:
        return {}, [Problem("V-B07", f"不是证据包：缺少 {'、'.join(missing)}", "给出 yanshou 写的证据包")]
    if large := [name for name, m in files.items() if name not in payload and m.size > MAX_TAG_FILE]:
        return {}, [Problem("V-B05", f"{name}：超过 {MAX_TAG_FILE} 字节", DAMAGED) for name in large]

    foreign = sorted(tags.keys() - {*_MADE, ENVELOPE})
    problems = [Problem("V-B09", f"{name}：证据包里不应有的文件", DAMAGED) for name in foreign]
    for covered, prefix in ((payload, "manifest"), (tags, "tagmanifest")):
        for algorithm in ALGORITHMS:
            name = f"{prefix}-{algorithm}.txt"
            text = (root / name).read_bytes()
            if text != _manifest(covered, algorithm):
                problems += _explain(name, text, covered, algorithm)
    if (root / "bagit.txt").read_bytes() != BAGIT:
        problems.append(Problem("V-B11", "bagit.txt：不是 BagIt 1.0 的规范写法", DAMAGED))

    text = (root / "bag-info.txt").read_bytes()
    info = _parse_info(text)
    oxum, true = info.pop("Payload-Oxum", None), _oxum(payload)
    if oxum != true:
        problems.append(Problem("V-B12", f"bag-info.txt：Payload-Oxum 是 {oxum}，实际 {true}", DAMAGED))
    elif why := _info_problem(info) or ("写法不规范" if text != _info(info, payload) else None):
        problems.append(Problem("V-B12", f"bag-info.txt：{why}", DAMAGED))
    return info, problems


def open_package(path: Path, target: Path, limits: Limits = LIMITS) -> PackageContents:
    """Read a package, a zip (unpacked into the new or empty folder `target`) or the folder that one was unpacked to.

    Raises UserError with every problem found (exit code UNVERIFIED) unless it is intact to the last byte.
    """
    try:
        if path.is_dir():
            root, files = path, _read_folder(path, limits)
        else:
            found = read_container(path, target, limits)
            top = next(iter(found)).partition("/")[0]
            root, files = target / top, {name.removeprefix(f"{top}/"): m for name, m in found.items()}
        info, problems = _check(files, root)
        envelope = (root / ENVELOPE).read_bytes() if ENVELOPE in files else None
    except OSError as error:
        text = f"证据包读不出：{refusal(error)}"
        raise UserError(Problem("V-B13", text, "检查路径与权限", path), ExitCode.UNVERIFIED) from None
    if problems:
        raise UserError([replace(p, file=path) for p in problems], ExitCode.UNVERIFIED)
    payload = {name: m for name, m in files.items() if name.startswith("data/")}
    return PackageContents(root, info, payload, {name: files[name].digests for name in _MADE}, envelope)
