"""A walk through a table from its beginning to its end."""

from __future__ import annotations

from ckv.store.memory import Walk
from ckv.store.memory.slots import SlotSet


def walked(walk: Walk, count: int, slots: SlotSet | None = None) -> list[str]:
    """The keys that it tells, in pieces of so many places."""
    place, found = 0, list[str]()
    while True:
        keys, place = walk.keys_at(place, count, slots)
        assert len(keys) <= count
        found += keys
        if place == 0:
            return found
