"""Slots that their node cannot give away now, as the persistent tier does not take rows of theirs; and nodes that take
no copy now.

Moves leave them out for a while, so that all others go; then they are tried again, for somebody may have mended it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ckv.cluster.map import Key, Map, unpack_slots
from ckv.cluster.moving import Move

RETRY: Final = 30.0
"""Seconds for which such a slot, or node, is left out."""


class LeftOut(NamedTuple):
    """What moves are to leave out by a map."""

    slots: frozenset[int]
    """Those that are to stay where they are."""
    targets: frozenset[int]
    """The numbers of nodes that are to be sent nothing."""


class Kept:
    """Which, and until when."""

    def __init__(self) -> None:
        self._until: dict[tuple[Key, int], float] = {}
        self._shut: dict[Key, float] = {}

    def hear(self, move: Move, packed: bytes, world: Map, now: float) -> bool:
        """Takes note of what the source of a move says that it has to keep, with no slots because the target does not
        take them; whether anything is new in that."""
        try:
            named = unpack_slots(packed, len(world.owners))
        except ValueError:
            return False
        known = self.left_out(world, now)
        self._until.update(dict.fromkeys([(move.source.key, slot) for slot in named], now + RETRY))
        if not named:
            self._shut[move.target.key] = now + RETRY
        found = self.left_out(world, now)
        return not (found.slots <= known.slots and found.targets <= known.targets)

    def left_out(self, world: Map, now: float) -> LeftOut:
        """What is to be left out now, by this map."""
        self._until = {
            (key, slot): until
            for (key, slot), until in self._until.items()
            if now < until and (owner := world.owner(slot)) is not None and owner.key == key
        }
        self._shut = {key: until for key, until in self._shut.items() if now < until}
        targets = (number for number, node in enumerate(world.nodes) if node is not None and node.key in self._shut)
        return LeftOut(frozenset(slot for _, slot in self._until), frozenset(targets))
