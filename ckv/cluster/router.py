"""What a primary routes by: for each slot a node, or nobody while the slot is between two of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from ckv.cluster.map import NO_VERSION, NOBODY, Map, Node, Version
from ckv.cluster.slots import SLOTS

PARKED: Final = 0xFFFE
"""The target of a slot whose requests wait for the next map."""

Next = Literal["late", "ask", "park"]


class Change(NamedTuple):
    """What a new map changes for whoever is connected to the nodes."""

    added: tuple[tuple[int, Node], ...]
    """Nodes to connect to, by number: new ones, those that have another address now, and those that are back."""
    removed: tuple[tuple[int, Node], ...]
    """Nodes that are there no more, or not at that address, or were given up. They come before the added ones."""


class Router:
    """Where each request goes."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.map = Map.empty(slots)
        self.targets = array("H", [NOBODY]) * slots
        """For each slot the number of the node that is asked, :data:`PARKED`, or
        :data:`~ckv.cluster.map.NOBODY`. It changes in place, and is never another array."""
        self.latest = NO_VERSION
        """That of the latest map of all that it has had: whoever leads by an older one has missed something."""
        self._moving: set[int] = set()
        self._found = False
        """Whether the map is one that was found before somebody leads."""

    @property
    def version(self) -> Version:
        """That of the map: what the nodes are told before they are asked by it."""
        return self.map.version

    @property
    def moving(self) -> frozenset[int]:
        """The slots that were parked, and have not moved yet."""
        return frozenset(self._moving)

    @property
    def knows(self) -> bool:
        """Whether there is a map, so that requests can be routed."""
        return self.map.version != NO_VERSION

    def take_map(self, following: Map, *, found: bool = False) -> Change | None:
        """Routes by this map from now on, and parks nothing that has an owner; None when that changes nothing.

        Whoever leads says which map counts, be it an earlier one: those who knew a later one may all be gone. Of maps
        that were ``found`` before somebody leads a later one is better.
        """
        if following.version == self.map.version or (found and following.version < self.map.version):
            return None
        self._found = found
        self.latest = max(self.latest, following.version)
        before, now = _places(self.map), _places(following)
        self.map = following
        self.targets[:] = following.owners
        self._moving.clear()
        added = tuple((number, node) for number, node in now.items() if not _is_same(before.get(number), node))
        removed = tuple((number, node) for number, node in before.items() if not _is_same(now.get(number), node))
        return Change(added, removed)

    def map_for(self, version: Version) -> Map | None:
        """The map, for a primary that follows this one and routes by that of another version; None if that one is as
        good."""
        # One without a term is no leader's, and says no more than who is there.
        if not self.map.version[0] or version == self.map.version or (self._found and version > self.map.version):
            return None
        return self.map

    def park(self, slots: Iterable[int]) -> None:
        """Has the requests of these slots wait for the next map: they are about to move."""
        for slot in slots:
            self.targets[slot] = PARKED
            self._moving.add(slot)

    def release(self, slots: Iterable[int]) -> None:
        """These slots do not move after all, and whoever said so leads no more."""
        for slot in slots:
            self._moving.discard(slot)
            self.targets[slot] = self.map.owners[slot]

    def wait(self, slots: Iterable[int]) -> None:
        """Has the requests of these slots wait on until :meth:`unpark`, though there is a new map."""
        for slot in slots:
            self.targets[slot] = PARKED

    def unpark(self, slot: int) -> bool:
        """Tries again what waits because of :meth:`not_owner`; whether it can be, for the slot does not move."""
        if slot in self._moving:
            return False
        self.targets[slot] = self.map.owners[slot]
        return self.targets[slot] != NOBODY

    def target(self, slot: int) -> int | None:
        """The number of the node to ask; None while requests have to wait."""
        number = self.targets[slot]
        return None if number >= PARKED else number

    def not_owner(self, slot: int, asked: int, version: Version) -> Next:
        """What becomes of a request that the node of number ``asked`` did not carry out, as it does not serve the slot
        by the map of ``version``.

        It waits, as all that come behind it do: for a later map, which that node has and is to be asked for (``ask``),
        or for a moment (``park``): the slot is frozen there, or the node is not sure that it may serve. But it is too
        ``late`` for it where this primary has taken a map meanwhile by which the slot is another node's: what came
        behind it has gone there already.
        """
        if self.map.owners[slot] not in (asked, NOBODY):
            return "late"
        self.targets[slot] = PARKED
        return "ask" if version > self.map.version else "park"


def _places(world: Map) -> dict[int, Node]:
    # Who was given up is asked nothing, and may never come back.
    return {number: node for number, node in enumerate(world.nodes) if node is not None and node.state != "away"}


def _is_same(one: Node | None, other: Node | None) -> bool:
    return (
        one is not None and other is not None and (one.name, one.host, one.port) == (other.name, other.host, other.port)
    )
