"""Personal data that stands on a chain for everybody to read: which kinds, never what. Pure."""

from __future__ import annotations

import re

from yanshou.chains.model import Transaction
from yanshou.harness.privacy import PERSONAL

_READABLE = re.compile(rb"[\x20-\x7e]{8,}")
"""Shorter runs of printable characters are in any random bytes."""


def personal_kinds(transaction: Transaction) -> set[str]:
    """The kinds of personal data that can be read in a transaction's input or in its events."""
    texts = [
        run.decode("ascii")
        for data in (transaction.input, *(log.data for log in transaction.logs))
        for run in _READABLE.findall(data)
    ]
    return {kind.name for kind in PERSONAL if any(kind.is_in(text) for text in texts)}
