"""What becomes of requests that a node has not carried out, as it was not sure that it may: their order, and where."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from ckv import errors
from ckv.cluster.slots import slot_of
from tests.net.conftest import World, until
from tests.node.routed import LARGE, Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        rig = Rig(world)
        yield rig
        rig.routing.close()


def test_what_a_node_says_is_another_ones_waits_for_the_later_map(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere, a.version = {"alice"}, "1.2"
    numbers = [rig.ask("PUT", "alice", "1"), rig.ask("GET", "bob"), rig.ask("PUT", "alice", "2")]
    rig.until_answered(numbers[1])
    until(lambda: len(rig.routing.parking) == 2)
    numbers.append(rig.ask("PUT", "alice", "3"))
    rig.go_by({"alice": 1, "bob": 0})
    rig.until_answered(*numbers)
    assert all(error is None for _, error, _ in rig.told.answers)
    assert [each for each in b.took() if each[0] == "PUT"] == [("PUT", "alice")] * 3
    assert [number for number, *_ in rig.told.answers][-3:] == [numbers[0], numbers[2], numbers[3]]


def test_requests_of_slots_that_have_moved_wait_until_the_old_owner_has_none(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere, a.clears = {"alice"}, False
    first, other = rig.ask_alone("PUT", "alice", "1"), rig.ask("PUT", "bob", "1")
    rig.go_by({"alice": 1, "bob": 0}, push=False)
    second = rig.ask("PUT", "alice", "2")
    rig.until_answered(first, other, second)
    assert not [error for _, error, _ in rig.told.answers if error is not None]
    assert [each for each in b.took() if each[0] == "PUT"] == [("PUT", "alice")] * 2
    assert [number for number, *_ in rig.told.answers if number in (first, second)] == [first, second]


def test_what_was_not_sent_to_the_old_owner_goes_to_the_new_one(rig: Rig) -> None:
    _, b = rig.nodes
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    number = rig.until_queued("alice")
    rig.go_by({"alice": 1}, push=False)
    rig.until_answered(number)
    assert ("PUT", "alice") in b.took()


def test_who_has_parked_slots_need_not_wait(rig: Rig) -> None:
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    rig.routing.park([slot_of("alice")])
    rig.go_by({"alice": 1})
    assert rig.routing.slots.owner("alice") is rig.routing.peers[1]


def test_nobody_waits_for_a_node_that_is_given_up(rig: Rig) -> None:
    _, b = rig.nodes
    world = rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    nodes = [node._replace(state="away") if number == 0 and node else node for number, node in enumerate(world.nodes)]
    owners = world.owners[:]
    owners[slot_of("alice")] = 1
    rig.routing.take(world.successor(nodes=nodes, owners=owners), push=False)
    assert rig.routing.slots.owner("alice") is rig.routing.peers[1]
    rig.until_answered(rig.ask("GET", "alice"))
    assert ("GET", "alice") in b.took()


def test_what_comes_back_when_another_node_has_done_what_came_later_is_refused(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.slow = {"alice"}
    first = rig.ask("PUT", "alice", "1")
    until(lambda: ("PUT", "alice") in a.asked)
    rig.go_by({"alice": 1})
    rig.until_answered(rig.ask("PUT", "alice", "2"))
    b.took()
    a.answer(errors.NotOwner("1.2 is the map here"))
    rig.until_answered(first)
    assert str(rig.told.answers[-1][1]).startswith(f"Moving: slot {slot_of('alice')} has another owner by now")
    rig.until_answered(rig.ask("GET", "alice"))
    assert b.took() == [("GET", "alice")]


def test_a_node_that_is_not_sure_is_asked_again_when_it_has_answered_all_before(rig: Rig) -> None:
    a, _ = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.took()
    a.elsewhere, a.stops_at = {"alice"}, {"alice"}
    first, second = rig.ask_alone("PUT", "alice", "1"), rig.ask_alone("PUT", "alice", "2")
    until(lambda: len(rig.routing.parking) == 1)
    for _ in range(3):
        rig.routing.tick()
    third = rig.ask("GET", "alice")
    a.go_on()
    rig.until_answered(first, second, third)
    asked = [each for each in a.took() if each[0] != "PING"]
    epoch = ("EPOCH", (1, 1))
    before, behind = asked.index(epoch), asked.index((*epoch, 7))
    assert asked[:before] == [("PUT", "alice")] * 2
    assert asked[before + 1 :] == [(*epoch, 7), *[("PUT", "alice")] * 2, ("GET", "alice")]
    assert before < behind
    assert [number for number, *_ in rig.told.answers][-3:] == [first, second, third]


def test_nor_does_a_new_map_let_it_be_overtaken(rig: Rig) -> None:
    a, b = rig.nodes
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere, a.stops_at, a.version = {"alice"}, {"alice"}, "1.2"
    first, second = rig.ask_alone("PUT", "alice", "1"), rig.ask_alone("PUT", "alice", "2")
    until(lambda: len(rig.routing.parking) == 1)
    rig.go_by({"alice": 1})
    third = rig.ask("GET", "alice")
    a.go_on()
    rig.until_answered(first, second, third)
    assert [each for each in b.took() if each[1] == "alice"] == [*[("PUT", "alice")] * 2, ("GET", "alice")]
    assert [number for number, *_ in rig.told.answers][-3:] == [first, second, third]


@pytest.mark.parametrize("in_vain", ["large", "late"])
def test_a_node_hears_that_it_is_known_what_it_turned_away_also_where_nothing_is_made_again(
    rig: Rig, in_vain: str
) -> None:
    a, _ = rig.nodes
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere = {"alice"}
    number = rig.ask("PUT", "alice", LARGE, large=True)
    peer = rig.routing.peers[0]
    assert peer.session is not None
    if in_vain == "late":
        for _ in range(2):
            peer.session.fail_old(errors.CallTimeout("the test does not wait"))
    rig.until_answered(number)
    rig.until(lambda: ("EPOCH", (1, 1), 7) in a.asked)
    assert peer.connected
    rig.until_answered(rig.ask("GET", "alice"))


def test_a_large_request_that_was_not_sent_waits_for_what_came_back(rig: Rig) -> None:
    a, _ = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.elsewhere = {"alice"}
    first = rig.ask("PUT", "alice", "small")
    while not rig.routing.peers[0]._queued:
        rig.ask("PUT", "bob", LARGE, large=True)
    large = rig.ask("PUT", "alice", LARGE, large=True)
    until(lambda: len(rig.routing.parking) == 2)
    assert [parked.msgid for parked in rig.routing.parking.take()] == [first, large]


def test_a_large_request_that_was_not_sent_is_made_before_what_came_later(rig: Rig) -> None:
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    queued = rig.until_queued("alice")
    rig.routing.park([slot_of("alice")])
    later = rig.ask("PUT", "alice", "small")
    assert [parked.msgid for parked in rig.routing.parking.take()] == [queued, later]


def test_whoever_asks_something_large_waits_until_it_is_made(rig: Rig) -> None:
    rig.go_by({"alice": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    rig.routing.park([slot_of("alice")])
    rig.ask("PUT", "alice", LARGE, large=True)
    assert rig.told.held
    rig.go_by({"alice": 1})
    assert len(rig.routing.parking) == 0
    assert not rig.told.held


def test_it_is_made_no_more_when_whoever_asked_is_gone(rig: Rig) -> None:
    a, _ = rig.nodes
    rig.go_by({"alice": 0, "bob": 0})
    rig.until_answered(rig.ask("GET", "alice"))
    a.took()
    sent = rig.until_queued("alice") - 2
    rig.told.is_open = False
    rig.routing.park([slot_of("bob")])
    assert rig.told.settled == 1
    rig.until_answered(rig.ask("GET", "alice"))
    assert a.took() == [("PUT", "alice")] * sent + [("GET", "alice")]


def test_nobody_waits_for_ever(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    number = rig.ask("PUT", "alice", "v")
    now = [0.0]
    monkeypatch.setattr(rig.routing.parking, "_clock", lambda: now[0] + 1e9)
    rig.routing.tick()
    ((told, error, _),) = rig.told.answers
    assert told == number
    assert str(error).startswith("Moving: ")
