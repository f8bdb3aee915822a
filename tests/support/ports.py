"""Free loopback ports that stay free."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.parallel import WORKER, WORKERS

# Below the range from which the kernel takes the ports of outgoing connections (32768 and up). A port out of that range
# can be taken by any client while the server that owns it is being restarted, and a client that keeps trying to reach
# it can even connect to itself.
# Each process of a parallel run has some of them to itself.
_PORTS = range(15_000 + WORKER, 32_000, WORKERS)
_handed_out: set[int] = set()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on and that this session has not handed out before."""
    for port in random.sample(_PORTS, min(1000, len(_PORTS))):
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise RuntimeError(f"no free port among up to 1000 tried of {_PORTS}")


@contextmanager
def silent_address() -> Iterator[tuple[str, int]]:
    """Host and port that drop what they are sent, as a firewall does: a listener whose queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()


def is_listening(port: int) -> bool:
    """Whether somebody takes connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
