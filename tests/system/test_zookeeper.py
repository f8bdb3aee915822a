"""Several primaries that decide by way of ZooKeeper which of them leads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.failures.proxy import Proxy
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes
from tests.support.zookeeper import Ensemble, ZooKeeper
from tests.system.coordinated import (
    KEYS,
    TAKEN_OVER_WITHIN,
    Coordinated,
    all_answered,
    check_that_one_that_is_cut_off_is_left,
    check_that_one_that_was_stopped_changes_nothing,
    check_that_routing_goes_on_without_it,
    info,
    put_all,
)
from tests.system.registered import SETTLE, Load


@pytest.fixture
def cluster(nodes: Nodes, mariadb: MariaDB, private_zookeeper: ZooKeeper) -> Coordinated:
    """Two primaries, and two secondaries that have joined."""
    made = Coordinated(nodes, mariadb, coordinators=[f"zk://{private_zookeeper.address}/a/cluster"])
    made.add("a", "b")
    made.wait_level("a", "b")
    return made


def row(server: ZooKeeper) -> Any:
    with server.client() as client:
        data, _ = client.get("/a/cluster/leader")
        return json.loads(data)


def test_another_one_takes_over_and_the_map_outlives_them_all(
    cluster: Coordinated, private_zookeeper: ZooKeeper
) -> None:
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    records = put_all(leader, KEYS, "v")
    assert row(private_zookeeper)["leader"] == leader.address
    assert info(follower)["cluster_primaries"] == 2
    load = Load(follower.port)
    leader.kill()
    eventually(lambda: info(follower)["cluster_leads"] == 1, TAKEN_OVER_WITHIN, "the other one leads")
    load.stop()
    assert load.longest < 2.0
    cluster.add("c")
    cluster.wait_level("a", "b", "c")
    eventually(lambda: info(follower)["cluster_primaries"] == 1, 10.0, "its session is over")
    version = info(follower)["cluster_map"]
    follower.kill()
    for primary in cluster.primaries:
        primary.start()
    cluster.wait_level("a", "b", "c")
    assert _version(info(cluster.leader())["cluster_map"]) > _version(version)
    assert all(all_answered(primary, records) for primary in cluster.primaries)
    assert cluster.leader().terminate() == 0
    (left,) = [primary for primary in cluster.primaries if primary.running]
    eventually(lambda: info(left)["cluster_leads"] == 1, 2.0, "the other one leads at once")


def test_one_that_was_stopped_for_a_while_changes_nothing(cluster: Coordinated, private_zookeeper: ZooKeeper) -> None:
    def wait_for_its_end(follower: Node) -> None:
        eventually(lambda: info(follower)["cluster_primaries"] == 1, 10.0, "the session of the first one is over")

    check_that_one_that_was_stopped_changes_nothing(cluster, lambda: row(private_zookeeper), wait_for_its_end)


def test_one_that_is_cut_off_is_left(nodes: Nodes, mariadb: MariaDB, private_zookeeper: ZooKeeper) -> None:
    with Proxy(private_zookeeper.port) as proxy:
        ways = [f"zk://{proxy.address}", f"zk://{private_zookeeper.address}"]
        check_that_one_that_is_cut_off_is_left(Coordinated(nodes, mariadb, coordinators=ways), proxy)


def test_routing_goes_on_while_no_server_is_there(cluster: Coordinated, private_zookeeper: ZooKeeper) -> None:
    check_that_routing_goes_on_without_it(cluster, private_zookeeper, reason="no connection to a server")
    for primary in cluster.primaries:
        assert not [line for line in primary.log if "Connection dropped" in line], "kazoo says so at each attempt"


def test_the_leader_of_the_ensemble_stops_under_load(nodes: Nodes, mariadb: MariaDB, ensemble: Ensemble) -> None:
    cluster = Coordinated(nodes, mariadb, coordinators=[f"zk://{ensemble.addresses}/ckv"])
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    load = Load(cluster.primaries[0].port)
    for stop in (ZooKeeper.pause, ZooKeeper.kill):
        stopped = ensemble.leader()
        before = row_version(cluster)
        stop(stopped)
        name = f"after {stop.__name__}"
        cluster.add(name.replace(" ", "-"))
        cluster.wait_level("a", "b", *(each for each in cluster.secondaries if each.startswith("after")), timeout=60.0)
        assert row_version(cluster) > before
        if stop is ZooKeeper.pause:
            stopped.resume()
            stopped.wait_ready()
    load.stop()
    assert load.wrong == []
    assert load.longest < 2.0


def test_a_cluster_goes_on_with_another_coordinator(
    nodes: Nodes, mariadb: MariaDB, private_zookeeper: ZooKeeper
) -> None:
    """What is in memory alone is there afterwards: the row is a new one, and the nodes tell what they own."""
    cluster = Coordinated(nodes, mariadb, "evict", primaries=1)
    (before,) = cluster.primaries
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    records = put_all(before, KEYS, "v")
    version = info(before)["cluster_map"]
    assert before.terminate() == 0
    way = f"--coordinator=zk://{private_zookeeper.address}/ckv"
    after = nodes.start_primary(port=before.port, options=[f"--settle={SETTLE}", way], name="after")
    cluster.primaries = [after]
    eventually(lambda: all_answered(after, records), 20.0, "it has the map of the nodes")
    cluster.wait_level("a", "b")
    assert _version(info(after)["cluster_map"]) > _version(version)


def test_the_password_is_shown_nowhere(nodes: Nodes, mariadb: MariaDB, private_zookeeper: ZooKeeper) -> None:
    way = f"zk://ann:quite-secret@{private_zookeeper.address}/ckv"
    primary = nodes.start_primary(options=[f"--coordinator={way}", "--log-level=debug"])
    eventually(lambda: info(primary)["cluster_coordinator_connected"] == 1, 10.0, "it is connected")
    assert info(primary)["cluster_coordinator"] == f"zk://ann@{private_zookeeper.address}/ckv"
    assert not [line for line in primary.log if "quite-secret" in line]
    stranger = nodes.start_primary(options=[f"--coordinator=zk://{private_zookeeper.address}/ckv"])
    stranger.wait_for_log("who has no account may not do this: give it all rights")


def row_version(cluster: Coordinated) -> tuple[int, ...]:
    return _version(info(cluster.leader(timeout=60.0))["cluster_map"])


def _version(shown: str) -> tuple[int, ...]:
    return tuple(map(int, shown.split(".")))
