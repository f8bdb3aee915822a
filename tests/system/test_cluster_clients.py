"""Clients of Redis in cluster mode, which go to the owner of a key by themselves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from ckv import Client
from tests.support.mariadb import MariaDB
from tests.support.nodes import Cluster, Nodes

CAPACITY = 20
"""Records that each secondary keeps in memory."""


@pytest.fixture
def cluster(nodes: Nodes, mariadb: MariaDB) -> Cluster:
    """Three secondaries, of which a primary tells."""
    return nodes.start_cluster(3, persistent=mariadb.address, capacity=CAPACITY, primary_options=["--cluster-clients"])


@pytest.fixture(params=["primary", "secondary"])
def client(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Any]:
    """One that was told this node alone."""
    node = cluster.primary if request.param == "primary" else cluster.secondaries[1]
    with RedisCluster("127.0.0.1", node.port, socket_timeout=20) as client:
        yield client


def hits(cluster: Cluster) -> list[int]:
    """The GETs that each secondary was asked, and that have found something."""
    figures = []
    for node in cluster.secondaries:
        with Client("127.0.0.1", node.port) as client:
            figures.append(int(client.call("INFO")["keyspace_hits"]))  # type: ignore[index]
    return figures


def test_it_asks_the_owners(client: Any, cluster: Cluster) -> None:
    records = {f"key {number}": b"\r\n\x00\xff %d" % number for number in range(300)}
    for name, value in records.items():
        assert client.set(name, value)
    assert [client.get(name) for name in records] == list(records.values())
    # Each was asked for what is its own, and answered nobody else's.
    assert all(count > 60 for count in hits(cluster))
    assert sum(hits(cluster)) == len(records)
    assert client.mget_nonatomic(list(records)) == list(records.values())
    # What the primary finds, for it does the same.
    with Client("127.0.0.1", cluster.primary.port) as other:
        assert {name: other.get(name) for name in records} == records
        other.put("from msgpack", "1")
    assert client.incr("from msgpack") == 2
    assert sorted(client.scan_iter(match="key *", count=100)) == sorted(name.encode() for name in records)
    assert client.delete(*(f"{{tag}}:{number}" for number in range(3))) == 0
    with client.pipeline() as pipeline:
        for name in records:
            pipeline.get(name)
        assert pipeline.execute() == list(records.values())
    with client.pipeline(transaction=True) as pipeline:
        pipeline.set("{t}1", "a").set("{t}2", "b").get("{t}1").get("{t}2")
        assert pipeline.execute() == [b"OK", b"OK", b"a", b"b"]


def test_the_wrong_node_says_who_is_the_right_one(cluster: Cluster) -> None:
    """Compiled code as well, in the middle of what it answers."""
    clients = [redis.Redis(port=node.port, socket_timeout=20) for node in cluster.secondaries]
    names = [f"key {number}" for number in range(100)]
    for client in clients:
        with client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.set(name, name)
            answers = pipeline.execute(raise_on_error=False)
        # redis-py makes MovedError of it.
        assert {type(answer).__name__ for answer in answers} == {"bool", "MovedError"}
        assert sum(answer is True for answer in answers) in range(20, 50)
    for name in names:
        owners = []
        for client in clients:
            try:
                assert client.get(name) == name.encode()
            except redis.exceptions.MovedError as moved:
                owners.append(moved.port)
        assert len(owners) == 2
        assert len(set(owners)) == 1


def test_others_go_on_as_before(cluster: Cluster) -> None:
    """Clients that do not look whose keys are, at the primary."""
    with redis.Redis(port=cluster.primary.port, socket_timeout=20) as client:
        assert client.mset({"a": "1", "b": "2", "c": "3"})
        assert client.mget("a", "b", "c") == [b"1", b"2", b"3"]


def test_it_is_told_again_after_a_restart(cluster: Cluster) -> None:
    node = cluster.secondaries[0]
    node.restart()
    cluster.primary.wait_for_log(f"peer {node.address} back")
    with redis.Redis(port=node.port, socket_timeout=20) as client:
        assert len(client.execute_command("CLUSTER SLOTS")) == 3


def test_redis_cli_and_redis_benchmark(cluster: Cluster) -> None:
    cli, bench = shutil.which("redis-cli"), shutil.which("redis-benchmark")
    if cli is None or bench is None:
        pytest.skip("there is no redis-cli")
    done = subprocess.run(
        [cli, "-c", "-p", str(cluster.secondaries[0].port)],
        input="".join(f"SET {name} {name}\nGET {name}\n" for name in "abcdefgh"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if len(line) == 1] == list("abcdefgh")
    checked = subprocess.run(
        [cli, "--cluster", "check", f"127.0.0.1:{cluster.secondaries[0].port}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "All 16384 slots covered" in checked.stdout, checked.stdout + checked.stderr
    words = [bench, "-p", str(cluster.secondaries[0].port), "--cluster", "-t", "set,get", "-n", "3000", "-q"]
    measured = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert "requests per second" in measured.stdout
