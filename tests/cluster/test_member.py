"""What a secondary serves, until when, and what it says."""

from __future__ import annotations

from array import array

import pytest

from ckv.cluster.duties import EndMove, Forget, Output, StartFreeze, StartPrepare, Tell
from ckv.cluster.identity import Identity
from ckv.cluster.map import Map, Node, Version
from ckv.cluster.member import Denied, Member
from ckv.cluster.messages import Again, Answer, Beat, Beaten, Join, Joined, Leave, Left, NoEntry, Static

LEASE = 5.0
SLOTS = 4
ALL = frozenset(range(SLOTS))


def a_map(epoch: int, *mine: int, term: int = 1, incarnation: int = 3) -> Map:
    owners = array("H", [0 if slot in mine else 1 for slot in range(SLOTS)])
    return Map((term, epoch), (Node("me", incarnation, "h", 1, 100), Node("other", 1, "h", 2, 100)), owners)


def a_member() -> Member:
    return Member(Identity("me", 42, "h", 1, tier="db", incarnation=3), SLOTS)


def joined(*mine: int) -> Member:
    """One that serves these slots by the map 1.5, confirmed at 0."""
    member = a_member()
    member.tick(0.0)
    (tell,) = member.take()
    assert isinstance(tell, Tell)
    member.answered(tell.message, Joined(3, LEASE, a_map(5, *mine)), 0.0, 0.0)
    for output in member.take():
        if isinstance(output, Forget):
            member.forgotten(output.slots)
    member.confirmed(0.0)
    return member


def served(member: Member) -> set[int]:
    return {slot for slot in range(SLOTS) if member.serves[slot]}


def only(member: Member) -> Output:
    (output,) = member.take()
    return output


# --- joining -------------------------------------------------------------------------------------------------------


def test_it_joins_and_says_so_again_until_it_is_taken_in() -> None:
    member = a_member()
    member.tick(0.0)
    assert only(member) == Tell(Join("me", 42, 3, "h", 1, 100, "evict", "db", None))
    member.tick(1.0)
    assert member.take() == []  # the first one is not answered yet
    member.lost(1.5)
    member.tick(2.0)
    assert isinstance(only(member), Tell)


def test_what_it_had_before_it_joined_is_forgotten_before_it_serves() -> None:
    member = a_member()
    member.answered(Join("me", 42, 3, "h", 1, 100, "evict", "", None), Joined(3, LEASE, a_map(5, 0, 1)), 0.0, 0.0)
    assert only(member) == Forget(ALL, frozenset())
    assert served(member) == set()
    assert member.is_forgetting(0)
    assert not member.is_forgetting(2)
    member.forgotten(ALL)
    assert served(member) == {0, 1}


def test_a_primary_with_a_list_wants_nothing_of_it() -> None:
    member = a_member()
    member.tick(0.0)
    tell = only(member)
    assert isinstance(tell, Tell)
    member.answered(tell.message, Static(), 0.0, 0.0)
    assert member.static
    member.tick(9.0)
    assert member.take() == []


def test_a_node_of_a_cluster_is_no_static_one_again() -> None:
    member = joined(0)
    member.answered(member._join(), Static(), 0.0, 0.0)
    assert not member.static


def test_one_that_is_in_a_list_asks_nobody_but_is_not_taken_in_unknowingly() -> None:
    member = a_member()
    member.tick(0.0)
    assert isinstance(only(member), Tell)
    static = []
    for _ in range(2):
        member.be_listed()
        static.append(member.static)
        member.lost(1.0)
    assert static == [False, True], "an answer on its way may be that it has joined"
    member.tick(2.0)
    assert member.take() == []
    member = joined(0)
    member.be_listed()
    assert not member.static


def test_whoever_wants_to_know_is_told_of_each_map_and_of_such_clients() -> None:
    member = joined(0)
    told: list[tuple[Version, bool]] = []
    member.when_told = lambda: told.append((member.version, member.cluster_clients))
    assert member.take_map(a_map(6, 0, 1))
    assert not member.take_map(a_map(6, 0, 1))
    member.answered(member._join(), Joined(3, LEASE, a_map(6, 0, 1), cluster_clients=True), 0.0, 0.0)
    member.answered(member._join(), Joined(3, LEASE, a_map(7, 0, 1)), 0.0, 0.0)
    assert told == [((1, 6), False), ((1, 6), True), ((1, 7), False)]


def test_why_it_was_not_taken_in_is_kept() -> None:
    member = a_member()
    member.answered(member._join(), NoEntry("another database"), 0.0, 0.0)
    assert member.refused == "another database"


def test_a_primary_that_does_not_know_it_is_told_its_map() -> None:
    member = joined(0)
    member.tick(1.0)
    tell = only(member)
    assert isinstance(tell, Tell)
    assert isinstance(tell.message, Beat)
    member.answered(tell.message, Again(), 1.0, 1.1)
    member.tick(1.2)
    tell = only(member)
    assert isinstance(tell, Tell)
    assert isinstance(tell.message, Join)
    assert tell.message.map is member.map


def test_it_leaves_when_the_leader_says_that_it_can() -> None:
    member = joined(0)
    member.leave(1.0)
    tell = only(member)
    assert tell == Tell(Leave("me", 42, 3))
    member.answered(Leave("me", 42, 3), Left(False, 7), 1.0, 1.1)
    assert not member.has_left
    assert member.slots_left == 7
    member.tick(2.0)
    assert [type(output.message) for output in member.take() if isinstance(output, Tell)] == [Beat, Leave]
    member.answered(Leave("me", 42, 3), Left(True, 0), 2.0, 2.1)
    assert member.has_left


def test_it_does_not_join_again_while_it_waits_for_its_last_map() -> None:
    """It would be given slots, a moment before it ends."""
    member = joined(0)
    member.leave(1.0)
    only(member)
    member.answered(Leave("me", 42, 3), Left(True, 0), 1.0, 1.1)
    member.tick(2.0)
    beat = only(member)
    assert isinstance(beat, Tell)
    member.answered(beat.message, Again(), 2.0, 2.1)
    member.tick(3.0)
    assert member.take() == []


def test_who_has_not_joined_can_leave_at_once_and_joins_no_more() -> None:
    member = a_member()
    member.leave(0.0)
    assert member.has_left
    member.tick(0.0)
    assert member.take() == []


@pytest.mark.parametrize("answer", [None, Again(), NoEntry("another database"), Static()], ids=str)
def test_who_has_asked_to_join_leaves_when_it_was_not_taken_in(answer: Answer | None) -> None:
    member = a_member()
    member.tick(0.0)
    tell = only(member)
    assert isinstance(tell, Tell)
    member.leave(0.1)
    assert not member.has_left
    member.answered(tell.message, answer, 0.0, 0.2)
    assert member.has_left


def test_who_is_taken_in_while_it_leaves_says_so_to_the_leader() -> None:
    """Else it would be given slots, and nobody would serve them until it is given up."""
    member = a_member()
    member.tick(0.0)
    tell = only(member)
    assert isinstance(tell, Tell)
    member.leave(0.1)
    member.answered(tell.message, Joined(3, LEASE, a_map(5)), 0.0, 0.2)
    assert not member.has_left
    member.tick(0.3)
    assert Tell(Leave("me", 42, 3)) in member.take()
    member.answered(Leave("me", 42, 3), Left(True, 0), 0.3, 0.4)
    assert member.has_left


# --- the lease -----------------------------------------------------------------------------------------------------


def test_the_lease_counts_from_the_question() -> None:
    member = joined(0)
    beat = Beat("me", 42, 3, (1, 5), {}, ())
    member.answered(beat, Beaten(True, (1, 5), None), 2.0, 6.0)
    assert member.leased(6.9)
    assert not member.leased(7.0)


def test_who_is_not_confirmed_has_no_longer_lease() -> None:
    member = joined(0)
    member.answered(Beat("me", 42, 3, (1, 5), {}, ()), Beaten(False, (1, 5), None), 4.0, 4.1)
    assert not member.leased(5.0)


def test_the_database_confirms_as_the_leader_does() -> None:
    member = joined(0)
    member.confirmed(4.0)
    member.confirmed(1.0)  # an answer that was long on its way takes nothing back
    assert member.leased(8.9)


def test_before_it_has_joined_it_has_no_lease_whatever_map_it_is_given() -> None:
    member = a_member()
    member.take_map(a_map(5, 0))
    member.confirmed(0.0)
    assert not member.leased(0.1)


def test_before_it_is_confirmed_it_serves_nothing() -> None:
    member = a_member()
    member.answered(member._join(), Joined(3, LEASE, a_map(5, 0)), 0.0, 0.0)
    assert not member.leased(0.1)


# --- maps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(1, 5), (1, 4), (0, 9)])
def test_only_a_later_map_counts(version: Version) -> None:
    member = joined(0)
    assert not member.take_map(a_map(version[1], 1, term=version[0]))
    assert served(member) == {0}


def test_what_it_gains_is_forgotten_before_it_is_served() -> None:
    member = joined(0)
    member.take_map(a_map(6, 0, 1))
    assert only(member) == Forget(frozenset({1}), frozenset())
    assert served(member) == {0}
    member.forgotten({1})
    assert served(member) == {0, 1}


def test_what_it_loses_without_a_move_is_lost() -> None:
    member = joined(0, 1)
    member.take_map(a_map(6, 1))
    assert only(member) == Forget(frozenset({0}), frozenset({0}))
    assert served(member) == {1}


def test_another_process_of_its_name_owns_what_it_does_not() -> None:
    member = joined(0, 1)
    member.take_map(a_map(6, 0, 1, incarnation=4))
    assert served(member) == set()


def test_who_has_declared_less_than_a_loss_is_looked_at() -> None:
    member = joined(0, 1)
    assert member.plain_from == (1, 5)  # what it was asked for by an earlier map nobody knows
    member.take_map(a_map(6, 0))
    member.take()
    member.forgotten({1})
    assert member.plain_from == (1, 6)
    member.take_map(a_map(7, 0))
    assert member.plain_from == (1, 6)


def test_who_asks_it_for_what_an_earlier_process_of_its_name_owns_is_looked_at() -> None:
    member = a_member()
    member.answered(member._join(), Joined(3, LEASE, a_map(5, 0, 1, incarnation=2)), 0.0, 0.0)
    member.forgotten(ALL)
    assert served(member) == set()
    assert member.plain_from > member.version
    member.take_map(a_map(6, 0))  # its own now, but not all of it
    member.forgotten(ALL)
    assert served(member) == {0}
    assert member.plain_from == (1, 6)


def test_while_something_of_its_own_is_forgotten_everybody_is_looked_at() -> None:
    member = joined(0)
    member.take_map(a_map(6, 0, 1))
    assert member.plain_from > member.version
    member.forgotten({1})
    assert member.plain_from <= member.version


def test_who_routes_by_a_later_map_makes_it_ask_for_that() -> None:
    member = joined(0)
    member.take()
    assert not member.is_behind((1, 5), 1.0)
    assert member.take() == []
    assert member.is_behind((1, 6), 1.0)
    tell = only(member)
    assert isinstance(tell, Tell)
    assert isinstance(tell.message, Beat)


# --- moves ---------------------------------------------------------------------------------------------------------


def moving() -> Member:
    """Slots 0 and 1 are about to move."""
    member = joined(0, 1, 2)
    member.prepare(7, (1, 5), [0, 1], "other")
    assert only(member) == StartPrepare(7, frozenset({0, 1}), Node("other", 1, "h", 2, 100))
    return member


def test_while_it_prepares_it_serves() -> None:
    member = moving()
    assert served(member) == {0, 1, 2}
    assert member.plain_from <= member.version


def test_what_is_frozen_is_not_served_and_everybody_is_looked_at() -> None:
    member = moving()
    member.freeze(7, (1, 5))
    assert only(member) == StartFreeze(7, frozenset({0, 1}))
    assert served(member) == {2}
    assert member.plain_from > member.version


def test_what_is_frozen_stays_so_when_the_primary_is_lost() -> None:
    member = moving()
    member.freeze(7, (1, 5))
    member.lost(1.0)
    member.tick(2.0)
    assert served(member) == {2}


def test_a_move_ends_with_the_next_map_and_what_was_released_is_forgotten_whatever_that_says() -> None:
    member = moving()
    member.freeze(7, (1, 5))
    assert member.released(7)
    member.take()
    member.take_map(a_map(6, 0, 1, 2))  # called off: the slots are its own as before
    assert member.take() == [EndMove(7), Forget(frozenset({0, 1}), frozenset())]
    assert served(member) == {2}
    member.forgotten({0, 1})
    assert served(member) == {0, 1, 2}


def test_what_was_released_and_is_lost_is_not_lost_unsaved() -> None:
    member = moving()
    member.freeze(7, (1, 5))
    member.released(7)
    member.take()
    member.take_map(a_map(6, 2))
    assert member.take() == [EndMove(7), Forget(frozenset({0, 1}), frozenset())]


def test_what_was_frozen_and_not_released_is_served_again_by_the_next_map_alone() -> None:
    member = moving()
    member.freeze(7, (1, 5))
    member.take()
    member.tick(100.0)
    assert served(member) == {2}
    member.take_map(a_map(6, 0, 1, 2))
    assert [output for output in member.take() if not isinstance(output, Tell)] == [EndMove(7)]
    assert served(member) == {0, 1, 2}
    assert not member.released(7)


@pytest.mark.parametrize("slots", [[3], [0, 3]])
def test_what_it_does_not_own_does_not_move(slots: list[int]) -> None:
    with pytest.raises(Denied, match="not all"):
        joined(0, 1, 2).prepare(7, (1, 5), slots, "other")


@pytest.mark.parametrize("version", [(1, 4), (1, 6), (2, 5)])
def test_a_move_by_another_map_is_denied(version: Version) -> None:
    with pytest.raises(Denied, match=r"1\.5"):
        joined(0).prepare(7, version, [0], "other")
    member = moving()
    with pytest.raises(Denied, match=r"1\.5"):
        member.freeze(7, version)
    assert served(member) == {0, 1, 2}


def test_one_move_at_a_time() -> None:
    with pytest.raises(Denied, match="another move"):
        moving().prepare(8, (1, 5), [2], "other")
    with pytest.raises(Denied, match="no such move"):
        moving().freeze(8, (1, 5))
    assert not moving().released(7)  # it is not frozen
