"""What clients are told that go to the owner of a key by themselves: which nodes there are, and whose each slot is."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from itertools import groupby
from typing import Final, NamedTuple

from ckv.address import Address
from ckv.cluster.slots import SlotMap

NO_SLOTS: Final = b""
"""In the place of :attr:`View.served` where all slots are served."""


class Place(NamedTuple):
    """A node, as clients reach it."""

    id: str
    """40 hex digits, the same in what every node tells."""
    address: Address
    ranges: tuple[tuple[int, int], ...]
    """The slots that it owns: the first and the last of each row of them, from the lowest on."""

    @property
    def slots(self) -> int:
        """How many these are."""
        return sum(last - first + 1 for first, last in self.ranges)


class View:
    """All nodes that own slots, in one state of the cluster."""

    __slots__ = ("epoch", "own", "owners", "places", "served")

    def __init__(self, addresses: Sequence[Address], owners: Sequence[int], own: int | None, epoch: int = 1) -> None:
        """``owners``: for each slot the number of its node, counted from 0 among the ``addresses``. ``own``: the number
        of the node that tells it, None if that owns none and serves the keys of all."""
        ranges: list[list[tuple[int, int]]] = [[] for _ in addresses]
        for number, group in groupby(range(len(owners)), key=owners.__getitem__):
            slots = list(group)
            ranges[number].append((slots[0], slots[-1]))
        self.places = tuple(
            Place(id_of(str(address)), address, tuple(owned)) for address, owned in zip(addresses, ranges, strict=True)
        )
        self.owners = owners
        self.own = own
        self.epoch = epoch
        self.served = NO_SLOTS if own is None else bytes(number == own for number in owners)
        """A byte for each slot, 1 where whoever tells it serves that; empty if it serves all."""

    def owner(self, slot: int) -> Place:
        """The owner of a slot."""
        return self.places[self.owners[slot]]


def of_list(addresses: Sequence[Address], own: int | None = None) -> View:
    """That of a list of nodes, as primaries have it. Raises ValueError when that is empty."""
    return View(addresses, SlotMap(addresses).owners, own)


def id_of(name: str) -> str:
    """A name of 40 hex digits, as nodes of Redis have, for the one that ckv has for a node."""
    return sha1(name.encode(), usedforsecurity=False).hexdigest()
