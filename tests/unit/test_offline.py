"""The archive for a site without internet: what goes in, and what its installer refuses."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
HASH = "--hash=sha256:" + "ab" * 32
LOCK = f"""a==1 \\
    {HASH} \\
    {HASH}
b-c==2.0 ; sys_platform == 'win32' \\
    {HASH}
numpy==2.4 ; python_full_version < '3.12' \\
    {HASH}
numpy==2.5 ; python_full_version >= '3.12' \\
    {HASH}
"""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("offline_build", ROOT / "offline" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("system", "python", "names"),
    [
        ("linux", "3.11", ["a==1", "numpy==2.4"]),
        ("linux", "3.12", ["a==1", "numpy==2.5"]),
        ("windows", "3.11", ["a==1", "b-c==2.0", "numpy==2.4"]),
    ],
)
def test_markers_are_those_of_the_laptop_and_not_of_this_host(
    build: ModuleType, system: str, python: str, names: list[str]
) -> None:
    lines = build.for_system(LOCK, system, python)
    assert [line.split(" ")[0] for line in lines] == names
    assert all(HASH in line for line in lines)
    assert lines[0].count("--hash") == 2


def test_every_core_package_is_in_the_lock_of_a_site(build: ModuleType) -> None:
    core, site = (
        {line.split(" --hash")[0] for line in build.for_system(path.read_text(encoding="utf-8"), "linux", "3.11")}
        for path in (build.CORE, build.SITE)
    )
    assert core <= site


@pytest.fixture
def unpacked(build: ModuleType, tmp_path: Path) -> Path:
    """An archive with no wheels but two small files in their place."""
    folder = tmp_path / "folder"
    (folder / "wheels").mkdir(parents=True)
    (folder / "wheels" / "yanshou-1-py3-none-any.whl").write_bytes(b"x")
    (folder / "requirements-linux.lock").write_text("")
    (folder / "PYTHON").write_text(platform.python_version().rpartition(".")[0])
    (folder / "install.py").write_bytes((ROOT / "offline" / "install.py").read_bytes())
    archives = [tmp_path / "one" / "x.zip", tmp_path / "two" / "x.zip"]
    for archive in archives:
        archive.parent.mkdir()
        (folder / "SHA256SUMS").unlink(missing_ok=True)
        build.pack(folder, archive)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with zipfile.ZipFile(archives[0]) as zipped:
        zipped.extractall(tmp_path)
    return tmp_path / "x"


def install(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, folder / "install.py", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stderr


def test_a_changed_wheel_is_refused_before_anything_is_made(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "wheels" / "yanshou-1-py3-none-any.whl").write_bytes(b"y")
    code, said = install(unpacked, str(tmp_path / "target"))
    assert (code, "与 SHA256SUMS 不符" in said) == (2, True), said
    assert not (tmp_path / "target").exists()


def test_an_added_wheel_is_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "wheels" / "more.whl").write_bytes(b"y")
    code, said = install(unpacked, str(tmp_path / "target"))
    assert (code, "不在 SHA256SUMS 里" in said) == (2, True), said


def test_a_lost_file_another_python_and_a_taken_target_are_refused(unpacked: Path, tmp_path: Path) -> None:
    assert install(unpacked)[0] == 2
    code, said = install(unpacked, str(tmp_path))
    assert (code, "已经存在" in said) == (2, True), said
    (unpacked / "PYTHON").write_text("3.5")
    code, said = install(unpacked, str(tmp_path / "target"))
    assert (code, "要用 CPython 3.5" in said) == (2, True), said
    (unpacked / "PYTHON").unlink()
    (unpacked / "PYTHON").write_text(platform.python_version().rpartition(".")[0])
    (unpacked / "requirements-linux.lock").unlink()
    code, said = install(unpacked, str(tmp_path / "target"))
    assert (code, "没有带 linux 的轮子" in said) == (2, True), said


def test_what_could_not_be_installed_leaves_nothing_behind(unpacked: Path, tmp_path: Path) -> None:
    code, said = install(unpacked, str(tmp_path / "target"))  # its wheel is none
    assert (code, "没有装成" in said, "Traceback" in said) == (2, True, False), said
    assert not (tmp_path / "target").exists()


def test_the_installer_alone_says_what_it_needs(unpacked: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (unpacked / "install.py").rename(alone / "install.py")
    code, said = install(alone, str(tmp_path / "target"))
    assert (code, "整个解开离线包" in said, "Traceback" in said) == (2, True, False), said


def test_sums_are_those_of_the_files(unpacked: Path) -> None:
    lines = [line.split("  ") for line in (unpacked / "SHA256SUMS").read_text().splitlines()]
    assert len(lines) == 4
    assert all(hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == digest for digest, name in lines)
