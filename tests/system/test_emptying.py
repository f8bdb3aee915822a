"""FLUSHDB of real nodes."""

from __future__ import annotations

import threading

import pytest
import redis

from ckv import Client
from ckv.errors import Refused
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes

MAY = ["--allow-flush"]
KEYS = [f"key {number}" for number in range(3000)]


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_everything_goes_while_others_are_served(nodes: Nodes, mariadb: MariaDB, mode: str) -> None:
    cluster = nodes.start_cluster(
        2,
        persistent=mariadb.address,
        capacity=100,
        secondary_options=[*MAY, f"--write-mode={mode}"],
        primary_options=MAY,
    )
    with redis.Redis(port=cluster.primary.port, socket_timeout=60) as client:
        client.mset(dict.fromkeys(KEYS, "x"))
        done = threading.Event()
        served: list[int] = []

        def serve() -> None:
            with redis.Redis(port=cluster.primary.port, socket_timeout=60) as other:
                number = 0
                while not done.is_set():
                    other.set("during", number)
                    other.get("key 7")
                    number += 1
                served.append(number)

        thread = threading.Thread(target=serve)
        thread.start()
        assert client.flushdb() is True
        client.set("after", "1")
        done.set()
        thread.join()
        assert served[0] > 0
        assert set(client.keys("*")) <= {b"after", b"during"}
        assert client.get("after") == b"1"
        assert client.mget(KEYS) == [None] * len(KEYS)
        client.delete("during")
        assert client.flushall() is True
        assert client.dbsize() == 0
    for secondary in cluster.secondaries:
        assert secondary.terminate() == 0
    assert mariadb.rows() == {}


def test_what_was_answered_does_not_come_back_after_a_crash(nodes: Nodes, mariadb: MariaDB) -> None:
    secondary = nodes.start_secondary(persistent=mariadb.address, capacity=100, options=MAY)
    with Client("127.0.0.1", secondary.port) as client:
        client.put_many(dict.fromkeys(KEYS, "x"))
        assert client.flush() >= len(KEYS)
        secondary.kill()
        secondary.start()
        assert list(client.scan()) == []


def test_it_is_refused_without_the_option(nodes: Nodes) -> None:
    secondary = nodes.start_secondary()
    primary = nodes.start_primary(secondary, options=MAY)
    primary.wait_peer(secondary.address)
    for port in (primary.port, secondary.port):
        with redis.Redis(port=port, socket_timeout=20) as client:
            client.set("a", "1")
            with pytest.raises(redis.ResponseError, match="this node was started without --allow-flush"):
                client.flushdb()
            assert client.get("a") == b"1"
        with Client("127.0.0.1", port) as ours, pytest.raises(Refused, match="--allow-flush"):
            ours.flush()


def test_it_goes_on_when_the_client_goes_away(nodes: Nodes, mariadb: MariaDB) -> None:
    secondary = nodes.start_secondary(persistent=mariadb.address, capacity=100, options=MAY)
    with redis.Redis(port=secondary.port, socket_timeout=20) as client:
        client.mset(dict.fromkeys(KEYS, "x"))
        with redis.Redis(port=secondary.port, socket_timeout=20) as other:
            other.connection_pool.get_connection().send_command("FLUSHDB")
        eventually(lambda: client.dbsize() == 0)
        assert client.keys("*") == []
