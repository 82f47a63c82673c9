"""Secrets of the sources, read from files that are no evidence. It must never write or print one."""

from __future__ import annotations

from pathlib import Path

from yanshou.harness.basics import ProbeError


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
