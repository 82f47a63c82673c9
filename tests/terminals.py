"""A program on a pseudo-terminal, answered as a person would: only after it has asked."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 120


def converse(command: Sequence[str], script: Sequence[tuple[str, str]], *, cwd: Path | None = None) -> tuple[int, str]:
    """Run `command` on a terminal; each (question, answer) of `script` waits for the question and types the answer.

    Exit code, and everything that was shown, without control sequences. Raises AssertionError when a question never comes.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "50"}
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    # a session of its own: a hidden question must not go to the terminal that the tests were started on
    with subprocess.Popen(command, **ends, cwd=cwd, env=environment, start_new_session=True) as process:
        os.close(theirs)
        shown, asked, steps = b"", 0, list(script)
        try:
            while chunk := _read(ours):
                shown += chunk
                while steps and (place := shown.find(steps[0][0].encode(), asked)) >= 0:
                    asked = place + len(steps[0][0].encode())
                    os.write(ours, f"{steps.pop(0)[1]}\n".encode())
            process.wait(PATIENCE_S if not steps else 0)
        except subprocess.TimeoutExpired:
            process.kill()
        finally:
            os.close(ours)
    assert not steps, (steps[0], shown.decode(errors="replace"))
    return process.returncode, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))


def _read(terminal: int) -> bytes:
    """The next bytes; nothing when the program has closed its side, or says nothing for PATIENCE_S."""
    if not select.select([terminal], [], [], PATIENCE_S)[0]:
        return b""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # what Linux says of a terminal whose other side is gone
        return b""
