"""Two hosts in network namespaces of the tests' own, joined by a veth pair."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

AVAILABLE = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("ip") is not None


@dataclass(frozen=True)
class Host:
    """A namespace and its IPv4 address."""

    namespace: str
    address: str

    @property
    def inside(self) -> Sequence[str]:
        """Prefix of a command that is to run there."""
        return ("ip", "netns", "exec", self.namespace)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def two_hosts(label: str) -> Iterator[tuple[Host, Host]]:
    """A near and a far host; the pair goes with its namespaces."""
    hosts = [Host(f"ys-{label}-{side}-{os.getpid()}", f"10.213.7.{n}") for n, side in ((1, "near"), (2, "far"))]
    near, far = hosts
    try:
        for host in hosts:
            _ip("netns", "add", host.namespace)
        _ip("link", "add", "veth0", "netns", near.namespace, "type", "veth", "peer", "veth0", "netns", far.namespace)
        for host in hosts:
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "veth0")
            for link in ("lo", "veth0"):
                _ip("-n", host.namespace, "link", "set", link, "up")
        yield near, far
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host.namespace], check=False, capture_output=True)
