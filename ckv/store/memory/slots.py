"""A set of slots, asked by key."""

from __future__ import annotations

from collections.abc import Callable


class SlotSet:
    """Some of the slots. The store does not know which key is in which of them: it is told."""

    def __init__(self, flags: bytes, slot_of: Callable[[str], int]) -> None:
        """``flags`` has a byte for each slot, 1 for those of the set. Compiled code knows ``slot_of`` by itself, for
        the slots of :mod:`ckv.cluster.slots`."""
        self.flags = flags
        self.slot_of = slot_of

    def __contains__(self, key: str) -> bool:
        return self.flags[self.slot_of(key)] != 0

    def covers(self, other: SlotSet) -> bool:
        """Whether all slots of the other set are in this one."""
        return not int.from_bytes(other.flags, "big") & ~int.from_bytes(self.flags, "big")
