"""Clients of ours that go to the owners of keys by themselves, with real nodes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ckv import Client
from ckv.errors import CkvError, NodeDown, NodeLost, Unreachable
from ckv.exits import Exit
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Cluster, Node, Nodes
from tests.system.registered import Joined, Load, wait_for_all

KEYS = [f"user:{number:03}" for number in range(300)]


@pytest.fixture
def cluster(nodes: Nodes) -> Cluster:
    """Three secondaries of a list, without a database."""
    return nodes.start_cluster(3)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with direct_client(cluster.primary) as client:
        yield client


def direct_client(primary: Node, timeout: float = 20.0) -> Client:
    return Client("127.0.0.1", primary.port, timeout=timeout, direct=True)


def put_all(client: Client, value: str = "v") -> None:
    client.put_many({key: f"{value}:{key}" for key in KEYS})


def check_all(client: Client, value: str = "v") -> None:
    assert client.get_many(KEYS) == {key: f"{value}:{key}" for key in KEYS}


def asked(node: Node) -> int:
    """Clients that a node has, but for this one."""
    with Client("127.0.0.1", node.port) as client:
        return int(client.call("INFO")["connected_clients"]) - 1  # type: ignore[index]


def test_the_primary_is_not_asked_for_records(cluster: Cluster, client: Client) -> None:
    client.put("key", "value")
    cluster.primary.pause()
    try:
        for key in KEYS:
            client.put(key, f"v:{key}")
        for key in KEYS:
            assert client.get(key) == f"v:{key}"
        check_all(client)
        put_all(client, "w")
        check_all(client, "w")
        assert client.incr("count") == 1
        assert client.add("new", "1")
        assert not client.add(b"new", "2")
        assert client.replace("new", "3")
        assert client.compare_and_put("new", "3", "4", expire=60)
        assert 50 < (client.ttl("new") or 0) <= 60
        assert client.delete("new")
        with client.pipeline() as calls:
            calls.put("order", "1")
            calls.put("other", "x")
            calls.put("order", "2")
            calls.get("order")
            assert calls.execute()[-1] == "2"
    finally:
        cluster.primary.resume()
    with Client("127.0.0.1", cluster.primary.port) as other:
        check_all(other, "w")


def test_each_sees_what_the_other_has_written(cluster: Cluster, client: Client) -> None:
    with Client("127.0.0.1", cluster.primary.port) as other:
        for number, key in enumerate(KEYS):
            writer, reader = (client, other) if number % 2 else (other, client)
            writer.put(key, "1")
            assert reader.get(key) == "1"
            assert reader.incr(key) == 2
            assert writer.get(key) == "2"


def test_what_has_no_one_owner_is_asked_of_the_primary(cluster: Cluster, client: Client) -> None:
    put_all(client)
    assert sorted(client.scan()) == KEYS
    assert client.count() == len(KEYS)
    client.ping()
    assert client.call("INFO")["role"] == "primary"  # type: ignore[index]


def test_what_is_wrong_with_a_call_is_said_as_ever(client: Client) -> None:
    for call in (("GET", "k" * 2000), ("GET", 1), ("GET",), ("GET", "a", "b"), ("NO", "key"), ("PUT", "key", 1)):
        with pytest.raises(CkvError) as caught:
            client.call(*call)
        with Client(client.host, client.port) as other, pytest.raises(CkvError) as through:
            other.call(*call)
        assert type(caught.value) is type(through.value)
        assert caught.value.written == "no"


def test_a_node_that_is_started_again_is_another_process(cluster: Cluster, client: Client) -> None:
    put_all(client)
    for node in cluster.secondaries:
        node.restart()
    eventually(lambda: is_put(client, "w"), what="all can be written", timeout=20.0)
    check_all(client, "w")
    with Client("127.0.0.1", cluster.primary.port) as other:
        check_all(other, "w")


def is_put(client: Client, value: str) -> bool:
    try:
        put_all(client, value)
    except CkvError:
        return False
    return True


def test_who_came_by_a_list_that_is_another_one_now_is_told(nodes: Nodes, mariadb: MariaDB) -> None:
    """All are stopped, and the list has another order: what was one's is another one's, at the same addresses."""
    first = nodes.start_cluster(2, persistent=mariadb.address)
    with direct_client(first.primary) as client:
        put_all(client)
        assert first.primary.terminate() == Exit.FINE
        for node in first.secondaries:
            assert node.terminate() == Exit.FINE
        for node in first.secondaries:
            node.start()
        second = nodes.start_primary(*reversed(first.secondaries), port=first.primary.port)
        for node in first.secondaries:
            second.wait_peer(node.address)
        put_all(client, "w")
        with Client("127.0.0.1", second.port) as other:
            check_all(other, "w")
            other.put_many({key: f"x:{key}" for key in KEYS})
        check_all(client, "x")


def test_a_node_that_has_another_share_now_ends_the_connections_of_who_came_by_the_old_one(nodes: Nodes) -> None:
    """No node has a record, so they take another list while they run."""
    first = nodes.start_cluster(2)
    with direct_client(first.primary) as client:
        assert client.get_many(KEYS) == {}
        first.primary.kill()
        second = nodes.start_primary(*reversed(first.secondaries), port=first.primary.port)
        for node in first.secondaries:
            second.wait_peer(node.address)
        put_all(client)
        with Client("127.0.0.1", second.port) as other:
            check_all(other)


def test_a_secondary_tells_nobody_who_owns_what(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), direct_client(cluster.secondaries[0]) as client:
        for number in range(5):
            client.put(f"key {number}", "value")
            assert client.get(f"key {number}") == "value"
    (said,) = caplog.messages
    assert "does not say who owns which keys (Refused: " in said


def test_a_node_that_is_gone_is_told_of_as_through_the_primary(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, primary_options=["--node-wait=0"])
    with direct_client(cluster.primary) as client:
        put_all(client)
        cluster.secondaries[0].kill()
        errors = set()
        for key in KEYS:
            try:
                client.put(key, "w")
            except CkvError as error:
                errors.add(type(error))
        assert errors <= {NodeDown, NodeLost, Unreachable}
        assert NodeDown in errors
        cluster.secondaries[0].start()
        eventually(lambda: is_put(client, "w"), what="all can be written", timeout=20.0)


def test_threads_share_it(client: Client) -> None:
    wrong: list[object] = []

    def use(number: int) -> None:
        for turn in range(100):
            client.put(f"{number}:{turn}", str(turn))
            if client.get(f"{number}:{turn}") != str(turn) or client.incr("count") < 1:
                wrong.append(turn)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert client.get("count") == "800"


def test_greenlets_share_a_connection_to_each_node(cluster: Cluster) -> None:
    code = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv import Client
with Client("127.0.0.1", int(sys.argv[1]), timeout=20, direct=True) as client:
    client.put_many({f"key {number}": "0" for number in range(30)})
    def use(number):
        for _ in range(20):
            client.incr(f"key {number % 30}")
    gevent.joinall([gevent.spawn(use, number) for number in range(60)], raise_error=True)
    print(sum(int(value) for value in client.get_many([f"key {number}" for number in range(30)]).values()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(cluster.primary.port)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.stdout, done.stderr) == ("1200\n", "")


def test_a_fork_has_connections_of_its_own(cluster: Cluster, client: Client) -> None:
    put_all(client)
    child = os.fork()
    if not child:
        try:
            put_all(client, "child")
            check_all(client, "child")
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    check_all(client, "child")


# --- a cluster that secondaries join ---------------------------------------------------------------------------------


@pytest.fixture
def pair(nodes: Nodes, mariadb: MariaDB) -> Joined:
    """Two secondaries that have joined, in the mode ``evict``."""
    cluster = Joined(nodes, mariadb)
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    return cluster


def test_they_follow_slots_to_a_node_that_joins_and_from_one_that_leaves(pair: Joined) -> None:
    """Each key is written and read directly and, by clients of Redis, through the primary."""
    load = Load(pair.primary.port, direct=True)
    pair.add("c")
    pair.wait_level("a", "b", "c")
    assert pair.secondaries["a"].terminate() == Exit.FINE
    pair.wait_level("b", "c")
    load.stop()
    assert load.calls > 100


def test_the_owners_are_asked_and_the_primary_is_not(pair: Joined) -> None:
    with pair.client(direct=True) as client:
        put_all(client)
        before = pair.figures()
        pair.primary.pause()
        try:
            check_all(client)
            client.put(KEYS[0], "x")
        finally:
            pair.primary.resume()
        assert client.get(KEYS[0]) == "x"
        assert pair.figures()["cluster_map"] == before["cluster_map"]


def test_the_keys_of_one_that_is_killed_are_another_ones(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "through")
    cluster.add("a", "b", "c")
    cluster.wait_level("a", "b", "c")
    with cluster.client(direct=True) as client, cluster.client() as through:
        put_all(client)
        cluster.secondaries["b"].kill()
        wait_for_all(client, {key: f"v:{key}" for key in KEYS})
        put_all(client, "w")
        check_all(through, "w")
        cluster.secondaries["b"].start()
        cluster.wait_level("a", "b", "c")

        def goes_without_the_primary() -> bool:
            # Once it knows the new owners, and asks those again that could not be asked when it came to them first. It
            # learns of them, and the owners are confirmed, while the primary goes on.
            check_all(client, "w")
            client.timeout = 2.0
            cluster.primary.pause()
            try:
                check_all(client, "w")
            except CkvError:
                return False
            finally:
                cluster.primary.resume()
                client.timeout = 20.0
            return True

        eventually(goes_without_the_primary, timeout=60.0, what="the new owners are asked by themselves")
