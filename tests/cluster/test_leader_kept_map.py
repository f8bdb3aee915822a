"""A leader that begins by a map that primaries have kept: the nodes may know a later one."""

from __future__ import annotations

from array import array

import pytest

from ckv.cluster.gathering import MARGIN, PATIENCE
from ckv.cluster.map import NOBODY, Map, Node
from ckv.cluster.messages import Again, Beaten, FenceOff, Joined, Sight
from tests.cluster.test_leader import OPTIONS, SLOTS, Cluster, leads

KEPT = Map((3, 7), [Node("a", 1, "h", 1, 100)], array("H", [0] * SLOTS))
"""All is of ``a``."""

LATER = Map((1000, 9), [Node("a", 1, "h", 1, 100), Node("b", 1, "h", 2, 100)], array("H", [1] * SLOTS))
"""A primary alone has given all to ``b``, of whom the map that was kept knows nothing."""


def elected(world: Map = KEPT) -> Cluster:
    cluster = Cluster()
    cluster.leader.elected(world, cluster.now)
    cluster.carry_out()
    cluster.said.clear()
    return cluster


def sees_b(cluster: Cluster, beat: int, *, active: bool = True) -> None:
    cluster.sights = (Sight("a", 1, 5, False), Sight("a", 2, int(cluster.now), True), Sight("b", 1, beat, active))


def test_a_process_that_began_anew_has_nothing_while_another_one_may_know_a_later_map() -> None:
    cluster = elected()
    sees_b(cluster, 0)
    joined = cluster.join("a", 0, boot=2)
    assert isinstance(joined, Joined)
    assert (joined.incarnation, joined.map) == (2, KEPT)
    for second in range(int(PATIENCE) + 1):
        sees_b(cluster, second)
        cluster.wait(1.0)
    assert leads(cluster)
    assert cluster.leader.map == KEPT
    assert cluster.leader.waits_for(cluster.now).startswith("b (incarnation 1), which writes to the database")
    cluster.join("b", 1, boot=1, port=2, map=LATER)
    assert not leads(cluster)
    cluster.join("a", 2, boot=2)
    cluster.wait(3.0)
    assert leads(cluster)
    assert cluster.leader.map.version > LATER.version
    assert cluster.owners() == ["b"] * SLOTS


def test_those_who_have_their_place_by_it_are_confirmed_at_once() -> None:
    cluster = elected()
    cluster.join("a", map=KEPT)
    said = cluster.beat("a")
    assert isinstance(said, Beaten)
    assert said.confirmed


def test_all_is_decided_when_all_who_can_write_were_heard() -> None:
    cluster = elected()
    cluster.join("a", map=KEPT)
    cluster.join("c", 0, port=3)
    cluster.wait(1.5)
    assert cluster.leader.map == KEPT, "what the database says may be older than the lead"
    cluster.wait(1.0)
    assert [node and node.name for node in cluster.leader.map.nodes] == ["a", "c"]
    assert cluster.leader.waits_for(cluster.now) == ""


def test_one_that_stands_still_is_fenced_first() -> None:
    cluster = elected()
    sees_b(cluster, 5)
    cluster.join("a", 0, boot=2)
    cluster.wait(OPTIONS.node_timeout + 2.0)
    assert cluster.leader.map == KEPT
    fence = cluster.ask(FenceOff)
    assert fence.order[:3] == ("b", 1, 5)
    cluster.answer(fence, ["fenced", True])
    cluster.wait(0.5)
    (node,) = cluster.leader.map.nodes
    assert node is not None
    assert node.key == ("a", 2)
    assert cluster.owners() == ["a"] * SLOTS


def test_one_is_fenced_though_nobody_is_where_the_map_has_it() -> None:
    """All of them have come back at other addresses, but one that has not: no map names these before it is fenced."""
    cluster = elected()
    sees_b(cluster, 5)
    cluster.not_connected.add("a")
    cluster.join("a", 0, boot=2, port=9)
    cluster.wait(OPTIONS.node_timeout + 2.0)
    fence = cluster.ask(FenceOff)
    assert (fence.node.port, fence.order[:3]) == (9, ("b", 1, 5))
    cluster.answer(fence, ["fenced", True])
    cluster.not_connected.clear()
    cluster.wait(0.5 + OPTIONS.lease)
    (node,) = cluster.leader.map.nodes
    assert node is not None
    assert (node.key, node.port) == (("a", 2), 9)


def test_who_is_connected_is_asked_first_to_fence() -> None:
    cluster = elected()
    sees_b(cluster, 5)
    cluster.not_connected.add("a")
    cluster.join("a", 0, boot=2)
    cluster.join("c", 0, port=3)
    cluster.wait(OPTIONS.node_timeout + 2.0)
    assert cluster.ask(FenceOff).node.name == "c"


@pytest.mark.parametrize("owners", [[0] * SLOTS, [NOBODY, *[0] * (SLOTS - 1)]], ids=["all dealt", "one of nobody's"])
def test_without_a_database_a_process_that_began_anew_waits_for_a_lease(owners: list[int]) -> None:
    kept = Map(KEPT.version, KEPT.nodes, array("H", owners))
    cluster = elected(kept)
    cluster.join("a", 0, boot=2, tier="")
    cluster.wait(OPTIONS.lease)
    assert cluster.leader.map == kept
    cluster.wait(MARGIN + OPTIONS.node_timeout)
    assert cluster.leader.map.version > kept.version
    assert cluster.owners() == ["a"] * SLOTS


def test_without_a_database_all_of_the_map_are_enough() -> None:
    cluster = elected()
    cluster.join("a", map=KEPT, tier="")
    cluster.join("c", 0, port=3, tier="")
    cluster.wait(0.5)
    assert [node and node.name for node in cluster.leader.map.nodes] == ["a", "c"]


def test_who_has_lost_the_lead_gathers_no_more() -> None:
    cluster = elected()
    cluster.join("a", map=KEPT)
    cluster.leader.deposed()
    cluster.wait(3.0)
    assert not leads(cluster)
    assert not cluster.leader.gathers
    assert cluster.join("a", map=KEPT) == Again()
    assert not cluster.said
