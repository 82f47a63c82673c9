"""What the host says of itself meanwhile: temperatures, frequency, throttling, packets and bytes on its network interfaces
(Linux).

It must never fail where a system tells nothing: then there is no row, and the report says so.
Runs on bare Python 3.8.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from yanshou.harness.basics import ProbeError
from yanshou.probes.model_latency.local_target import end

PACE_S = 1.0
NETWORK = Path("/proc/net/dev")
INTERFACES = Path("/sys/class/net")
_CHANNELS = (
    ("temperature", "/sys/class/thermal", "thermal_zone*/temp"),
    ("temperature", "/sys/class/hwmon", "hwmon*/temp*_input"),
    ("frequency", "/sys/devices/system/cpu", "cpu0/cpufreq/scaling_cur_freq"),
    ("throttled", "/sys/devices/system/cpu", "cpu0/thermal_throttle/package_throttle_count"),
)

_MODES = ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "/sys/firmware/acpi/platform_profile")
LONGEST = 4096
FIRST_S = 10.0


def modes() -> dict[str, str]:
    """File -> what the system says there of how it trades speed for power."""
    found = {}
    for name in _MODES:
        try:
            found[name] = Path(name).read_text().strip()
        except (OSError, UnicodeError):
            continue
    return found


def channels() -> dict[str, Path]:
    """Channel -> file, of those that can be read now."""
    found: dict[str, Path] = {}
    for kind, root, pattern in _CHANNELS:
        for path in sorted(Path(root).glob(pattern)):
            if _read(path) is not None:
                found[f"{kind}:{path.relative_to(root).as_posix()}"] = path
    return found


def network() -> Iterator[tuple[str, int]]:
    """("net:NAME:rx" or tx, packets so far) and ("bytes:NAME:rx" or tx, bytes so far) of every interface but the loopback.

    The kernel counts every packet, also those that a sniffer would have to drop.
    """
    try:
        lines = NETWORK.read_text().splitlines()[2:]
    except OSError:
        return
    for line in lines:
        name, _, numbers = line.partition(":")
        cells = numbers.split()
        if name.strip() != "lo" and len(cells) > 9:
            yield f"net:{name.strip()}:rx", int(cells[1])
            yield f"net:{name.strip()}:tx", int(cells[9])
            yield f"bytes:{name.strip()}:rx", int(cells[0])
            yield f"bytes:{name.strip()}:tx", int(cells[8])


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def carrier(interface: str) -> int:
    """1 where an interface is up and has a carrier, else 0."""
    return _read(INTERFACES / interface / "carrier") or 0


@contextmanager
def watching(write: Callable[[str, int], None], uplink: str | None = None) -> Iterator[None]:
    """Call `write(channel, value)` for every channel about once a second and once at the end, in a thread of its own.

    Of the interface `uplink` also whether it has a carrier ("carrier:NAME").
    """
    files = channels()
    stop = threading.Event()

    def look() -> None:
        for channel, path in files.items():
            value = _read(path)
            if value is not None:
                write(channel, value)
        for channel, count in network():
            write(channel, count)
        if uplink is not None:
            write(f"carrier:{uplink}", carrier(uplink))

    def watch() -> None:
        look()
        while not stop.wait(PACE_S):
            look()
        look()

    thread = threading.Thread(target=watch, name="host", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def telling(command: Sequence[str], folder: Path, write: Callable[[str], None]) -> Iterator[None]:
    """Run a command (none for ()) that tells temperatures line by line, and `write` each line, in a thread of its own.

    Raises ProbeError LAT-E06 where it does not run or tells nothing.
    """
    if not command:
        yield
        return
    remedy = "核对 sensors 的程序与参数，先手工运行一次；没有就去掉"
    try:
        child = subprocess.Popen(
            list(command), cwd=str(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise ProbeError("LAT-E06", f"命令 {command[0]} 不能运行：{error.strerror}", remedy) from None
    lines = child.stdout
    assert lines is not None
    heard = threading.Event()

    def read() -> None:
        for line in iter(lambda: lines.readline(LONGEST), b""):
            write(line.decode("utf-8", "replace").strip())
            heard.set()

    thread = threading.Thread(target=read, name="sensors", daemon=True)
    thread.start()
    try:
        if not heard.wait(FIRST_S):
            raise ProbeError("LAT-E06", f"命令 {command[0]} 在 {FIRST_S:g} s 内没有输出一行", remedy)
        yield
    finally:
        end(child)
        thread.join()
        lines.close()
