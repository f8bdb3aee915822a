"""SCAN, KEYS and DBSIZE of real nodes, over both tiers, while others write."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ckv import Client
from ckv.errors import Refused
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Cluster, Nodes

CAPACITY = 50
KEYS = [f"user:{number:04}" for number in range(1000)]


@pytest.fixture
def cluster(nodes: Nodes, mariadb: MariaDB) -> Cluster:
    """Three secondaries with one table, most of whose records are in the database."""
    cluster = nodes.start_cluster(3, persistent=mariadb.address, capacity=CAPACITY)
    with Client("127.0.0.1", cluster.primary.port) as client:
        client.put_many(dict.fromkeys(KEYS, b"x"))
    for secondary in cluster.secondaries:
        with Client("127.0.0.1", secondary.port) as client:
            eventually(lambda client=client: saved(client), what="what left memory is saved")  # type: ignore[misc]
    return cluster


def saved(client: Client) -> bool:
    figures = client.call("INFO")
    assert isinstance(figures, dict)
    return bool(figures["pending_records"] == 0)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[redis.Redis]:
    with redis.Redis(port=cluster.primary.port, decode_responses=True, socket_timeout=20) as client:
        yield client


def test_all_keys_of_all_nodes_and_tiers(client: redis.Redis, cluster: Cluster) -> None:
    for count in (None, 7, 1000, 100_000):
        assert sorted(set(client.scan_iter(count=count))) == KEYS
    assert sorted(client.scan_iter("user:00[0-4]?", count=100)) == KEYS[:50]
    assert sorted(client.keys("user:*9")) == KEYS[9::10]
    assert client.keys("nobody*") == []
    assert list(client.scan_iter(_type="hash")) == []
    assert client.dbsize() == len(KEYS)
    with Client("127.0.0.1", cluster.primary.port) as ours:
        assert sorted(set(ours.scan())) == KEYS
        assert sorted(ours.scan(b"user:000?", count=10)) == KEYS[:10]
        assert ours.count() == len(KEYS)


def test_a_secondary_tells_its_share(cluster: Cluster) -> None:
    told: list[str] = []
    sizes = []
    for secondary in cluster.secondaries:
        with Client("127.0.0.1", secondary.port) as client:
            told += sorted(set(client.scan()))
            sizes.append(client.count())
    assert sorted(told) == KEYS
    assert len(KEYS) - 3 <= sum(sizes) <= len(KEYS) + 3


def test_what_was_deleted_or_has_expired_is_not_told(client: redis.Redis) -> None:
    gone = KEYS[::3]
    client.delete(*gone)
    for key in KEYS[1::3]:
        client.expireat(key, 1)
    assert sorted(client.keys("*")) == KEYS[2::3]


def test_a_scan_goes_on_over_another_connection_and_not_in_another_process(
    client: redis.Redis, cluster: Cluster
) -> None:
    cursor, _ = client.scan(0, count=100)
    client.connection_pool.disconnect()
    cursor, _ = client.scan(cursor, count=100)
    assert cursor
    for secondary in cluster.secondaries:
        since = len(cluster.primary.log)
        secondary.terminate()
        secondary.start()
        cluster.primary.wait_for_log(f"peer {secondary.address} back", since=since)
    with pytest.raises(redis.ResponseError, match=r"there is no scan with the cursor .*: begin again with 0"):
        client.scan(cursor, count=100)
    assert sorted(set(client.scan_iter(count=1000))) == KEYS


def test_too_many_for_keys(nodes: Nodes, tmp_path: Path) -> None:
    secondary = nodes.start_secondary(
        persistent=f"sqlite:{tmp_path}/records.db", capacity=10, options=["--keys-max=100"]
    )
    with redis.Redis(port=secondary.port, socket_timeout=20) as client:
        client.mset({f"{number}": "x" for number in range(100)})
        assert len(client.keys("*")) == 100
        client.set("one more", "x")
        with pytest.raises(redis.ResponseError, match=r"more than 100 keys match, the most for KEYS \(--keys-max\)"):
            client.keys("*")
        assert client.keys("one*") == [b"one more"]
        assert client.dbsize() == 101


def test_while_the_database_is_away(nodes: Nodes, private_mariadb: MariaDB) -> None:
    mariadb = private_mariadb
    secondary = nodes.start_secondary(persistent=mariadb.address, capacity=CAPACITY, options=["--load-timeout=1"])
    with redis.Redis(port=secondary.port, socket_timeout=20) as client:
        client.mset(dict.fromkeys(KEYS[:200], b"x"))
        cursor, found = client.scan(0, count=100)
        mariadb.stop()
        with pytest.raises(redis.ResponseError, match="TierUnavailable"):
            while cursor:
                before = cursor
                cursor, keys = client.scan(cursor, count=100)
                found += keys
        mariadb.start()
        secondary.wait_for_log("database back", 30)
        cursor = before
        while cursor:
            cursor, keys = client.scan(cursor, count=100)
            found += keys
    assert {key.decode() for key in found} == set(KEYS[:200])


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_while_others_write(nodes: Nodes, mariadb: MariaDB, mode: str) -> None:
    """What is there all the while is told by each scan; so is nothing that was never there."""
    cluster = nodes.start_cluster(
        2, persistent=mariadb.address, capacity=CAPACITY, secondary_options=[f"--write-mode={mode}"]
    )
    port = cluster.primary.port
    stays, goes = KEYS[:300], [f"goes:{number}" for number in range(100)]
    over = threading.Event()
    written: Counter[str] = Counter()

    def write(number: int) -> None:
        with Client("127.0.0.1", port) as client:
            while not over.is_set():
                for key in stays[number::3]:
                    client.put(key, "y" * 10)
                    client.get(stays[-1 - number])
                    written["stays"] += 1
                for key in goes[number::3]:
                    client.put(key, "z")
                    client.delete(key)

    with Client("127.0.0.1", port) as client:
        client.put_many(dict.fromkeys(stays, "x"))
        client.put_many(dict.fromkeys(["gone:1", "gone:2"], "x"))
        client.delete("gone:1")
        client.delete("gone:2")
        threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for count in (10, 100, 1000, 50):
                before = written["stays"]
                while written["stays"] < before + 10:
                    told = set(client.scan(count=count))
                    assert told >= set(stays)
                    assert told <= {*stays, *goes}
        finally:
            over.set()
            for thread in threads:
                thread.join()


def test_a_client_that_is_told_that_its_scan_is_forgotten(nodes: Nodes) -> None:
    secondary = nodes.start_secondary()
    with Client("127.0.0.1", secondary.port) as client:
        client.put_many(dict.fromkeys(KEYS[:100], b"x"))
        scan = client.scan(count=1)
        assert next(scan) in KEYS
        for _ in range(300):  # others
            client.call("SCAN", 0, "*", 1)
        with pytest.raises(Refused, match="begin again with 0"):
            list(scan)


def test_the_loop_serves_others_while_keys_looks_at_many(nodes: Nodes) -> None:
    """100,000 records are looked at in 100 turns of the loop: a GET that comes meanwhile does not wait for all."""
    secondary = nodes.start_secondary()
    with Client("127.0.0.1", secondary.port) as client:
        for start in range(0, 100_000, 1000):
            client.put_many({f"key {number}": b"x" for number in range(start, start + 1000)})
        with redis.Redis(port=secondary.port, socket_timeout=60) as other:
            done: list[list[bytes]] = []
            thread = threading.Thread(target=lambda: done.append(other.keys("nobody*")))
            thread.start()
            served = 0
            while not done:
                client.get("key 1")
                served += 1
            thread.join()
        assert done == [[]]
        assert served >= 20
