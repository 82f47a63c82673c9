"""One archive that installs yanshou on a laptop without internet: `make offline`.

It holds the wheels of the lock for Linux and Windows, each fetched by its hash, yanshou's own wheel, the documents, and an
installer for a bare Python. It must never take a package that the lock does not name, nor build one from source: what cannot
be had as a wheel for a system is left out there and named, and the build fails where a core package is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE, SITE = ROOT / "requirements.lock", ROOT / "requirements-site.lock"
DOCUMENTS = ("README.md", "README.zh-CN.md", "CHANGELOG.md", "docs")
MANYLINUX = [f"manylinux_2_{minor}_x86_64" for minor in range(35, 4, -1)]
PLATFORMS = {
    "linux": [*MANYLINUX, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"],
    "windows": ["win_amd64"],
}
MARKERS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}


def requirements(lock: str) -> Iterator[str]:
    """Each requirement of a lock with its hashes, as one line."""
    yield from (
        re.sub(r"\s+", " ", each).strip() for each in re.findall(r"(?m)^[^\s#-].*(?:\\\n.*)*", lock.replace("\\\n", ""))
    )


def name_of(requirement: str) -> str:
    """The name of a requirement, normalised."""
    return re.sub(r"[-_.]+", "-", re.split(r"[=<>!~;\[ ]", requirement, maxsplit=1)[0]).lower()


def for_system(lock: str, system: str, python: str) -> list[str]:
    """The requirements whose markers hold on `system` with CPython `python` (as 3.11), without the markers."""
    from packaging.markers import Marker

    environment = {
        **MARKERS[system],
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = []
    for line in requirements(lock):
        plain, _, hashes = line.partition(" --hash=")
        requirement, _, marker = plain.partition(";")
        if not marker.strip() or Marker(marker.strip()).evaluate(environment):
            found.append(f"{requirement.strip()} --hash={hashes}")
    return found


def fetch(wanted: list[str], system: str, python: str, folder: Path) -> bool:
    """Download the wheels of `wanted`; False where one of them cannot be had."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("\n".join(wanted))
        listing.flush()
        tag = python.replace(".", "")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        command += [word for abi in (f"cp{tag}", "abi3", "none") for word in ("--abi", abi)]
        command += [word for p in PLATFORMS[system] for word in ("--platform", p)]
        command += ["-r", listing.name, "-d", str(folder)]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def collect(system: str, python: str, wheels: Path) -> tuple[list[str], list[str]]:
    """All wheels for one system: what is in, and the names of what could not be had. Exits where that is a core package."""
    wanted = for_system(SITE.read_text(encoding="utf-8"), system, python)
    if fetch(wanted, system, python, wheels):
        return wanted, []
    got = [each for each in wanted if fetch([each], system, python, wheels)]
    missing = [name_of(each) for each in wanted if each not in got]
    core = {name_of(each) for each in for_system(CORE.read_text(encoding="utf-8"), system, python)}
    if lacking := sorted(core.intersection(missing)):
        sys.exit(f"{system}：没有 {'、'.join(lacking)} 的轮子，离线包不完整；检查网络与锁文件后重试")
    return got, missing


def pack(folder: Path, archive: Path) -> None:
    """A zip of `folder` under one top folder, the same bytes for the same files, with SHA256SUMS inside."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    sums = "".join(f"{_sha256(p)}  {p.relative_to(folder).as_posix()}\n" for p in files)
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:  # wheels are compressed already
        for path in sorted([*files, folder / "SHA256SUMS"]):
            name = f"{archive.stem}/{path.relative_to(folder).as_posix()}"
            with path.open("rb") as source, out.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                shutil.copyfileobj(source, entry)


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def main() -> None:
    """Build the archive for the Python that runs this."""
    parser = argparse.ArgumentParser(description="打一个离线安装包")
    parser.add_argument("--system", action="append", choices=sorted(PLATFORMS), help="只为这个系统，可重复；默认全部")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist", help="放在哪个文件夹")
    arguments = parser.parse_args()
    python = ".".join(platform.python_version_tuple()[:2])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        wheels = folder / "wheels"
        wheels.mkdir()
        build = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "-w",
            wheels,
            ROOT,
        ]
        subprocess.run(build, check=True)
        (own,) = wheels.glob("yanshou-*.whl")
        for system in arguments.system or sorted(PLATFORMS):
            print(f"{system}：取轮子……", flush=True)
            got, missing = collect(system, python, wheels)
            (folder / f"requirements-{system}.lock").write_text("\n".join(got) + "\n", encoding="utf-8")
            print(f"{system}：{len(got)} 个" + (f"；没有轮子，未带：{'、'.join(missing)}" if missing else ""))
        (folder / "PYTHON").write_text(f"{python}\n", encoding="utf-8")
        shutil.copy(ROOT / "offline" / "install.py", folder)
        for name in DOCUMENTS:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        arguments.output.mkdir(parents=True, exist_ok=True)
        archive = arguments.output / f"{own.stem.split('-py3')[0]}-offline-py{python.replace('.', '')}.zip"
        pack(folder, archive)
    print(f"{archive}（{archive.stat().st_size / 2**20:.0f} MiB）：解开后运行 python install.py 目标文件夹")


if __name__ == "__main__":
    main()
