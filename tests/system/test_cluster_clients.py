"""Clients of Redis in cluster mode, which go to the owner of a key by themselves."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Cluster, Node, Nodes
from tests.system.registered import SLOTS, Joined, Load

HERE, THERE = "b", "key"
"""A key of the first of two nodes, and one of the second."""

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


@pytest.mark.parametrize(("bind", "host"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::", "::1")])
def test_a_primary_is_where_the_client_has_found_it(nodes: Nodes, bind: str, host: str) -> None:
    primary = nodes.start_primary("127.0.0.1:1", options=["--cluster-clients", f"--bind={bind}", "--insecure"])
    with redis.Redis(host, primary.port, socket_timeout=20, decode_responses=True) as client:
        (line,) = (line for line in client.execute_command("CLUSTER", "NODES").splitlines() if "myself" in line)
    assert line.split()[1] == f"{host}:{primary.port}@{primary.port}"


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


def flags(client: Any, node: Node) -> str:
    """What CLUSTER NODES says of a node."""
    lines = str(client.execute_command("CLUSTER", "NODES")).splitlines()
    return next(line.split()[2] for line in lines if f" {node.address}@" in line)


def test_a_node_that_has_other_keys_is_nobodys_destination(nodes: Nodes) -> None:
    """One of the list has its keys by another list: whoever asks is told so, and by no node sent there."""
    here, there = nodes.start_secondary(), nodes.start_secondary()
    other = nodes.start_primary("127.0.0.1:1", "127.0.0.1:2", there, options=["--node-wait=0"])
    other.wait_peer(there.address)
    options = ["--cluster-clients", "--node-wait=0"]
    primary = nodes.start_primary(here, there, options=options)
    primary.wait_peer(here.address)
    primary.wait_for_log(f"peer {there.address} cannot be reached (WrongNode: ")
    with redis.Redis(port=primary.port, socket_timeout=20, decode_responses=True) as client:
        ((first, last, (_, port, *_)),) = client.execute_command("CLUSTER SLOTS")
        assert (first, last, port) == (0, 8191, here.port)
        assert [flags(client, node) for node in (here, there)] == ["master", "master,fail"]
        with pytest.raises(redis.exceptions.ClusterDownError):
            client.get(THERE)
    with pytest.raises(redis.exceptions.RedisClusterException, match="8192 of 16384 covered"):
        RedisCluster("127.0.0.1", primary.port, socket_timeout=20)
    with RedisCluster("127.0.0.1", primary.port, socket_timeout=20, require_full_coverage=False) as cluster_client:
        assert cluster_client.set(HERE, "1")
        with pytest.raises(redis.exceptions.SlotNotCoveredError):
            cluster_client.set(THERE, "1")
    with redis.Redis(port=here.port, socket_timeout=20, decode_responses=True) as client:
        # It hears of that from the primary, and sends nobody there either.
        eventually(lambda: flags(client, there) == "master,fail")
        assert len(client.execute_command("CLUSTER SLOTS")) == 1
        with pytest.raises(redis.exceptions.ClusterDownError, match="Hash slot not served"):
            client.get(THERE)
        assert client.set(HERE, "1")
        assert other.terminate() == 0
        primary.wait_for_log(f"peer {there.address} connected")
        eventually(lambda: flags(client, there) == "master")
        with pytest.raises(redis.exceptions.MovedError):
            client.get(THERE)
    with RedisCluster("127.0.0.1", primary.port, socket_timeout=20) as cluster_client:
        assert cluster_client.set(THERE, "1")


def test_addresses_count_as_those_primaries_spell_them_that_are_there(nodes: Nodes) -> None:
    secondary = nodes.start_secondary()
    options = ["--cluster-clients"]
    nodes.start_primary(secondary, options=options).wait_peer(secondary.address)
    with redis.Redis(port=secondary.port, socket_timeout=20, decode_responses=True) as client:

        def host() -> object:
            ((_, _, (host, *_)),) = client.execute_command("CLUSTER SLOTS")
            return host

        assert host() == "127.0.0.1"
        other = nodes.start_primary(f"localhost:{secondary.port}", options=options)
        eventually(lambda: host() == "localhost")
        assert other.terminate() == 0
        eventually(lambda: host() == "127.0.0.1")


def test_a_node_that_is_down_keeps_its_slots(nodes: Nodes) -> None:
    options = ["--cluster-clients", "--node-wait=0"]
    cluster = nodes.start_cluster(2, primary_options=options)
    node = cluster.secondaries[1]
    node.kill()
    with redis.Redis(port=cluster.primary.port, socket_timeout=20, decode_responses=True) as client:
        eventually(lambda: flags(client, node) == "master,fail")
        assert len(client.execute_command("CLUSTER SLOTS")) == 2
        with pytest.raises(redis.exceptions.ClusterDownError):
            client.get(THERE)
        node.restart()
        eventually(lambda: flags(client, node) == "master")
        assert client.set(THERE, "1")


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


def test_they_follow_slots_to_a_node_that_joins(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, cluster_clients=True)
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    load = Load(cluster.primary.port, cluster_clients=True)
    cluster.add("c")
    cluster.wait_level("a", "b", "c")
    load.stop()
    assert cluster.figures()["cluster_moves_called_off"] == 0
    # What each node tells by the map.
    told = told_by(cluster.primary)
    assert told.keys() == {node.port for node in cluster.secondaries.values()}
    assert sum(told.values()) == SLOTS
    assert max(told.values()) - min(told.values()) <= 1
    for node in cluster.secondaries.values():
        assert told_by(node) == told
    newest = cluster.secondaries["c"].port
    with redis.Redis(port=newest, socket_timeout=20) as client:
        moved = set()
        for number in range(100):
            try:
                client.get(f"key {number}")
            except redis.exceptions.MovedError as error:
                moved.add(error.port)
    assert moved == told.keys() - {newest}


def told_by(node: Node) -> dict[int, int]:
    """How many slots each node has, by its port, as a node says it."""
    with redis.Redis(port=node.port, socket_timeout=20) as client:
        counts: Counter[int] = Counter()
        for first, last, (_, port, *_) in client.execute_command("CLUSTER SLOTS"):
            counts[port] += last - first + 1
        return counts
