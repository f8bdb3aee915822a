"""SLOWLOG: requests that had to wait for the database are in it, whoever has made them, and no others."""

from __future__ import annotations

import socket
from typing import Any

import msgpack
import pytest
import redis

from ckv import Client, core, errors
from ckv.core import SWITCH
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes

SWITCHES = ["off"] + ([""] if core.COMPILED else [])

EVERY = "--slow-time=0"
"""Keeps all that waits at all."""


def fill(nodes: Nodes, mariadb: MariaDB, count: int) -> None:
    """Puts records ``old 0``, ``old 1``, ... into the database."""
    node = nodes.start_secondary(persistent=mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        for number in range(count):
            client.put(f"old {number}", "v")
    assert node.terminate() == 0


def batch(port: int, *calls: object) -> None:
    """Makes these calls in one BATCH, and waits for all answers, those that come later too."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(msgpack.packb([0, 0, "BATCH", calls]))
        unpacker = msgpack.Unpacker()
        missing = {0}
        while missing:
            data = sock.recv(1 << 16)
            assert data
            unpacker.feed(data)
            for _, msgid, error, results in unpacker:
                assert error is None
                missing.discard(msgid)
                if msgid == 0:
                    missing |= {1 + at for at, result in enumerate(results) if result is None}


def figures(client: Client) -> dict[str, Any]:
    """INFO."""
    found: Any = client.call("INFO")
    return dict(found)


def words(client: Client) -> list[list[str]]:
    """Those of all that is in the log, the latest first."""
    entries: Any = client.call("SLOWLOG", 128)
    for _, at, micros, _, _, _ in entries:
        assert at > 1_700_000_000
        assert 0 < micros < 60_000_000
    return [each[3] for each in entries]


@pytest.mark.parametrize("switch", SWITCHES)
def test_of_a_secondary(nodes: Nodes, mariadb: MariaDB, switch: str) -> None:
    fill(nodes, mariadb, 6)
    node = nodes.start_secondary(persistent=mariadb.address, options=[EVERY], env={SWITCH: switch})
    with Client("127.0.0.1", node.port) as client, redis.Redis(port=node.port) as resp:
        client.put("new", "v")
        assert (client.get("new"), client.get("old 0"), client.get("old 0")) == ("v", "v", "v")
        assert words(client) == [["GET", "old 0"]], "the others were decided by memory"
        batch(node.port, "GET", ["new"], "GET", ["old 1"], "APPEND", ["old 2", "w"])
        assert sorted(words(client)[:-1]) == [["APPEND", "old 2", "... (1 more arguments)"], ["GET", "old 1"]]
        pipeline = resp.pipeline(transaction=False)
        for key in ("new", "old 3", "new", "old 4"):
            pipeline.get(key)
        assert pipeline.execute() == [b"v"] * 4
        assert resp.append("old 5", "w") == 2
        told = resp.slowlog_get(3)
        assert [each["command"] for each in told] == [
            b"APPEND old 5 ... (1 more arguments)", b"GET old 4", b"GET old 3"
        ]  # fmt: skip
        assert [each["id"] for each in told] == [5, 4, 3]
        assert resp.slowlog_len() == 6
        assert figures(client)["slow_requests"] == 6
        assert resp.slowlog_reset()
        assert (resp.slowlog_len(), words(client), figures(client)["slow_requests"]) == (0, [], 6)


def test_what_waits_for_the_commit(nodes: Nodes, mariadb: MariaDB) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, options=[EVERY, "--write-mode=through"])
    with Client("127.0.0.1", node.port) as client:
        client.put("k", "a value that is not shown")
        assert words(client) == [["PUT", "k", "... (1 more arguments)"]]


@pytest.mark.parametrize("switch", SWITCHES)
def test_through_a_primary_the_secondary_has_it(nodes: Nodes, mariadb: MariaDB, switch: str) -> None:
    fill(nodes, mariadb, 2)
    cluster = nodes.start_cluster(
        1, persistent=mariadb.address, secondary_options=[EVERY], primary_options=[EVERY], env={SWITCH: switch}
    )
    with Client("127.0.0.1", cluster.primary.port) as client, redis.Redis(port=cluster.primary.port) as resp:
        assert client.get("old 0") == "v"
        assert resp.get("old 1") == b"v"
        asked: Any = client.call("SLOWLOG", 0)
        assert asked == []
    with Client("127.0.0.1", cluster.secondaries[0].port) as secondary:
        assert words(secondary) == [["GET", "old 1"], ["GET", "old 0"]]


def test_what_takes_less_is_not_there(nodes: Nodes, mariadb: MariaDB) -> None:
    fill(nodes, mariadb, 1)
    node = nodes.start_secondary(persistent=mariadb.address, options=["--slow-time=60m"])
    with Client("127.0.0.1", node.port) as client:
        assert client.get("old 0") == "v"
        assert words(client) == []
        for count in (-1, 129, "10", True):
            with pytest.raises(errors.BadArguments, match="it is 0 to 128"):
                client.call("SLOWLOG", count)
