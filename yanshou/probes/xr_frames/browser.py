"""Drives a Chromium that is installed on this host through its DevTools protocol: opens one page, listens to it, clicks on it.

It is for what a person would do with the browser, no more: the profile is new and thrown away, and all that is changed of the page
is the recorder that is added before its scripts. It must never judge what it hears.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from yanshou.harness.basics import ProbeError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
START_S = 60
"""A laptop that has just been switched on takes its time."""
REPLY_S = 30
SIZE = (1280, 720)
PORT_FILE = "DevToolsActivePort"


def find_browser(wanted: str | None) -> str:
    """The program to start. Raises ProbeError XRF-E02."""
    found = shutil.which(wanted) if wanted else next((p for name in NAMES if (p := shutil.which(name))), None)
    if found is None:
        text = f"找不到浏览器 {wanted}" if wanted else "本机没有 Chromium 内核的浏览器"
        raise ProbeError("XRF-E02", text, "安装 chromium，或在 browser 写明它的路径")
    return found


class Page:
    """One tab. `told` hears (method, params) of every event."""

    def __init__(self, socket: Any, told: Callable[[str, dict[str, Any]], None]) -> None:
        self._socket, self._told, self._last = socket, told, 0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command; events that come meanwhile are told. Raises ProbeError XRF-E04."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        until = time.monotonic() + REPLY_S
        while time.monotonic() < until:
            message = self._receive(until - time.monotonic())
            if message is not None and message.get("id") == self._last:
                if "error" in message:
                    raise ProbeError(
                        "XRF-E04", f"浏览器不肯做 {method}：{message['error'].get('message')}", "换一个版本的浏览器"
                    )
                result: dict[str, Any] = message.get("result", {})
                return result
        raise ProbeError("XRF-E04", f"浏览器 {REPLY_S} s 没有应答 {method}", "关掉其他程序，或换一台电脑")

    def post(self, method: str, **params: Any) -> None:
        """A command whose answer nobody waits for."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))

    def listen(self, seconds: float) -> None:
        """Tell what comes, for that long or until one message came."""
        self._receive(max(seconds, 0.001))

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        from websocket import WebSocketException, WebSocketTimeoutException

        self._socket.settimeout(max(seconds, 0.001))
        try:
            message: dict[str, Any] = json.loads(self._socket.recv())
        except WebSocketTimeoutException:
            return None
        except (WebSocketException, OSError, ValueError):
            raise ProbeError("XRF-E04", "浏览器在记录中途退出了", "看它是否崩溃（内存、显卡驱动），再测一次") from None
        if method := message.get("method"):
            self._told(method, message.get("params", {}))
        return message


@contextmanager
def opened(
    wanted: str | None, headless: bool, told: Callable[[str, dict[str, Any]], None]
) -> Iterator[tuple[Page, str]]:
    """A new browser with one blank tab, and its version. Raises ProbeError XRF-E02."""
    import websocket

    program = find_browser(wanted)
    with tempfile.TemporaryDirectory(prefix="yanshou-", ignore_cleanup_errors=True) as profile:
        command = [
            program, "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run", "--no-default-browser-check",
            "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--password-store=basic", f"--window-size={SIZE[0]},{SIZE[1]}", "about:blank",
        ]  # fmt: skip
        if headless:
            command.insert(1, "--headless=new")
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # it refuses to start as root with one
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        ) as process:
            socket = None
            try:
                port = _port(Path(profile) / PORT_FILE, process, program)
                version, tab = _tab(port)
                socket = websocket.create_connection(tab, timeout=REPLY_S, suppress_origin=True)
                yield Page(socket, told), version
            finally:
                _end(socket, process)


def _port(file: Path, process: subprocess.Popen[bytes], program: str) -> int:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError):  # it is not there yet, or not whole: a port, and a path on a line of its own
            words = file.read_text(encoding="ascii").split()
            if len(words) == 2:
                return int(words[0])
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise ProbeError("XRF-E02", f"浏览器 {Path(program).name} 没有启动", "先手工打开它一次，看它报什么错")


def _tab(port: int) -> tuple[str, str]:
    """(version, WebSocket address of the first tab)."""
    opener = build_opener(ProxyHandler({}))

    def asked(path: str) -> Any:
        with opener.open(f"http://127.0.0.1:{port}/json/{path}", timeout=REPLY_S) as answer:
            return json.load(answer)

    tabs = [tab for tab in asked("list") if tab.get("type") == "page"]
    if not tabs:
        raise ProbeError("XRF-E02", "浏览器没有打开标签页", "先手工打开它一次，看它报什么错")
    return str(asked("version").get("Browser", "")), str(tabs[0]["webSocketDebuggerUrl"])


def _end(socket: Any, process: subprocess.Popen[bytes]) -> None:
    """Close it by its own command, else by force: a browser left behind would hold the profile."""
    if socket is not None:
        with suppress(Exception):
            socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
        with suppress(Exception):
            process.wait(5)
        with suppress(Exception):
            socket.close()
    if process.poll() is None:
        process.kill()
    process.wait()
