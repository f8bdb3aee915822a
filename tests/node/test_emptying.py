"""FLUSH at a secondary, over a tier that the test plays; and at a primary."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import errors
from ckv.node.emptying import Emptying
from ckv.node.everywhere import Everywhere
from ckv.node.scanning import Scans
from ckv.protocol.handler import LATER
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from tests.node.test_scanning import Fake, Node, Told

TIMEOUT = 3.0


class Emptied(Node):
    """A secondary that may be emptied."""

    def __init__(self, capacity: int = 10, mode: str = "evict", *, allowed: bool = True) -> None:
        super().__init__(capacity, mode)
        self.emptying = Emptying(self.world.store, self.scans, allowed, TIMEOUT, lambda: self.now)

    def put(self, *keys: str) -> None:
        for key in keys:  # the world has nothing to say here about who was told what
            self.world.store.put(key, "x")

    def begin(self, cursor: int) -> Told:
        """A call that is answered later."""
        caller = Told()
        assert self.emptying.flush(caller, 5, (cursor,)) is LATER
        while self.walker.waiting:
            self.walker.answer()
        return caller

    def flush(self, cursor: int) -> Any:
        """A call, whose deletions are committed; its answer."""
        caller = Told()
        result = self.emptying.flush(caller, 5, (cursor,))
        while self.walker.waiting:
            self.walker.answer()
        if result is LATER and not caller.results:
            self.commit()
        return caller.results[5] if result is LATER else result

    def commit(self) -> None:
        """All that is pending is written."""
        store = self.world.store
        while True:
            query, batch = store.load_begin(), store.flush_begin()
            if query is not None:
                store.load_end(query, {load.key: "x" for load in query.loads if load.key in self.world.tier})
            for write in batch:
                if write.value is None:
                    self.world.tier.pop(write.key, None)
                else:
                    self.world.tier[write.key] = write.value, write.expires
            store.flush_end(batch)
            store.admit()
            if query is None and not batch:
                return

    def flush_all(self) -> int:
        cursor = number = 0
        some: int
        while True:
            cursor, some = self.flush(cursor)
            number += some
            if cursor == 0:
                return number

    @property
    def left(self) -> set[str]:
        self.commit()
        return {*self.world.tier, *self.world.memory.keys()}


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
@pytest.mark.parametrize("count", [0, 5, 50, 2500])
def test_everything_goes(mode: str, count: int) -> None:
    node = Emptied(mode=mode)
    for start in range(0, count, 500):
        node.put(*(f"key {number}" for number in range(start, min(start + 500, count))))
        node.commit()
    for number in range(5):
        node.put(f"key {number}")
    node.commit()
    assert node.flush_all() >= count
    assert node.left == set()
    assert node.scan_all() == []
    node.put("new")
    assert node.left == {"new"}
    assert node.scan_all() == ["new"]


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_what_is_written_behind_the_last_answer_stays(mode: str) -> None:
    node = Emptied(mode=mode)
    node.put(*(f"key {number}" for number in range(30)))
    node.commit()
    assert node.flush_all() == 30
    node.put("key 3", "key 29", "other")
    assert node.left == {"key 3", "key 29", "other"}
    assert sorted(node.scan_all()) == ["key 29", "key 3", "other"]


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_an_answer_waits_for_the_commit(mode: str) -> None:
    node = Emptied(mode=mode)
    node.put(*(f"key {number}" for number in range(30)))
    node.commit()
    caller = node.begin(0)
    assert not caller.results
    store = node.world.store
    batch = store.flush_begin()
    assert not caller.results
    for write in batch:
        node.world.tier.pop(write.key, None)
    store.flush_end(batch)
    node.commit()
    assert list(caller.results) == [5]
    assert not node.world.tier


def test_a_commit_of_what_was_there_before_is_not_taken_for_it() -> None:
    node = Emptied(capacity=1)
    node.put("a", "b")  # "a" is on its way
    node.world.memory.remove("b")
    store = node.world.store
    batch = store.flush_begin()
    assert [write.key for write in batch] == ["a"]
    caller = node.begin(0)
    store.flush_end(batch)
    second = store.flush_begin()
    assert [(write.key, write.value) for write in second] == [("a", None)]
    assert not caller.results
    store.flush_end(second)
    assert caller.results == {5: [0, 1]}


def test_no_value_is_loaded_for_it() -> None:
    node = Emptied()
    node.put(*(f"key {number}" for number in range(30)))
    node.commit()
    node.world.memory.clear()
    node.flush_all()
    assert node.world.store.load_in() is None
    assert node.left == set()


def test_who_waits_too_long_is_told_and_can_go_on() -> None:
    node = Emptied()
    node.put(*(f"key {number}" for number in range(30)))
    node.commit()
    caller = node.begin(0)
    node.now = TIMEOUT
    node.emptying.expire()
    assert str(caller.results[5]).startswith("TierUnavailable: the deletions are not saved yet")
    node.commit()  # nobody is told twice
    assert node.flush_all() == 0
    assert node.left == set()


def test_when_there_is_no_room_for_deletions() -> None:
    node = Emptied()
    node.put(*(f"key {number}" for number in range(30)))
    node.commit()
    node.world.pending.max_records = 3
    caller = node.begin(0)
    node.world.now += 10
    node.world.store.expire()
    assert str(caller.results[5]).startswith("NoRoom: ")
    for _ in range(40):
        node.commit()
        caller = node.begin(0)
        node.commit()
        if caller.results[5] == [0, 0]:
            break
    assert node.left == set()


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_a_record_that_expires_while_its_deletion_waits_for_room(mode: str) -> None:
    """Nothing is written for it then, and so no commit of it is waited for."""
    node = Emptied(mode=mode)
    node.put(*(f"key {number}" for number in range(9)))
    node.world.store.put("short", "x", node.world.now_ms() + 500)
    node.commit()
    node.world.pending.max_records = 3
    caller = node.begin(0)
    node.world.now += 0.6
    node.commit()
    assert caller.results == {5: [0, 10]}
    assert node.scan_all() == []


def test_a_record_that_expires_on_its_way_while_its_deletion_waits_for_room() -> None:
    """A deletion is written behind it, whose commit is waited for."""
    node = Emptied()
    node.put("one", "two")
    node.world.store.put("short", "x", node.world.now_ms() + 500)
    node.put(*(f"key {number}" for number in range(9)))
    assert len(node.world.pending) == 2
    node.world.pending.max_records = 2
    node.world.pending._measure()
    store = node.world.store
    store.put("new", "x")  # which waits for room, and puts "short" out of memory then
    caller = node.begin(0)
    node.world.now += 0.6
    batch = store.flush_begin()
    assert {write.key for write in batch} == {"one", "two"}
    store.flush_end(batch)
    node.world.pending.max_records = 1000
    node.world.pending._measure()
    store.admit()
    row = node.world.pending.find("short")
    assert row is not None
    assert row.value is None
    assert not caller.results
    node.commit()
    assert caller.results == {5: [0, 14]}, "two are told twice"
    assert node.left == {"new"}


def test_an_error_of_the_tier_is_passed_on() -> None:
    node = Emptied()
    node.put(*(f"key {number}" for number in range(30)))
    node.commit()
    caller = Told()
    node.emptying.flush(caller, 5, (0,))
    node.walker.answer(errors.TierUnavailable("it is away"))
    assert caller.results == {5: "TierUnavailable: it is away"}
    node.walker.away = "it is away"
    with pytest.raises(errors.TierUnavailable):
        node.emptying.flush(caller, 6, (0,))


def test_it_is_refused_unless_it_is_allowed() -> None:
    node = Emptied(allowed=False)
    node.put("a")
    everywhere = Everywhere([Fake()])
    for handler in (node.emptying.flush, everywhere.flush):
        with pytest.raises(errors.Refused, match="this node was started without --allow-flush"):
            handler(Told(), 5, (0,))
    assert node.left == {"a"}


@pytest.mark.parametrize("params", [(), (0, 0), ("0",), (-1,), (77,)])
def test_bad_arguments(params: tuple[object, ...]) -> None:
    node = Emptied()
    with pytest.raises(errors.Refused):
        node.emptying.flush(Told(), 5, params)
    if params != (77,):
        with pytest.raises(errors.Refused):
            Everywhere([Fake()], allow_flush=True).flush(Told(), 5, params)


def test_without_a_tier() -> None:
    records: Records = MemoryStore(POLICIES["lru"](2000))
    scans = Scans(records, None, lambda: None, lambda: 0.0)
    emptying = Emptying(records, scans, True, TIMEOUT, lambda: 0.0)
    for number in range(1500):
        records.put(f"{number}", "x")
    cursor, deleted = 0, 0
    while True:
        result: Any = emptying.flush(Told(), 1, (cursor,))
        cursor, some = result
        deleted += some
        if cursor == 0:
            break
    assert deleted == 1500
    assert not records.keys()


def test_a_primary_asks_one_node_after_the_other() -> None:
    nodes = [Fake(), Fake()]
    everywhere = Everywhere(nodes, allow_flush=True)
    answers = {0: [(3, 10), (0, 5)], 1: [(0, 7)]}
    cursor, asked = 0, []
    while True:
        caller = Told()
        assert everywhere.flush(caller, 9, (cursor,)) is LATER
        (number,) = [number for number, node in enumerate(nodes) if node.asked]
        method, params, answer = nodes[number].asked.pop()
        asked.append((number, method, params))
        answer(None, answers[number].pop(0))
        result: Any = caller.results[9]
        cursor, _ = result
        if cursor == 0:
            break
    assert asked == [(0, "FLUSH", (0,)), (0, "FLUSH", (3,)), (1, "FLUSH", (0,))]


def test_what_is_on_its_way_to_another_node_stays() -> None:
    node = Emptied()
    node.put("a", "b", "c")
    node.emptying.serves = lambda key: key != "b"
    assert str(node.flush(0)).startswith("Moving: ")
    assert node.left == {"a", "b", "c"}
