"""What a leader decides where nodes keep records in memory alone: who is given up has lost what it had."""

from __future__ import annotations

from array import array

import pytest

from ckv.cluster.keeping import RETRY
from ckv.cluster.map import Map, Node
from ckv.cluster.messages import KEPT, Again, Freeze, Join, Joined, Left, NoEntry, Prepare
from ckv.cluster.outputs import ToNode, Unpark
from tests.cluster.test_leader import OPTIONS, PREPARED, RELEASED, SLOTS, Cluster, leads

NONE = ""
LEASE = OPTIONS.lease + 1


def a_cluster() -> Cluster:
    """One of nodes that have no database to say anything of."""
    cluster = Cluster()
    cluster.sights = ()
    return cluster


def leading(*names: str) -> Cluster:
    """One that leads nodes which have dealt the slots among them, long ago."""
    cluster = a_cluster()
    cluster.leader.gather(cluster.now)
    cluster.wait(LEASE + 0.5)
    for port, name in enumerate(names):
        cluster.join(name, 0, port=port, tier=NONE)
    cluster.said.clear()
    while not leads(cluster) or not all(owner != "-" for owner in cluster.owners()):
        for port, name in enumerate(names):
            if name not in cluster.alive:
                cluster.join(name, 0, port=port, tier=NONE)
        cluster.wait(0.5)
    cluster.wait(OPTIONS.settle)
    cluster.said.clear()
    return cluster


def incarnations(cluster: Cluster) -> dict[str, tuple[int, str]]:
    return {node.name: (node.incarnation, node.state) for node in cluster.leader.map.nodes if node is not None}


def a_map(*names: str) -> Map:
    nodes = [Node(name, 1, "h", port, 100) for port, name in enumerate(names)]
    return Map((3, 7), nodes, array("H", [slot % len(names) for slot in range(SLOTS)]))


# --- who is given up ------------------------------------------------------------------------------------------------


def test_one_that_is_silent_for_too_long_begins_anew() -> None:
    cluster = leading("a", "b")
    silent = cluster.alive.pop("b")
    cluster.wait(OPTIONS.node_timeout + 1)
    assert cluster.owners() == ["a"] * SLOTS
    assert incarnations(cluster)["b"] == (1, "away")
    cluster.alive["b"] = silent
    assert cluster.beat("b") == Again()
    cluster.wait(1.0)
    assert incarnations(cluster)["b"] == (1, "away"), "a beat is not enough"
    answer = cluster.join("b", 1, port=1, tier=NONE)
    assert isinstance(answer, Joined)
    assert answer.incarnation == 2
    cluster.wait(1.0)
    assert incarnations(cluster)["b"] == (2, "up")


def test_one_that_does_not_hear_that_it_begins_anew_asks_again() -> None:
    cluster = leading("a", "b")
    del cluster.alive["b"]
    cluster.wait(OPTIONS.node_timeout + 1)
    for _ in range(2):
        answer = cluster.join("b", 1, port=1, tier=NONE)
        cluster.wait(1.0)
        assert isinstance(answer, Joined)
        assert answer.incarnation == 2


def test_nobody_is_given_up_while_nobody_else_is_heard() -> None:
    cluster = leading("a", "b", "c")
    alive = dict(cluster.alive)
    cluster.alive.clear()
    cluster.wait(60.0)
    cluster.alive["a"] = alive["a"]
    cluster.wait(OPTIONS.node_timeout - 1)  # the others may come back a little later
    assert {state for _, state in incarnations(cluster).values()} == {"up"}
    cluster.alive["b"] = alive["b"]
    cluster.wait(2.0)
    assert incarnations(cluster) == {"a": (1, "up"), "b": (1, "up"), "c": (1, "away")}


def test_the_last_one_is_never_given_up() -> None:
    cluster = leading("a")
    alive = cluster.alive.pop("a")
    cluster.wait(60.0)
    cluster.alive["a"] = alive
    cluster.wait(1.0)
    assert incarnations(cluster) == {"a": (1, "up")}


# --- a primary that is started anew ---------------------------------------------------------------------------------


def test_it_leads_as_soon_as_all_nodes_of_the_latest_map_are_heard() -> None:
    cluster = a_cluster()
    cluster.leader.gather(0.0)
    cluster.join("a", 1, port=0, tier=NONE, map=a_map("a", "b"))
    cluster.wait(2.0)
    assert not leads(cluster)
    cluster.join("b", 1, port=1, tier=NONE)
    cluster.wait(0.5)
    assert leads(cluster)
    assert cluster.owners() == ["a", "b"] * (SLOTS // 2)


def test_who_is_not_heard_by_then_is_given_up() -> None:
    cluster = a_cluster()
    cluster.leader.gather(0.0)
    cluster.join("a", 1, port=0, tier=NONE, map=a_map("a", "b"))
    cluster.wait(LEASE + 0.5)
    assert leads(cluster)
    assert (incarnations(cluster)["b"], cluster.owners()) == ((1, "away"), ["a"] * SLOTS)
    answer = cluster.join("b", 1, boot=2, port=1, tier=NONE, map=a_map("a", "b"))
    assert isinstance(answer, Joined)
    assert answer.incarnation == 2


def test_another_process_with_the_same_number_is_not_the_one_that_the_map_has() -> None:
    cluster = a_cluster()
    cluster.leader.gather(0.0)
    cluster.join("b", 1, boot=2, port=9, tier=NONE)
    cluster.join("a", 1, port=0, tier=NONE, map=a_map("a", "b"))
    cluster.wait(2.0)
    assert not leads(cluster), "the lease of that one may not be over"
    cluster.wait(LEASE)
    assert leads(cluster)
    assert incarnations(cluster)["b"] == (1, "away")
    answer = cluster.join("b", 1, boot=2, port=9, tier=NONE)
    assert isinstance(answer, Joined)
    assert answer.incarnation == 2


def test_one_that_was_given_up_by_the_map_that_is_found_begins_anew() -> None:
    world = a_map("a", "b")
    nodes = [node and node._replace(state="away" if node.name == "b" else "up") for node in world.nodes]
    cluster = a_cluster()
    cluster.leader.gather(0.0)
    cluster.join("b", 1, port=1, tier=NONE, map=world)
    cluster.join("a", 1, port=0, tier=NONE, map=Map((3, 8), nodes, array("H", [0] * SLOTS)))
    cluster.leader.tick(0.5)
    cluster.carry_out()
    assert leads(cluster)
    assert cluster.beat("b") == Again()


def test_with_slots_of_nobody_a_lease_has_to_pass() -> None:
    cluster = a_cluster()
    cluster.leader.gather(0.0)
    world = a_map("a")
    world.owners[0] = 0xFFFF
    cluster.join("a", 1, port=0, tier=NONE, map=world)
    cluster.wait(3.0)
    assert not leads(cluster)


# --- moves ----------------------------------------------------------------------------------------------------------


def growing() -> Cluster:
    """One of two nodes, where a third one has come and a move to it has begun."""
    cluster = leading("a", "b")
    cluster.join("c", 0, port=2, tier=NONE)
    cluster.wait(OPTIONS.settle + 1)
    return cluster


def test_a_source_is_told_who_is_to_have_the_slots() -> None:
    asked = growing().ask(Prepare)
    assert isinstance(asked.order, Prepare)
    assert asked.order.target == "c"


def test_a_copy_that_is_not_taken_ends_the_move() -> None:
    cluster = growing()
    cluster.answer(cluster.ask(Prepare), [KEPT, b"", "c does not take the copy"])
    assert cluster.leader.moved.last_error.endswith(": a: c does not take the copy")
    assert cluster.leader.move is None
    cluster.said.clear()
    cluster.wait(OPTIONS.pause - 1)
    assert not [out for out in cluster.said if isinstance(out, ToNode)]


def test_a_node_that_takes_no_copy_keeps_nobody_else_from_moving() -> None:
    cluster = leading("a", "b", "c")
    assert not cluster.leader.drain("a", cluster.now)
    cluster.carry_out()
    targets = []
    while "a" in cluster.owners():
        asked = cluster.leader.move.asked  # type: ignore[union-attr]
        assert isinstance(asked, Prepare)
        targets.append(asked.target)
        if asked.target == "c":
            cluster.leader.answered(asked, [KEPT, b"", "c does not take the copy"], cluster.now)
        else:
            cluster.leader.answered(asked, PREPARED, cluster.now)
            cluster.leader.answered(cluster.leader.move.asked, RELEASED, cluster.now)  # type: ignore[union-attr]
        cluster.carry_out()
        assert len(targets) < 9, "it goes on and on"
    assert targets.count("c") == 1
    assert cluster.owners().count("b") > SLOTS // 2, "it was not waited for"


def test_a_node_that_took_no_copy_is_tried_again() -> None:
    cluster = growing()
    cluster.answer(cluster.ask(Prepare), [KEPT, b"", "c does not take the copy"])
    cluster.said.clear()
    cluster.wait(RETRY - 1)
    assert not [out for out in cluster.said if isinstance(out, ToNode)]
    cluster.wait(2.0)
    assert cluster.ask(Prepare).order.target == "c"  # type: ignore[union-attr]


def test_one_that_drains_asks_the_only_other_node_again_soon() -> None:
    cluster = leading("a", "b")
    cluster.leave("a")
    cluster.answer(cluster.ask(Prepare), [KEPT, b"", "b does not take the copy"])
    cluster.wait(1.0)
    cluster.answer(cluster.ask(Prepare), [KEPT, b"", "b does not take the copy"])
    cluster.wait(OPTIONS.pause - 1)
    assert cluster.leader.move is None
    cluster.wait(2.0)
    assert cluster.leader.move is not None


@pytest.mark.parametrize("which", [0, 1])
def test_neither_node_of_a_move_goes_before_the_other_knows_its_end(which: int) -> None:
    cluster = growing()
    move = cluster.leader.move
    assert move is not None
    leaver, other = (move.source.name, move.target.name) if which == 0 else (move.target.name, move.source.name)
    cluster.answer(cluster.ask(Prepare), PREPARED)
    before = cluster.leader.map.version
    if which == 0:
        cluster.leader.rebalance(False, cluster.now)
    cluster.answer(cluster.ask(Freeze), RELEASED)
    assert cluster.leader.map.version > before
    world = cluster.leader.map
    theirs, to = world.number_of(leaver), world.number_of("b")
    assert to is not None
    cluster.leader.map = Map(world.version, world.nodes, array("H", [to if n == theirs else n for n in world.owners]))
    cluster.beat(other, before)
    assert cluster.leave(leaver) == Left(False, 0)
    assert leaver in incarnations(cluster)
    cluster.beat(other)
    assert cluster.leave(leaver) == Left(True, 0)
    assert leaver not in incarnations(cluster)


def test_a_move_that_ends_lets_requests_go() -> None:
    cluster = growing()
    cluster.answer(cluster.ask(Prepare), PREPARED)
    cluster.leader.deposed()
    assert [out for out in cluster.leader.take() if isinstance(out, Unpark)]


# --- who is taken in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        (
            "mysql://h/db",
            "it keeps its records in mysql://h/db, and a in memory alone (-): all nodes of a cluster need ",
        ),
        ("sqlite", "it keeps its records in a file of SQLite, and a in memory alone (-): all nodes of a cluster need "),
    ],
)
def test_nodes_of_one_kind_are_a_cluster(tier: str, said: str) -> None:
    cluster = leading("a")
    answer = cluster.join("b", 1, port=1, tier=tier)
    assert isinstance(answer, NoEntry)
    assert answer.why.startswith(said)
    assert isinstance(cluster.join("b", 0, port=1, tier=NONE), Joined)


def test_an_old_process_does_not_follow_a_later_one_of_its_name() -> None:
    cluster = leading("a", "b")
    later = Join("b", 2, 0, "h", 1, 100, "evict", NONE, None)
    answer = cluster.leader.join(later, cluster.now)
    assert isinstance(answer, Joined)
    assert answer.incarnation == 2
    assert cluster.join("b", 1, port=1, tier=NONE) == NoEntry("a later process has the name b")
