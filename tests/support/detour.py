"""ckv as a process some of whose connections take another way, as through a proxy.

What it says and is told of addresses stays as it is, so it can be cut off from one neighbour, or its database, alone.

``python -m tests.support.detour PORT:INSTEAD,PORT:INSTEAD ARGUMENTS``: a connection to ``PORT`` leads to ``INSTEAD``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def detour(instead: Mapping[int, int]) -> list[str]:
    """The command of such a process, without its arguments: the ports that it connects to, and those in their place."""
    ways = ",".join(f"{port}:{other}" for port, other in instead.items())
    return [sys.executable, "-m", "tests.support.detour", ways]


def main() -> None:
    ways, *arguments = sys.argv[1:]
    sys.argv = [sys.argv[0], *arguments]
    instead = {int(port): int(other) for port, _, other in (way.partition(":") for way in ways.split(","))}
    program = importlib.import_module("ckv.__main__")  # which has all sockets be those of gevent
    sockets: Any = importlib.import_module("gevent.socket").socket
    connect = sockets.connect

    def connect_elsewhere(self: Any, address: Any) -> None:
        host, port, *more = address
        connect(self, (host, instead.get(port, port), *more))

    sockets.connect = connect_elsewhere
    program.main()


if __name__ == "__main__":
    main()
