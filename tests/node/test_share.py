"""Which share of the keys a node takes for its own, when primaries say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckv.errors import WrongNode
from ckv.node.refusals import Refusals
from ckv.node.share import Others, OwnShare
from ckv.protocol.greeting import ANSWER, Share, said
from ckv.protocol.handler import LATER
from tests.node.test_refusals import Listed, greeted

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
    """A node, and what it has of its keys."""

    def __init__(self) -> None:
        self.holds = False
        self.knows_absent = True
        self.asked: list[tuple[Share, Callable[[str], None]]] = []
        self.told: list[tuple[Share, Others]] = []
        self.begun: list[tuple[Share, Others]] = []
        self.alone = self.node_of(None)
        self.own = self.node_of(lambda *asked: self.asked.append(asked))

    def node_of(self, agree: Callable[[Share, Callable[[str], None]], None] | None) -> OwnShare:
        return OwnShare(self, agree, lambda *told: self.told.append(told), lambda *begun: self.begun.append(begun))

    def forget_absent(self) -> None:
        self.knows_absent = False


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
    assert world.alone.hello(Primary(), 1, params) == world.own.hello(Primary(), 1, params) == ANSWER
    assert world.own.share is None
    assert not world.alone.is_agreed
    assert not world.asked


def test_the_first_share_is_kept_while_there_are_records(world: World) -> None:
    primary = Primary()
    assert hello(world.alone, FIRST, primary) == ANSWER
    primary.is_open, world.holds = False, True
    with pytest.raises(WrongNode, match="this node is number 1 of 2 by another list, not number 2 of 2"):
        hello(world.alone, SECOND)
    assert hello(world.alone, FIRST) == ANSWER
    assert world.alone.share == FIRST
    assert world.alone.is_agreed


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
    agreed = [world.own.is_agreed]
    then("")
    assert primary.answers == [(None, ANSWER)]
    assert [*agreed, world.own.is_agreed] == [False, True]
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
    assert world.told == [(FIRST, Others(nodes))]
    # Another primary, whose clients are told nothing.
    hello(world.alone, FIRST)
    assert world.told == [(FIRST, Others(nodes))]
    hello(world.alone, FIRST, nodes=("a.example:1", "b:2"))
    assert world.told[1:] == [(FIRST, Others(("a.example:1", "b:2")))]


def test_who_has_refused_the_primary_is_told_as_often_as_it_changes(world: World) -> None:
    primary, nodes = Primary(), ("a:1", "b:2")
    for refused in ((), (2,), ()):
        assert world.alone.hello(primary, 1, said(FIRST, nodes, refused)) == ANSWER
        assert world.told.pop() == (FIRST, Others(nodes, frozenset(refused)))
    # What is no place of the list is as good as nothing.
    assert world.alone.hello(primary, 1, (*said(FIRST, nodes)[:4], (0, 3, "2", None, 1))) == ANSWER
    assert world.told.pop() == (FIRST, Others(nodes, frozenset([1])))
    assert world.alone.hello(primary, 1, (*said(FIRST, nodes)[:4], 2)) == ANSWER
    assert world.told.pop() == (FIRST, Others(nodes))


@pytest.mark.parametrize("nodes", [("a:1",), ("a:1", "b:2", "c:3"), ("a:1", 2), (None, None)])
def test_other_lists_of_addresses_are_as_good_as_none(world: World, nodes: tuple[object, ...]) -> None:
    hello(world.alone, FIRST, nodes=nodes)
    assert world.told == [(FIRST, Others())]


def test_a_list_with_fewer_refusals_is_believed_before_another(world: World) -> None:
    """Two lists of three differ behind the first place: nodes that have their keys by one refuse the other one."""
    right, wrong = Primary(), Primary()
    nodes, others = ("a:1", "b:2", "c:3"), ("a:1", "c:3", "b:2")
    share = Share(1, 3)
    world.alone.hello(right, 1, said(share, nodes))
    world.alone.hello(wrong, 1, said(share, others))
    assert world.told[-1] == (share, Others(others)), "who has spoken last, as long as nothing speaks against it"
    world.alone.hello(wrong, 1, said(share, others, (2, 3)))
    assert world.told[-1] == (share, Others(nodes))
    world.alone.hello(right, 1, said(share, nodes, (2,)))
    assert world.told[-1] == (share, Others(nodes, frozenset([2])))
    right.is_open = False
    world.alone.hello(wrong, 1, said(share, others, (2, 3)))
    assert world.told[-1] == (share, Others(others, frozenset([2, 3])))


def test_a_wrong_list_does_not_count_for_more_when_its_primary_is_connected_anew(world: World) -> None:
    nodes, share = ("a:1", "b:2", "c:3"), Share(1, 3)
    peers = [Listed() for _ in nodes]
    refusals = Refusals(peers, ["a:1", "c:3", "b:2"])
    peers[1].is_refused = peers[2].is_refused = True
    world.alone.hello(Primary(), 1, said(share, nodes))
    world.alone.hello(Primary(), 1, greeted(refusals, 1))
    assert world.told == [(share, Others(nodes))] * 2


def test_what_a_primary_has_said_that_is_gone_counts_no_more_than_what_is_said(world: World) -> None:
    right, wrong = Primary(), Primary()
    nodes, others, share = ("a:1", "b:2", "c:3"), ("a:1", "c:3", "b:2"), Share(1, 3)
    world.alone.hello(right, 1, said(share, nodes))
    world.alone.hello(wrong, 1, said(share, others))
    world.alone.look()
    assert world.told[1:] == [(share, Others(others))]
    wrong.is_open = False
    world.alone.look()
    world.alone.look()
    assert world.told[2:] == [(share, Others(nodes))]


def test_it_counts_on_while_nobody_says_what_no_more_have_refused(world: World) -> None:
    """As where the right primary is started anew, and the wrong one goes on."""
    right, wrong = Primary(), Primary()
    nodes, others, share = ("a:1", "b:2", "c:3"), ("a:1", "c:3", "b:2"), Share(1, 3)
    world.alone.hello(wrong, 1, said(share, others, (2, 3)))
    world.alone.hello(right, 1, said(share, nodes))
    told = world.told[:]
    for gone in (right, wrong):
        gone.is_open = False
        world.alone.look()
        assert world.told == told
    world.alone.hello(Primary(), 1, said(share, nodes, (2,)))
    assert world.told[-1] == (share, Others(nodes, frozenset([2]))), "who speaks is believed before who is gone"


def test_a_primary_that_is_gone_before_all_agree_changes_nothing(world: World) -> None:
    first, second = Primary(), Primary()
    world.own.hello(first, 1, said(FIRST, ("a:1", "b:2")))
    world.own.hello(second, 1, said(FIRST, ("a.example:1", "b:2")))
    first.is_open = False
    world.own.look()
    assert world.told == []
    world.asked[-1][1]("")
    assert world.told == [(FIRST, Others(("a.example:1", "b:2")))]


def test_another_share_makes_the_addresses_void(world: World) -> None:
    primary = Primary()
    hello(world.alone, FIRST, primary, ("a:1", "b:2"))
    primary.is_open = False
    hello(world.alone, SECOND)
    assert world.told[-1] == (SECOND, Others())


def test_addresses_count_once_all_agree(world: World) -> None:
    """Else clients would be sent to a node that no primary asks."""
    nodes = ("a:1", "b:2")
    primary = Primary()
    assert hello(world.own, FIRST, primary, nodes) is LATER
    assert world.begun == [(FIRST, Others(nodes))]
    world.asked[-1][1]("somebody else has these keys")
    assert hello(world.own, FIRST, primary, nodes) is LATER
    assert world.told == []
    world.asked[-1][1]("")
    assert world.told == [(FIRST, Others(nodes))]


def test_a_client_comes_by_the_share_that_the_node_has(world: World) -> None:
    client = Primary()
    with pytest.raises(WrongNode):
        world.alone.admit(client, FIRST)  # nobody has told it
    hello(world.alone, FIRST)
    world.alone.admit(client, FIRST)
    with pytest.raises(WrongNode):
        world.alone.admit(client, SECOND)


def test_and_not_before_that_is_agreed(world: World) -> None:
    hello(world.own, FIRST)
    with pytest.raises(WrongNode):
        world.own.admit(Primary(), FIRST)
    ((_, answer),) = world.asked
    answer("")
    world.own.admit(Primary(), FIRST)


def test_clients_that_are_gone_are_forgotten_without_a_look_at_all_for_each(world: World) -> None:
    looked = 0

    class Client(Primary):
        @property
        def is_open(self) -> bool:
            nonlocal looked
            looked += 1
            return self.there

        @is_open.setter
        def is_open(self, there: bool) -> None:
            self.there = there

    hello(world.alone, FIRST)
    clients = [Client() for _ in range(5000)]
    for client in clients:
        world.alone.admit(client, FIRST)
    assert looked < 4 * len(clients)
    for client in clients:
        client.is_open = False
    for _ in range(2 * len(clients)):
        world.alone.admit(Client(), FIRST)
    assert not world.alone._clients.intersection(clients)
