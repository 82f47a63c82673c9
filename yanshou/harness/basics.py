"""What even a bare Python needs to speak of: exit codes, how a run ended, problems and the errors that carry them.

It is the part of the vocabulary that the capture kit takes along to a terminal. It must never need a package, nor more than
Python 3.8.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

Json = Any
"""A value that canonical JSON (RFC 8785) can hold."""


class ExitCode(IntEnum):
    """Exit codes of every command. A contract: they only grow."""

    OK = 0
    FAIL = 1
    USAGE = 2
    UNDECIDED = 3
    UNVERIFIED = 4
    INTERNAL = 5
    INTERRUPTED = 130


class RunStatus(str, Enum):  # noqa: UP042  StrEnum came with Python 3.11
    """How a run ended. Independent of the verdict: a crash is never 不符合."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    CRASHED = "crashed"
    TRUNCATED = "truncated"

    __str__ = str.__str__

    @property
    def word(self) -> str:
        """The Chinese word printed for people."""
        return {"completed": "完成", "aborted": "中止", "crashed": "崩溃", "truncated": "截断"}[self.value]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what to do. Printed as `文件:行: 代码 一句话 → 怎么办`."""

    code: str
    text: str
    remedy: str
    file: Path | None = None
    line: int | None = None
    severity: str = "error"

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return f"{place}{self.code} {self.text} → {self.remedy}"

    def to_json(self) -> dict[str, Json]:
        """All fields, `file` as text."""
        return {
            "code": self.code,
            "severity": self.severity,
            "file": None if self.file is None else str(self.file),
            "line": self.line,
            "text": self.text,
            "remedy": self.remedy,
        }


class UserError(Exception):
    """Wrong input or surroundings: ends a command with its problems, one line each, and `exit_code`. Nothing was changed."""

    def __init__(self, problems: Problem | Sequence[Problem], exit_code: ExitCode = ExitCode.USAGE) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.exit_code = exit_code
        super().__init__("\n".join(str(p) for p in self.problems))


class ProbeError(Exception):
    """An instrument could not measure (unreachable, refused, garbage): the run ends as aborted, never as 不符合."""

    def __init__(self, code: str, text: str, remedy: str) -> None:
        self.problem = Problem(code, text, remedy)
        super().__init__(str(self.problem))


_REASONS = {
    errno.ENOENT: "没有这个文件或文件夹",
    errno.EACCES: "没有权限",
    errno.EPERM: "没有权限",
    errno.EISDIR: "是文件夹，不是文件",
    errno.ENOTDIR: "路径里有一段不是文件夹",
    errno.EEXIST: "已经存在",
    errno.ENAMETOOLONG: "文件名太长",
    errno.ENOSPC: "磁盘已满",
    errno.EFBIG: "文件过大",
    errno.EROFS: "磁盘只读",
    errno.EIO: "磁盘读写出错",
    errno.EMFILE: "打开的文件过多",
    errno.EADDRINUSE: "已被占用",
    errno.EADDRNOTAVAIL: "本机没有这个地址",
    errno.ECONNREFUSED: "对端拒绝连接",
    errno.ECONNRESET: "连接被对端断开",
    errno.ETIMEDOUT: "超时",
    errno.EHOSTUNREACH: "主机不可达",
    errno.ENETUNREACH: "网络不可达",
}


def refusal(error: OSError) -> str:
    """Why the system refused, in the language of the sentence that it stands in; what is rare in the system's own words."""
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)
