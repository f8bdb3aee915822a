"""The compiled table does what its twin does, whatever is called in whatever order."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ckv import core
from ckv.cluster.slots import SLOTS, slot_of
from ckv.store.memory import PLAIN, TABLES, Memory
from ckv.store.memory.slots import SlotSet
from ckv.values import MAX_RECORDS, Value
from tests.store.walks import walked

pytestmark = pytest.mark.skipif(
    not core.COMPILED and os.environ.get("CI") != "true", reason="ckv/core is not compiled: make venv"
)
EXAMPLES = int(os.environ.get("CKV_MODEL_EXAMPLES", "300"))
SHRINK = os.environ.get("CKV_MODEL_SHRINK", "yes") == "yes"
SANITIZED = "ASAN_OPTIONS" in os.environ

keys = st.one_of(
    st.integers(0, 12).map("key {}".format),
    st.sampled_from(["", "\0", "ü", "\udcff", "k" * 1024]),
)
sizes = st.one_of(st.integers(0, 64), st.sampled_from([255, 256, 4000, 70_000]))
values: st.SearchStrategy[Value] = st.one_of(
    sizes.map(lambda size: "v" * size),
    sizes.map(lambda size: b"v" * size),
    st.sampled_from(["ü€", "\udc80", b"\x80"]),
)
calls = st.one_of(
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("put"), keys, values, st.just(0), st.booleans()),
    st.tuples(st.just("put"), keys, values, st.just(0), st.booleans(), st.integers(0, 9)),
    st.tuples(st.just("look"), keys),
    st.just(("time passes",)),
    st.just(("overdue",)),
    st.tuples(st.just("fill"), st.integers(1, 60)),
    st.tuples(st.just("remove"), keys),
    st.tuples(st.just("mark"), keys, st.integers(-1, 1)),
    st.sampled_from([("evict",), ("evict",), ("forget_clean",), ("new_version",), ("clear",)]),
    st.sampled_from([("watch", 2), ("watch", 3), ("watch", 0), ("written",), ("written",)]),
    st.tuples(st.just("record"), keys),
    st.tuples(st.just("walk_in"), st.integers(1, 30)),
)


@cache
def one_in(every: int) -> SlotSet:
    """One in so many slots."""
    return SlotSet(bytes(slot % every == 0 for slot in range(SLOTS)), slot_of)


def perform(memory: Memory, call: tuple[Any, ...]) -> object:
    """Makes the call; what came of it."""
    name, *arguments = call
    if name == "put":
        victim = None
        if not memory.put(*arguments):
            victim = memory.evict()
            assert memory.put(*arguments)
        return victim
    if name == "fill":  # so many that the table grows
        return [memory.put(f"filler {number}", "f", 0, number % 3 == 0) for number in range(arguments[0])]
    if name == "mark":
        key, off = arguments
        if key in memory:
            memory.mark_clean(key, memory.version_of(key) + off)
        return None
    if name == "watch":
        (every,) = arguments
        memory.watch(one_in(every) if every else None)
        return None
    if name == "written":
        return sorted(memory.written())
    if name == "walk_in":
        (count,) = arguments
        return sorted(walked(memory.walk(), count, one_in(2)))
    if name == "overdue":
        return sorted(key for keys in memory.overdue() for key in keys)
    if name == "look":
        (key,) = arguments
        return memory.peek(key), memory.is_over(key), memory.expires_of(key)
    if name == "time passes":
        now = memory.now_ms()
        memory.now_ms = lambda: now + 1
        return memory.now_ms()
    if name == "evict":
        return memory.evict() if memory.next_victim() is not None else None
    return getattr(memory, name)(*arguments)


def state(memory: Memory) -> object:
    return (
        sorted(memory.records(), key=lambda record: record[0]),
        memory.next_victim(),
        (len(memory), memory.clean, memory.hits, memory.misses, memory.evicted),
    )


@pytest.mark.parametrize("policy", PLAIN)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[phase for phase in Phase if SHRINK or phase is Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(capacity=st.sampled_from([1, 2, 3, 7, 20, 100]), made=st.lists(calls, max_size=60))
def test_it_does_what_its_twin_does(policy: str, capacity: int, made: list[tuple[Any, ...]]) -> None:
    compiled, plain = TABLES["compiled"][policy](capacity), TABLES["plain"][policy](capacity)
    for call in made:
        assert perform(compiled, call) == perform(plain, call), call
        compiled.check()
        assert state(compiled) == state(plain), call
    while len(plain):
        assert compiled.evict() == plain.evict()
    compiled.check()
    assert compiled.bytes == 0


@pytest.mark.parametrize("policy", PLAIN)
def test_it_notes_no_more_than_there_is_room_for(policy: str) -> None:
    """Beyond that all records that are not clean count as written, so that none is missed."""
    table = TABLES["compiled"][policy](5)
    slots = one_in(2)
    table.watch(slots)
    for number in range(3000):
        table.remove(f"{number - 5}")
        assert table.put(f"{number}", b"v", 0, number % 4 == 3)
    expected = [f"{number}" for number in range(2995, 3000) if number % 4 < 3 and f"{number}" in slots]
    assert sorted(table.written()) == expected
    table.check()
    assert table.written() == []
    assert table.put("2995", b"w")
    assert table.written() == ["2995"] * ("2995" in slots)


def test_a_set_of_slots_has_a_flag_for_each() -> None:
    table = TABLES["compiled"]["lru"](5)
    with pytest.raises(ValueError, match="flag for each slot"):
        table.watch(SlotSet(bytes(7), slot_of))
    with pytest.raises(ValueError, match="flag for each slot"):
        table.walk().keys_at(0, 10, SlotSet(bytes(SLOTS + 1), slot_of))


@pytest.mark.parametrize("policy", PLAIN)
def test_it_grows_and_shrinks(policy: str) -> None:
    table = TABLES["compiled"][policy](5000)
    for turn in range(3):
        for number in range(5000):
            assert table.put(f"{turn} {number}", b"v" * (number % 100))
            if number % 500 == 0:
                table.check()
        assert all(table.get(f"{turn} {number}") == b"v" * (number % 100) for number in range(5000))
        for number in range(0, 5000, 2):
            assert table.remove(f"{turn} {number}")
        table.check()
        assert all((f"{turn} {number}" in table) is bool(number % 2) for number in range(5000))
        table.clear()
        table.check()


def test_keys_are_told_apart_when_their_hashes_are_equal() -> None:
    # Of so many, some dozen pairs have the same 32 bits.
    count = 500_000
    table = TABLES["compiled"]["lru"](count)
    for number in range(count):
        assert table.put(f"{number:06}", f"{number}")
    assert all(table.peek(f"{number:06}") == f"{number}" for number in range(count))
    assert len(table) == count


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps what was freed for a while")
@pytest.mark.parametrize("policy", PLAIN)
def test_what_leaves_gives_its_memory_back(policy: str) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    table = TABLES["compiled"][policy](10)
    large, small = b"v" * 2**20, b"v" * 1000
    before = resident()
    for number in range(400):
        if not table.put(f"{number}", large):
            table.evict()
            table.put(f"{number}", large)
        if number % 3 == 0:
            table.remove(f"{number}")
        elif number % 3 == 1:
            table.put(f"{number}", small)
    table.clear()
    for _ in range(20):
        other = TABLES["compiled"][policy](10)
        for number in range(10):
            other.put(f"{number}", large)
        del other
        gc.collect()
    assert resident() - before < 50 * 2**20


STARVED = """
import resource, sys
from ckv.core.records import Table
table = Table(sys.argv[1], 10)
for number in range(10):
    table.put(f"key {number}", "v", 0, number == 3)
before = sorted(table.records()), table.bytes
large = b"v" * 2**28
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
for key in ("key 3", "new"):
    if key == "new":
        table.remove("key 0")
        before = sorted(table.records()), table.bytes
    try:
        table.put(key, large)
    except MemoryError:
        pass
    else:
        sys.exit("it was stored")
    table.check()
    assert (sorted(table.records()), table.bytes) == before
try:
    Table(sys.argv[1], 2**31)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs address space of its own")
@pytest.mark.parametrize("policy", PLAIN)
def test_out_of_memory_is_an_error_that_changes_nothing(policy: str) -> None:
    done = subprocess.run([sys.executable, "-c", STARVED, policy], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no address space of ")


def test_lengths_beyond_the_bounds_are_refused() -> None:
    for policy in PLAIN:
        table = TABLES["compiled"][policy](3)
        with pytest.raises(ValueError, match="too long"):
            table.put("k" * 1025, "v")
        with pytest.raises(ValueError, match="too long"):
            table.put("ü" * 513, "v")
        assert len(table) == 0
        table.check()


def test_a_value_of_4_gib_is_refused() -> None:
    table = TABLES["compiled"]["lru"](3)
    try:
        huge = bytes(2**32)  # of the system's zeros, which take no memory
    except MemoryError:
        pytest.skip("no address space for it")
    with pytest.raises(ValueError, match="too long"):
        table.put("k", huge)
    table.check()


@pytest.mark.parametrize("capacity", [0, 2**32 - 15, 2**40])
def test_a_capacity_that_it_cannot_count_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="records"):
        TABLES["compiled"]["lru"](capacity)


def test_the_largest_capacity_takes_no_memory_before_it_is_used() -> None:
    for policy in PLAIN:
        table = TABLES["compiled"][policy](MAX_RECORDS)
        assert table.put("k", "v")
        table.check()


@pytest.mark.parametrize(("key", "value"), [(1, "v"), (None, "v"), (b"k", "v"), ("k", 1), ("k", None), ("k", ["v"])])
def test_what_is_no_text_is_refused(key: Any, value: Any) -> None:
    for policy in PLAIN:
        table = TABLES["compiled"][policy](3)
        table.put("k", "old")
        with pytest.raises(TypeError):
            table.put(key, value)
        assert table.peek("k") == "old"
        table.check()


def test_a_str_takes_no_more_memory_for_having_been_put() -> None:
    """Python can keep the UTF-8 of a str with it; what is counted of pending rows would then be wrong."""
    for policy in (policy for kind in TABLES.values() for policy in kind.values()):
        table = policy(4)
        key, value = "ü" * 100, "é" * 1000
        before = sys.getsizeof(key), sys.getsizeof(value)
        table.put(key, value)
        assert table.get(key) == value
        assert (sys.getsizeof(key), sys.getsizeof(value)) == before
