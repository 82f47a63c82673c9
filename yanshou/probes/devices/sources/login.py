"""Secrets and certificates, read from files that are no evidence. It must never write or print one. Runs on bare Python 3.8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.basics import ProbeError

if TYPE_CHECKING:
    import ssl


def name_and_secret(folder: Path, name: str, code: str) -> tuple[str, str]:
    """The first two lines of file `name` in the case `folder`: who, and the secret. Raises ProbeError with `code`."""
    try:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        lines = []
    if len(lines) < 2 or not lines[0].strip():
        raise ProbeError(
            code, f"凭据文件 {name} 读不出两行", "第一行写用户名（或 API Key），第二行写口令（或 Secret Key），UTF-8"
        )
    return lines[0].strip(), lines[1].strip()


def tls_context(
    folder: Path, code: str, ca: str | None, cert: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """A client's TLS with PEM files in the case `folder`; without `ca` the system's are trusted. Raises ProbeError with `code`."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=str(folder / ca) if ca else None)
        if cert:
            context.load_cert_chain(str(folder / cert), str(folder / key) if key else None)
    except (OSError, ssl.SSLError):
        remedy = "检查 ca、cert、key 所指的文件：PEM 格式，私钥与证书成对"
        raise ProbeError(code, "CA、客户端证书或私钥读不出来", remedy) from None
    return context
