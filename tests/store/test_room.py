"""Writes that wait for room in pending are let in together and in order, and none is refused that there is room for."""

from __future__ import annotations

import pytest

from ckv.errors import NoRoom
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.room import MOST_SHARE, PATIENCE, ROOM_FOR, RoomWait
from ckv.store.tiers import BATCH_BYTES, Environment

MOST = 1000
PENDING_WAIT = 5.0


class Node:
    """A store whose pending is full."""

    def __init__(self, mode: str, pending_wait: float = PENDING_WAIT) -> None:
        self.now = 0.0
        environment = Environment(
            clock=lambda: self.now, load_timeout=1, pending_wait=pending_wait, ahead_share=1000, write_delay=0
        )
        self.store = MODES[mode](POLICIES["lru"](1), Pending(MOST, 1 << 30), environment)
        self.told: list[tuple[str, object]] = []
        number = 0
        while not self.store.pending.full:
            assert self.store.put(f"k{number}", "value") is True
            number += 1

    def put(self, key: str, value: str = "new") -> None:
        """A write that has to wait."""
        wait = self.store.put(key, value)
        assert isinstance(wait, RoomWait)
        wait.wait(lambda result, error: self.told.append((key, error or result)))

    def save(self, rows: int) -> None:
        """So many rows are committed."""
        batch = self.store.pending.take(rows, BATCH_BYTES, self.now)
        assert len(batch) == rows
        self.store.flush_end(batch)
        self.store.admit()
        self.store.check()


@pytest.fixture(params=["evict", "behind"])
def node(request: pytest.FixtureRequest) -> Node:
    return Node(request.param)


def test_they_are_let_in_together(node: Node) -> None:
    for key in ("a", "b", "a"):
        node.put(key)
    for _ in range(3 * ROOM_FOR - 1):
        node.save(1)
        assert not node.told
    node.save(1)
    assert node.told == [("a", True), ("b", True), ("a", True)]
    assert node.store.put("c", "new") is True


def test_there_need_not_be_room_for_more_than_a_part_of_pending(node: Node) -> None:
    for number in range(MOST):
        node.put(f"new{number}")
    node.save(MOST // MOST_SHARE - 1)
    assert not node.told
    node.save(1)
    assert len(node.told) >= MOST // MOST_SHARE


def test_who_comes_meanwhile_does_not_pass_them(node: Node) -> None:
    node.put("a")
    node.put("b")
    node.save(1)
    node.put("c")
    node.save(3 * ROOM_FOR - 1)
    assert [key for key, _ in node.told] == ["a", "b", "c"]


def test_patience_ends(node: Node) -> None:
    node.put("a")
    node.put("b")
    node.save(1)
    node.now += PATIENCE
    node.save(1)
    assert [key for key, _ in node.told] == ["a", "b"]


@pytest.mark.parametrize("seconds", [0.0, PENDING_WAIT])
def test_what_there_is_room_for_is_not_refused(seconds: float) -> None:
    """Also where nothing is saved any more."""
    node = Node("evict", seconds)
    for key in ("a", "b", "c"):
        node.put(key)
    node.store.flush_end(node.store.pending.take(2, BATCH_BYTES, node.now))
    node.now += seconds
    node.store.expire()
    assert node.told[:2] == [("a", True), ("b", True)]
    assert isinstance(node.told[2][1], NoRoom)
