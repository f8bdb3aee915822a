"""Who owns which slot, and where: what a primary tells clients that go to the owners of keys by themselves (OWNERS).

A client says to a node by what it was sent there (DIRECT) before it asks anything: it may have got there by an address
that is another process by now, or somewhere else than for the primary, or by what was true once.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

OWNERS: Final = "OWNERS"
"""What a client asks of a primary; the answer is :meth:`Directory.pack`."""

DIRECT: Final = "DIRECT"
"""What a client says first to a secondary, with :meth:`Directory.introduction`."""

NOBODY: Final = 0xFFFF
"""The owner of a slot that has none."""

Basis = Literal["map", "list"]
"""What says who owns what: a map, under a version, or the list of the secondaries of a primary."""

Introduction = tuple[str, Basis, int, int, str]
"""The process that is meant; the version of the map, or the place in the list, from 1 on, and how long that is; and the
name that the node has in the map, as at the address of one node there may be another one that serves other keys."""


class Place(NamedTuple):
    """A node, as the primary reaches it."""

    host: str
    port: int
    process: str
    """Tells one process from all others (:data:`ckv.protocol.greeting.PROCESS`); empty while it is not connected."""
    name: str = ""
    """That of the node in the map; empty in a list."""


class Directory:
    """One state of it. Nothing of it changes once it is made."""

    __slots__ = ("basis", "owners", "places", "version")

    def __init__(
        self, basis: Basis, version: tuple[int, int], places: Sequence[Place | None], owners: array[int]
    ) -> None:
        self.basis: Final = basis
        self.version: Final = version
        """That of the map; (0, 0) for a list."""
        self.places: Final = tuple(places)
        """By number; None for a number that is no node's."""
        self.owners: Final = owners
        """For each slot the number of its owner, or :data:`NOBODY`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Directory) and self._all == other._all

    def __hash__(self) -> int:
        return hash((self.basis, self.version, self.places))

    @property
    def _all(self) -> tuple[object, ...]:
        return (self.basis, self.version, self.places, self.owners)

    def owner(self, slot: int) -> int | None:
        """The number of the node that can be asked for the slot; None if there is none now."""
        number = self.owners[slot]
        place = self.places[number] if number < len(self.places) else None
        return number if place is not None and place.process else None

    def introduction(self, number: int) -> Introduction:
        """What is to be said to the node of this number before it is asked by this directory."""
        place = self.places[number]
        first, second = self.version if self.basis == "map" else (number + 1, len(self.places))
        process, name = (place.process, place.name) if place is not None else ("", "")
        return (process, self.basis, first, second, name)

    def pack(self) -> list[object]:
        """As it travels, in msgpack's types; :meth:`unpack` takes it back. The owners are two bytes for each slot, the
        lower one first."""
        owners = self.owners
        if sys.byteorder == "big":
            owners = owners[:]
            owners.byteswap()
        places = [list(place) if place is not None else None for place in self.places]
        return [self.basis, list(self.version), places, owners.tobytes()]

    @classmethod
    def unpack(cls, packed: object, slots: int) -> Directory:
        """Raises ValueError."""
        match packed:
            case [str() as basis, [int() as term, int() as epoch], [*listed], bytes() as data, *_]:
                pass
            case _:
                raise ValueError("who owns what is a word, a version, a list of nodes and the owners of the slots")
        if basis not in get_args(Basis):
            raise ValueError(f"a {basis!r} that says who owns what is not known")
        if len(data) != 2 * slots:
            raise ValueError(f"{len(data)} bytes are not two for each of {slots} slots")
        owners = array("H", data)
        if sys.byteorder == "big":
            owners.byteswap()
        known: Basis = "map" if basis == "map" else "list"
        return cls(known, (term, epoch), [_unpack_place(place) for place in listed], owners)


def _unpack_place(packed: object) -> Place | None:
    match packed:
        case None:
            return None
        case [str() as host, int() as port, str() as process, str() as name, *_] if 0 < port < 2**16:
            return Place(host, port, process, name)
    raise ValueError(f"this is no node: {packed!r:.100}")


def unpack_introduction(packed: tuple[object, ...]) -> Introduction:
    """Raises ValueError."""
    match packed:
        case (str() as process, "map" | "list" as basis, int() as first, int() as second, str() as name):
            return (process, basis, first, second, name)
    raise ValueError("it is a process, the word map or list, two numbers, and a name")
