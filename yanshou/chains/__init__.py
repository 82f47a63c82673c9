"""Chains: how each kind is asked, and how what it answered is read again and verified.

Each kind is a folder `<kind>/` with two modules:
  wire.py    `Wire(rpc, group)`, behind gRPC `Wire(link, group, identity)`, which fulfils `rpc.Asks`: impure, asks one endpoint
             and returns answers as they came; messages of bytes in base64
  blocks.py  fulfils `model.Reads`: pure, recorded answers -> plain blocks, and what of them holds by hashes and signatures
Everything peculiar to a kind's answers (numbers as hex or not, JSON inside strings, missing fields) lives in its folder and
nowhere else. What a chain does not support is an error or None, never zero. Nothing here knows what is counted, or a limit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from yanshou.chains.model import Reads


def reader(kind: str) -> Reads:
    """The pure half of a kind."""
    return cast("Reads", importlib.import_module(f"yanshou.chains.{kind}.blocks"))
