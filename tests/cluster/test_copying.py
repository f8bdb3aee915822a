"""What the two nodes of a move know of its copy, whichever maps they hear of."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from ckv.cluster.copying import Copies, Copy, is_certain
from ckv.cluster.duties import EndMove, Forget, StartFreeze, Tell
from ckv.cluster.identity import Identity
from ckv.cluster.map import Map, Node
from ckv.cluster.member import Member
from ckv.cluster.messages import Join, Joined

SLOTS = 4
ALL = frozenset(range(SLOTS))
ME, OTHER = ("me", 1), ("other", 1)


def a_map(epoch: int, *mine: int, term: int = 1, me: int = 1, other: int = 1, **state: Any) -> Map:
    """Slots that are not ``mine`` are the other one's. ``me``, ``other``: their incarnations."""
    owners = array("H", [0 if slot in mine else 1 for slot in range(SLOTS)])
    return Map((term, epoch), (Node("me", me, "h", 1, 100), Node("other", other, "h", 2, 100, **state)), owners)


BEFORE = a_map(5, 0, 1)


@pytest.mark.parametrize(
    ("following", "certain"),
    [
        (a_map(6), True),
        (a_map(7), True),
        (a_map(8, term=1001), True),
        (a_map(6, state="away"), True),
        (a_map(7, state="away"), False),
        (a_map(7, other=2), False),
        (Map((1, 7), BEFORE.nodes[:1], array("H", [0]) * SLOTS), False),
        (a_map(6, term=2, state="away"), False),
        (a_map(7, state="draining"), True),
    ],
)
def test_when_it_is_certain(following: Map, certain: bool) -> None:
    assert is_certain(BEFORE, following, OTHER) is certain


def joined(world: Map) -> Member:
    """One without a database, by this map."""
    member = Member(Identity("me", 42, "h", 1), SLOTS)
    member.tick(0.0)
    (tell,) = member.take()
    assert isinstance(tell, Tell)
    assert isinstance(tell.message, Join)
    assert (tell.message.tier, tell.message.incarnation) == ("", 0)
    member.answered(tell.message, Joined(1, 5.0, world), 0.0, 0.0)
    settle(member)
    return member


def settle(member: Member) -> list[Forget]:
    """It drops what it is to drop, which is returned."""
    dropped = [output for output in member.take() if isinstance(output, Forget)]
    for each in dropped:
        member.forgotten(each.slots)
    return dropped


def released(*, world: Map = BEFORE) -> Member:
    """One that has given the slots 0 and 1 to the other one."""
    member = joined(world)
    member.prepare(7, world.version, [0, 1], "other")
    member.freeze(7, world.version)
    assert StartFreeze(7, frozenset({0, 1})) in member.take()
    assert member.released(7)
    return member


@pytest.mark.parametrize("following", [a_map(6, 0, 1), a_map(9, 0, 1), a_map(6, 0, 1, term=1001)])
def test_a_move_that_is_called_off_leaves_the_source_as_it_was(following: Map) -> None:
    member = released()
    assert not any(member.serves)
    member.take_map(following)
    assert member.take() == [EndMove(7)]
    assert list(member.serves) == [1, 1, 0, 0]


@pytest.mark.parametrize("following", [a_map(7, 0, 1, state="away"), a_map(7, 0, 1, other=2)])
def test_where_another_node_may_have_served_them_the_source_drops_them(following: Map) -> None:
    member = released()
    member.take_map(following)
    assert [each.slots for each in settle(member)] == [frozenset({0, 1})]
    assert list(member.serves) == [1, 1, 0, 0]


def test_a_source_drops_what_has_gone() -> None:
    member = released()
    member.take_map(a_map(6))
    assert settle(member) == [Forget(frozenset({0, 1}), frozenset())]
    assert not any(member.serves)


def message(number: int = 0, *, is_last: bool = False, **other: Any) -> Copy:
    return Copy("other", "me", 7, BEFORE.version, number, b"", 0, 0, is_last)._replace(**other)


def send(member: Member, *messages: Copy) -> list[str]:
    """What speaks against each of them."""
    assert member.copies is not None
    found = []
    for each in messages:
        found.append(member.copies.receive(each, member.map, member.key))
        if not found[-1]:
            member.copies.received(each, is_right=True)
    return found


@pytest.mark.parametrize(
    ("following", "received"),
    [
        (a_map(6, *ALL), True),
        (a_map(9, *ALL), True),
        (a_map(6, *ALL, term=1001), True),
        (a_map(9, *ALL, state="away"), False),
        (a_map(9, *ALL, other=2), False),
    ],
)
def test_what_has_come_is_the_targets_if_nothing_was_done_with_it_since(following: Map, received: bool) -> None:
    member = joined(BEFORE)
    assert send(member, message(), message(1), message(2, is_last=True)) == ["", "", ""]
    assert list(member.serves) == [1, 1, 0, 0]
    member.take_map(following)
    gained = frozenset({2, 3})
    assert settle(member) == [Forget(gained, frozenset(), gained if received else frozenset())]
    assert all(member.serves)


def test_what_is_not_whole_or_not_right_is_nobodys() -> None:
    for messages, is_right in (([message()], True), ([message(is_last=True)], False)):
        member = joined(BEFORE)
        assert member.copies is not None
        for each in messages:
            assert not member.copies.receive(each, member.map, member.key)
            member.copies.received(each, is_right=is_right)
        member.take_map(a_map(6, *ALL))
        assert [each.received for each in settle(member)] == [frozenset()]


def test_what_does_not_come_next_ends_nothing_and_is_refused() -> None:
    member = joined(BEFORE)
    assert all(
        send(
            member,
            message(1),
            message(version=(1, 4)),
            message(target="another"),
            message(source="me"),
            message(source="nobody"),
        )
    )
    assert send(member, message(), message(2), message(1, move=8), message(1, is_last=True)) == [
        "",
        "that is not what comes next of a copy",
        "that is not what comes next of a copy",
        "",
    ]
    assert send(member, message(2)) == ["that is not what comes next of a copy"]
    assert send(member, message(move=8)) == [""]


def test_a_copy_of_another_map_counts_no_more() -> None:
    member = joined(BEFORE)
    send(member, message(is_last=True))
    member.take_map(a_map(6, 0, 1))
    member.take_map(a_map(7, *ALL))
    assert [each.received for each in settle(member)] == [frozenset()]


def test_a_process_that_is_none_of_the_map_takes_nothing() -> None:
    assert Copies().receive(message(), BEFORE, ("me", 2))


def test_one_that_was_given_up_begins_anew_even_if_it_is_an_owner_again() -> None:
    member = joined(a_map(5, *ALL))
    told = Join("me", 42, 1, "h", 1, 100, "evict", "", member.map)
    member.answered(told, Joined(2, 5.0, a_map(9, *ALL, me=2)), 1.0, 1.0)
    assert member.key == ("me", 2)
    assert settle(member) == [Forget(ALL, frozenset())]
    assert all(member.serves)
