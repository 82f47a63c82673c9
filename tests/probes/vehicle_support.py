"""A vehicle that answers JSON questions by itself or has them answered elsewhere, and the cloud that does it. Run as a script.

vehicle ADDRESS BEHAVIOUR     serve on port 8000; "clouds" in BEHAVIOUR (JSON): ask these in turn for every answer (UDP);
                              "telemetry_hz": exchange something with "cloud" so often; "fetch": get so many octets from it (TCP)
                              when a line comes on standard input
cloud                         echo UDP datagrams, and send over TCP as many octets as are asked for
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

ECHO, BULK, SERVICE = 9, 10, 8000


def udp(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def ask(address: str, question: bytes, patience_s: float = 5) -> bytes:
    with udp(address) as sock:
        sock.settimeout(patience_s)
        sock.sendto(question, (address, ECHO))
        return sock.recv(2000)


def report(address: str, every_s: float) -> None:
    due = time.monotonic()
    while True:
        with suppress(TimeoutError):  # telemetry does not care
            ask(address, b"alive" + bytes(60), every_s)
        due += every_s
        time.sleep(max(0, due - time.monotonic()))


def fetch(address: str, octets: int) -> None:
    with socket.create_connection((address, BULK), 5) as sock:
        sock.sendall(f"{octets}\n".encode())
        while octets:
            octets -= len(sock.recv(65536))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    behaviour: ClassVar[dict[str, Any]] = {}
    asked = 0

    def do_POST(self) -> None:
        question = self.rfile.read(int(self.headers["Content-Length"]))
        if clouds := self.behaviour.get("clouds"):
            Handler.asked += 1
            question = ask(clouds[Handler.asked % len(clouds)], question[:1000])
        time.sleep(0.003)
        answer = json.dumps({"action": hashlib.sha256(question).hexdigest() * 4}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def vehicle(address: str, behaviour: dict[str, Any]) -> None:
    Handler.behaviour.update(behaviour)
    server = ThreadingHTTPServer((address, SERVICE), Handler)
    if hz := behaviour.get("telemetry_hz"):
        threading.Thread(target=report, args=(behaviour["cloud"], 1 / hz), daemon=True).start()
    print("ready", flush=True)
    if octets := behaviour.get("fetch"):
        threading.Thread(target=lambda: (sys.stdin.readline(), fetch(behaviour["cloud"], octets)), daemon=True).start()
    server.serve_forever()


def cloud() -> None:
    echo, bulk = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), socket.create_server(("", BULK))
    echo.bind(("::", ECHO))

    def send() -> None:
        while True:
            connection, _ = bulk.accept()
            with connection, connection.makefile("rb") as asked:
                connection.sendall(bytes(int(asked.readline())))

    threading.Thread(target=send, daemon=True).start()
    print("ready", flush=True)
    while True:
        data, whom = echo.recvfrom(2000)
        echo.sendto(data, whom)


if __name__ == "__main__":
    cloud() if sys.argv[1] == "cloud" else vehicle(sys.argv[2], json.loads(sys.argv[3]))
