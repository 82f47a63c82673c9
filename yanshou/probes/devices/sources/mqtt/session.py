"""How a client of paho-mqtt comes to its broker. It must never hold a secret."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paho.mqtt.client import Client

CONNECT_S = 10.0
KEEPALIVE_S = 30


def connect(client: Client, tls: ssl.SSLContext | None, host: str, port: int) -> None:
    """Connect and send CONNECT; the answer comes later. Raises OSError (ssl.SSLError of the handshake) and ValueError."""
    if tls:  # paho leaves the socket of a failed handshake open
        with socket.create_connection((host, port), CONNECT_S) as plain:
            tls.wrap_socket(plain, server_hostname=host).close()
    client.connect(host, port, KEEPALIVE_S)
