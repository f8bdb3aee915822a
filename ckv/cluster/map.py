"""The map of a registered cluster: which nodes there are, and which of them owns which slot.

A map is one value that is replaced as a whole, under a :data:`Version` that only grows: whoever has two takes the
higher one, so a map that arrives late, twice or never does no harm. It travels as 32 KB whatever it says, for scattered
slots written as ranges are longer than that.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, cast, get_args

from ckv.cluster.slots import SLOTS

Version = tuple[int, int]
"""The term of the leader that made a map, and the epoch of the map: each change has the next one."""

NO_VERSION: Final[Version] = (0, 0)
"""That of whoever has no map yet."""

NOBODY: Final = 0xFFFF
"""The owner of a slot that has none."""

MAX_NODES: Final = 1000
"""Nodes of a map: as many fit into an array of a message."""

State = Literal["up", "draining", "away"]
"""``draining``: it is to own nothing. ``away``: it was given up, and may not go on under this incarnation."""

Key = tuple[str, int]
"""Who owns: a name and an incarnation. A process that is started again under its name is another owner."""


class Node(NamedTuple):
    """One secondary."""

    name: str
    incarnation: int
    """How many processes have had the name, this one included."""
    host: str
    port: int
    """Where other nodes reach it."""
    weight: int
    """Its part of the slots, beside the weights of the others."""
    state: State = "up"

    @property
    def key(self) -> Key:
        return (self.name, self.incarnation)


class Map:
    """Who owns what. Nothing of it changes once it is made."""

    __slots__ = ("nodes", "owners", "rebalances", "version")

    def __init__(
        self, version: Version, nodes: Sequence[Node | None], owners: array[int], rebalances: bool = True
    ) -> None:
        self.version = version
        self.nodes = tuple(nodes)
        """By number. A node keeps its number as long as it is in the map; None is a place that another one may take."""
        self.owners = owners
        """For each slot the number of its owner, or :data:`NOBODY`."""
        self.rebalances = rebalances
        """Whether slots are to move to level the shares. It is here as it has to outlive who leads."""

    @classmethod
    def empty(cls, slots: int = SLOTS) -> Map:
        """The map before the first one."""
        return cls(NO_VERSION, (), array("H", [NOBODY]) * slots)

    def successor(
        self,
        *,
        term: int | None = None,
        nodes: Sequence[Node | None] | None = None,
        owners: array[int] | None = None,
        rebalances: bool | None = None,
    ) -> Map:
        """The next map: the same but for what is given, one epoch later."""
        return Map(
            (self.version[0] if term is None else term, self.version[1] + 1),
            self.nodes if nodes is None else nodes,
            self.owners if owners is None else owners,
            self.rebalances if rebalances is None else rebalances,
        )

    @property
    def content(self) -> tuple[Sequence[Node | None], array[int], bool]:
        """All of it but the version."""
        return self.nodes, self.owners, self.rebalances

    def number_of(self, name: str) -> int | None:
        """The number of the node of that name."""
        for number, node in enumerate(self.nodes):
            if node is not None and node.name == name:
                return number
        return None

    def named(self, name: str) -> Node | None:
        """The node of that name."""
        number = self.number_of(name)
        return self.nodes[number] if number is not None else None

    def owner(self, slot: int) -> Node | None:
        """Who owns a slot."""
        number = self.owners[slot]
        return None if number == NOBODY else self.nodes[number]

    def has(self, key: Key) -> bool:
        """Whether this process is a node of it, and not another one of its name."""
        node = self.named(key[0])
        return node is not None and node.key == key

    def is_up(self, key: Key) -> bool:
        """Whether it has this process, which was not given up."""
        node = self.named(key[0])
        return node is not None and node.key == key and node.state != "away"

    def slots_of(self, name: str) -> frozenset[int]:
        """What is owned by the node of that name, whatever its incarnation."""
        number = self.number_of(name)
        if number is None:
            return frozenset()
        return frozenset([slot for slot, owner in enumerate(self.owners) if owner == number])

    def counts(self) -> list[int]:
        """How many slots each node owns, by number."""
        return [self.owners.count(number) for number in range(len(self.nodes))]

    def pack(self) -> list[object]:
        """As it travels, in msgpack's types; :meth:`unpack` takes it back."""
        nodes = [list(node) if node is not None else None for node in self.nodes]
        return [*self.version, nodes, _to_bytes(self.owners), self.rebalances]

    @classmethod
    def unpack(cls, packed: object, slots: int = SLOTS) -> Map:
        """Raises ValueError that says what is wrong with it."""
        match packed:
            case [int() as term, int() as epoch, [*listed], bytes() as data, bool() as rebalances]:
                pass
            case _:
                raise ValueError("a map is a term, an epoch, a list of nodes, the owners of the slots and a switch")
        nodes = [None if node is None else unpack_node(node) for node in listed]
        owners = _from_bytes(data)
        if len(owners) != slots:
            raise ValueError(f"a map has {slots} slots, not {len(owners)}")
        names = [node.name for node in nodes if node is not None]
        if len(set(names)) < len(names):
            raise ValueError("two nodes of a map have one name")
        for number in set(owners) - {NOBODY}:
            if number >= len(nodes) or nodes[number] is None:
                raise ValueError(f"slots of a map belong to its node number {number}, which there is not")
        return cls((term, epoch), nodes, owners, rebalances)

    def __repr__(self) -> str:
        return f"Map({show(self.version)}, {[node and node.key for node in self.nodes]}, {self.counts()})"


def unpack_node(packed: object) -> Node:
    """A node as it travels in a map. Raises ValueError."""
    match packed:
        case [str(), int(), str(), int(), int() as weight, str() as state] if state in get_args(State) and weight >= 0:
            return Node(*cast(Any, packed))
    raise ValueError(f"this is no node of a map: {packed!r:.100}")


def unpack_version(packed: object) -> Version:
    """A version as it travels. Raises ValueError."""
    match packed:
        case [int() as term, int() as epoch]:
            return (term, epoch)
    raise ValueError(f"this is no version of a map: {packed!r:.100}")


def show(version: Version) -> str:
    """As texts have it.

    >>> show((3, 17)), read("3.17")
    ('3.17', (3, 17))
    """
    return f"{version[0]}.{version[1]}"


def read(text: str) -> Version:
    """What :func:`show` has written. Raises ValueError."""
    term, epoch = text.split(".")
    return int(term), int(epoch)


def pack_slots(slots: Iterable[int]) -> bytes:
    """Slots as they travel, two bytes each."""
    return _to_bytes(array("H", slots))


def unpack_slots(packed: object, slots: int = SLOTS) -> list[int]:
    """Raises ValueError."""
    if not isinstance(packed, bytes):
        raise ValueError("slots are two bytes each")
    found = _from_bytes(packed)
    if found and max(found) >= slots:
        raise ValueError(f"there is no slot {max(found)}: they are 0 to {slots - 1}")
    return found.tolist()


def _to_bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _from_bytes(data: bytes) -> array[int]:
    if len(data) % 2:
        raise ValueError("slots are two bytes each")
    numbers = array("H", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
