"""Records that have expired leave memory by themselves, as if somebody had asked for them."""

from __future__ import annotations

import random

import pytest

from ckv.store.alone import MemoryStore
from ckv.store.memory import PLAIN, TABLES, Memory
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.row import TOMBSTONE
from ckv.store.store import Store
from ckv.store.tiers import Environment
from tests.store.day import Day


@pytest.fixture
def day() -> Day:
    return Day()


@pytest.fixture(params=[(table, policy) for table in TABLES for policy in PLAIN], ids="-".join)
def memory(request: pytest.FixtureRequest, day: Day) -> Memory:
    table, policy = request.param
    made = TABLES[table][policy](10_000)
    made.now_ms = day
    return made


def overdue(memory: Memory) -> list[str]:
    """The keys of what has expired."""
    return sorted(key for keys in memory.overdue() for key in keys)


def test_a_table_tells_what_has_expired_and_nothing_else(memory: Memory, day: Day) -> None:
    memory.put("never", "v")
    for key, expires in (("a", 2000), ("b", 2001), ("c", 2999), ("d", 90_000)):
        memory.put(key, "v", expires=expires)
    assert overdue(memory) == []
    for now, expected in ((1999, ""), (2000, "a"), (2001, "ab"), (3000, "abc"), (90_000, "abcd")):
        day.now = now
        assert overdue(memory) == list(expected)
    memory.remove("b")
    memory.put("c", "v")
    memory.put("d", "v", expires=90_001)
    assert overdue(memory) == ["a"]
    memory.check()
    day.now = 90_001
    assert overdue(memory) == ["a", "d"]


def test_a_table_that_changes_all_the_time(memory: Memory, day: Day) -> None:
    chance = random.Random(7)
    ends: dict[str, int] = {}
    for step in range(3000):
        key = str(chance.randrange(300))
        if chance.random() < 0.2:
            memory.remove(key)
            ends.pop(key, None)
        else:
            ends[key] = chance.choice((0, day.now + chance.randrange(1, 5000)))
            memory.put(key, "v" * chance.randrange(20), expires=ends[key])
        day.now += chance.randrange(3)
        if step % 100 == 0:
            assert overdue(memory) == sorted(key for key, end in ends.items() if 0 < end <= day.now)
            memory.check()


def test_a_table_tells_it_in_pieces_while_others_come_and_go(memory: Memory, day: Day) -> None:
    for number in range(5000):
        memory.put(str(number), "v", expires=2000)
    day.now = 2000
    found: list[str] = []
    for keys in memory.overdue():
        assert len(keys) < 100
        for key in keys:
            memory.remove(key)
            memory.put(f"{key} again", "v", expires=9000)
        found += keys
    assert sorted(found) == sorted(map(str, range(5000)))
    assert overdue(memory) == []
    memory.check()


@pytest.mark.parametrize("table", TABLES)
def test_few_among_many_are_found(table: str, day: Day) -> None:
    memory = TABLES[table]["fifo"](200_000)
    memory.now_ms = day
    few = range(0, 200_000, 61)
    for number in range(200_000):
        memory.put(str(number), "", expires=5000 if number in few else 0)
    assert overdue(memory) == []
    day.now = 5000
    assert overdue(memory) == sorted(map(str, few))


def test_a_pass_ends_though_nothing_is_taken_out(memory: Memory, day: Day) -> None:
    for number in range(1000):
        memory.put(str(number), "v", expires=2000)
    day.now = 2000
    assert overdue(memory) == overdue(memory) == sorted(map(str, range(1000)))


def sweep(store: Store | MemoryStore) -> None:
    for _ in store.sweep():
        store.check()


def store_of(mode: str, table: str, day: Day, pending_max: int = 100) -> Store:
    environment = Environment(
        clock=lambda: day.now / 1000, now_ms=day, load_timeout=1e9, pending_wait=1e9, linger=0.0
    )  # fmt: skip
    return MODES[mode](TABLES[table]["lru"](100), Pending(pending_max, 1 << 30), environment)


def flush(store: Store) -> list[str]:
    """The keys of the deletions that are committed."""
    deleted: list[str] = []
    while batch := store.flush_begin():
        deleted += [write.key for write in batch if write.value is TOMBSTONE]
        store.flush_end(batch)
    return sorted(deleted)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("mode", MODES)
def test_what_the_persistent_tier_has_too_needs_no_deletion(mode: str, table: str, day: Day) -> None:
    store = store_of(mode, table, day)
    store.put("k", "v", 2000)
    store.put("j", "v", 3000)
    for key, value, version, _, expires in list(store.memory.records()):
        store._save(key, value, version, expires)
    flush(store)
    day.now = 2000
    sweep(store)
    assert store.memory.keys() == ["j"]
    assert (flush(store), store.measured().expired_keys) == ([], 1)
    assert store.get("k") is None


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("mode", MODES)
def test_where_there_may_be_an_older_one_it_is_deleted(mode: str, table: str, day: Day) -> None:
    store = store_of(mode, table, day)
    store.put("k", "v", 2000)
    if mode != "evict":
        flush(store)
        store.distrust()  # another tier may have any record
    day.now = 2000
    sweep(store)
    assert store.memory.keys() == []
    assert store.get("k") is None
    assert flush(store) == ["k"]
    assert store.measured().expired_keys == 1


@pytest.mark.parametrize("table", TABLES)
def test_half_of_pending_is_left_to_clients(table: str, day: Day) -> None:
    store = store_of("evict", table, day, pending_max=4)
    store.put("other", "v")
    store.delete("other")
    store.put("one more", "v")
    store.delete("one more")
    store.put("k", "v", 2000)
    day.now = 2000
    sweep(store)
    assert store.memory.keys() == ["k"]
    flush(store)
    sweep(store)
    assert (store.memory.keys(), flush(store)) == ([], ["k"])


@pytest.mark.parametrize("table", TABLES)
def test_without_a_persistent_tier(table: str, day: Day) -> None:
    store = MemoryStore(TABLES[table]["lru"](100), day)
    store.put("k", "v", 2000)
    store.put("j", "v")
    day.now = 2000
    sweep(store)
    assert (store.estimated(), store.measured().expired_keys) == ((1, 0), 1)
