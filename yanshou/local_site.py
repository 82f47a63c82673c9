"""What every local web page of ours stands on: a small server on one address, and a gate that lets in who has the token.

It is shared by the pages for inspectors and those for reviewers. It must never listen on more addresses than one, write the token
into a log, let a slow client hold up the others, or act on what another page sent.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug import Request
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from yanshou.harness.basics import Problem, UserError, refusal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MOST_CONNECTIONS = 64
PATIENCE_S = 30
CERTIFICATE_DAYS = 3
LOOPBACK = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without a referrer browsers would not say the origin of a form either
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Gate:
    """Who is let in: `hosts` are the Host headers that are answered, `scheme` is http or https, `token` opens the first page."""

    token: str
    hosts: frozenset[str]
    scheme: str = "http"
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def require_host(self, request: Request) -> None:
        """Refuse a name that is not ours, as after DNS rebinding. Raises BadRequest."""
        if request.environ.get("HTTP_HOST", "") not in self.hosts:
            raise BadRequest("地址不对：请用终端里给出的地址打开")

    def require_token(self, token: str) -> None:
        """Refuse a wrong token. Raises Forbidden."""
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Forbidden("通行码不对：请用终端里给出的地址（或二维码）打开")

    def require_own_page(self, request: Request) -> None:
        """Refuse what another page sends, before a byte of its body is read. Raises Forbidden."""
        if request.headers.get("Origin") != f"{self.scheme}://{request.environ['HTTP_HOST']}":
            raise Forbidden("这一请求不是从本页面发出的，没有执行")

    def form_token(self, cookie: str) -> str:
        """What the forms of the browser with this cookie must carry."""
        return hmac.new(self._secret, cookie.encode(), hashlib.sha256).hexdigest()

    def form(self, request: Request, form_token: str) -> Mapping[str, str]:
        """The form, once its token is right. Raises Forbidden."""
        form = request.form
        if not hmac.compare_digest(form.get("form_token", "").encode(), form_token.encode()):
            raise Forbidden("页面过期了，没有执行：返回后刷新再试")
        return form


def said_of_error(error: HTTPException, largest: int) -> list[str]:
    """What to tell a person of an HTTP error: our own words where we raised it. `largest`: bytes that a request may have."""
    told = error.description or ""
    if any("一" <= c <= "鿿" for c in told):
        return [told]
    own = {404: "没有这一页", 405: "没有这种操作", 413: f"太大：一次最多 {largest >> 20} MiB，没有收下"}
    return [own.get(error.code or 0, "请求看不懂，没有执行")]


class _Handler(WSGIRequestHandler):
    """Requests are nobody's to read: no log, no version."""

    timeout = PATIENCE_S

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: addresses hold the token."""

    def version_string(self) -> str:
        """No version for strangers."""
        return "yanshou"


class _Server(ThreadedWSGIServer):
    """Threads are bounded, and each does its own TLS handshake."""

    def __init__(self, listening: socket.socket, app: WSGIApplication, tls: ssl.SSLContext | None) -> None:
        host, port = listening.getsockname()
        super().__init__(host, port, app, _Handler, fd=listening.fileno())
        self.ssl_context = tls
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for a connection, or none when there are too many."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, after its handshake where there is one."""
        if self.ssl_context is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(PATIENCE_S)
        with self.ssl_context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is nobody's fault: what was not acknowledged did not happen."""


@dataclass(frozen=True)
class Served:
    """A server that is listening: where, for this computer only or not, the fingerprint of its certificate ("" without TLS)."""

    url: str
    local: bool
    fingerprint: str
    server: _Server


@contextmanager
def serving(
    site: Callable[[Gate], WSGIApplication], *, host: str = LOOPBACK, port: int = 0, tls: bool = False
) -> Iterator[Served]:
    """The site on one address; call `server.serve_forever()` inside. Raises UserError where the address cannot be had."""
    _require_one_address(host)
    token = secrets.token_urlsafe(24)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            text = f"不能在 {host}:{port} 上服务：{refusal(error)}"
            raise UserError(Problem("W-PORT", text, "换一个 --port，或检查网络连接")) from None
        listening.listen(128)
        port = listening.getsockname()[1]
        scheme = "https" if tls else "http"
        names = {host, "localhost"} if host == LOOPBACK else {host}
        gate = Gate(token, frozenset(f"{name}:{port}" for name in names), scheme)
        context, fingerprint = _self_signed(host) if tls else (None, "")
        server = _Server(listening, site(gate), context)
        try:
            yield Served(f"{scheme}://{host}:{port}/t/{token}", host == LOOPBACK, fingerprint, server)
        finally:
            server.server_close()


def _require_one_address(host: str) -> None:
    """Refuse what is no address of one interface: a page on all of them would be open to networks that nobody thought of."""
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        address = None
    if address is None or address.is_unspecified or address.is_multicast:
        text = f"{host} 不是本机一个网口的 IPv4 地址"
        raise UserError(Problem("W-BIND", text, "--bind 写一个，如 192.168.1.5；或用 --lan 自动选"))


def lan_address() -> str:
    """This machine's address on the network that leads outside. Nothing is sent. Raises UserError where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = str(probe.getsockname()[0])
        except OSError:
            address = LOOPBACK
    if ipaddress.ip_address(address).is_loopback or ipaddress.ip_address(address).is_unspecified:
        raise UserError(Problem("W-LAN", "这台机器没有连上局域网", "连上网络或热点，或用 --bind 写明本机地址"))
    return address


def _self_signed(host: str) -> tuple[ssl.SSLContext, str]:
    """TLS with a certificate made now for `host`, and its SHA-256 for a person to compare."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "yanshou")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:  # the standard library takes keys from files only
        pem = Path(folder) / "key.pem"
        pem.touch(0o600)
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(pem)
    digest = certificate.fingerprint(hashes.SHA256()).hex().upper()
    return context, ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
