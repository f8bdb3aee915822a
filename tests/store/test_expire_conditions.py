"""EXPIRE under its conditions, which are those of Redis."""

from __future__ import annotations

import pytest

from ckv.store.alone import MemoryStore
from ckv.store.expiry import expiring
from ckv.store.memory import POLICIES

NOW = 1000


@pytest.mark.parametrize(
    ("before", "after", "condition", "result"),
    [
        (0, 2000, "", 1),
        (2000, 3000, "", 1),
        (2000, 2000, "", 1),
        (2000, 0, "", 1),
        (0, 0, "", 0),  # PERSIST of what does not expire
        (0, 2000, "NX", 1),
        (3000, 2000, "NX", 0),
        (0, 2000, "XX", 0),
        (3000, 2000, "XX", 1),
        (2000, 3000, "GT", 1),
        (2000, 2000, "GT", 0),
        (3000, 2000, "GT", 0),
        (0, 2000, "GT", 0),
        (2000, 0, "GT", 1),
        (3000, 2000, "LT", 1),
        (2000, 2000, "LT", 0),
        (2000, 3000, "LT", 0),
        (0, 2000, "LT", 1),
        (2000, 0, "LT", 0),
        (3000, 2000, "XXLT", 1),
        (2000, 2000, "XXLT", 0),
        (2000, 3000, "XXLT", 0),
        (0, 2000, "XXLT", 0),
        (2000, 0, "XXLT", 0),
        (0, 0, "XXLT", 0),
    ],
)
def test_it_holds_or_not(before: int, after: int, condition: str, result: int) -> None:
    store = MemoryStore(POLICIES["lru"](3), lambda: NOW)
    assert store.update_record("k", expiring(after, condition, lambda: NOW)) == 0
    store.put("k", b"v", before)
    assert store.update_record("k", expiring(after, condition, lambda: NOW)) == result
    assert store.get("k") == b"v"
    assert store.expires_of("k") == (after if result else before)


def test_a_time_that_is_over_deletes_it() -> None:
    store = MemoryStore(POLICIES["lru"](3), lambda: NOW)
    store.put("k", "v")
    assert store.update_record("k", expiring(NOW, "", lambda: NOW)) == 1
    assert (store.get("k"), len(store.memory)) == (None, 0)
