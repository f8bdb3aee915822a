"""Requests for several keys, and scans, while slots move."""

from __future__ import annotations

import threading

import pytest
import redis

from ckv.exits import Exit
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes
from tests.system.registered import Joined
from tests.system.stepping import Stepping

CAPACITY = 100
"""Records that each secondary keeps in memory: some of those that are asked for have to be loaded."""

STAY = {f"stays:{number:03}": "v" for number in range(300)}


@pytest.fixture(params=["evict", "behind", "through"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_answer_follows_from_what_was_done_before(nodes: Nodes, mariadb: MariaDB, mode: str) -> None:
    """MSET, MGET, MSETNX, DEL, EXISTS, EXEC, WATCH and INCR through a primary: none fails or is carried out twice."""
    check_while_slots_move(nodes, mariadb, mode, cluster_clients=False)


def test_so_it_does_for_clients_in_cluster_mode(nodes: Nodes, mariadb: MariaDB, mode: str) -> None:
    check_while_slots_move(nodes, mariadb, mode, cluster_clients=True)


def check_while_slots_move(nodes: Nodes, mariadb: MariaDB, mode: str, *, cluster_clients: bool) -> None:
    """One node joins, and another one leaves, though not where clients are connected to it: it would refuse them."""
    cluster = Joined(nodes, mariadb, mode, capacity=CAPACITY, cluster_clients=cluster_clients)
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    stepping = Stepping(cluster.primary.port, cluster_clients=cluster_clients)
    cluster.add("c")
    cluster.wait_level("a", "b", "c")
    if not cluster_clients:
        assert cluster.secondaries["a"].terminate() == Exit.FINE
        cluster.wait_level("b", "c")
    stepping.stop()
    assert min(stepping.done.values()) > 3, "of each kind there were some, on a busy machine too"


def test_a_scan_tells_all_or_is_refused(nodes: Nodes, mariadb: MariaDB) -> None:
    """One that ends has told each key that was there all the while, whatever has moved."""
    cluster = Joined(nodes, mariadb, "behind", capacity=CAPACITY)
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    with cluster.client() as client:
        client.put_many(STAY)
    told: list[set[str]] = []
    refused: list[str] = []
    over = threading.Event()

    def scan() -> None:
        with redis.Redis(port=cluster.primary.port, decode_responses=True, socket_timeout=20) as theirs:
            while not over.is_set():
                try:
                    told.append(set(theirs.scan_iter(count=20)))
                except redis.ResponseError as error:
                    refused.append(str(error))

    thread = threading.Thread(target=scan)
    thread.start()
    try:
        cluster.add("c")
        cluster.wait_level("a", "b", "c")
        assert cluster.secondaries["a"].terminate() == Exit.FINE
        cluster.wait_level("b", "c")
    finally:
        over.set()
        thread.join()
    assert told
    assert all(keys == STAY.keys() for keys in told)
    assert refused
    assert all("begin again with 0" in error or error.startswith("Moving: ") for error in refused), refused
