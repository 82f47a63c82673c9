"""The small server that hands out recorder and own page, and takes reports from devices that the probe does not drive.

It must never write what it is sent anywhere but to whoever listens, and never answer for any other path.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources

from yanshou.harness.basics import ProbeError

LARGEST = 4 << 20
"""Octets of a report: half a second of frames takes far less."""
FILES = {
    "/": ("own.html", "text/html; charset=utf-8"),
    "/recorder.js": ("recorder.js", "text/javascript; charset=utf-8"),
}


def source(name: str) -> str:
    """A file of this folder as text."""
    return resources.files("yanshou.probes.xr_frames").joinpath(name).read_text(encoding="utf-8")


@contextmanager
def serving(address: tuple[str, int], reported: Callable[[str], None]) -> Iterator[str]:
    """A server at `address` (port 0: the system's choice) as long as the context lasts; its URL. Raises ProbeError XRF-E05."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, kind = FILES.get(self.path.partition("?")[0], ("", ""))
            if not name:
                self.send_error(404)
                return
            body = source(name).encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            size = self.headers.get("Content-Length", "")
            if self.path != "/report" or not size.isdecimal() or int(size) > LARGEST:
                self.send_error(404)
                return
            reported(self.rfile.read(int(size)).decode("utf-8", "replace"))
            self.send_response(204)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is written to the terminal."""

    try:
        server = ThreadingHTTPServer(address, Handler)
    except OSError as error:
        text = f"不能在 {address[0]}:{address[1]} 提供页面：{error.strerror or error}"
        raise ProbeError("XRF-E05", text, "改用本机的地址和没有占用的端口") from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{address[0]}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
