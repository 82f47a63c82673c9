"""Install yanshou from this folder into a new virtual environment, without any network: `python install.py TARGET`.

It is for a laptop with nothing but Python. It must never ask a network, never install a file whose digest is not in
SHA256SUMS, and never touch a target that exists.
"""

import hashlib
import importlib.util
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent


def refuse(text: str) -> NoReturn:
    """One line, and out."""
    print(text, file=sys.stderr)
    sys.exit(2)


def check_files() -> None:
    """Every file is what it was when the archive was made, and none was added among the wheels."""
    listed = {}
    for line in (HERE / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for name, digest in listed.items():
        path = HERE / name
        if not path.is_file():
            refuse(f"{path}：不见了；重新解开离线包")
        hasher = hashlib.sha256()
        with path.open("rb") as f:
            for chunk in iter(lambda: f.read(1 << 20), b""):
                hasher.update(chunk)
        if hasher.hexdigest() != digest:
            refuse(f"{path}：与 SHA256SUMS 不符，已损坏或被改动；重新取离线包")
    for path in (HERE / "wheels").iterdir():
        if "wheels/" + path.name not in listed:
            refuse(f"{path}：不在 SHA256SUMS 里；重新解开离线包")


def main() -> None:
    """Check, make the environment, install, show what this machine can do."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    if len(sys.argv) != 2:
        refuse("用法：python install.py 目标文件夹（如 yanshou-venv）")
    if not all((HERE / name).exists() for name in ("PYTHON", "SHA256SUMS", "wheels")):
        refuse(f"{HERE} 里没有离线包的其他文件；整个解开离线包，运行里面的 install.py")
    target = Path(sys.argv[1]).resolve()
    python = (HERE / "PYTHON").read_text(encoding="utf-8").strip()
    if platform.python_version().rpartition(".")[0] != python or sys.implementation.name != "cpython":
        now = sys.version.split()[0]
        refuse(f"这个离线包要用 CPython {python}，现在运行的是 {now}；装 Python {python} 后用它运行")
    system = {"linux": "linux", "win32": "windows"}.get(sys.platform)
    if system is None or platform.machine().lower() not in ("x86_64", "amd64"):
        refuse(f"离线包只有 Linux x86-64 与 Windows x64 的轮子，这台是 {sys.platform} {platform.machine()}")
    lock = HERE / f"requirements-{system}.lock"
    if not lock.exists():
        refuse(f"这个离线包没有带 {system} 的轮子；用 make offline 另打")
    if target.exists():
        refuse(f"{target} 已经存在；换一个文件夹")
    if importlib.util.find_spec("ensurepip") is None:
        refuse(
            "这个 Python 不能建环境（没有 ensurepip）；Debian、Ubuntu 先装 python3-venv 的 .deb，或换 python.org 的 Python"
        )
    print("核对文件……", flush=True)
    check_files()
    try:
        command = install(target, lock, windows=system == "windows")
    except (subprocess.CalledProcessError, OSError) as error:
        shutil.rmtree(target, ignore_errors=True)
        refuse(f"没有装成，已删去 {target}：{error}；按上面的输出排除后再运行")
    except KeyboardInterrupt:
        shutil.rmtree(target, ignore_errors=True)
        refuse(f"已中断，已删去 {target}")
    print(f"装好了：{command}", flush=True)
    subprocess.call([str(command), "doctor"])


def install(target: Path, lock: Path, *, windows: bool) -> Path:
    """A new environment in `target` with everything in it; its command. Raises OSError, CalledProcessError."""
    print(f"建立环境 {target}……", flush=True)
    venv.create(str(target), with_pip=True)
    folder = target / ("Scripts" if windows else "bin")
    interpreter = folder / ("python.exe" if windows else "python")
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    pip += ["-f", str(HERE / "wheels")]
    subprocess.check_call([*pip, "--require-hashes", "-r", str(lock)])
    (own,) = (HERE / "wheels").glob("yanshou-*.whl")
    subprocess.check_call([*pip, "--no-deps", str(own)])
    return folder / ("yanshou.exe" if windows else "yanshou")


if __name__ == "__main__":
    main()
