"""Another list of secondaries: everything stops first, and what happens to those who take another way."""

from __future__ import annotations

import signal

from ckv import Client
from ckv.cluster.slots import SlotMap
from tests.support.mariadb import MariaDB
from tests.support.nodes import Cluster, Nodes

KEYS = [f"user:{number}" for number in range(300)]


def moved(before: int, after: int) -> list[str]:
    """The keys that get another owner."""
    old, new = SlotMap(range(before)), SlotMap(range(after))
    return [key for key in KEYS if old.owner(key) != new.owner(key)]


def put(cluster: Cluster, value: str) -> None:
    with Client("127.0.0.1", cluster.primary.port) as client:
        for key in KEYS:
            client.put(key, f"{value} of {key}")


def values(cluster: Cluster) -> set[str]:
    """The first words of the values of all keys; ``None`` stands for a key without one."""
    with Client("127.0.0.1", cluster.primary.port) as client:
        return {str(client.get(key)).partition(" ")[0] for key in KEYS}


def stop(cluster: Cluster) -> None:
    """Primaries first, so that no client writes, then the secondaries."""
    for nodes in ([cluster.primary], cluster.secondaries):
        for node in nodes:
            node.signal(signal.SIGTERM)
        for node in nodes:
            assert node.wait() == 0


def test_no_record_is_lost_or_older_when_everything_stops_first(mariadb: MariaDB, nodes: Nodes) -> None:
    assert moved(2, 3)
    before = None
    for size, value in ((2, "first"), (3, "second"), (2, "third")):
        cluster = nodes.start_cluster(size, persistent=mariadb.address)
        if before is not None:
            assert values(cluster) == {before}
        put(cluster, value)
        assert values(cluster) == {value}
        stop(cluster)
        before = value


def test_a_list_that_changes_while_nodes_run_is_not_served_until_they_have_stopped(
    mariadb: MariaDB, nodes: Nodes
) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address)
    put(cluster, "first")
    third = nodes.start_secondary(persistent=mariadb.address)
    members = [*cluster.secondaries, third]
    larger = Cluster(nodes.start_primary(*members), members)
    for node in members:
        # New owners would know of no value, and what they accept would be overwritten when the old ones save theirs.
        larger.primary.wait_for_log(f"peer {node.address} cannot be reached (WrongNode: ")
    put(cluster, "second")
    stop(cluster)
    for node in cluster.secondaries:
        node.restart()
    for node in members:
        larger.primary.wait_peer(node.address)
    assert values(larger) == {"second"}
    put(larger, "third")
    assert values(larger) == {"third"}
