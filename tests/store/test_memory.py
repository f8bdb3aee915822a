"""The laws of every table of records; what each policy adds is in test_policies.py."""

from __future__ import annotations

from itertools import islice

import pytest

from ckv.store.memory import PLAIN, TABLES, Memory, Policy, Record
from ckv.values import Value


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> dict[str, Policy]:
    return TABLES[request.param]


@pytest.fixture(params=PLAIN)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def memory(table: dict[str, Policy], policy: str) -> Memory:
    return table[policy](3)


def put(memory: Memory, key: str, value: Value = "v", version: int = 0, clean: bool = False) -> Record | None:
    """As the store does it; the victim, if there had to be one."""
    if memory.put(key, value, version, clean):
        return None
    victim = memory.evict()
    assert memory.put(key, value, version, clean)
    return victim


def test_it_gives_back_what_was_put(memory: Memory) -> None:
    assert memory.put("a", "1")
    assert memory.put("b", b"2")
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == ("1", b"2", None)
    assert (memory.peek("a"), memory.peek("c")) == ("1", None)
    assert (memory.hits, memory.misses) == (2, 1)


@pytest.mark.parametrize(
    "value", ["", b"", "ü€😀", "\udc80\udcff", b"\x80\xff\0", "v\0w", "v" * 100_000, b"v" * 100_000]
)
@pytest.mark.parametrize("key", ["k", "", "schlüssel", "\udcff", "k\0", "k" * 1024])
def test_keys_and_values_may_be_anything(memory: Memory, key: str, value: Value) -> None:
    memory.put("other", "other")
    memory.put(key, value)
    got = memory.get(key)
    assert (got, type(got)) == (value, type(value))
    assert key in memory
    assert sorted(memory.keys()) == sorted([key, "other"])
    memory.check()
    assert memory.remove(key)
    assert memory.keys() == ["other"]
    memory.check()


def test_a_new_value_replaces_the_old_one_and_evicts_nobody(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, "old")
    assert memory.has_room_for("b", "new")
    for length in (0, 1, 10, 20, 100, 5000, 100, 20, 3, 0):
        assert memory.put("b", "n" * length)
        assert memory.get("b") == "n" * length
        memory.check()
    assert (memory.get("a"), memory.get("c")) == ("old", "old")
    assert len(memory) == 3


def test_a_key_is_overwritten_where_it_may_be_and_is_here(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, "old", 0, True)
    assert not memory.overwrite("a", "new")
    memory.may_put = True
    assert not memory.overwrite("d", "new")
    version = memory.version_of("c")
    assert (memory.get("a"), len(memory), memory.clean) == ("old", 3, 3)
    for length in (0, 1, 10, 20, 100, 5000, 100, 20, 3, 0):
        assert memory.overwrite("b", "n" * length)
        version += 1
        assert (memory.peek("b"), memory.version_of("b"), memory.is_clean("b")) == ("n" * length, version, False)
        assert memory.clean == 2
        memory.check()
    assert memory.new_version() == version + 1


def test_it_is_not_overwritten_beyond_the_bound_in_bytes(table: dict[str, Policy], policy: str) -> None:
    memory = table[policy](3, 10_000)
    memory.may_put = True
    memory.put("a", "old")
    memory.put("b", "old")
    assert not memory.overwrite("a", "n" * 10_000)
    assert memory.overwrite("a", "n" * 5000)
    assert not memory.overwrite("b", "n" * 5000)
    assert (memory.peek("a"), memory.peek("b")) == ("n" * 5000, "old")
    memory.check()


def test_one_too_many_needs_a_victim_which_comes_out_whole(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, f"value of {key}", clean=key == "a")
    assert not memory.has_room_for("d", "value of d")
    assert not memory.put("d", "value of d")
    assert sorted(memory.keys()) == ["a", "b", "c"]
    assert memory.next_victim() == ("a", "value of a", memory.version_of("a"), True, 0)
    assert memory.evict() == ("a", "value of a", memory.version_of("b") - 1, True, 0)
    assert memory.put("d", "value of d")
    assert (len(memory), "a" in memory, "d" in memory, memory.get("a"), memory.evicted) == (3, False, True, None, 1)


def test_an_empty_table_has_no_victim(memory: Memory) -> None:
    assert memory.next_victim() is None
    with pytest.raises(LookupError):
        memory.evict()
    assert memory.evicted == 0


def test_removing_makes_room(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, "v")
    assert memory.remove("b")
    assert not memory.remove("b")
    assert memory.has_room_for("d", "v")
    assert memory.put("d", "v")
    memory.clear()
    assert (len(memory), memory.keys(), memory.bytes, memory.clean) == (0, [], 0, 0)
    assert memory.put("e", "v")
    memory.check()


def test_versions_grow_and_can_be_given(memory: Memory) -> None:
    memory.put("a", "1")
    memory.put("b", "2")
    first, second = memory.version_of("a"), memory.version_of("b")
    assert 0 < first < second
    assert memory.new_version() > second
    given = memory.new_version()
    memory.put("a", "3", given)
    assert memory.version_of("a") == given
    memory.put("c", "4", first)
    assert memory.version_of("c") == first
    memory.put("b", "5")
    assert memory.version_of("b") > given
    assert memory.version_of("d") == 0


def test_a_record_is_clean_in_one_version_alone(memory: Memory) -> None:
    memory.put("a", "1", clean=True)
    memory.put("b", "2")
    assert (memory.is_clean("a"), memory.is_clean("b"), memory.is_clean("c"), memory.clean) == (True, False, False, 1)
    memory.put("a", "1")
    assert (memory.is_clean("a"), memory.clean) == (False, 0)
    version = memory.version_of("b")
    memory.mark_clean("b", version - 1)
    memory.mark_clean("c", version)
    assert memory.clean == 0
    memory.mark_clean("b", version)
    memory.mark_clean("b", version)
    assert (memory.is_clean("b"), memory.version_of("b"), memory.clean) == (True, version, 1)
    memory.forget_clean()
    assert (memory.is_clean("b"), memory.clean) == (False, 0)
    memory.put("b", "3", clean=True)
    memory.remove("b")
    assert memory.clean == 0
    memory.check()


def test_marking_is_no_use(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, "v")
    memory.mark_clean("a", memory.version_of("a"))
    memory.peek("a")
    assert "a" in memory
    assert put(memory, "d", "v") == ("a", "v", memory.version_of("b") - 1, True, 0)


def test_records_lists_all(memory: Memory) -> None:
    for key in "abcd":
        put(memory, key, key.upper(), clean=key == "c")
    listed = {key: (value, clean) for key, value, _, clean, _ in memory.records()}
    assert listed == {"b": ("B", False), "c": ("C", True), "d": ("D", False)}
    assert {key: version for key, _, version, *_ in memory.records()} == {key: memory.version_of(key) for key in "bcd"}


def test_a_pass_in_pieces_meets_whoever_stays(table: dict[str, Policy], policy: str) -> None:
    memory = table[policy](2000)
    for number in range(1000):
        memory.put(f"stays {number}", "v")
        memory.put(f"goes {number}", "v")
    records = memory.records()
    met: list[str] = []
    turn = 0
    while piece := list(islice(records, 50)):
        met += [key for key, *_ in piece]
        for number in range(turn * 50, min(turn * 50 + 50, 1000)):
            memory.remove(f"goes {number}")
            memory.put(f"comes {number}", "v")
            memory.get(f"stays {999 - number}")
        turn += 1
    assert sorted(key for key in met if key.startswith("stays")) == sorted(f"stays {number}" for number in range(1000))


def test_bytes_are_bounded(table: dict[str, Policy], policy: str) -> None:
    memory = table[policy](1000, 20_000)
    for number in range(100):
        while not memory.put(f"key {number}", "v" * 300):
            assert len(memory) > 1
            memory.evict()
        assert memory.bytes <= memory.max_bytes
    kept = len(memory)
    assert 20 <= kept <= 60
    # A larger value for a key that is here needs victims too.
    key = memory.keys()[-1]
    assert not memory.has_room_for(key, "v" * 15_000)
    while not memory.put(key, "v" * 15_000):
        memory.evict()
    assert memory.get(key) == "v" * 15_000
    assert len(memory) < kept
    assert memory.bytes <= memory.max_bytes
    # One that is larger than the bound is kept alone.
    while not memory.put("large", b"v" * 30_000):
        memory.evict()
    assert memory.keys() == ["large"]
    assert memory.has_room_for("large", b"v" * 40_000)
    assert not memory.has_room_for("small", "v")
    memory.check()


@pytest.mark.parametrize("size", [0, 16, 64, 1000, 100_000])
def test_bytes_are_what_the_records_take(table: dict[str, Policy], policy: str, size: int) -> None:
    memory = table[policy](10_000)
    before = memory.bytes
    memory.put("a key of 16 byte", b"v" * size)
    one = memory.bytes - before
    assert size + 16 < one <= size + 16 + 400
    memory.put("a key of 16 byte", b"")
    memory.put("another key, 16b", b"v" * size)
    memory.remove("a key of 16 byte")
    assert abs(memory.bytes - one) <= 32  # malloc gives more where what is left is too little for anything
    memory.check()
