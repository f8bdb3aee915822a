"""What a table notes of the slots that are watched."""

from __future__ import annotations

from itertools import product

import pytest

from ckv.cluster.slots import SLOTS, slot_of
from ckv.store.memory import PLAIN, TABLES, Memory
from ckv.store.memory.slots import SlotSet

HALF = SlotSet(bytes(slot < SLOTS // 2 for slot in range(SLOTS)), slot_of)

INSIDE = [key for key in map(str, range(40)) if key in HALF]
OUTSIDE = [key for key in map(str, range(40)) if key not in HALF]


@pytest.fixture(params=list(product(TABLES, PLAIN)), ids=lambda param: "-".join(param))
def table(request: pytest.FixtureRequest) -> Memory:
    kind, policy = request.param
    table = TABLES[kind][policy](100)
    table.may_put = True
    for key in INSIDE + OUTSIDE:
        assert table.put(key, "before")
    return table


def test_it_tells_once_what_was_written_since_it_was_asked(table: Memory) -> None:
    assert table.written() == []
    table.watch(HALF)
    assert table.written() == []
    for key in INSIDE[:3] + OUTSIDE:
        assert table.put(key, "now")
    assert table.put(INSIDE[0], "once more, and longer")
    assert sorted(table.written()) == sorted(INSIDE[:3])
    assert table.written() == []
    assert table.put(INSIDE[0], "again")
    assert table.written() == [INSIDE[0]]
    table.check()


def test_it_tells_what_memory_has_overwritten_by_itself(table: Memory) -> None:
    table.watch(HALF)
    for key in INSIDE[:3] + OUTSIDE[:3]:
        assert table.overwrite(key, "now")
    assert sorted(table.written()) == sorted(INSIDE[:3])


def test_it_tells_what_is_new_and_what_comes_back(table: Memory) -> None:
    new = next(key for key in map(str, range(100, 200)) if key in HALF)
    table.watch(HALF)
    assert table.put(new, "v")
    table.remove(INSIDE[0])
    assert table.put(INSIDE[0], "v")
    assert sorted(table.written()) == sorted([new, INSIDE[0]])


def test_it_tells_nothing_that_the_tier_has_and_nothing_that_is_gone(table: Memory) -> None:
    table.watch(HALF)
    clean, cleaned, gone, stays = INSIDE[:4]
    assert table.put(clean, "v", clean=True)
    for key in (cleaned, gone, stays):
        assert table.put(key, "v")
    table.mark_clean(cleaned, table.version_of(cleaned))
    table.remove(gone)
    assert table.written() == [stays]
    table.check()


def test_it_forgets_what_it_has_noted_when_it_is_to_watch_others_or_none(table: Memory) -> None:
    table.watch(HALF)
    for key in INSIDE:
        assert table.put(key, "v")
    table.watch(SlotSet(bytes(slot >= SLOTS // 2 for slot in range(SLOTS)), slot_of))
    assert table.written() == []
    assert table.put(OUTSIDE[0], "v")
    assert table.put(INSIDE[0], "v")
    assert table.written() == [OUTSIDE[0]]
    assert table.put(OUTSIDE[0], "v")
    table.watch(None)
    assert table.put(OUTSIDE[1], "v")
    assert table.written() == []
    table.check()
