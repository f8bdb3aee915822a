"""A primary's way by a map that changes: what its nodes are told, and what becomes of requests between two owners."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator

import gevent
import pytest

from ckv import errors
from ckv.cluster.map import Map
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node.figures import of_peers
from ckv.node.routing import LEARNED_WITHIN
from ckv.protocol.steps import Asked, answers_of
from tests.net.conftest import World, until
from tests.node.routed import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        rig = Rig(world)
        yield rig
        rig.routing.close()


def test_a_node_hears_of_the_map_before_the_first_request(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 1})
    first, second = rig.ask("PUT", "alice", "v"), rig.ask("PUT", "bob", "v")
    rig.until_answered(first, second)
    assert a.took()[:3] == [("MAP", (1, 1), "n0"), ("EPOCH", (1, 1)), ("PUT", "alice")]
    assert b.took()[:3] == [("MAP", (1, 1), "n1"), ("EPOCH", (1, 1)), ("PUT", "bob")]
    rig.go_by({"alice": 0, "bob": 1}, push=False)
    rig.until_answered(rig.ask("GET", "alice"))
    assert a.took() == [("EPOCH", (1, 2)), ("GET", "alice")]


def test_who_does_not_lead_yet_says_nothing_of_its_map(rig: Rig) -> None:
    a, _ = rig.nodes
    for _ in range(2):
        rig.go_by({}, term=0)
        rig.until(lambda: rig.routing.peers[0].connected)
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    assert a.took() == [("MAP", (1, 3)), ("EPOCH", (1, 3)), ("GET", "alice")]


def test_a_later_map_of_a_node_that_is_not_learned_is_missed(rig: Rig) -> None:
    a, _ = rig.nodes
    rig.go_by({"alice": 0})
    a.elsewhere, a.version, a.clears = {"alice"}, "1.3", False
    before = time.monotonic()
    rig.ask("GET", "alice")
    rig.until(lambda: rig.routing.lacks(before + 100.0) == (1, 3))
    assert rig.routing.lacks(before + LEARNED_WITHIN) is None
    rig.go_by({"alice": 0})
    assert rig.routing.lacks(before + 100.0) == (1, 3)
    rig.go_by({"alice": 0})
    assert rig.routing.lacks(before + 100.0) is None


def test_no_figures_are_told_of_a_node_that_was_given_up(rig: Rig) -> None:
    rig.go_by({"alice": 0})
    assert of_peers(list(rig.routing.peers.values()))["peers"] == 2
    before = rig.routing.router.map
    given_up = [before.nodes[0], before.nodes[1] and before.nodes[1]._replace(state="away")]
    rig.routing.take(before.successor(nodes=given_up), push=True)
    told = of_peers(list(rig.routing.peers.values()))
    assert told["peers"] == 1
    assert not any(str(rig.nodes[1].address) in name for name in told)


def test_before_there_is_an_owner_requests_wait_for_one(rig: Rig) -> None:
    number = rig.ask("PUT", "alice", "v")
    (parked,) = rig.routing.parking.take()
    rig.routing.parking.put_back([parked])
    rig.go_by({"bob": 0})
    assert rig.routing.parking.take() == [parked], "it waits for no longer than before"
    rig.routing.parking.put_back([parked])
    rig.go_by({"alice": 1})
    rig.until_answered(number)
    assert rig.told.answers == [(number, None, "PUT")]


def test_requests_of_slots_that_move_come_to_the_new_owner_in_their_order_behind_its_map(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    until(lambda: ("EPOCH", (1, 2)) in b.asked)
    a.took(), b.took()
    rig.routing.park([slot_of("alice")])
    numbers = [rig.ask("PUT", "alice", f"{number}") for number in range(3)]
    other = rig.ask("GET", "bob")
    rig.until_answered(other)
    assert a.took() == [("GET", "bob")]
    rig.go_by({"alice": 1, "bob": 0})
    numbers.append(rig.ask("GET", "alice"))
    rig.until_answered(*numbers)
    assert b.took() == [("MAP", (1, 3)), ("EPOCH", (1, 3)), *[("PUT", "alice")] * 3, ("GET", "alice")]
    assert [number for number, *_ in rig.told.answers if number in numbers] == numbers


def test_the_way_to_a_node_is_that_to_its_address(rig: Rig) -> None:
    node = rig.go_by({"alice": 0}).nodes[0]
    assert node is not None
    assert rig.routing.peer_of(node) is rig.routing.peers[0]
    assert rig.routing.peer_of(node._replace(port=1)) is None
    assert rig.routing.peer_of(node._replace(name="other")) is None


def test_a_node_that_is_gone_is_not_connected_any_more(rig: Rig) -> None:
    rig.go_by({"alice": 0, "bob": 1})
    rig.until_answered(rig.ask("GET", "alice"), rig.ask("GET", "bob"))
    peer = rig.routing.peers[1]
    world = rig.routing.router.map
    rig.routing.take(Map((1, 9), world.nodes[:1], array("H", [0]) * SLOTS), push=True)
    assert set(rig.routing.peers) == {0}
    until(lambda: not peer.connected)
    rig.until_answered(rig.ask("GET", "bob"))


STEP: tuple[Asked, ...] = (("PUT", ("alice", "v")), ("GET", ("bob",)), ("PUT", ("charles", "v")))


def check_done(rig: Rig, number: int) -> None:
    """The step was carried out, and each answer is in its place."""
    ((error, result),) = [(error, result) for each, error, result in rig.told.answers if each == number]
    assert error is None
    assert isinstance(result, list)
    done, answers = result
    assert done
    assert list(answers_of(answers, len(STEP))) == [(None, method) for method, _ in STEP]


def test_the_part_of_a_step_waits_whose_slot_moves(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 0, "charles": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    rig.routing.park([slot_of("bob")])
    a.took()
    number = rig.step(*STEP)
    until(lambda: a.asked)
    assert a.took() == [("EXEC", ["alice", "charles"])]
    rig.go_by({"alice": 0, "bob": 1, "charles": 0})
    rig.until_answered(number)
    assert b.took()[-1] == ("EXEC", ["bob"])
    check_done(rig, number)


def test_a_step_that_a_node_gives_back_is_taken_apart_by_the_next_map(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 0, "charles": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere, a.version = {"bob"}, "1.2"
    number = rig.step(*STEP)
    until(lambda: len(rig.routing.parking) == 1)
    a.took()
    rig.go_by({"alice": 0, "bob": 1, "charles": 0})
    rig.until_answered(number)
    assert [each for each in a.took() if each[0] == "EXEC"] == [("EXEC", ["alice", "charles"])]
    assert b.took()[-1] == ("EXEC", ["bob"])
    check_done(rig, number)


def test_nothing_overtakes_a_step_that_waits_for_one_of_its_slots(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere = {"bob"}
    step = rig.step(("PUT", ("alice", "v")), ("PUT", ("bob", "v")))
    until(lambda: len(rig.routing.parking) == 1)
    rig.routing.park([slot_of("alice")])
    rig.until(lambda: not a.elsewhere)
    for _ in range(3):
        rig.routing.tick()
    later = rig.ask("PUT", "bob", "w")
    for _ in range(3):
        rig.routing.tick()
    assert len(rig.routing.parking) == 2
    rig.go_by({"alice": 1, "bob": 0})
    rig.until_answered(step, later)
    assert [each for each in a.took() if each[0] in ("EXEC", "PUT")][1:] == [("EXEC", ["bob"]), ("PUT", "bob")]
    assert b.took()[-1] == ("EXEC", ["alice"])


def test_a_step_is_refused_where_a_slot_of_it_has_a_new_owner_already(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere = {"alice"}
    step = rig.step(("PUT", ("alice", "v")), ("PUT", ("bob", "v")))
    rig.routing.park([slot_of("bob")])
    rig.go_by({"alice": 0, "bob": 1})
    later = rig.ask("PUT", "bob", "w")
    rig.until_answered(step, later)
    assert str(rig.told.answers[-2][1]).startswith(f"Moving: slot {slot_of('bob')} has another owner by now")
    assert [each for each in b.took() if each[0] in ("EXEC", "PUT")] == [("PUT", "bob")]


def test_what_is_watched_does_not_wait_for_a_slot_that_moves(rig: Rig) -> None:
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    rig.routing.park([slot_of("bob")])
    with pytest.raises(errors.Moving):
        rig.step(("WATCHED", ("alice", b"")), ("PUT", ("bob", "v")))


def test_requests_that_always_come_back_are_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = rig.nodes
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere, a.clears = {"alice"}, False
    number = rig.ask("PUT", "alice", "1")
    until(lambda: len(rig.routing.parking) == 1)
    monkeypatch.setattr(rig.routing, "_patience", -1.0)
    rig.until_answered(number)
    assert str(rig.told.answers[-1][1]).startswith("Moving: no node has served slot ")


def test_what_came_back_after_its_time_out_does_no_harm(rig: Rig) -> None:
    a, _ = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "bob"))
    peer = rig.routing.peers[0]
    connection = peer.connection
    a.slow = {"alice"}
    late = rig.ask("PUT", "alice", "1")
    until(lambda: ("PUT", "alice") in a.asked)
    for _ in range(2):
        peer.tick()
        until(lambda: peer._is_answered)
    ((_, error, _),) = [answer for answer in rig.told.answers if answer[0] == late]
    assert str(error).startswith("CallTimeout: ")
    a.answer(errors.NotOwner("1.2 is the map here"))
    rig.until_answered(rig.ask("GET", "bob"))
    assert peer.connection is connection
    assert rig.told.answers[-1][1:] == (None, "GET")


def test_a_defect_costs_the_request_that_it_is_in(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    a, _ = rig.nodes
    rig.go_by({"alice": 0, "bob": 0, "charles": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere, a.version = {"bob"}, "1.2"
    monkeypatch.setattr(rig.routing, "exec_again", defect)
    step = rig.step(*STEP)
    until(lambda: len(rig.routing.parking) == 1)
    later = rig.ask("PUT", "bob", "v")
    a.elsewhere.clear()
    rig.go_by({"alice": 0, "bob": 0, "charles": 0})
    rig.until_answered(step, later)
    assert rig.told.answers[-2:] == [(step, "ServerError: unexpected error in EXEC", None), (later, None, "PUT")]
    queued = rig.until_queued("alice")
    monkeypatch.setattr(rig.routing, "_make", defect)
    rig.routing.park([slot_of("bob")])
    assert rig.told.answers[-1] == (queued, "ServerError: unexpected error in PUT", None)
