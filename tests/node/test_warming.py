"""What was in memory at one node is in memory at the next one: who is told, and what is loaded."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from ckv.cluster.map import Map, Node
from ckv.cluster.slots import SLOTS
from ckv.errors import UnknownMethod
from ckv.protocol.handler import Handler
from ckv.store.loading import LOAD_RECORDS
from tests.net.conftest import World, until
from tests.node.test_moves import FIRST, SECOND, Rig, by, pushed

KEYS = [f"key:{number}" for number in range(1200)]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        yield world


@pytest.fixture
def pair(world: World) -> Iterator[tuple[Rig, Rig]]:
    """Two nodes over one table. All slots are the first one's."""
    rigs = Rig(world), Rig(world, name="other")
    rigs[1].tier = rigs[0].tier
    for rig in rigs:
        rig.join(between(*rigs, first_has_all=True))
        rig.settle()
    yield rigs
    for rig in rigs:
        rig.close()


def between(first: Rig, second: Rig, *, first_has_all: bool) -> Map:
    """The map of two nodes, one of which has all slots."""
    nodes = [Node(rig.member.identity.name, 1, rig.address.host, rig.address.port, 100) for rig in (first, second)]
    owners = array("H", [0 if first_has_all else 1]) * SLOTS
    return Map(FIRST if first_has_all else SECOND, nodes, owners)


def move_all(first: Rig, second: Rig) -> None:
    """The second one has all slots."""
    packed = between(first, second, first_has_all=False).pack()
    for rig in (second, first):
        assert rig.tell(("MAP", [packed]))[100][0] is None


def put_saved(rig: Rig, keys: list[str]) -> None:
    """The node has these, and so has the table."""
    for key in keys:
        rig.store.put(key, f"v:{key}")
    rig.tier |= {key: f"v:{key}" for key in keys}


def warm(*keys: str) -> tuple[str, list[Any]]:
    return ("WARM", [list(keys)])


def test_what_was_in_memory_is_loaded_by_the_next_owner(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    put_saved(first, KEYS)
    first.tier["another"] = "nobody asked for it"
    move_all(first, second)
    until(lambda: second.warming.warmed == len(KEYS), "all are loaded")
    assert {key: second.store.memory.peek(key) for key in KEYS} == {key: f"v:{key}" for key in KEYS}
    assert "another" not in second.store.memory
    assert all(map(second.store.memory.is_clean, KEYS))
    until(lambda: first.moves.has_told_all, "it has told all")
    assert not len(first.store.memory)


def test_it_is_slow_enough(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    put_saved(first, KEYS)
    seconds = 0.5
    first.warming._rate = round(first.store.memory.bytes / seconds)
    began = time.monotonic()
    move_all(first, second)
    until(lambda: second.warming.warmed == len(KEYS), "all are loaded")
    # The last message needs no time of its own.
    assert time.monotonic() - began >= seconds * (len(KEYS) - LOAD_RECORDS) / len(KEYS)


def test_nothing_gives_way(world: World, pair: tuple[Rig, Rig]) -> None:
    first, _ = pair
    small = Rig(world, name="other", capacity=100)
    small.tier = first.tier
    try:
        small.join(between(first, small, first_has_all=True))
        small.settle()
        own = [f"own:{number}" for number in range(60)]
        put_saved(first, KEYS)
        packed = between(first, small, first_has_all=False).pack()
        small.tell(("MAP", [packed]))
        small.settle()
        put_saved(small, own)
        first.tell(("MAP", [packed]))
        until(lambda: small.warming.warmed == 40, "there is no room for more")
        until(lambda: first.warming.is_idle, "the others are given up")
        assert len(small.store.memory) == 100
        assert all(key in small.store.memory for key in own)
    finally:
        small.close()


def test_what_is_another_nodes_or_is_known_is_not_loaded(world: World) -> None:
    rig = Rig(world)
    try:
        rig.join(by(FIRST, "theirs"))
        rig.settle()
        rig.tier |= {"theirs": "1", "ours": "1", "newer": "1"}
        rig.store.put("newer", "2")
        error, _ = rig.tell(warm("theirs", "ours"))[100]
        assert error is not None
        assert error.startswith("NotOwner: ")
        assert rig.warming.warmed == 0
        assert rig.tell(warm("ours", "newer", "nowhere")) == {100: (None, 3)}
        assert rig.warming.warmed == 1
        memory = rig.store.memory
        assert [memory.peek(key) for key in ("theirs", "ours", "newer", "nowhere")] == [None, "1", "2", None]
        # It was another node's: what it has written in the mean time is what is loaded.
        rig.tell(pushed(SECOND, "theirs", "ours"))
        rig.settle()
        assert rig.tell(warm("ours"))[100][0] is not None
        assert memory.peek("ours") is None
    finally:
        rig.close()


def test_what_is_written_while_it_is_loaded_stays(world: World) -> None:
    rig = Rig(world)
    try:
        rig.join(by(FIRST))
        rig.settle()
        rig.tier["k"] = "old"
        answers = rig.tell(warm("k"), ("PUT", ["k", "new"]), ("GET", ["k"]))
        assert answers == {100: (None, 1), 200: (None, True), 300: (None, [True, "new"])}
        assert rig.store.memory.peek("k") == "new"
    finally:
        rig.close()


def test_who_does_not_know_the_map_yet_is_told_again(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    put_saved(first, KEYS)
    packed = between(first, second, first_has_all=False).pack()
    assert first.tell(("MAP", [packed]))[100][0] is None
    until(lambda: first.warming._refused, "the other one refuses")
    assert not first.moves.has_told_all
    assert second.tell(("MAP", [packed]))[100][0] is None
    until(lambda: second.warming.warmed == len(KEYS), "all are loaded")
    until(lambda: first.moves.has_told_all, "it has told all")


def test_who_goes_on_to_refuse_is_given_up(pair: tuple[Rig, Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.node.warming.PATIENCE", 0.3)
    first, second = pair
    put_saved(first, KEYS)
    assert first.tell(("MAP", [between(first, second, first_has_all=False).pack()]))[100][0] is None
    until(lambda: first.moves.has_told_all, "it is given up")
    assert second.warming.warmed == 0


class Older(Rig):
    """A node that does not know the message."""

    asked = 0

    @property
    def handlers(self) -> dict[str, Handler]:
        def unknown(*_: object) -> object:
            self.asked += 1
            raise UnknownMethod("WARM")

        return {**super().handlers, "WARM": unknown}


def test_one_that_does_not_know_the_message_is_told_no_more(world: World, pair: tuple[Rig, Rig]) -> None:
    first, _ = pair
    older = Older(world, name="other")
    try:
        older.join(between(first, older, first_has_all=True))
        older.settle()
        put_saved(first, KEYS)
        move_all(first, older)
        until(lambda: first.moves.has_told_all, "it has nothing more to tell")
        assert older.asked == 1
    finally:
        older.close()


@pytest.mark.parametrize("params", [[], ["k"], [[1]], [["k"] * (LOAD_RECORDS + 1)], [["k"], 1]])
def test_what_is_no_list_of_keys_is_refused(world: World, params: list[Any]) -> None:
    rig = Rig(world)
    try:
        rig.join(by(FIRST))
        rig.settle()
        error, _ = rig.tell(("WARM", params))[100]
        assert error is not None
        assert error.startswith("BadArguments: ")
    finally:
        rig.close()
