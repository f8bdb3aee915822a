"""The laws of the row that primaries share, wherever it is: one leads at a time, and what an earlier one sends later
changes nothing."""

from __future__ import annotations

import pytest

from ckv.persistent.coordinator import State
from ckv.persistent.opening import open_coordinator
from tests.persistent.coordinators import NOTHING, ONE, OTHER, Primaries


@pytest.fixture(params=["mysql", "zookeeper"])
def primaries(request: pytest.FixtureRequest) -> Primaries:
    made: Primaries = request.getfixturevalue(f"primaries_by_{request.param}")
    return made


def test_there_is_a_row_from_the_first_look_on(primaries: Primaries) -> None:
    seen = primaries.one.look(NOTHING)
    assert seen == primaries.other.look(NOTHING)
    assert seen[1:] == ("", 0, 0, True, None)
    assert seen.term > 1_700_000_000, "no later than maps that a primary made without a coordinator"


def test_one_of_those_who_stand_at_once_leads(primaries: Primaries) -> None:
    seen = primaries.one.look(NOTHING)
    stood = [each.stand(name, *seen[:3]) for each, name in ((primaries.one, ONE), (primaries.other, OTHER))]
    assert stood == [State(seen.term + 1, ONE, 1, 1, is_new=True, map=None), None]
    assert primaries.one.beat(ONE, seen.term + 1)
    assert not primaries.other.beat(OTHER, seen.term + 1)


def test_a_beat_that_has_moved_keeps_the_others_from_standing(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    seen = primaries.other.look(NOTHING)
    assert primaries.one.beat(ONE, first.term)
    assert primaries.other.stand(OTHER, *seen[:3]) is None


def test_a_map_is_replaced_and_read_by_all(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    version = (first.term, first.epoch)
    following = (first.term, first.epoch + 1)
    assert primaries.one.replace(ONE, version, following, b"a map \x00 of bytes")
    seen = primaries.other.look(version)
    assert (seen.term, seen.epoch, seen.is_new, seen.map) == (*following, False, b"a map \x00 of bytes")
    assert primaries.other.look(following).map is None, "whoever has it is not sent it again"
    second = primaries.elect(primaries.other, OTHER)
    assert second == State(first.term + 1, OTHER, second.beat, following[1] + 1, is_new=False, map=seen.map)


def test_the_first_map_may_be_of_a_later_term(primaries: Primaries) -> None:
    """Nodes may remember one that a primary made without a coordinator."""
    first = primaries.elect(primaries.one, ONE)
    assert primaries.one.replace(ONE, (first.term, first.epoch), (first.term + 7, 30), b"map")
    assert not primaries.one.beat(ONE, first.term)
    assert primaries.one.beat(ONE, first.term + 7)


def test_a_row_that_has_lost_the_last_map_has_none(primaries: Primaries) -> None:
    """As that of a replica which was promoted before it had heard of it: a primary that knows it says so."""
    first = primaries.elect(primaries.one, ONE)
    assert primaries.one.replace(ONE, (first.term, first.epoch), (first.term, 5), b"map")
    for term, epoch in ((-1, 9), (0, -1), (0, 0)):
        seen = primaries.other.look(NOTHING)
        known = (seen.term + term, seen.epoch + epoch)
        found = primaries.other.stand(OTHER, *seen[:3], known)
        assert found is not None
        assert (found.is_new, found.map, found.term) == (False, b"map", seen.term + 1)
        assert found.epoch == max(seen.epoch, known[1]) + 1
    seen = primaries.other.look(NOTHING)
    for known in ((seen.term, seen.epoch + 1), (seen.term + 7, 1)):
        seen = primaries.one.look(NOTHING)
        lost = primaries.one.stand(ONE, *seen[:3], known)
        assert lost is not None
        assert (lost.is_new, lost.map, lost.leader) == (True, None, ONE)
        assert (lost.term, lost.epoch) == (max(seen.term, known[0]) + 1, max(seen.epoch, known[1]) + 1)


@pytest.mark.parametrize("what", ["another one leads", "it leads again", "another map", "nobody leads"])
def test_what_an_earlier_leader_sends_late_changes_nothing(primaries: Primaries, what: str) -> None:
    first = primaries.elect(primaries.one, ONE)
    version = (first.term, first.epoch)
    match what:
        case "another one leads":
            primaries.elect(primaries.other, OTHER)
        case "it leads again":
            primaries.elect(primaries.new(), ONE)
        case "another map":
            assert primaries.one.replace(ONE, version, (first.term, first.epoch + 1), b"later")
        case _:
            primaries.one.step_down(ONE, first.term)
    before = primaries.other.look(NOTHING)
    assert not primaries.one.replace(ONE, version, (first.term, first.epoch + 1), b"old")
    if what != "another map":
        assert not primaries.one.beat(ONE, first.term)
        primaries.one.step_down(ONE, first.term)
    assert primaries.other.look(NOTHING) == before


def test_who_steps_down_is_followed_at_once(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    primaries.one.step_down(ONE, first.term)
    assert primaries.other.look(NOTHING)[:2] == (first.term, "")


def test_all_that_are_there_are_known(primaries: Primaries) -> None:
    assert primaries.one.attend(ONE) == [ONE]
    assert primaries.other.attend(OTHER) == [ONE, OTHER]
    assert primaries.one.attend(ONE) == [ONE, OTHER]


def test_it_is_known_from_where_it_is_reached(primaries: Primaries) -> None:
    assert primaries.one.local_host == ""
    primaries.one.look(NOTHING)
    assert primaries.one.local_host == "127.0.0.1"


def test_one_that_was_closed_can_be_asked_again(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    primaries.one.close()
    assert primaries.one.beat(ONE, first.term)


def test_no_coordinator() -> None:
    assert open_coordinator("-") is None
