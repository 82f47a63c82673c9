"""The impure half of a kind of chain, by the kind's name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from yanshou.chains import reader
from yanshou.chains.crypto import Suite, require_sm
from yanshou.chains.grpc_link import Link
from yanshou.chains.identity import load_identity
from yanshou.chains.rpc import Asks, Rpc
from yanshou.chains.spec import Chain, Endpoint


@contextmanager
def connect(chain: Chain, endpoint: Endpoint, folder: Path) -> Iterator[Asks]:
    """A way to ask `endpoint`, as long as the block runs; paths are relative to `folder`.

    Raises ProbeError CHN-E04 (a file), CHN-E08 (no grpcio), UserError (no 国密 library for a member's key).
    """
    wire = importlib.import_module(f"yanshou.chains.{chain.kind}.wire").Wire
    if chain.member:
        identity = load_identity(chain.member, folder)
        with Link(endpoint, folder, chain.parallel) as link:
            yield cast(Asks, wire(link, chain.group, identity))
        return
    with Rpc(endpoint.url, chain.batch, str(folder / endpoint.ca) if endpoint.ca else None) as rpc:
        yield cast(Asks, wire(rpc, chain.group))


def require_verifiable(chain: Chain, asks: Asks, height: int) -> None:
    """Raises UserError where what is to be recorded could not be verified afterwards: 国密 without its library."""
    (header,) = asks.headers(range(height, height + 1))
    if reader(chain.kind).suite(header) is Suite.SM:
        require_sm()
