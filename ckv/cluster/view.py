"""What clients are told that go to the owner of a key by themselves: which nodes there are, and whose each slot is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha1
from itertools import groupby
from typing import Final, Literal, NamedTuple

from ckv.address import Address
from ckv.cluster.map import Map
from ckv.cluster.slots import SLOTS, SlotMap

NO_SLOTS: Final = b""
"""In the place of :attr:`View.served` where all slots are served."""

NO_NUMBER: Final = -1
"""That of a node which is not in the map."""


Health = Literal["online", "down", "refused"]
"""How a node is for a primary that has it in its list: it serves; it cannot be reached, and what it owns is served when
it can; or it has said that it has other keys than the list says, so that nobody serves these."""


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
    """All nodes that own slots, in one state of the cluster. Most of it is made when it is asked for."""

    def __init__(
        self, addresses: Mapping[int, Address], owners: Sequence[int], own: int | None, epoch: int = 1
    ) -> None:
        """``addresses``: those of the nodes, by their numbers. ``owners``: for each slot the number of its node; any
        other one where nobody owns it. ``own``: the number of the node that tells it, None if that owns none and serves
        the keys of all."""
        self._addresses = addresses
        self.owners = owners
        self.own = own
        self.epoch = epoch

    @cached_property
    def places(self) -> Mapping[int, Place]:
        """The nodes, by number."""
        ranges: dict[int, list[tuple[int, int]]] = {number: [] for number in self._addresses}
        for number, group in groupby(range(len(self.owners)), key=self.owners.__getitem__):
            if number in ranges:
                slots = list(group)
                ranges[number].append((slots[0], slots[-1]))
        return {
            number: Place(id_of(str(address)), address, tuple(ranges[number]))
            for number, address in self._addresses.items()
        }

    @cached_property
    def served(self) -> bytes:
        """A byte for each slot, 1 where whoever tells it serves that; empty if it serves all."""
        return NO_SLOTS if self.own is None else bytes(number == self.own for number in self.owners)

    def owner(self, slot: int) -> Address | None:
        """Where the owner of a slot is; None if it has none."""
        return self._addresses.get(self.owners[slot])


def of_list(addresses: Sequence[Address], own: int | None = None) -> View:
    """That of a list of nodes, as primaries have it. Raises ValueError when that is empty."""
    return View(dict(enumerate(addresses)), SlotMap(addresses).owners, own)


def of_own_part(address: Address, own: int, of: int) -> View:
    """That of one of so many nodes of a list, its place being ``own``, to which nobody tells where the others are: what
    is theirs is nobody's."""
    return View({own: address}, SlotMap(range(of)).owners, own)


def of_nothing(address: Address) -> View:
    """That of a node which does not know yet what it has: all slots are nobody's."""
    return View({0: address}, [NO_NUMBER] * SLOTS, 0)


def of_map(world: Map, own: Address | None = None) -> View:
    """That of a map. ``own``: where whoever tells it is, if it is a secondary, be it in the map or not."""
    addresses = {
        number: Address(node.host, node.port)
        for number, node in enumerate(world.nodes)
        if node is not None and node.state != "away"
    }
    number = next((number for number, address in addresses.items() if address == own), NO_NUMBER)
    if own is not None:
        addresses[number] = own
    return View(addresses, world.owners, number if own is not None else None, world.version[1])


def id_of(name: str) -> str:
    """A name of 40 hex digits, as nodes of Redis have, for the one that ckv has for a node."""
    return sha1(name.encode(), usedforsecurity=False).hexdigest()
