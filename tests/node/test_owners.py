"""SCAN, FLUSH and DBSIZE at a primary without a list: all owners are asked, by one map."""

from __future__ import annotations

from array import array
from typing import Any, cast

import pytest

from ckv import errors
from ckv.cluster.map import NOBODY, Map, Node
from ckv.cluster.router import Router
from ckv.cluster.slots import SLOTS
from ckv.node.everywhere import NODES
from ckv.node.owners import FIRST_OF, AllOwners
from ckv.protocol.handler import LATER, Caller
from tests.node.callers import Told

PIECES = 2
"""Answers to a scan of one node."""


class FakeNode:
    """A node with a scan of some answers."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.asked: list[tuple[object, ...]] = []

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        self.asked.append((method, *params))
        cursor = params[0] if params else None
        if cursor is None:
            caller.respond(msgid, None, 7)
        elif cursor == PIECES - 1:
            caller.respond(msgid, None, [0, [f"{self._name}.{cursor}"]])
        else:
            assert isinstance(cursor, int)
            caller.respond(msgid, None, [cursor + 1, [f"{self._name}.{cursor}"]])


class Routed:
    """What there is of a :class:`ckv.node.routing.Routing`."""

    def __init__(self, *owners: int) -> None:
        self.router = Router()
        self.peers = {number: FakeNode(f"n{number}") for number in range(4)}
        self._epoch = 0
        self.go_by(*owners)

    def go_by(self, *owners: int) -> None:
        """The next map, in which these share the slots."""
        self._epoch += 1
        nodes = [Node(f"n{number}", 1, "host", number, 100) for number in range(4)]
        self.router.take_map(
            Map((3, self._epoch), nodes, array("H", [owners[slot % len(owners)] for slot in range(SLOTS)]))
        )


def over(routed: Routed) -> AllOwners:
    return AllOwners(cast(Any, routed), allow_flush=True)


def scan(asked: AllOwners, cursor: int, method: str = "SCAN") -> Any:
    """The result. Raises what the handler raises."""
    told = Told()
    params = (cursor, "*", 10) if method == "SCAN" else (cursor,)
    assert asked.handlers[method](told, 1, params) is LATER
    ((number, error, result),) = told.answers
    assert (number, error) == (1, None)
    return result


@pytest.mark.parametrize("method", ["SCAN", "FLUSH"])
def test_one_owner_is_asked_after_the_other(method: str) -> None:
    routed = Routed(1, 3)
    asked = over(routed)
    found, cursor, cursors = [], 0, set()
    while True:
        cursor, keys = scan(asked, cursor, method)
        found += keys
        if not cursor:
            break
        assert 0 < cursor < 2**53
        cursors.add(cursor)
    assert found == ["n1.0", "n1.1", "n3.0", "n3.1"]
    assert len(cursors) == 3
    assert not routed.peers[0].asked
    assert not routed.peers[2].asked


def test_a_cursor_between_two_nodes_is_good_under_its_map_alone() -> None:
    routed = Routed(1, 3)
    asked = over(routed)
    within, _ = scan(asked, 0)
    between, _ = scan(asked, within)
    assert scan(asked, between)[1] == ["n3.0"]
    routed.go_by(3, 1)
    with pytest.raises(errors.Refused, match="begin again with 0"):
        scan(asked, between)
    # The node itself knows whether this one is good.
    assert scan(asked, within)[1] == ["n1.1"]


def test_what_was_asked_by_one_map_and_answered_under_the_next_is_followed_by_nothing() -> None:
    routed = Routed(1, 3)
    asked = over(routed)
    within, _ = scan(asked, 0)
    node = routed.peers[1]
    answer = node.call

    def late(method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        routed.go_by(3, 1)
        answer(method, params, caller, msgid)

    node.call = late  # type: ignore[method-assign]
    between, _ = scan(asked, within)
    with pytest.raises(errors.Refused, match="begin again with 0"):
        scan(asked, between)


@pytest.mark.parametrize("cursor", [2, FIRST_OF + 2 + NODES, 5 * NODES + 17, FIRST_OF - 1])
def test_a_cursor_of_nobody_is_refused(cursor: int) -> None:
    with pytest.raises(errors.Refused, match="begin again with 0"):
        scan(over(Routed(1, 3)), cursor)


def test_the_records_of_all_owners_are_counted() -> None:
    told = Told()
    assert over(Routed(1, 3)).handlers["DBSIZE"](told, 5, ()) is LATER
    assert told.answers == [(5, None, 14)]


@pytest.mark.parametrize("method", ["SCAN", "FLUSH", "DBSIZE"])
def test_while_a_slot_has_no_owner_nobody_is_asked(method: str) -> None:
    params = {"SCAN": (0, "*", 10), "FLUSH": (0,), "DBSIZE": ()}[method]
    for routed in (Routed(1, NOBODY), Routed.__new__(Routed)):
        if not hasattr(routed, "router"):
            routed.router, routed.peers = Router(), {}
        with pytest.raises(errors.Moving):
            over(routed).handlers[method](Told(), 1, params)
