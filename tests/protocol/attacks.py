"""What tests of peers that mean harm share: the nodes' roles, what they may take, and how to be closed by one."""

from __future__ import annotations

import socket

from tests.net.watch import MIB
from tests.support.nodes import Cluster, Node
from tests.support.wire import RawClient

ROLES = ["secondary", "primary"]

NOISE = 16 * MIB
"""What the memory of a node may grow by without any reason that lasts: allocators and buffers being warmed up."""

MESSAGE = 64 * MIB
"""What an unfinished message may take, of whatever kind: see "What a connection costs a node" in docs/protocol.md."""

UNREAD = 160 * MIB
"""What a peer that does not read may take, the values being the largest.

At a secondary 17 values, twice while they are copied; at a primary the limit of unread bytes (64 MiB + 32 values), and
two of the batches that it reads from the secondary.
"""


def pick(cluster: Cluster, role: str) -> Node:
    return cluster.primary if role == "primary" else cluster.secondaries[0]


def send_until_closed(client: RawClient, data: bytes, most: int) -> None:
    """Sends ``data`` over and over, until the node closes the connection; fails when it has taken ``most`` bytes."""
    sent = 0
    try:
        while sent < most:
            client.send(data)
            sent += len(data)
    except ConnectionError:
        return
    client.wait_closed()


def finish(client: RawClient) -> None:
    """Says that nothing more will come, and waits until the node has closed the connection."""
    try:
        client.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It has closed it already.
    client.wait_closed()


def port_of(client: RawClient) -> str:
    return f"127.0.0.1:{client.socket.getsockname()[1]}"
