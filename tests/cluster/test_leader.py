"""What a leader decides: who is in, who owns what, what moves, who is given up."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from ckv.cluster.gathering import LOOK, PATIENCE
from ckv.cluster.keeping import RETRY
from ckv.cluster.leader import Leader
from ckv.cluster.map import NO_VERSION, NOBODY, Map, Node, pack_slots
from ckv.cluster.memory import Memory
from ckv.cluster.messages import (
    KEPT,
    Again,
    Answer,
    Beat,
    Beaten,
    FenceOff,
    Freeze,
    Join,
    Joined,
    Leave,
    Left,
    NoEntry,
    Prepare,
    Sight,
)
from ckv.cluster.options import Options
from ckv.cluster.outputs import Lead, Output, Park, Publish, Replace, Route, ToNode
from ckv.cluster.roster import CONFLICT

SLOTS = 8
OPTIONS = Options(lease=5.0, node_timeout=6.0, settle=30.0, move_slots=2, freeze_timeout=5.0, pause=5.0)

RELEASED = ["released", 1, 2.0]
PREPARED = ["prepared", 1, 2, 3]


class Cluster:
    """A leader, with a memory for its authority, and nodes that do what they are told in a test."""

    def __init__(self, options: Options = OPTIONS) -> None:
        self.now = 0.0
        self.leader = Leader(options, SLOTS)
        self.memory = Memory(self.leader)
        self.accepts = True
        """Whether the authority takes another map."""
        self.said: list[Output] = []
        """What it wants of others."""
        self.alive: dict[str, Join] = {}
        self.sights: tuple[Sight, ...] | None = None
        """What nodes say of the database; that all of them live, unless a test says otherwise."""
        self.not_connected: set[str] = set()
        """Who can be asked nothing."""
        self.in_conflict: set[str] = set()
        """Who follows another map."""
        self.leader.roster.reaches = lambda node: node.name not in self.not_connected

    def carry_out(self) -> None:
        while outputs := self.leader.take():
            for output in outputs:
                match output:
                    case Lead(remembered):
                        self.memory.lead(remembered, self.now)
                    case Replace(following) if self.accepts:
                        self.memory.replace(following, self.now)
                    case Replace():
                        self.leader.replaced(False, self.now)
                self.said.append(output)

    def join(
        self, name: str, incarnation: int = 1, *, boot: int = 1, port: int = 1, tier: str = "db", **other: Any
    ) -> Answer:
        ask = Join(name, boot, incarnation, "h", port, 100, "evict", tier, None)._replace(**other)
        answer = self.leader.join(ask, self.now)
        self.carry_out()
        if isinstance(answer, Joined):
            self.alive[name] = ask._replace(incarnation=answer.incarnation)
        return answer

    def beat(self, name: str, version: tuple[int, int] | None = None) -> Answer:
        who = self.alive[name]
        version = version or self.leader.map.version
        sights = self.sights
        if sights is None:
            sights = tuple(Sight(*known[0:3:2], int(self.now), active=True) for known in self.alive.values())
        figures = {CONFLICT: int(name in self.in_conflict)}
        answer = self.leader.beat(Beat(name, who.boot, who.incarnation, version, figures, sights), self.now)
        self.carry_out()
        return answer

    def leave(self, name: str) -> Answer:
        who = self.alive[name]
        answer = self.leader.leave(Leave(name, who.boot, who.incarnation), self.now)
        self.carry_out()
        return answer

    def wait(self, seconds: float) -> None:
        """Time passes, and who lives says so."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.5)
            for name in list(self.alive):
                self.beat(name)
            self.leader.tick(self.now)
            self.carry_out()

    def ask(self, kind: type) -> ToNode:
        """What was asked of a node last."""
        return next(out for out in reversed(self.said) if isinstance(out, ToNode) and isinstance(out.order, kind))

    def answer(self, asked: ToNode, result: object) -> None:
        self.leader.answered(asked.order, result, self.now)
        self.carry_out()

    def owners(self) -> list[str]:
        return [node.name if (node := self.leader.map.owner(slot)) else "-" for slot in range(SLOTS)]


def leads(cluster: Cluster) -> bool:
    return cluster.leader.leads


def leading(*names: str, options: Options = OPTIONS) -> Cluster:
    """One that leads nodes which have dealt the slots among them, long ago."""
    cluster = Cluster(options)
    cluster.leader.gather(cluster.now)
    for port, name in enumerate(names):
        cluster.join(name, port=port)
    cluster.wait(3.0)
    assert NOBODY not in cluster.leader.map.owners
    cluster.wait(options.settle)
    cluster.said.clear()
    return cluster


def test_nothing_is_frozen_while_it_is_not_certain_that_it_leads() -> None:
    cluster = growing()
    cluster.leader.certain_until = cluster.now
    cluster.answer(cluster.ask(Prepare), PREPARED)
    assert not [
        out
        for out in cluster.said
        if isinstance(out, Park) or (isinstance(out, ToNode) and isinstance(out.order, Freeze))
    ]
    assert cluster.leader.moved.last_error.endswith("it is not certain that this primary leads")


def test_a_node_that_has_a_later_map_has_all_of_them_asked_again() -> None:
    cluster = leading("a", "b")
    world = cluster.leader.map
    other = world.successor(term=world.version[0] + 1, owners=array("H", [1] * SLOTS))
    cluster.beat("b", other.version)
    assert not leads(cluster)
    assert cluster.beat("a") == Again(), "nobody is confirmed"
    cluster.join("a", port=0, map=world)
    cluster.join("b", port=1, map=other)
    cluster.wait(3.0)
    assert leads(cluster)
    assert cluster.leader.map.version > other.version
    assert cluster.owners() == ["b"] * SLOTS


def test_what_nodes_have_said_before_it_leads_is_no_news() -> None:
    cluster = Cluster()
    cluster.leader.gather(cluster.now)
    nodes = [Node(name, 1, "h", port, 100) for port, name in enumerate(("a", "b"))]
    known = {"a": Map((1, 90), nodes, array("H", [0] * SLOTS)), "b": Map((5, 3), nodes, array("H", [1] * SLOTS))}
    for port, (name, world) in enumerate(known.items()):
        cluster.join(name, port=port, map=world)
    cluster.wait(3.0)
    assert cluster.owners() == ["b"] * SLOTS
    cluster.beat("a", known["a"].version)
    assert leads(cluster)


def test_who_drains_does_so_when_the_map_has_come_from_the_nodes() -> None:
    cluster = Cluster()
    cluster.leader.gather(cluster.now)
    nodes = [Node("a", 1, "h", 0, 100), Node("b", 1, "h", 1, 100, "draining")]
    for port, name in enumerate(("a", "b")):
        cluster.join(name, port=port, map=Map((5, 3), nodes, array("H", [0] * SLOTS)))
    cluster.wait(3.0 + OPTIONS.settle)
    assert leads(cluster)
    assert [node.state for node in cluster.leader.map.nodes if node is not None] == ["up", "draining"]
    assert cluster.owners() == ["a"] * SLOTS


def test_a_primary_alone_leaves_room_for_the_versions_of_a_row() -> None:
    """That of the row before may be used again, and goes on where it was."""
    cluster = leading("a", "b")
    remembered = cluster.leader.map
    cluster.memory.lead(remembered, cluster.now)
    of_the_row = {(remembered.version[0] + elections, remembered.version[1] + elections) for elections in range(100)}
    assert cluster.leader.map.version > max(of_the_row)


def growing() -> Cluster:
    """One of two nodes, where a third one has come and a move has begun."""
    cluster = leading("a", "b")
    cluster.join("c", port=9)
    cluster.wait(OPTIONS.settle)
    assert cluster.leader.move is not None
    return cluster


# --- the first map, and one that is remembered ------------------------------------------------------------------------


def test_who_comes_soon_after_the_first_start_gets_a_range() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.join("a")
    cluster.wait(2.5)
    cluster.join("b")
    assert cluster.owners() == ["-"] * SLOTS
    cluster.wait(1.0)
    assert cluster.owners() == ["a"] * 4 + ["b"] * 4
    assert cluster.leader.map.version > (1, 1)


def a_map(term: int, epoch: int, *names: str) -> Map:
    nodes = [Node(name, 1, "h", port, 100) for port, name in enumerate(names)]
    return Map((term, epoch), nodes, array("H", [slot % len(names) for slot in range(SLOTS)]))


def test_the_map_is_what_the_nodes_remember_and_routed_by_at_once() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.join("a", map=a_map(3, 7, "a", "b"))
    assert [out.map.version for out in cluster.said if isinstance(out, Route)] == [(3, 7)]
    assert not leads(cluster)
    cluster.join("b", port=1, map=a_map(3, 8, "b", "a"))
    cluster.wait(LOOK)
    assert leads(cluster)
    assert cluster.owners() == ["b", "a"] * 4
    assert cluster.leader.map.version >= (4, 9)


def test_nothing_is_decided_while_a_node_is_missing_that_may_know_a_later_map() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.join("a", map=a_map(3, 7, "a", "b"))
    for beat in range(30):
        cluster.sights = (Sight("c", 1, beat, True),)  # which is in no map that was found
        cluster.wait(1.0)
    assert not leads(cluster)
    cluster.sights = (Sight("c", 1, 30, False),)
    cluster.wait(1.0)
    assert leads(cluster)


def test_what_is_waited_for_is_told_after_a_while() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.wait(PATIENCE)
    assert cluster.leader.waits_for(cluster.now) == "", "an empty cluster is none that lacks somebody"
    cluster.join("a")
    cluster.sights = ()
    cluster.wait(PATIENCE - 1.0)
    assert cluster.leader.waits_for(cluster.now) == ""
    cluster.wait(1.0)
    assert cluster.leader.waits_for(cluster.now) == "a secondary to say what the database says"
    while cluster.now < 3 * PATIENCE:
        cluster.sights = (Sight("a", 1, 1, active=True), Sight("b", 3, int(cluster.now), active=True))
        cluster.wait(1.0)
    assert cluster.leader.waits_for(cluster.now).startswith("b (incarnation 3), which writes to the database")
    assert not leads(cluster)
    cluster.sights = (Sight("a", 1, 1, active=True), Sight("b", 3, 99, active=False))
    cluster.wait(1.0)
    assert leads(cluster)
    assert cluster.leader.waits_for(cluster.now) == ""


def test_a_missing_node_that_stands_still_is_fenced_first() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.join("a", map=a_map(3, 7, "a", "b"))
    cluster.sights = (Sight("b", 1, 5, True),)
    cluster.wait(8.0)
    assert not leads(cluster)
    fence = cluster.ask(FenceOff)
    assert (fence.node.name, fence.order[:3]) == ("a", ("b", 1, 5))
    cluster.answer(fence, ["fenced", True])
    cluster.wait(0.5)
    assert leads(cluster)


def test_without_a_database_in_common_a_lease_is_enough() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.join("a", map=a_map(3, 7, "a", "b"), tier="")
    cluster.wait(5.0)
    assert not leads(cluster)
    cluster.wait(1.0)
    assert leads(cluster)


def test_a_process_without_an_incarnation_waits_until_those_of_its_name_are_known() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    assert isinstance(cluster.join("a", 0, tier=""), Again)
    cluster.join("b", 1, port=1, tier="", map=a_map(3, 7, "a", "b"))
    answer = cluster.join("a", 0, boot=2, tier="")
    assert isinstance(answer, Again)
    cluster.wait(OPTIONS.lease + 1)
    answer = cluster.join("a", 0, boot=2, tier="")
    assert isinstance(answer, Joined)
    assert answer.incarnation == 2


def test_who_is_asked_to_fence_can_be_reached_before_there_is_a_map() -> None:
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.join("a", port=7)
    (route,) = [out.map for out in cluster.said if isinstance(out, Route)]
    assert [node.port for node in route.nodes if node] == [7]
    assert set(route.owners) == {NOBODY}
    cluster.sights = (Sight("old", 1, 5, True),)
    cluster.wait(8.0)
    assert cluster.ask(FenceOff).node.name == "a"


# --- joining ---------------------------------------------------------------------------------------------------------


def test_a_process_that_joins_again_is_the_same_one() -> None:
    cluster = leading("a", "b")
    version = cluster.leader.map.version
    assert isinstance(cluster.join("a", port=0), Joined)
    assert cluster.leader.map.version == version


def test_a_new_process_at_the_same_address_has_the_slots_at_once() -> None:
    cluster = leading("a", "b")
    cluster.join("a", 2, boot=2, port=0)
    node = cluster.leader.map.owner(0)
    assert node is not None
    assert node.key == ("a", 2)


def test_at_another_address_the_lease_of_the_one_before_it_has_to_be_over() -> None:
    cluster = leading("a", "b")
    old = cluster.alive["a"]
    cluster.join("a", 2, boot=2, port=77)
    assert isinstance(cluster.leader.beat(Beat("a", old.boot, 1, (1, 1), {}, ()), cluster.now), Again)
    cluster.wait(4.5)
    assert cluster.leader.map.nodes[0] == Node("a", 1, "h", 0, 100)
    cluster.wait(0.5)
    assert cluster.leader.map.nodes[0] == Node("a", 2, "h", 77, 100)


def test_a_later_process_that_ends_at_once_does_not_shorten_the_lease_of_the_one_before_it() -> None:
    cluster = leading("a", "b")
    cluster.join("a", 2, boot=2, port=77)
    del cluster.alive["a"]
    cluster.sights = (Sight("a", 1, 1, False), Sight("b", 1, 1, True))
    cluster.wait(OPTIONS.lease - 0.5)
    node = cluster.leader.map.owner(0)
    assert node is not None
    assert node.key == ("a", 1), "which may serve it, confirmed a moment before the other one came"
    cluster.wait(1.0)
    node = cluster.leader.map.owner(0)
    assert node is not None
    assert node.key != ("a", 1)


def test_an_earlier_process_of_a_name_does_not_come_back() -> None:
    cluster = leading("a", "b")
    cluster.join("a", 2, boot=2, port=0)
    answer = cluster.join("a", 1, boot=1, port=0)
    assert isinstance(answer, NoEntry)
    assert "a later process" in answer.why
    # A leader that has started anew knows it by its map.
    cluster.leader.roster.forget_all()
    assert isinstance(cluster.join("a", 1, boot=1, port=0), NoEntry)


def test_two_databases_are_no_cluster() -> None:
    answer = leading("a").join("b", tier="another")
    assert isinstance(answer, NoEntry)
    assert "persistent node" in answer.why


def test_who_is_not_known_has_to_join() -> None:
    cluster = leading("a")
    assert isinstance(cluster.leader.beat(Beat("x", 1, 1, (1, 1), {}, ()), 0.0), Again)
    assert isinstance(cluster.leader.leave(Leave("x", 1, 1), 0.0), Again)


def test_a_node_that_has_an_old_map_is_given_the_new_one() -> None:
    cluster = leading("a")
    cluster.sights = (Sight("a", 1, 1, True),)
    answer = cluster.beat("a", NO_VERSION)
    assert isinstance(answer, Beaten)
    assert answer.map is cluster.leader.map
    answer = cluster.beat("a")
    assert isinstance(answer, Beaten)
    assert answer.map is None


# --- moves -----------------------------------------------------------------------------------------------------------


def test_a_newcomer_is_given_nothing_before_all_has_settled() -> None:
    cluster = leading("a", "b")
    cluster.join("c", port=9)
    cluster.wait(OPTIONS.settle - 1)
    assert cluster.leader.move is None
    assert "c" in [node.name for node in cluster.leader.map.nodes if node]
    cluster.wait(1.0)
    assert cluster.leader.move is not None


def test_a_move_parks_then_freezes_then_changes_the_map() -> None:
    cluster = growing()
    prepare = cluster.ask(Prepare)
    assert isinstance(prepare.order, Prepare)
    assert len(prepare.order.slots) <= OPTIONS.move_slots
    assert not any(isinstance(out, Park) for out in cluster.said)
    cluster.said.clear()
    cluster.answer(prepare, PREPARED)
    freeze = cluster.ask(Freeze)
    assert cluster.said == [Park(prepare.order.slots), freeze]
    before = cluster.leader.map
    cluster.said.clear()
    cluster.answer(freeze, RELEASED)
    assert [type(out) for out in cluster.said[:2]] == [Replace, Publish]
    assert {cluster.owners()[slot] for slot in prepare.order.slots} == {"c"}
    assert cluster.leader.map.version > before.version
    assert cluster.leader.moved.moves == 1


def test_moves_go_on_until_all_is_level() -> None:
    cluster = growing()
    for _ in range(10):
        if cluster.leader.move is None:
            break
        cluster.answer(cluster.ask(Prepare), PREPARED)
        cluster.answer(cluster.ask(Freeze), RELEASED)
    assert sorted(cluster.leader.map.counts()) == [2, 3, 3]
    assert cluster.leader.moved.called_off == 0
    cluster.wait(60)
    assert cluster.leader.move is None


def called_off(cluster: Cluster, before: Map) -> bool:
    """Whether a later map says the same, and somebody was told."""
    told = any(isinstance(out, Publish) and out.map is cluster.leader.map for out in cluster.said)
    now = cluster.leader.map
    return told and now.version > before.version and now.owners == before.owners and cluster.leader.move is None


def test_a_source_that_refuses_or_does_not_answer_has_the_move_called_off() -> None:
    for kind in (Prepare, Freeze):
        for result in (None, ["nonsense"]):
            cluster = growing()
            before = cluster.leader.map
            if kind is Freeze:
                cluster.answer(cluster.ask(Prepare), PREPARED)
            cluster.answer(cluster.ask(kind), result)
            assert called_off(cluster, before)
            assert cluster.leader.moved.called_off == 1
            assert "called off" in cluster.leader.moved.last_error


def test_after_a_call_off_nothing_moves_for_a_while() -> None:
    cluster = growing()
    cluster.answer(cluster.ask(Prepare), None)
    cluster.wait(OPTIONS.pause - 1)
    assert cluster.leader.move is None
    cluster.wait(1.0)
    assert cluster.leader.move is not None


@pytest.mark.parametrize("kind", [Prepare, Freeze])
def test_what_a_source_has_to_keep_is_left_out_and_the_rest_goes_at_once(kind: type) -> None:
    cluster = growing()
    before = cluster.leader.map
    slots = _slots(cluster)
    if kind is Freeze:
        cluster.answer(cluster.ask(Prepare), PREPARED)
    cluster.answer(cluster.ask(kind), [KEPT, pack_slots(slots[:1]), "the database does not take it"])
    assert cluster.leader.map.version > before.version
    assert "the database does not take it" in cluster.leader.moved.last_error
    cluster.wait(0.5)
    assert cluster.leader.move is not None
    assert slots[0] not in _slots(cluster)
    # It is tried again when some time has passed.
    cluster.wait(RETRY)
    cluster.answer(cluster.ask(Prepare), None)
    cluster.wait(OPTIONS.pause)
    assert slots[0] in _slots(cluster)


def test_a_source_that_says_the_same_again_waits() -> None:
    cluster = growing()
    answer = [KEPT, pack_slots(_slots(cluster)), "no"]
    cluster.answer(cluster.ask(Prepare), answer)
    cluster.wait(0.5)
    cluster.answer(cluster.ask(Prepare), answer)
    cluster.wait(OPTIONS.pause - 1)
    assert cluster.leader.move is None
    cluster.wait(1.0)
    assert cluster.leader.move is not None


@pytest.mark.parametrize("packed", [b"x", pack_slots([]), pack_slots([SLOTS]), pack_slots([SLOTS - 1])])
def test_a_source_that_keeps_nothing_that_there_is_waits(packed: bytes) -> None:
    cluster = growing()
    cluster.answer(cluster.ask(Prepare), [KEPT, packed, "no"])
    cluster.wait(OPTIONS.pause - 1)
    assert cluster.leader.move is None


def _slots(cluster: Cluster) -> tuple[int, ...]:
    """Those of the move that was begun last."""
    order = cluster.ask(Prepare).order
    assert isinstance(order, Prepare)
    return tuple(order.slots)


def test_a_source_that_hangs_has_the_move_called_off_and_what_it_says_later_is_ignored() -> None:
    cluster = growing()
    before = cluster.leader.map
    cluster.answer(cluster.ask(Prepare), PREPARED)
    freeze = cluster.ask(Freeze)
    cluster.wait(OPTIONS.freeze_timeout)
    assert cluster.leader.map is before
    cluster.wait(1.0)
    assert called_off(cluster, before)
    cluster.answer(freeze, RELEASED)
    assert cluster.leader.map.owners == before.owners


def test_a_preparation_that_does_not_get_on_is_called_off() -> None:
    cluster = growing()
    before = cluster.leader.map
    cluster.wait(OPTIONS.prepare_timeout + 1)
    assert called_off(cluster, before)


def test_nothing_moves_to_who_is_silent() -> None:
    cluster = growing()
    before = cluster.leader.map
    cluster.answer(cluster.ask(Prepare), PREPARED)
    del cluster.alive["c"]
    cluster.wait(3.0)
    cluster.answer(cluster.ask(Freeze), RELEASED)
    assert called_off(cluster, before)


def test_nobody_is_given_slots_who_cannot_be_asked_for_their_keys() -> None:
    cluster = Cluster()
    cluster.not_connected = {"a", "b"}
    cluster.leader.gather(0.0)
    cluster.join("a")
    cluster.join("b", port=2)
    cluster.wait(10.0)
    assert cluster.owners() == ["-"] * SLOTS
    cluster.not_connected = {"b"}
    cluster.wait(1.0)
    assert cluster.owners() == ["a"] * SLOTS
    cluster.wait(OPTIONS.settle)
    assert cluster.leader.move is None
    assert [row[3] for row in cluster.leader.table(cluster.now)] == ["up", "up, not connected"]
    cluster.not_connected = set()
    cluster.wait(1.0)
    assert cluster.leader.move is not None


def test_what_the_dead_had_is_given_to_who_can_be_asked() -> None:
    cluster = leading("a", "b", "c")
    cluster.not_connected = {"b"}
    del cluster.alive["a"]
    cluster.sights = (Sight("a", 1, 1, active=False), *(Sight(name, 1, 99, active=True) for name in "bc"))
    before = cluster.owners()
    cluster.wait(OPTIONS.node_timeout + 1.0)
    assert cluster.owners() == [name if name != "a" else "c" for name in before]


def test_who_comes_while_a_move_is_prepared_ends_it_and_while_it_is_frozen_waits() -> None:
    cluster = growing()
    cluster.join("d", port=8)
    assert cluster.leader.move is None
    assert cluster.leader.map.number_of("d") is not None
    cluster = growing()
    cluster.answer(cluster.ask(Prepare), PREPARED)
    cluster.join("d", port=8)
    assert cluster.leader.map.number_of("d") is None
    cluster.answer(cluster.ask(Freeze), RELEASED)
    assert cluster.leader.moved.moves == 1
    assert cluster.leader.map.number_of("d") is not None


def test_with_rebalancing_off_only_who_leaves_gives_something_up() -> None:
    cluster = leading("a", "b")
    assert not cluster.leader.rebalance(False, cluster.now)
    cluster.join("c", port=9)
    cluster.wait(OPTIONS.settle + 1)
    assert cluster.said == [out for out in cluster.said if not isinstance(out, ToNode)]
    assert not cluster.leader.drain("b", cluster.now)
    cluster.wait(0.5)
    assert cluster.ask(Prepare).node.name == "b"


def test_whether_slots_move_outlives_who_leads() -> None:
    cluster = leading("a", "b")
    assert not cluster.leader.rebalance(False, cluster.now)
    cluster.carry_out()
    assert not cluster.leader.map.rebalances
    other = Leader(OPTIONS, SLOTS)
    assert other.rebalance(False, cluster.now) == "this primary does not lead"
    other.elected(cluster.leader.map.successor(term=9), cluster.now)
    assert not other.map.rebalances
    other.take()
    # What it was told and could not put into the map is not its own to do when it leads again.
    assert not other.rebalance(True, cluster.now)
    other.deposed()
    other.elected(cluster.leader.map.successor(term=11), cluster.now)
    assert not other.map.rebalances
    assert not any(isinstance(output, Replace) for output in other.take()[1:])


# --- leaving ---------------------------------------------------------------------------------------------------------


def carry_all_moves(cluster: Cluster) -> None:
    for _ in range(20):
        cluster.wait(0.5)
        if cluster.leader.move is not None:
            cluster.answer(cluster.ask(Prepare), PREPARED)
            cluster.answer(cluster.ask(Freeze), RELEASED)


def test_who_leaves_gives_all_away_first() -> None:
    cluster = leading("a", "b")
    answer = cluster.leave("b")
    assert answer == Left(False, 4)
    carry_all_moves(cluster)
    assert cluster.owners() == ["a"] * SLOTS
    assert cluster.leave("b") == Left(True, 0)
    assert cluster.leader.map.number_of("b") is None


def test_who_leaves_and_has_to_keep_something_gives_all_else() -> None:
    cluster = leading("a", "b")
    kept = max(slot for slot, owner in enumerate(cluster.owners()) if owner == "b")
    assert cluster.leave("b") == Left(False, 4)
    cluster.answer(cluster.ask(Prepare), [KEPT, pack_slots([kept]), "no"])
    carry_all_moves(cluster)
    assert cluster.leave("b") == Left(False, 1)
    assert [slot for slot, owner in enumerate(cluster.owners()) if owner == "b"] == [kept]


def test_who_leaves_does_not_go_before_others_have_come_to_a_new_leader() -> None:
    cluster = leading("a", "b")
    cluster.leader.deposed()
    cluster.leader.elected(cluster.leader.map.successor(), cluster.now)
    b = cluster.alive["b"]
    cluster.alive.clear()
    cluster.join("b", b.incarnation, port=1)
    cluster.wait(OPTIONS.node_timeout)
    assert cluster.leave("b") == Left(False, 4)
    cluster.wait(0.5)
    assert cluster.leave("b") == Left(True, 4)  # nobody has come


def test_where_nobody_can_take_the_slots_they_wait_for_the_name() -> None:
    cluster = leading("a", "b")
    cluster.leave("a")
    assert cluster.leave("b") == Left(True, 4)
    assert cluster.leave("a") == Left(True, 4)
    cluster.join("b", 2, boot=2, port=1)
    assert cluster.owners()[4:] == ["b"] * 4
    node = cluster.leader.map.owner(4)
    assert node is not None
    assert node.state == "up"


def test_a_drain_of_nobody_or_of_the_last_one_is_refused_by_name() -> None:
    cluster = leading("a")
    assert "there is no node x: a" in cluster.leader.drain("x", cluster.now)
    assert "nobody could take the slots of a" in cluster.leader.drain("a", cluster.now)


# --- who is given up -------------------------------------------------------------------------------------------------


def silent(cluster: Cluster, name: str, seconds: float, beats: bool = False) -> None:
    """A node is silent for so long, and its beat stands still, or does not."""
    cluster.alive.pop(name, None)
    for second in range(int(seconds)):
        others = tuple(Sight(other, 1, int(cluster.now), True) for other in cluster.alive)
        cluster.sights = (Sight(name, 1, second if beats else 0, True), *others)
        cluster.wait(1.0)


def test_a_silent_node_is_fenced_by_another_one_and_then_has_nothing() -> None:
    cluster = leading("a", "b", "c")
    silent(cluster, "b", 6)
    assert not any(isinstance(out, ToNode) and isinstance(out.order, FenceOff) for out in cluster.said)
    silent(cluster, "b", 3)
    fence = cluster.ask(FenceOff)
    assert fence.node.name != "b"
    assert fence.order[:3] == ("b", 1, 0)
    assert "b" in cluster.owners()
    cluster.answer(fence, ["fenced", True])
    assert "b" not in cluster.owners()
    assert NOBODY not in cluster.leader.map.owners


def test_who_can_be_asked_fences() -> None:
    cluster = leading("a", "b", "c")
    cluster.not_connected = {"a"}
    del cluster.alive["c"]
    cluster.sights = tuple(Sight(name, 1, 99, active=True) for name in "abc")
    cluster.wait(OPTIONS.node_timeout + 1.0)
    assert cluster.ask(FenceOff).node.name == "b"


def test_a_node_whose_beat_goes_on_in_the_database_lives() -> None:
    cluster = leading("a", "b", "c")
    silent(cluster, "b", 60, beats=True)
    assert "b" in cluster.owners()
    assert not any(isinstance(out, ToNode) and isinstance(out.order, FenceOff) for out in cluster.said)


def test_while_nobody_can_ask_the_database_nobody_is_given_up() -> None:
    cluster = leading("a", "b", "c")
    silent(cluster, "b", 3)
    cluster.sights = ()
    cluster.wait(60)
    assert not any(isinstance(out, ToNode) and isinstance(out.order, FenceOff) for out in cluster.said)


def test_a_fence_that_was_refused_leaves_the_node_what_it_has() -> None:
    cluster = leading("a", "b", "c")
    silent(cluster, "b", 8)
    cluster.answer(cluster.ask(FenceOff), ["fenced", False])
    assert "b" in cluster.owners()


def test_who_is_to_be_fenced_is_not_confirmed() -> None:
    cluster = leading("a", "b", "c")
    who = cluster.alive["b"]
    silent(cluster, "b", 8)
    assert cluster.ask(FenceOff)
    answer = cluster.leader.beat(Beat("b", who.boot, 1, cluster.leader.map.version, {}, ()), cluster.now)
    assert isinstance(answer, Beaten)
    assert not answer.confirmed


def test_a_new_leader_waits_before_it_gives_anybody_up() -> None:
    cluster = leading("a", "b", "c")
    silent(cluster, "b", 5)
    cluster.leader.elected(cluster.leader.map.successor(), cluster.now)
    cluster.said.clear()
    silent(cluster, "b", 5)
    assert not any(isinstance(out, ToNode) and isinstance(out.order, FenceOff) for out in cluster.said)


def test_who_may_lead_no_more_lets_nobody_go() -> None:
    cluster = leading("a", "b")
    who = cluster.alive["b"]
    cluster.leader.certain_until = cluster.now
    assert cluster.leader.leave(Leave("b", who.boot, 1), cluster.now) == Again()
    cluster.leader.certain_until = cluster.now + 1.0
    assert isinstance(cluster.leader.leave(Leave("b", who.boot, 1), cluster.now), Left)


def test_a_new_leader_that_nobody_has_come_to_gives_nobody_up() -> None:
    cluster = leading("a", "b")
    cluster.leader.deposed()
    cluster.leader.elected(cluster.leader.map.successor(), cluster.now)
    cluster.said.clear()
    for _ in range(40):
        cluster.now += 0.5
        cluster.leader.tick(cluster.now)
    cluster.carry_out()
    assert not [out for out in cluster.said if isinstance(out, Replace)]


def test_a_leader_that_has_slept_waits_too() -> None:
    cluster = leading("a", "b")
    cluster.sights = (Sight("a", 1, 1, True), Sight("b", 1, 1, True))
    cluster.wait(1)
    cluster.now += 20
    cluster.leader.tick(cluster.now)
    cluster.carry_out()
    assert not any(isinstance(out, ToNode) and isinstance(out.order, FenceOff) for out in cluster.said)


def test_a_leader_that_does_not_know_what_the_database_says_confirms_nobody() -> None:
    cluster = leading("a", "b")
    cluster.leader.watch.begin(cluster.now)
    cluster.sights = ()
    answer = cluster.beat("a")
    assert isinstance(answer, Beaten)
    assert not answer.confirmed
    cluster.sights = (Sight("a", 1, 1, True),)
    answer = cluster.beat("a")
    assert isinstance(answer, Beaten)
    assert answer.confirmed


def test_who_is_not_certain_to_lead_confirms_nobody() -> None:
    cluster = leading("a")
    cluster.sights = (Sight("a", 1, 1, True),)
    cluster.leader.certain_until = cluster.now
    answer = cluster.beat("a")
    assert isinstance(answer, Beaten)
    assert not answer.confirmed


def a_dead_one() -> Cluster:
    """A cluster of "a" and of "b", which has died and was given up."""
    cluster = leading("a", "b")
    del cluster.alive["b"]
    cluster.sights = (Sight("a", 1, 1, active=True), Sight("b", 1, 1, active=False))
    cluster.wait(OPTIONS.node_timeout + 1.0)
    assert cluster.owners() == ["a"] * SLOTS
    assert [row[3] for row in cluster.leader.table(cluster.now)] == ["up", "away, silent"]
    return cluster


def test_who_was_given_up_long_ago_is_forgotten_and_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = a_dead_one()
    monkeypatch.setattr("ckv.cluster.roster.FORGET", 20.0)
    cluster.wait(10.0)
    assert len(cluster.leader.table(cluster.now)) == 2
    cluster.wait(11.0)
    assert [row[0] for row in cluster.leader.table(cluster.now)] == ["a"]
    assert cluster.leader.map.nodes[1] is None
    assert cluster.leader.roster.get("b") is None
    assert isinstance(cluster.join("b", port=1), NoEntry)
    assert isinstance(cluster.join("b", 2, boot=2, port=1), Joined)
    assert cluster.leader.map.number_of("b") == 1


def test_a_primary_that_has_started_anew_forgets_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = a_dead_one()
    monkeypatch.setattr("ckv.cluster.roster.FORGET", 20.0)
    cluster = Cluster()
    cluster.leader.gather(0.0)
    cluster.sights = before.sights
    cluster.join("a", map=before.leader.map)
    cluster.wait(20.0)
    assert [row[0] for row in cluster.leader.table(cluster.now)] == ["a", "b"]
    cluster.wait(5.0)
    assert [row[0] for row in cluster.leader.table(cluster.now)] == ["a"]


def test_who_has_gone_takes_up_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = leading("a", "b")
    monkeypatch.setattr("ckv.cluster.roster.MAX_NODES", 2)
    refused = cluster.join("c", port=9)
    assert isinstance(refused, NoEntry)
    assert refused.why == "a cluster has 2 nodes at most"
    cluster.leader.roster["b"].leaves = cluster.leader.roster["b"].gone = True
    cluster.leader.map = cluster.leader.map.successor(
        nodes=(cluster.leader.map.nodes[0], None), owners=array("H", [0] * SLOTS)
    )
    del cluster.alive["b"]
    assert isinstance(cluster.join("c", port=9), Joined)
    monkeypatch.setattr("ckv.cluster.roster.FORGET", 20.0)
    cluster.wait(21.0)
    assert {known.name for known in cluster.leader.roster} == {"a", "c"}


def test_who_comes_back_gets_what_it_had_if_it_is_quick() -> None:
    cluster = leading("a", "b")
    silent(cluster, "b", 4)
    cluster.sights = (Sight("b", 1, 0, False), Sight("b", 2, 1, True))
    cluster.join("b", 2, boot=2, port=1)
    assert cluster.owners() == ["a"] * 4 + ["b"] * 4


def test_an_authority_that_does_not_accept_a_map_ends_the_lead() -> None:
    cluster = leading("a")
    cluster.accepts = False
    cluster.join("b", port=2)
    assert not leads(cluster)
    assert not any(isinstance(out, Publish) for out in cluster.said)
