"""Which share of the keys a node takes for its own, when primaries say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckv.errors import WrongNode
from ckv.node.share import OwnShare
from ckv.protocol.greeting import ANSWER, Share
from ckv.protocol.handler import LATER

FIRST, SECOND = Share(1, 2), Share(2, 2)


class Primary:
    """A connection of one."""

    def __init__(self) -> None:
        self.is_open = True
        self.answers: list[tuple[object, object]] = []

    def respond(self, _msgid: int, error: object, result: object) -> None:
        self.answers.append((error, result))

    def settle(self) -> None: ...

    def hold(self, reason: object) -> None: ...

    release = hold


class World:
    """A node."""

    def __init__(self) -> None:
        self.holds = False
        self.asked: list[tuple[Share, Callable[[str], None]]] = []
        self.told: list[tuple[Share, tuple[str, ...]]] = []
        self.alone = OwnShare(lambda: self.holds, None, lambda *told: self.told.append(told))
        self.own = OwnShare(lambda: self.holds, lambda *asked: self.asked.append(asked))


@pytest.fixture
def world() -> World:
    return World()


def hello(own: OwnShare, share: Share, primary: Primary | None = None, nodes: tuple[object, ...] = ()) -> object:
    return own.hello(primary or Primary(), 1, ("1.0", (), share, nodes))


@pytest.mark.parametrize(
    "params", [(), ("1.0", ()), ("1.0", (), None), ("1.0", (), ("2", 2)), ("1.0", (), (1, 2, 3)), (7, {}, 7, 7), ([],)]
)
def test_who_says_nothing_of_it_gets_the_usual_answer(world: World, params: tuple[object, ...]) -> None:
    world.holds = True
    assert world.own.hello(Primary(), 1, params) == ANSWER
    assert world.own.share is None
    assert not world.asked


def test_the_first_share_is_kept_while_there_are_records(world: World) -> None:
    primary = Primary()
    assert hello(world.alone, FIRST, primary) == ANSWER
    primary.is_open, world.holds = False, True
    with pytest.raises(WrongNode, match="this node is number 1 of 2 by another list, not number 2 of 2"):
        hello(world.alone, SECOND)
    assert hello(world.alone, FIRST) == ANSWER
    assert world.alone.share == FIRST


def test_it_is_kept_while_its_primary_is_connected(world: World) -> None:
    primary = Primary()
    hello(world.alone, FIRST, primary)
    with pytest.raises(WrongNode):
        hello(world.alone, SECOND)
    primary.is_open = False
    assert hello(world.alone, SECOND) == ANSWER
    assert world.alone.share == SECOND


def test_the_database_is_asked_once(world: World) -> None:
    primary = Primary()
    assert hello(world.own, FIRST, primary) is LATER
    ((share, then),) = world.asked
    assert share == FIRST
    assert not primary.answers
    then("")
    assert primary.answers == [(None, ANSWER)]
    assert hello(world.own, FIRST) == ANSWER
    assert len(world.asked) == 1


def test_what_it_says_against_it_is_answered_and_it_is_asked_again(world: World) -> None:
    primary = Primary()
    hello(world.own, FIRST, primary)
    world.asked.pop()[1]("c writes the keys of number 3 of 3 still")
    ((error, result),) = primary.answers
    assert result is None
    assert str(error).startswith("WrongNode: c writes the keys of number 3 of 3 still. Stop all secondaries")
    assert world.own.share is None
    assert hello(world.own, FIRST) is LATER
    assert world.asked


def test_who_was_refused_is_not_in_the_way_of_others(world: World) -> None:
    hello(world.own, FIRST)
    world.asked.pop()[1]("no")
    assert hello(world.own, SECOND) is LATER


def test_of_two_that_say_otherwise_at_once_the_first_is_waited_for(world: World) -> None:
    first = Primary()
    hello(world.own, FIRST, first)
    with pytest.raises(WrongNode):
        hello(world.own, SECOND)
    world.asked.pop()[1]("")
    assert first.answers == [(None, ANSWER)]


def test_an_answer_that_comes_when_another_share_is_asked_for_counts_for_nobody(world: World) -> None:
    first, second = Primary(), Primary()
    hello(world.own, FIRST, first)
    first.is_open = False
    hello(world.own, SECOND, second)
    (_, late), (_, then) = world.asked
    late("")
    assert hello(world.own, SECOND) is LATER
    then("")
    assert second.answers == [(None, ANSWER)]


def test_the_addresses_of_all_nodes_are_told_with_it(world: World) -> None:
    nodes = ("a:1", "b:2")
    hello(world.alone, FIRST, nodes=nodes)
    assert world.told == [(FIRST, nodes)]
    # Another primary, whose clients are told nothing.
    hello(world.alone, FIRST)
    assert world.told == [(FIRST, nodes)]
    hello(world.alone, FIRST, nodes=("a.example:1", "b:2"))
    assert world.told[1:] == [(FIRST, ("a.example:1", "b:2"))]


@pytest.mark.parametrize("nodes", [("a:1",), ("a:1", "b:2", "c:3"), ("a:1", 2), (None, None)])
def test_other_lists_of_addresses_are_as_good_as_none(world: World, nodes: tuple[object, ...]) -> None:
    hello(world.alone, FIRST, nodes=nodes)
    assert world.told == [(FIRST, ())]


def test_another_share_makes_the_addresses_void(world: World) -> None:
    primary = Primary()
    hello(world.alone, FIRST, primary, ("a:1", "b:2"))
    primary.is_open = False
    hello(world.alone, SECOND)
    assert world.told[-1] == (SECOND, ())


def test_addresses_count_once_all_agree(world: World) -> None:
    """Else clients would be sent to a node that no primary asks."""
    told: list[tuple[Share, tuple[str, ...]]] = []
    own = OwnShare(lambda: False, lambda *asked: world.asked.append(asked), lambda *of: told.append(of))
    nodes = ("a:1", "b:2")
    primary = Primary()
    assert hello(own, FIRST, primary, nodes) is LATER
    assert told == [(FIRST, ())]
    world.asked[-1][1]("somebody else has these keys")
    assert told == [(FIRST, ())]
    assert hello(own, FIRST, primary, nodes) is LATER
    world.asked[-1][1]("")
    assert told[-1] == (FIRST, nodes)
