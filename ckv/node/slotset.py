"""Slots of a cluster as a store is asked for them, by key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ckv.cluster.slots import SLOTS, slot_of
from ckv.store.memory.slots import SlotSet

ANY: Final = frozenset(range(SLOTS))

ALL: Final = SlotSet(bytes([1]) * SLOTS, slot_of)


def set_of(slots: Iterable[int]) -> SlotSet:
    """These slots."""
    flags = bytearray(SLOTS)
    for slot in slots:
        flags[slot] = 1
    return SlotSet(bytes(flags), slot_of)


def slots_in(chosen: SlotSet) -> frozenset[int]:
    """The numbers of those that are in a set."""
    return frozenset(slot for slot, flag in enumerate(chosen.flags) if flag)
