"""A secondary that begins serves nothing before it is known by what: a list, a map, or nobody's word."""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import Any

import msgpack

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes
from tests.system.registered import Joined, wait_for_all

KEYS = [f"user:{number:03}" for number in range(200)]


def asked(port: int, key: str) -> Any:
    """The error and the result of a GET, made of the node itself; None while it cannot be reached."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(msgpack.packb([0, 0, "GET", [key]]))
            unpacker = msgpack.Unpacker()
            while data := sock.recv(1 << 16):
                unpacker.feed(data)
                for answer in unpacker:
                    return answer[2:]
    except OSError:
        pass
    return None


def fill(nodes: Nodes, mariadb: MariaDB, value: str) -> None:
    """Has the database keep this for all keys."""
    node = nodes.start_secondary(persistent=mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        client.put_many(dict.fromkeys(KEYS, value))
    assert node.terminate() == 0


def test_one_that_comes_back_to_a_cluster_answers_nothing_old(nodes: Nodes, mariadb: MariaDB) -> None:
    fill(nodes, mariadb, "old")
    cluster = Joined(nodes, mariadb, "evict")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    lost = cluster.secondaries["a"]
    lost.kill()
    cluster.wait_level("b")
    with cluster.client() as client:
        client.put_many(dict.fromkeys(KEYS, "new"))
        found: list[Any] = []
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                for key in KEYS[::17]:
                    found.append(asked(lost.port, key))

        looking = threading.Thread(target=look)
        looking.start()
        lost.start()
        eventually(lambda: _cluster_joined(lost), 20.0, "it has joined")
        eventually(lambda: any(answer and answer[0] for answer in found), 20.0, "it was asked")
        cluster.wait_level("a", "b")
        stop.set()
        looking.join()
        answers = [answer for answer in found if answer is not None]
        assert all(error or result == [True, "new"] for error, result in answers)
        wait_for_all(client, dict.fromkeys(KEYS, "new"))


def test_one_that_comes_back_while_its_database_is_away_waits_for_it(nodes: Nodes, private_mariadb: MariaDB) -> None:
    cluster = Joined(nodes, private_mariadb, "evict")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    back = cluster.secondaries["a"]
    back.kill()
    cluster.wait_level("b")
    with cluster.client() as client:
        client.put_many(dict.fromkeys(KEYS, "new"))
        private_mariadb.kill()
        back.start(wait=False)
        eventually(lambda: asked(back.port, KEYS[0]), 20.0, "it listens")
        until = time.monotonic() + 3.0  # it has asked the primary long before
        while time.monotonic() < until:
            error, _ = asked(back.port, KEYS[0])
            assert error.startswith("Starting: ")
        private_mariadb.start()
        cluster.wait_level("a", "b")
        wait_for_all(client, dict.fromkeys(KEYS, "new"))


def _cluster_joined(node: Node) -> bool:
    with Client("127.0.0.1", node.port) as client:
        figures: Any = client.call("INFO")
    return bool(figures["cluster_joined"] == 1)


def test_it_waits_for_a_primary_that_hangs_but_not_for_ever(nodes: Nodes, mariadb: MariaDB) -> None:
    primary = nodes.start_primary(options=["--settle=200ms"])
    primary.pause()
    node = nodes.start_secondary(primary=primary.address, persistent=mariadb.address, wait=False)
    error, _ = eventually(lambda: asked(node.port, "k"), 20.0, "it answers")
    assert error == "Starting: it is not known yet whether the node is one of a cluster, and what it serves there"
    node.wait_ready()
    assert asked(node.port, "k") == [None, [False, ""]]
    primary.resume()
    eventually(lambda: _cluster_joined(node), 20.0, "it has joined")


def test_one_that_is_told_to_stop_while_it_joins_gives_back_what_it_is_given(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "through")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    with cluster.client() as client:
        client.put_many(dict.fromkeys(KEYS, "v"))
        stopped = cluster.secondaries["b"]
        stopped.kill()
        cluster.primary.pause()
        since = len(stopped.log)
        stopped.start(wait=False)
        stopped.wait_for_log("is taken, incarnation", since=since)
        eventually(lambda: asked(stopped.port, "k"), 20.0, "it listens, and asks to join")
        stopped.signal(signal.SIGTERM)
        cluster.primary.resume()
        assert stopped.wait() == 0
        assert not [line for line in stopped.log[since:] if "are not handed over" in line]
        cluster.wait_level("a")
        wait_for_all(client, dict.fromkeys(KEYS, "v"))


def test_one_that_is_not_taken_in_serves_nothing(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb)
    cluster.add("a")
    cluster.wait_level("a")
    other = nodes.start_secondary(primary=cluster.primary.address, options=["--name=b"])
    other.wait_for_log("does not take this node in")
    error, result = asked(other.port, "k")
    assert (error.partition(": ")[0], result) == ("Starting", None)
