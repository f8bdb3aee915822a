"""Records that are evicted before there is need: memory then takes the next ones by itself."""

from __future__ import annotations

import pytest

from ckv.store.memory import POLICIES
from ckv.store.modes import EvictStore
from ckv.store.pending import Pending
from ckv.store.tiers import MOST_AHEAD, Environment

CAPACITY, SHARE = 1000, 100
AHEAD = CAPACITY // SHARE


def full_store(*, pending_max: int = 100, capacity: int = CAPACITY, share: int = SHARE) -> EvictStore:
    environment = Environment(clock=lambda: 0.0, load_timeout=1, pending_wait=1, ahead_share=share)
    store = EvictStore(POLICIES["lru"](capacity), Pending(pending_max, 1 << 30), environment)
    for number in range(capacity):
        store.put(f"k{number}", "value")
    return store


def test_the_oldest_leave_and_can_be_read() -> None:
    store = full_store()
    assert store.unsaved == 0
    store.put("new", "value")
    assert sorted(store.pending.keys()) == sorted(f"k{number}" for number in range(1 + AHEAD))
    assert len(store.memory) == CAPACITY - AHEAD
    for number in range(AHEAD):
        assert store.memory.put(f"new{number}", "value")
    assert not store.memory.put("one more", "value")
    assert store.get("k0") == "value"
    store.check()


def test_no_more_than_a_few() -> None:
    store = full_store(capacity=10 * MOST_AHEAD, share=2, pending_max=CAPACITY)
    store.put("new", "value")
    assert store.unsaved == 1 + MOST_AHEAD


def test_nothing_is_evicted_ahead_that_pending_has_no_room_for() -> None:
    store = full_store(pending_max=AHEAD // 2)
    store.put("new", "value")
    assert store.unsaved == AHEAD // 2


@pytest.mark.parametrize("clean", [0, 3])
def test_what_is_saved_stays(clean: int) -> None:
    """Memory drops it by itself."""
    store = full_store()
    for number in range(clean, 2 * AHEAD):
        key = f"k{number}"
        store.memory.mark_clean(key, store.memory.version_of(key))
    store.put("new", "value")
    assert store.unsaved == clean
    assert len(store.memory) == CAPACITY - clean
