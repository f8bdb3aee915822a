"""A primary and secondaries that come, go, hang and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ckv import Client, errors
from ckv.cluster.slots import slot_of
from tests.support.eventually import eventually
from tests.support.nodes import Cluster, Nodes
from tests.support.ports import free_port
from tests.support.wire import RawClient

KEYS = [f"key {number}" for number in range(200)]


@pytest.fixture
def cluster(nodes: Nodes) -> Cluster:
    return nodes.start_cluster(2)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client("127.0.0.1", cluster.primary.port) as client:
        for key in KEYS:
            client.put(key, key)
        yield client


def owned_by(cluster: Cluster, index: int) -> list[str]:
    return [key for key in KEYS if slot_of(key) * len(cluster.secondaries) // 16384 == index]


def test_each_key_is_on_its_owner_and_nowhere_else(cluster: Cluster, client: Client) -> None:
    for index, node in enumerate(cluster.secondaries):
        with Client("127.0.0.1", node.port) as direct:
            found = [key for key in KEYS if direct.get(key) == key]
        assert found == owned_by(cluster, index)
        assert found


def test_a_second_primary_with_the_same_list_routes_alike(cluster: Cluster, client: Client, nodes: Nodes) -> None:
    other = nodes.start_primary(*cluster.secondaries)
    for node in cluster.secondaries:
        other.wait_peer(node.address)
    with Client("127.0.0.1", other.port) as second:
        assert [second.get(key) for key in KEYS] == KEYS
        second.put("fresh", "from the second")
        assert client.get("fresh") == "from the second"


def test_a_killed_secondary_costs_its_own_keys_an_error_and_comes_back(cluster: Cluster, client: Client) -> None:
    victim = cluster.secondaries[0]
    lost, kept = owned_by(cluster, 0), owned_by(cluster, 1)
    victim.kill()

    killed = time.monotonic()
    with pytest.raises((errors.NodeDown, errors.NodeLost), match=victim.address):
        client.get(lost[0])
    waited = time.monotonic() - killed
    assert waited < 3.0, "the default of --node-wait is 2 s"
    with pytest.raises((errors.NodeDown, errors.NodeLost), match=victim.address):
        client.get(lost[0])  # may wait for --node-wait
    killed = time.monotonic()
    for key in lost:
        for call in (partial(client.get, key), partial(client.put, key, "x")):
            with pytest.raises((errors.NodeDown, errors.NodeLost), match=victim.address):
                call()
    assert time.monotonic() - killed < 1.0, "the errors did not come within a second"
    assert [client.get(key) for key in kept] == kept
    cluster.primary.wait_for_log(f"peer {victim.address} lost")

    since = len(cluster.primary.log)
    victim.start()
    started = time.monotonic()
    eventually(lambda: succeeds(lambda: client.put(lost[0], "again")), what="the owner's return")
    assert time.monotonic() - started < 2.0, "its keys did not work within two seconds"
    assert client.get(lost[0]) == "again"
    assert [client.get(key) for key in kept] == kept
    cluster.primary.wait_for_log(f"peer {victim.address} back", since=since)


def test_calls_wait_for_nodes_that_are_being_connected(nodes: Nodes) -> None:
    """From the moment at which the port of the primary is open."""
    secondaries = [nodes.start_secondary() for _ in range(3)]
    for _ in range(3):
        primary = nodes.start_primary(*secondaries)
        with Client("127.0.0.1", primary.port) as client, client.pipeline() as pipeline:
            for key in KEYS:
                pipeline.put(key, key)
                pipeline.get(key)
            assert pipeline.execute()[1::2] == KEYS
        assert primary.terminate() == 0
        assert not [line for line in primary.log if "WARNING" in line], "neither at the start nor at the end"


def test_a_secondary_that_is_restarted_costs_no_call(tmp_path: Path, nodes: Nodes) -> None:
    """What it refuses while it stops, and what comes while it is away, is for the next one."""
    cluster = nodes.start_cluster(
        1, persistent=f"sqlite:{tmp_path / 'records.db'}", primary_options=["--node-wait=30s", "--call-timeout=30s"]
    )
    (node,) = cluster.secondaries
    stop = threading.Event()
    failures: list[Exception] = []
    written: list[list[int]] = []

    def work(name: str, depth: int) -> None:
        counts: list[int] = []
        written.append(counts)
        with Client("127.0.0.1", cluster.primary.port, timeout=60) as client:
            while not stop.is_set():
                try:
                    with client.pipeline() as pipeline:
                        for number in range(depth):
                            pipeline.put(name, f"{len(counts)} {number}")
                        pipeline.get(name)
                        assert pipeline.execute()[-1] == f"{len(counts)} {depth - 1}"
                except Exception as error:  # noqa: BLE001 - shown by the test
                    failures.append(error)
                counts.append(1)

    workers = [
        threading.Thread(target=work, args=(f"worker {number}", depth)) for number, depth in enumerate((1, 5, 20))
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in range(3):
            before = [len(counts) for counts in written]
            eventually(lambda: [*map(len, written)] > [count + 3 for count in before], what="work")  # noqa: B023
            assert node.terminate() == 0
            node.start()
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not failures, (failures[:3], cluster.primary.tail())


def succeeds(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except errors.CkvError:
        return False
    return True


def test_a_primary_that_was_started_first_works_as_soon_as_its_secondaries_are_there(nodes: Nodes) -> None:
    ports = [free_port(), free_port()]
    primary = nodes.start_primary(*(f"127.0.0.1:{port}" for port in ports))
    with Client("127.0.0.1", primary.port) as client:
        with pytest.raises(errors.NodeDown):
            client.put("key 1", "x")
        client.ping()
        started = [nodes.start_secondary(port=port, primary=primary.address) for port in ports]
        for node in started:
            primary.wait_peer(node.address)
        for key in KEYS:
            client.put(key, key)
        assert [client.get(key) for key in KEYS] == KEYS


def test_a_secondary_that_hangs_costs_only_its_own_keys(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, primary_options=["--call-timeout=1s"])
    stuck = cluster.secondaries[0]
    lost, kept = owned_by(cluster, 0), owned_by(cluster, 1)
    with Client("127.0.0.1", cluster.primary.port) as client, Client("127.0.0.1", cluster.primary.port) as other:
        client.put(lost[0], "before")
        stuck.pause()
        with pytest.raises((errors.CallTimeout, errors.NodeLost)):
            client.get(lost[0])
        for key in kept:
            other.put(key, key)
        cluster.primary.wait_for_log(f"peer {stuck.address} lost: silent")
        # It still accepts connections, as the kernel does that; it must not be taken for alive.
        with pytest.raises(errors.NodeDown):
            client.get(lost[0])
        since = len(cluster.primary.log)
        stuck.resume()
        cluster.primary.wait_for_log(f"peer {stuck.address} back", since=since)
        assert client.get(lost[0]) == "before"


def test_a_slow_key_does_not_hold_up_the_others_of_the_same_connection(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, primary_options=["--call-timeout=20s"])
    stuck = cluster.secondaries[0]
    lost, kept = owned_by(cluster, 0), owned_by(cluster, 1)
    with Client("127.0.0.1", cluster.primary.port, timeout=20) as client:
        for key in KEYS:
            client.put(key, key)
        stuck.pause()
        with RawClient(cluster.primary.address) as raw:
            waiting = raw.request("GET", lost[0])
            answered = [raw.call("GET", key) for key in kept]
            assert answered == [[True, key] for key in kept]
            stuck.resume()
            assert raw.wait_for(waiting).result == [True, lost[0]]
