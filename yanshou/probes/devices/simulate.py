"""Virtual MQTT devices, honest ones and cheats, and the register that such a project would hand in.

It is for tests, the demonstration and the standard: what is simulated is known exactly. It must never run against a broker
that it was not pointed at. Devices live in child processes, PER_PROCESS in each (a paho client holds three file descriptors,
and many systems allow 1024), driven by one thread; they end when their standard input closes.

    with running("127.0.0.1", 1883, fleet(honest=85, silent=10, reused=5), sockets=30): ...
"""

from __future__ import annotations

import csv
import heapq
import json
import random
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanshou.harness.basics import ProbeError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PER_PROCESS = 250
READY_S = 60.0
LEAVE_S = 10.0
TOPICS = "factory/+/up"
HEADER = ("设备序列号", "客户端号", "接入方式", "网关", "首次上线")


@dataclass(frozen=True)
class VirtualDevice:
    """One line of the register, and the connection behind it.

    `serial` stands in the register, `says` in its payloads ("" = it never speaks); `stream` seeds its values (two devices with
    one stream say the same), 0 = one constant value. `connected`: False for a line of paper.
    """

    serial: str
    client_id: str
    says: str
    stream: int
    connected: bool = True
    registered: bool = True


def fleet(
    honest: int,
    *,
    silent: int = 0,
    constant: int = 0,
    reused: int = 0,
    copied: int = 0,
    twice: int = 0,
    ghosts: int = 0,
    strangers: int = 0,
) -> tuple[VirtualDevice, ...]:
    """`honest` devices, and cheats that must not add to them: `honest` is the true count of the whole fleet.

    silent: connected, never speaks. constant: speaks, never changes. reused: says an honest device's serial under a client id of
    its own. copied: repeats an honest device's values under its own serial. twice: an honest device's second connection, with
    another line in the register. ghosts: a line in the register and nothing else. strangers: live, in no register.
    """
    number = iter(range(1, 1 << 31))

    def one(says: str | None = None, stream: int | None = None, **flags: bool) -> VirtualDevice:
        n = next(number)
        serial = f"SN{n:06d}"
        return VirtualDevice(
            serial, f"dev{n:06d}", serial if says is None else says, n if stream is None else stream, **flags
        )

    real = [one() for _ in range(honest)]

    def model(index: int) -> VirtualDevice:
        return real[index % len(real)]

    return (
        *real,
        *(one(says="") for _ in range(silent)),
        *(one(stream=0) for _ in range(constant)),
        *(one(says=model(i).serial) for i in range(reused)),
        *(one(stream=model(reused + i).stream) for i in range(copied)),
        *(one(says=model(i).serial, stream=model(i).stream) for i in range(twice)),
        *(one(connected=False) for _ in range(ghosts)),
        *(one(registered=False) for _ in range(strangers)),
    )


def write_register(path: Path, devices: Sequence[VirtualDevice], first_online: str = "2025-03-03") -> None:
    """The register (CSV, UTF-8, columns HEADER) that a project with `devices` would hand in: every second one is direct 5G.

    The others stand behind a gateway. Raises OSError.
    """
    with path.open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(HEADER)
        for number, device in enumerate(d for d in devices if d.registered):
            access = ("5G直连", "") if number % 2 == 0 else ("网关后", f"CPE-{number % 10:02d}")
            writer.writerow([device.serial, device.client_id, *access, first_online])


def register_params(file: str) -> dict[str, Any]:
    """The parameter `register` for what `write_register` wrote, as plain data."""
    serial, client_id, access, gateway, first_online = HEADER
    return {
        "file": file, "id": serial, "identities": {"client_id": client_id}, "gateway": gateway,
        "access": {"column": access}, "first_online": first_online,
    }  # fmt: skip


def source_params(host: str, port: int, **more: Any) -> dict[str, Any]:
    """An MQTT source that reads what the virtual devices say, as plain data; `more` are further parameters of it."""
    place = {"identities": {"serial": "/sn", "client_id": "topic:2"}, "value": "/value", "topics": [TOPICS]}
    return {"kind": "mqtt", "host": host, "port": port, **place, **more}


@contextmanager
def running(
    host: str,
    port: int,
    devices: Sequence[VirtualDevice],
    *,
    sockets: int = 0,
    interval_s: float = 1.0,
    ca: Path | None = None,
    login: tuple[str, str] | None = None,
) -> Iterator[None]:
    """All of `devices` connected, each speaking every `interval_s` or so, and `sockets` bare TCP connections.

    With `ca` (PEM) over TLS, with `login` by user name and password. They leave when the block ends. Raises ProbeError SIM-E01
    when they cannot all connect.
    """
    connected = [device for device in devices if device.connected]
    parts = [connected[i : i + PER_PROCESS] for i in range(0, len(connected), PER_PROCESS)]
    with ExitStack() as stack:
        common = {"host": host, "port": port, "interval_s": interval_s, "ca": str(ca) if ca else None, "login": login}
        children = [
            stack.enter_context(
                _child({**common, "devices": [asdict(d) for d in part], "sockets": 0 if index else sockets})
            )
            for index, part in enumerate(parts or [[]])
        ]
        for child in children:
            _await_ready(child)
        yield


@contextmanager
def _child(task: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "yanshou.probes.devices.simulate"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(task) + "\n")
        child.stdin.flush()
        yield child
    finally:
        try:
            child.communicate(timeout=LEAVE_S)  # closes its standard input, which ends it
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def _await_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stderr is not None
    timer = threading.Timer(READY_S, child.kill)
    timer.start()
    line = child.stdout.readline().strip()
    timer.cancel()
    if line != "ready":
        last = (child.stderr.read().strip().splitlines() or ["没有回音"])[-1]
        raise ProbeError("SIM-E01", f"虚拟设备没有全部连上：{last}", "检查代理的地址与连接数上限（ulimit -n）")


# --- in the child ------------------------------------------------------------------------------------------------------


def _values(stream: int) -> Iterator[float]:
    """A temperature that wanders; the same for the same `stream`."""
    rng, value = random.Random(stream), 20.0
    while True:
        yield round(value, 3)
        value += rng.uniform(-0.5, 0.5) if stream else 0.0


class _Connected:
    """One virtual device on the wire."""

    def __init__(self, task: dict[str, Any], device: VirtualDevice) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.device = device
        self.values = _values(device.stream)
        self.client: Client = Client(CallbackAPIVersion.VERSION2, device.client_id)
        if task["login"]:
            self.client.username_pw_set(*task["login"])
        if task["ca"]:
            self.client.tls_set_context(ssl.create_default_context(cafile=task["ca"]))
        self.client.connect(task["host"], task["port"], keepalive=60)

    def descriptor(self) -> int:
        """Its socket's file descriptor. Raises ConnectionError once it is gone."""
        sock = self.client.socket()
        if sock is None:
            raise ConnectionError("代理断开了连接")
        return sock.fileno()

    def speak(self) -> None:
        """Publish its next value."""
        payload = json.dumps({"sn": self.device.says, "value": next(self.values), "t": time.time()})
        self.client.publish(TOPICS.replace("+", self.device.client_id), payload)


def _serve(task: dict[str, Any]) -> None:
    """Connect everything, say `ready`, and let the devices speak until standard input closes."""
    bare = [socket.create_connection((task["host"], task["port"])) for _ in range(task["sockets"])]
    fleet = [_Connected(task, VirtualDevice(**d)) for d in task["devices"]]
    interval, rng = task["interval_s"], random.Random(len(fleet))
    with selectors.DefaultSelector() as selector:
        for one in fleet:
            selector.register(one.descriptor(), selectors.EVENT_READ, one.client)
        while not all(one.client.is_connected() for one in fleet):
            _exchange(selector, 1.0)
        print("ready", flush=True)  # noqa: T201  the parent reads it
        selector.register(sys.stdin, selectors.EVENT_READ)
        due = [(time.monotonic() + rng.uniform(0, interval), n) for n, one in enumerate(fleet) if one.device.says]
        heapq.heapify(due)
        tended = time.monotonic()
        while _exchange(selector, max(0.0, due[0][0] - time.monotonic()) if due else 1.0):
            now = time.monotonic()
            while due and due[0][0] <= now:
                _, n = heapq.heappop(due)
                fleet[n].speak()
                heapq.heappush(due, (now + interval * rng.uniform(0.8, 1.2), n))
            if now - tended > 10:
                tended = now
                for one in fleet:
                    one.client.loop_misc()
    for one in fleet:
        one.client.disconnect()
    for connection in bare:
        connection.close()


def _exchange(selector: selectors.BaseSelector, wait_s: float) -> bool:
    """Read what has come within `wait_s`; False once standard input is closed."""
    for key, _ in selector.select(min(wait_s, 1.0)):
        if key.fileobj is sys.stdin:
            return False
        client: Client = key.data
        if client.loop_read() or client.socket() is None:
            raise ConnectionError("代理断开或拒绝了连接")
    return True


if __name__ == "__main__":
    _serve(json.loads(sys.stdin.readline()))
