"""SAVE: passes that go on by themselves, their tickets, and those of all nodes in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from ckv import errors
from ckv.node.everywhere import Everywhere
from ckv.node.guard import Guard
from ckv.node.owners import AllOwners
from ckv.node.saving import BEGIN, IDLE, MAX_PASSES, Saves, save_handler
from ckv.protocol.handler import LATER, Caller
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from tests.node.callers import Told
from tests.node.guarded import Known
from tests.node.test_owners import Routed
from tests.store.test_saving import Rig


class Node:
    """A secondary over a tier that commits when the test says so."""

    def __init__(self) -> None:
        self.rig = Rig("evict", capacity=1000, most_pending=1000)
        self.now = 0.0
        self.later: list[Callable[[], None]] = []
        self.saves = Saves(self.rig.store, lambda: self.now, lambda _seconds, do: self.later.append(do))

    def go_on(self) -> None:
        later, self.later = self.later, []
        for do in later:
            do()

    def finish(self) -> None:
        while self.later:
            self.go_on()
            self.rig.commit_all()

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        """As a primary asks it."""
        assert method == "SAVE"
        try:
            caller.respond(msgid, None, list(self.saves.save(*params)))
        except errors.CkvError as error:
            caller.respond(msgid, errors.to_wire(error), None)


def test_a_pass_goes_on_by_itself() -> None:
    node = Node()
    for number in range(10):
        node.rig.put(str(number))
    ticket, saved, left, _ = node.saves.save(BEGIN)
    assert (saved, left) == (0, 10)
    node.finish()
    assert node.saves.save(ticket) == (ticket, 10, 0, 0)
    assert node.saves.save(ticket) == (ticket, 10, 0, 0)


def test_a_ticket_that_nobody_knows_is_refused() -> None:
    node = Node()
    for ticket in ("7", "", "x"):
        with pytest.raises(errors.Refused, match="begin again with 0"):
            node.saves.save(ticket)
    with pytest.raises(errors.BadArguments):
        node.saves.save(0)


@pytest.mark.parametrize("is_over", [True, False])
def test_one_that_nobody_asks_for_is_ended_after_a_while(is_over: bool) -> None:
    node = Node()
    node.rig.put("k")
    ticket, *_ = node.saves.save(BEGIN)
    if is_over:
        node.finish()
    node.now = IDLE - 1
    node.saves.expire()
    assert node.saves.save(ticket)[2] == (not is_over)
    node.now += IDLE
    node.saves.expire()
    with pytest.raises(errors.Refused):
        node.saves.save(ticket)
    node.go_on()
    assert not node.later
    assert not node.rig.store.savings


def test_one_too_many_ends_that_which_was_asked_for_longest_ago() -> None:
    node = Node()
    node.rig.put("k")
    tickets = [node.saves.save(BEGIN)[0] for _ in range(MAX_PASSES)]
    node.saves.save(tickets[0])
    node.saves.save(BEGIN)
    with pytest.raises(errors.Refused):
        node.saves.save(tickets[1])
    node.go_on()
    assert node.rig.store.savings == MAX_PASSES
    node.finish()
    assert node.saves.save(tickets[0])[2] == 0
    assert node.rig.store.savings == 0


def test_when_the_database_was_replaced_it_is_told() -> None:
    node = Node()
    node.rig.put("k")
    ticket, *_ = node.saves.save(BEGIN)
    node.rig.store.distrust()
    node.finish()
    for _ in range(2):
        with pytest.raises(errors.Refused, match="the database was replaced meanwhile"):
            node.saves.save(ticket)


def test_without_a_database_there_is_nothing_to_save_in() -> None:
    saves = Saves(MemoryStore(POLICIES["lru"](10)), float, lambda _seconds, _do: None)
    with pytest.raises(errors.Refused, match="no persistent node"):
        saves.save(BEGIN)


def test_one_begins_when_all_is_here_that_is_the_nodes_own_by_the_map_of_who_asks() -> None:
    node, known, primary = Node(), Known(), Told()
    guard = Guard(known, lambda: 0.0)
    save = save_handler(node.saves, guard)
    guard.epoch(primary, 1, ((1, 1),))
    ticket: Any = save(primary, 1, (BEGIN,))[0]  # type: ignore[index]
    known.version = (1, 2)
    with pytest.raises(errors.Moving, match=r"1\.2 is the map here, and 1\.1 was asked by"):
        save(primary, 2, (BEGIN,))
    assert save(Told(), 2, (BEGIN,))
    assert save(primary, 3, (ticket,))  # what has moved since was saved before it did
    guard.epoch(primary, 4, ((1, 2),))
    assert save(primary, 5, (BEGIN,))
    known.is_settled = False
    for caller in (primary, Told()):
        with pytest.raises(errors.Moving):
            save(caller, 6, (BEGIN,))
    assert save(primary, 7, (ticket,))


# --- at a primary ----------------------------------------------------------------------------------------------------


def ask(primary: Everywhere, ticket: object) -> Any:
    """The result, or the error as it travels."""
    told = Told()
    assert primary.save(told, 1, (ticket,)) is LATER
    ((_, error, result),) = told.answers
    return result if error is None else error


def test_a_primary_asks_all_nodes_at_once_and_adds_up() -> None:
    nodes = [Node(), Node(), Node()]
    for count, node in enumerate(nodes, 3):
        for number in range(count):
            node.rig.put(str(number))
    nodes[1].rig.refuses = {"0"}
    primary = Everywhere(nodes)
    ticket, saved, left, refused = ask(primary, BEGIN)
    assert (saved, left, refused) == (0, 3 + 4 + 5, 0)
    nodes[0].finish()
    assert ask(primary, ticket) == [ticket, 3, 4 + 5, 0]
    nodes[1].finish()
    nodes[2].finish()
    assert ask(primary, ticket) == [ticket, 3 + 3 + 5, 0, 1]


def test_a_node_that_was_started_anew_is_noticed() -> None:
    nodes = [Node(), Node()]
    primary = Everywhere(nodes)
    ticket, *_ = ask(primary, BEGIN)
    nodes[1].__init__()  # type: ignore[misc]
    assert ask(primary, ticket).startswith("Refused: there is no save with the ticket ")


def test_a_node_that_owns_nothing_yet_is_asked_and_one_that_has_left_is_noticed() -> None:
    """The one may have been written to before it joined."""
    routed, nodes = Routed(1, 3), [Node() for _ in range(4)]
    nodes[0].rig.put("k")
    routed.peers = cast(Any, {0: nodes[0], 3: nodes[3], 1: nodes[1]})
    primary = AllOwners(cast(Any, routed), allow_flush=False)
    ticket, _, left, _ = ask(primary, BEGIN)
    assert left >= 1
    for node in nodes:
        node.finish()
    assert ask(primary, ticket) == [ticket, 1, 0, 0]
    routed.peers = cast(Any, dict(enumerate(nodes)))
    routed.go_by(1, 2)
    assert ask(primary, ticket)[0] == ticket  # who came later had nothing when it began
    del routed.peers[3]
    with pytest.raises(errors.Refused, match="is gone: begin again with 0"):
        ask(primary, ticket)


@pytest.mark.parametrize("ticket", ["1", "1:2:3", "x:1", "1:2,", "5:1", "\u0661:1,x"])
def test_a_ticket_that_is_none_is_refused(ticket: str) -> None:
    with pytest.raises(errors.Refused, match="begin again with 0"):
        ask(Everywhere([Node()]), ticket)


@pytest.mark.parametrize("params", [(), ("0", "0"), (0,)])
def test_other_arguments_are_refused(params: tuple[object, ...]) -> None:
    with pytest.raises(errors.BadArguments):
        Everywhere([Node()]).save(Told(), 1, params)
