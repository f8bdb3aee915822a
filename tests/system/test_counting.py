"""Each request and each connection is counted once, whoever serves it: compiled code, a session, or another node."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest

from ckv import Client, core
from ckv.core import SWITCH
from tests.support.nodes import Node, Nodes

SWITCHES = {"python": "off"} | ({"compiled": ""} if core.COMPILED else {})

RESP = ("SET a 1", "GET a", "GET none", "PING", "MGET a b", "EXISTS a", "DEL b", "MULTI", "GET a", "INCR a", "EXEC",
        "SET b 2 EX 100", "NOSUCH", "STRLEN a")  # fmt: skip

RPC: tuple[tuple[str, list[Any]], ...] = (
    ("PUT", ["a", "1"]), ("GET", ["a"]), ("GET", ["none"]), ("DEL", ["none"]), ("PING", []), ("NOSUCH", []),
    ("PUT", ["large", "v" * 200_000]), ("GET", ["large"]), ("GET", []), ("INCRBY", ["n", 1]),
)  # fmt: skip


@pytest.fixture(params=["secondary", "primary"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SWITCHES)
def node(request: pytest.FixtureRequest, nodes: Nodes, role: str) -> Node:
    env = {SWITCH: SWITCHES[request.param]}
    # Secondaries that were told of this primary would ask it to join, which counts, at a time of their own.
    secondary = nodes.start_secondary(env=env)
    if role == "secondary":
        return secondary
    others = [secondary, nodes.start_secondary(env=env)]
    primary = nodes.start_primary(*others, env=env)
    for each in others:
        primary.wait_peer(each.address)
    return primary


@contextmanager
def counted(node: Node, requests: int, connections: int = 1) -> Iterator[socket.socket]:
    """A connection over which so many requests are made."""
    with Client("127.0.0.1", node.port) as client:
        before: Any = client.call("INFO")
        with socket.create_connection(("127.0.0.1", node.port), 10) as sock:
            yield sock
        after: Any = client.call("INFO")
    names = ("total_commands_processed", "total_connections_received")
    differences = [after[name] - before[name] for name in names]
    assert differences == [requests + 1, connections], "with the second INFO"


def resp_until(sock: socket.socket, end: bytes) -> None:
    data = b""
    while not data.endswith(end):
        more = sock.recv(1 << 16)
        assert more
        data += more


def rpc_until(sock: socket.socket, unpacker: msgpack.Unpacker, msgids: set[int]) -> None:
    while msgids:
        more = sock.recv(1 << 16)
        assert more
        unpacker.feed(more)
        for _, msgid, _, _ in unpacker:
            msgids.discard(msgid)


@pytest.mark.parametrize("together", [True, False])
def test_of_clients_of_redis(node: Node, together: bool) -> None:
    words = [line.encode().split() for line in RESP * 40]
    packed = [
        b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])
        for parts in words
    ]
    with counted(node, len(packed) + 1) as sock:
        for data in [b"".join(packed)] if together else packed:
            sock.sendall(data)
            if not together:
                assert sock.recv(1 << 16)
        sock.sendall(b"ECHO the-end\r\n")
        resp_until(sock, b"the-end\r\n")


@pytest.mark.parametrize("way", ["together", "one by one", "in batches"])
def test_of_others(node: Node, way: str) -> None:
    calls = [call for _ in range(4) for call in RPC]
    unpacker = msgpack.Unpacker()
    with counted(node, len(calls)) as sock:
        if way == "in batches":
            for start in range(0, len(calls), 4):
                parts = [part for call in calls[start : start + 4] for part in call]
                sock.sendall(msgpack.packb([0, 100 * start, "BATCH", parts]))
                rpc_until(sock, unpacker, {100 * start})
        else:
            packed = [msgpack.packb([0, msgid, *call]) for msgid, call in enumerate(calls)]
            if way == "together":
                sock.sendall(b"".join(packed))
                rpc_until(sock, unpacker, set(range(len(calls))))
            else:
                for msgid, data in enumerate(packed):
                    sock.sendall(data)
                    rpc_until(sock, unpacker, {msgid})
