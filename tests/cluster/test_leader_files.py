"""What a leader decides where each node has a file of its own: nobody is given up, whoever is away."""

from __future__ import annotations

from array import array

import pytest

from ckv.cluster.gathering import PATIENCE
from ckv.cluster.map import Map, Node
from ckv.cluster.messages import Joined, NoEntry
from ckv.cluster.roster import OTHERS_TIER, OWN_TIER
from tests.cluster.test_leader import OPTIONS, SLOTS, Cluster, leads

LEASE = OPTIONS.lease + 1


def a_cluster() -> Cluster:
    """One of nodes that have no database to say anything of."""
    cluster = Cluster()
    cluster.sights = ()
    cluster.leader.gather(0.0)
    return cluster


def a_map(*names: str, **states: str) -> Map:
    nodes = [Node(name, 1, "h", port, 100, states.get(name, "up")) for port, name in enumerate(names)]  # type: ignore[arg-type]
    owning = [number for number, name in enumerate(names) if name not in states]
    return Map((3, 7), nodes, array("H", [owning[slot % len(owning)] for slot in range(SLOTS)]))


def join(cluster: Cluster, name: str, incarnation: int = 2, **other: object) -> object:
    """A process that is started again, unless it has another incarnation."""
    return cluster.join(name, incarnation, **{"port": ord(name) - ord("a"), "tier": OWN_TIER, **other})  # type: ignore[arg-type]


def leading() -> Cluster:
    cluster = a_cluster()
    for name in "ab":
        join(cluster, name, map=a_map("a", "b"))
    cluster.wait(1.0)
    assert leads(cluster)
    assert nodes(cluster) == {"a": (2, "up"), "b": (2, "up")}
    return cluster


def nodes(cluster: Cluster) -> dict[str, tuple[int, str]]:
    return {node.name: (node.incarnation, node.state) for node in cluster.leader.map.nodes if node is not None}


def test_nobody_is_given_up_however_long_it_is_away() -> None:
    cluster = leading()
    del cluster.alive["b"]
    cluster.wait(10 * OPTIONS.node_timeout)
    assert cluster.owners() == ["a", "b"] * (SLOTS // 2)
    assert nodes(cluster)["b"] == (2, "up")
    assert isinstance(join(cluster, "b", 3, boot=2), Joined)
    cluster.wait(1.0)
    assert nodes(cluster)["b"] == (3, "up")
    assert cluster.owners() == ["a", "b"] * (SLOTS // 2)


def test_nothing_is_decided_before_all_nodes_of_the_map_are_heard() -> None:
    cluster = a_cluster()
    join(cluster, "a", map=a_map("a", "b"))
    cluster.wait(PATIENCE + LEASE)
    assert not leads(cluster)
    assert cluster.leader.waits_for(cluster.now) == "b, with its file, to join"
    join(cluster, "b", 5)
    cluster.wait(0.5)
    assert leads(cluster)
    assert cluster.owners() == ["a", "b"] * (SLOTS // 2)


def test_one_that_drains_and_owns_nothing_is_not_waited_for() -> None:
    cluster = a_cluster()
    join(cluster, "a", map=a_map("a", "b", b="draining"))
    cluster.wait(1.0)
    assert leads(cluster)
    assert nodes(cluster)["b"] == (1, "draining"), "nobody is given up for that"


def test_one_that_knows_a_later_map_is_believed() -> None:
    cluster = a_cluster()
    join(cluster, "a", map=a_map("a", "b"))
    later = Map((3, 8), a_map("a", "b").nodes, array("H", [1] * SLOTS))
    join(cluster, "b", map=later)
    cluster.wait(1.0)
    assert cluster.owners() == ["b"] * SLOTS


def test_a_new_cluster_waits_for_those_who_may_know_one() -> None:
    cluster = a_cluster()
    join(cluster, "a", 1)
    cluster.wait(LEASE - 1)
    assert not leads(cluster)
    cluster.wait(3.0)
    assert leads(cluster)
    assert cluster.owners() == ["a"] * SLOTS


@pytest.mark.parametrize("heard_ago", [0.0, LEASE], ids=["lives", "is silent"])
def test_a_node_whose_file_is_lost_begins_anew_under_its_name(heard_ago: float) -> None:
    cluster = leading()
    del cluster.alive["b"]
    cluster.wait(heard_ago)
    answer = join(cluster, "b", 1, boot=2)
    if not heard_ago:
        assert answer == NoEntry("a later process has the name b")
        return
    assert isinstance(answer, Joined)
    assert answer.incarnation == 3
    again = join(cluster, "b", 1, boot=2)
    assert isinstance(again, Joined)
    assert again.incarnation == 3
    cluster.wait(1.0)
    assert nodes(cluster)["b"] == (3, "up")


@pytest.mark.parametrize("incarnation", [0, 3], ids=["an empty file", "a copy of the file"])
def test_nobody_has_the_name_of_one_that_lives_elsewhere(incarnation: int) -> None:
    cluster = leading()
    answer = join(cluster, "a", incarnation, boot=2, port=50)
    assert isinstance(answer, NoEntry)
    assert answer.why.startswith("a was heard just now, at h:0: no other process can have its name")
    cluster.wait(2 * OPTIONS.lease)
    assert nodes(cluster)["a"] == (2, "up")
    del cluster.alive["a"]
    cluster.wait(LEASE)
    assert isinstance(join(cluster, "a", incarnation, boot=2, port=50), Joined)
    cluster.wait(LEASE)
    assert nodes(cluster)["a"] == (3, "up")


def test_a_file_with_records_of_others_is_not_taken_in() -> None:
    answer = join(leading(), "c", tier=OTHERS_TIER)
    assert isinstance(answer, NoEntry)
    assert answer.why.startswith("its file has records that it was given before it joined, or under another name")


def test_one_that_follows_another_map_is_sent_nothing() -> None:
    cluster = leading()
    join(cluster, "c", 1)
    cluster.in_conflict.add("c")
    cluster.wait(2 * OPTIONS.settle)
    assert "c" not in cluster.owners()
    assert cluster.leader.move is None
    assert [row[3] for row in cluster.leader.table(cluster.now)] == ["up", "up", "up, follows another map"]
    cluster.in_conflict.clear()
    cluster.wait(OPTIONS.pause)
    assert cluster.leader.move is not None


def test_without_the_file_of_one_that_began_anew_the_others_have_what_they_had() -> None:
    cluster = a_cluster()
    join(cluster, "c", 1)
    for name in "ab":
        join(cluster, name, map=a_map("a", "b"))
    cluster.wait(1.0)
    assert leads(cluster)
    assert cluster.owners() == ["a", "b"] * (SLOTS // 2)
    assert set(nodes(cluster)) == {"a", "b", "c"}
