"""Two nodes on one machine: network namespaces joined by a cable, each with its own interface and
nothing else in common. Needs root and `ip` (iproute2)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """One end of the cable: prefix commands with `inside` to run them there."""

    namespace: str
    interface: str
    address: str

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.namespace]


def why_not() -> str | None:
    """The reason why there can be no network namespaces here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "no `ip` here (Debian: apt-get install iproute2)"
    name = f"probe{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "this kernel or container allows no network namespaces"
    _ip("netns", "del", name)
    return None


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Node, Node]]:
    """The nodes, with addresses 10.77.0.1 and 10.77.0.2; gone at the end."""
    number = os.getpid()  # names are the machine's: other test runs may have theirs
    first = Node(f"hrm-a{number}", f"va{number}", "10.77.0.1")
    second = Node(f"hrm-b{number}", f"vb{number}", "10.77.0.2")
    try:
        for node in (first, second):
            _ip("netns", "add", node.namespace)
        _ip("link", "add", first.interface, "netns", first.namespace, "type", "veth",
            "peer", "name", second.interface, "netns", second.namespace)  # fmt: skip
        for node in (first, second):
            _ip("-n", node.namespace, "addr", "add", f"{node.address}/24", "dev", node.interface)
            _ip("-n", node.namespace, "link", "set", node.interface, "up")
            _ip("-n", node.namespace, "link", "set", "lo", "up")
        yield first, second
    finally:
        for node in (first, second):
            subprocess.run(["ip", "netns", "del", node.namespace], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
