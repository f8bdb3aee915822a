"""What every table does with records that expire."""

from __future__ import annotations

import pytest

from ckv.store.memory import PLAIN, TABLES, Memory
from ckv.values import MAX_EXPIRES, Value
from tests.store.day import Day


@pytest.fixture
def day() -> Day:
    return Day()


@pytest.fixture(params=[(table, policy) for table in TABLES for policy in PLAIN], ids="-".join)
def memory(request: pytest.FixtureRequest, day: Day) -> Memory:
    table, policy = request.param
    made = TABLES[table][policy](3)
    made.now_ms = day
    return made


@pytest.mark.parametrize("value", ["", b"", "v", b"v" * 15, "v" * 16, b"\x00" * 17, "ü" * 100_000])
@pytest.mark.parametrize("expires", [1001, 2**32 + 5, MAX_EXPIRES])
def test_a_value_is_told_until_it_expires(memory: Memory, day: Day, value: Value, expires: int) -> None:
    memory.put("a", value, expires=expires)
    day.now = expires - 1
    assert (memory.get("a"), memory.peek("a"), memory.is_over("a")) == (value, value, False)
    assert (memory.expires_of("a"), memory.expiring) == (expires, 1)
    memory.check()
    day.now = expires
    assert (memory.get("a"), memory.peek("a"), memory.is_over("a")) == (None, None, True)
    assert (memory.hits, memory.misses) == (1, 1)
    memory.check()


def test_what_is_overwritten_expires_no_more(memory: Memory, day: Day) -> None:
    memory.may_put = True
    memory.put("a", "1", expires=1001)
    memory.put("b", "1", clean=True, expires=1001)
    day.now = 2000
    assert memory.overwrite("a", "2")
    assert memory.overwrite("b", "2")
    assert (memory.get("a"), memory.get("b"), memory.expiring, memory.clean) == ("2", "2", 0, 0)
    memory.check()


def test_it_stays_until_somebody_takes_it_out(memory: Memory, day: Day) -> None:
    memory.put("a", "1", clean=True, expires=1001)
    day.now = 2000
    assert ("a" in memory, len(memory), memory.keys(), memory.is_clean("a")) == (True, 1, ["a"], True)
    record = ("a", "1", memory.version_of("a"), True, 1001)
    assert (list(memory.records()), memory.next_victim()) == ([record], record)
    assert memory.evict() == record
    assert (memory.expiring, memory.bytes) == (0, 0)


def test_the_others_are_told_without_a_look_at_the_clock(memory: Memory, day: Day) -> None:
    memory.put("a", "1")
    memory.put("b", "2", expires=1001)
    day.asked = 0
    assert (memory.get("a"), memory.peek("a"), memory.is_over("a"), memory.expires_of("a")) == ("1", "1", False, 0)
    assert day.asked == 0
    assert memory.get("c") is None
    assert (memory.is_over("c"), memory.expires_of("c")) == (False, 0)


def test_a_put_sets_and_ends_it_at_any_length(memory: Memory, day: Day) -> None:
    for length in (0, 1, 3, 7, 8, 9, 16, 100, 8, 0):
        for expires in (5000, 6000, 0, 7000, 1):
            value = "v" * length
            assert memory.put("a", value, expires=expires)
            assert memory.expires_of("a") == expires
            assert memory.get("a") == (None if expires == 1 else value)
            assert memory.expiring == (expires != 0)
            memory.check()
    memory.clear()
    assert (memory.expiring, memory.bytes) == (0, 0)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("policy", "victim"), [("lru", "b"), ("lfu", "b"), ("fifo", "a"), ("s3fifo", "b")])
def test_a_use_that_finds_nothing_is_one(table: str, policy: str, victim: str, day: Day) -> None:
    # So that both tables have one order, whoever looks at the clock first.
    memory = TABLES[table][policy](3)
    memory.now_ms = day
    for key in "abc":
        memory.put(key, key, expires=1000 if key == "a" else 0)
    assert (memory.get("a"), memory.get("a")) == (None, None)
    assert memory.evict()[0] == victim


def test_clean_or_not_is_another_matter(memory: Memory, day: Day) -> None:
    memory.put("a", "1", expires=5000)
    memory.mark_clean("a", memory.version_of("a"))
    assert (memory.is_clean("a"), memory.expires_of("a")) == (True, 5000)
    memory.forget_clean()
    assert (memory.is_clean("a"), memory.expires_of("a"), memory.get("a")) == (False, 5000, "1")
    memory.check()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("policy", PLAIN)
@pytest.mark.parametrize("key", ["a new one", "a"])
def test_it_takes_room(table: str, policy: str, key: str) -> None:
    bound = 4000
    memory = TABLES[table][policy](10, bound)
    memory.put("a", "v")
    memory.put("b", "v")
    most = max(length for length in range(bound) if memory.has_room_for(key, b"v" * length))
    assert not memory.has_room_for(key, b"v" * most, 5)
    assert not memory.put(key, b"v" * most, expires=5)
    before = memory.bytes
    least = next(length for length in range(most, 0, -1) if memory.has_room_for(key, b"v" * length, 5))
    assert memory.put(key, b"v" * least, expires=5)
    assert before < memory.bytes <= bound
    memory.check()
