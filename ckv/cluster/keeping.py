"""Slots that their node cannot give away now, as the persistent tier does not take rows of theirs.

Moves leave them out for a while, so that all others go; then they are tried again, for somebody may have mended it.
"""

from __future__ import annotations

from typing import Final

from ckv.cluster.map import Key, Map, unpack_slots

RETRY: Final = 30.0
"""Seconds for which such a slot is left out."""


class Kept:
    """Which, and until when."""

    def __init__(self) -> None:
        self._until: dict[tuple[Key, int], float] = {}

    def hear(self, key: Key, packed: bytes, world: Map, now: float) -> bool:
        """Takes note of what a node says that it has to keep; whether anything of its own is new in that."""
        try:
            named = unpack_slots(packed, len(world.owners))
        except ValueError:
            return False
        known = self.slots(world, now)
        self._until.update(dict.fromkeys([(key, slot) for slot in named], now + RETRY))
        return not self.slots(world, now) <= known

    def slots(self, world: Map, now: float) -> frozenset[int]:
        """Those that are to stay where they are by this map."""
        self._until = {
            (key, slot): until
            for (key, slot), until in self._until.items()
            if now < until and (owner := world.owner(slot)) is not None and owner.key == key
        }
        return frozenset(slot for _, slot in self._until)
