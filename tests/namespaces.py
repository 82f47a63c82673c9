"""Hosts in network namespaces of the tests' own: two joined by a veth pair, or three on one segment that others can listen to."""

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


@contextmanager
def segment(label: str) -> Iterator[tuple[Host, Host, Host]]:
    """An evaluator, a vehicle and a cloud on a bridge that floods all frames to all ports; IPv6 is fd00::1, 2, 3.

    The evaluator has three interfaces: veth0 (its own), mirror0 (a port that shows everything), deaf0 (one that shows nothing).
    """
    hosts = [
        Host(f"ys-{label}-{who}-{os.getpid()}", f"10.213.8.{n}") for n, who in enumerate(("near", "car", "cloud"), 1)
    ]
    switch = f"ys-{label}-hub-{os.getpid()}"
    namespaces = [switch, *(host.namespace for host in hosts)]
    ports = [
        *((host.namespace, "veth0") for host in hosts),
        (hosts[0].namespace, "mirror0"),
        (hosts[0].namespace, "deaf0"),
    ]
    try:
        for namespace in namespaces:
            _ip("netns", "add", namespace)
        _ip("-n", switch, "link", "add", "hub", "type", "bridge", "ageing_time", "0", "mcast_snooping", "0")
        for n, (namespace, name) in enumerate(ports):
            _ip("link", "add", f"p{n}", "netns", switch, "type", "veth", "peer", name, "netns", namespace)
            if name != "deaf0":
                _ip("-n", switch, "link", "set", f"p{n}", "master", "hub")
            _ip("-n", switch, "link", "set", f"p{n}", "up")
        _ip("-n", switch, "link", "set", "hub", "up")
        for n, host in enumerate(hosts, 1):
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "veth0")
            _ip("-n", host.namespace, "addr", "add", f"fd00::{n}/64", "dev", "veth0", "nodad")
        for namespace, name in (*ports, *((host.namespace, "lo") for host in hosts)):
            _ip("-n", namespace, "link", "set", name, "up")
        near, car, cloud = hosts
        yield near, car, cloud
    finally:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


@contextmanager
def gateway(label: str) -> Iterator[tuple[Host, Host, Host]]:
    """An evaluator who hands on what passes between a vehicle (at its veth0) and a cloud (at its out0)."""
    names = [f"ys-{label}-{who}-{os.getpid()}" for who in ("near", "car", "cloud")]
    near, car, cloud = (Host(n, a) for n, a in zip(names, ("10.213.9.1", "10.213.9.2", "10.213.10.3"), strict=True))
    try:
        for name in names:
            _ip("netns", "add", name)
        for name, far, ours, theirs in (
            ("veth0", car, "10.213.9.1", car.address),
            ("out0", cloud, "10.213.10.1", cloud.address),
        ):
            _ip("link", "add", name, "netns", near.namespace, "type", "veth", "peer", "veth0", "netns", far.namespace)
            _ip("-n", near.namespace, "addr", "add", f"{ours}/24", "dev", name)
            _ip("-n", far.namespace, "addr", "add", f"{theirs}/24", "dev", "veth0")
            for namespace, link in ((near.namespace, name), (far.namespace, "veth0"), (far.namespace, "lo")):
                _ip("-n", namespace, "link", "set", link, "up")
            _ip("-n", far.namespace, "route", "add", "default", "via", ours)
        _ip("netns", "exec", near.namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield near, car, cloud
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
