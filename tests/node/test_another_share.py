"""A node that is told another share of the keys while it runs: when it takes it, and what it serves meanwhile."""

from __future__ import annotations

import pytest

from ckv.address import Address
from ckv.cluster.slots import SLOTS
from ckv.errors import WrongNode
from ckv.node.share import Others, view_of
from ckv.protocol.greeting import Share
from ckv.protocol.handler import LATER
from tests.node.test_share import FIRST, SECOND, Primary, World, hello


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_known_to_be_absent_is_forgotten(world: World) -> None:
    primary = Primary()
    hello(world.alone, FIRST, primary)
    primary.is_open, world.knows_absent = False, True
    hello(world.alone, FIRST)
    # With its own share it has been the only one to write these keys all the while.
    known = [world.knows_absent]
    world.alone._primaries.clear()
    hello(world.alone, SECOND)
    assert [*known, world.knows_absent] == [True, False]


def agreed(world: World, share: Share) -> None:
    """The node has the share, and whoever told it is gone."""
    primary = Primary()
    hello(world.own, share, primary)
    world.asked.pop()[1]("")
    primary.is_open = False


def test_and_again_when_nobody_else_writes_them_any_more(world: World) -> None:
    agreed(world, FIRST)
    hello(world.own, SECOND)
    world.knows_absent = True
    world.asked[-1][1]("")
    assert not world.knows_absent


def test_what_it_has_got_meanwhile_speaks_against_it(world: World) -> None:
    agreed(world, FIRST)
    primary = Primary()
    assert hello(world.own, SECOND, primary) is LATER
    world.holds = True
    world.asked.pop()[1]("")
    ((error, _),) = primary.answers
    assert str(error).startswith("WrongNode: this node is number 1 of 2 by another list, not number 2 of 2. Stop all")
    assert (world.own.share, world.own.is_agreed) == (FIRST, False)
    # The others hear of what it has.
    (share, then) = world.asked.pop()
    assert share == FIRST
    then("")
    assert (world.own.share, world.own.is_agreed) == (FIRST, False), "no primary has asked for that"
    with pytest.raises(WrongNode, match="this node is number 1 of 2 by another list, not number 2 of 2"):
        hello(world.own, SECOND)
    assert hello(world.own, FIRST) is LATER
    world.asked.pop()[1]("")
    assert (world.own.share, world.own.is_agreed) == (FIRST, True)
    assert [share for share, _ in world.told] == [FIRST, FIRST]


def test_what_a_new_node_was_given_before_any_list_does_not(world: World) -> None:
    world.holds = True
    agreed(world, FIRST)
    assert world.own.share == FIRST
    assert world.own.is_agreed


def test_a_node_that_was_refused_another_share_keeps_to_the_one_of_what_it_has(world: World) -> None:
    agreed(world, FIRST)
    hello(world.own, SECOND)
    world.holds = True
    world.asked.pop()[1]("c writes the keys of number 2 of 2 still")
    assert (world.own.share, world.own.is_agreed) == (FIRST, False)
    assert world.asked.pop()[0] == FIRST
    with pytest.raises(WrongNode):
        world.own.admit(Primary(), FIRST)


def test_what_was_asked_for_and_never_agreed_is_not_what_it_goes_back_to(world: World) -> None:
    agreed(world, FIRST)
    primary = Primary()
    hello(world.own, SECOND, primary)
    primary.is_open = False
    hello(world.own, Share(1, 3))
    world.holds = True
    world.asked.pop()[1]("")
    assert (world.own.share, world.own.is_agreed) == (FIRST, False)


def test_one_that_has_nothing_has_no_share_then(world: World) -> None:
    agreed(world, FIRST)
    hello(world.own, SECOND)
    world.asked.pop()[1]("c writes the keys of number 2 of 2 still")
    assert (world.own.share, world.asked) == (None, [])


def test_no_key_is_served_by_it_before_it_is_agreed(world: World) -> None:
    nodes = ("a:1", "b:2")
    hello(world.own, FIRST, nodes=nodes)
    assert (world.begun, world.told) == ([(FIRST, Others(nodes))], [])
    world.asked.pop()[1]("")
    assert world.told == [(FIRST, Others(nodes))]
    world.own._primaries.clear()
    hello(world.own, SECOND)  # which tells clients nothing
    assert world.begun[1:] == [(SECOND, Others())]
    assert len(world.told) == 1
    world.asked.pop()[1]("")
    assert world.told[1:] == [(SECOND, Others())]


def test_clients_in_cluster_mode_are_served_what_is_its_own_and_nothing_before_that_is_agreed() -> None:
    nodes = Others(("a:1", "b:2"))
    assert view_of(FIRST, Others(), None, is_agreed=False) is view_of(FIRST, Others(), None, is_agreed=True) is None
    first = view_of(FIRST, nodes, None, is_agreed=True)
    assert first is not None
    assert first.served == b"\1" * (SLOTS // 2) + b"\0" * (SLOTS // 2)
    for before, others in ((first, Others()), (first, nodes), (None, nodes)):
        waits = view_of(SECOND, others, before, is_agreed=False)
        assert waits is not None
        assert waits.own is not None
        assert waits.served == bytes(SLOTS)
        assert {waits.owner(slot) for slot in range(SLOTS)} == {None}
        assert [place.ranges for place in waits.places.values()] == [()]
        # Also where the next primary says nothing of such clients, for they may still come by what they know.
        second = view_of(SECOND, Others(), waits, is_agreed=True)
        assert second is not None
        assert second.served == first.served[::-1]
        assert second.owner(0) is None
        assert second.owner(SLOTS - 1) == waits.places[waits.own].address
    told = view_of(SECOND, nodes, first, is_agreed=True)
    assert told is not None
    assert told.owner(0) == Address("a", 1)
