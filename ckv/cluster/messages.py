"""What the nodes of a registered cluster say to each other: methods with their arguments, and the answers.

Each message is a list in msgpack's types. An answer begins with a word that says what it is. Whoever reads one that is
none raises ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from ckv.address import Address
from ckv.cluster.map import Key, Map, Version, pack_slots, unpack_slots, unpack_version
from ckv.cluster.slots import SLOTS

JOIN: Final = "JOIN"
BEAT: Final = "BEAT"
LEAVE: Final = "LEAVE"
"""What a secondary says to its primary."""

FOLLOW: Final = "FOLLOW"
"""What a primary says to the one that it follows."""

TABLE: Final = "SLOTS"
DRAIN: Final = "DRAIN"
REBALANCE: Final = "REBALANCE"
"""What an operator asks of a primary, by ``ckv slots`` and its like."""

ASK_THE_LEADER: Final = "another primary leads: ask "
"""What a primary says, before the address of the one that leads, to whoever asks it what that one alone does."""

KEPT: Final = "kept"
"""The first word of what a source answers to PREPARE or FREEZE when it has to keep some of the slots: then come which,
as :func:`~ckv.cluster.map.pack_slots` writes them, and why."""

MAP: Final = "MAP"
EPOCH: Final = "EPOCH"
PREPARE: Final = "PREPARE"
FREEZE: Final = "FREEZE"
FENCE: Final = "FENCE"
"""What a primary says to a secondary: the leader, but for EPOCH, which every primary says."""

# --- from a secondary to its primary ---------------------------------------------------------------------------------


class Join(NamedTuple):
    """A process wants to be a node of the cluster, or to be known to a primary that has started anew."""

    name: str
    boot: int
    """Chosen by chance by each process."""
    incarnation: int
    """That under which it writes to the database, or which it was given; 0 for none yet."""
    host: str
    port: int
    weight: int
    write_mode: str
    tier: str
    """Tells one database from another; empty for a node whose records nobody else can reach."""
    map: Map | None
    """The last one that it knew."""

    def pack(self) -> list[object]:
        known = self.map.pack() if self.map is not None else None
        return [*self[:8], known]

    @classmethod
    def unpack(cls, params: object, slots: int = SLOTS) -> Join:
        match params:
            case [str(), int(), int(), str(), int(), int() as weight, str(), str(), known] if 0 < weight < 2**32:
                said: Any = params
                return cls(*said)._replace(map=Map.unpack(known, slots) if known is not None else None)
        raise ValueError("this is no JOIN")


class Sight(NamedTuple):
    """What the database says of one process."""

    name: str
    incarnation: int
    beat: int
    active: bool
    """Whether it may still write."""

    @property
    def key(self) -> Key:
        return (self.name, self.incarnation)


class Beat(NamedTuple):
    """A node lives."""

    name: str
    boot: int
    incarnation: int
    version: Version
    """That of its map."""
    figures: Mapping[str, int]
    sights: tuple[Sight, ...]
    """What it saw in the database since the last one; nothing where it has none, or could not ask."""

    def pack(self) -> list[object]:
        # No map of msgpack's: nodes take none.
        figures = [[name, figure] for name, figure in self.figures.items()]
        return [*self[:3], list(self.version), figures, [list(sight) for sight in self.sights]]

    @classmethod
    def unpack(cls, params: object) -> Beat:
        match params:
            case [str() as name, int() as boot, int() as incarnation, version, [*figures], [*sights]]:
                told = dict(_unpack_figure(figure) for figure in figures)
                seen = tuple(_unpack_sight(sight) for sight in sights)
                return cls(name, boot, incarnation, unpack_version(version), told, seen)
        raise ValueError("this is no BEAT")


def _unpack_figure(packed: object) -> tuple[str, int]:
    match packed:
        case [str() as name, int() as figure]:
            return name, figure
    raise ValueError("this is no BEAT: a figure is a name and a number")


def _unpack_sight(packed: object) -> Sight:
    match packed:
        case [str(), int(), int(), bool()]:
            return Sight(*cast(Any, packed))
    raise ValueError("this is no BEAT: a sight is a name, an incarnation, a beat and whether it is active")


class Leave(NamedTuple):
    """A node was told to stop, and wants to own nothing."""

    name: str
    boot: int
    incarnation: int

    def pack(self) -> list[object]:
        return list(self)

    @classmethod
    def unpack(cls, params: object) -> Leave:
        match params:
            case [str(), int(), int()]:
                return cls(*cast(Any, params))
        raise ValueError("this is no LEAVE")


# --- from a primary to the one that it follows ------------------------------------------------------------------------


class Follow(NamedTuple):
    """A primary routes by this map, and wants another one."""

    version: Version

    def pack(self) -> list[object]:
        return list(self.version)

    @classmethod
    def unpack(cls, params: object) -> Follow:
        return cls(unpack_version(params))


# --- the answers -----------------------------------------------------------------------------------------------------


class Joined(NamedTuple):
    """The node is known."""

    incarnation: int
    lease: float
    """Seconds for which it may serve after somebody has confirmed it; 0 for ever."""
    map: Map
    cluster_clients: bool = False
    """Whether clients of Redis in cluster mode are told who owns what, so that they ask nodes by themselves."""

    def pack(self) -> list[object]:
        return ["joined", self.incarnation, self.lease, self.map.pack(), self.cluster_clients]


class Beaten(NamedTuple):
    """The answer to a BEAT of a node that is known."""

    confirmed: bool
    """Whether it may go on for another lease."""
    version: Version
    map: Map | None
    """If its own is older."""
    primaries: tuple[Address, ...] = ()
    """All primaries of the cluster; none where there is one alone."""

    def pack(self) -> list[object]:
        known = self.map.pack() if self.map is not None else None
        primaries = [[each.host, each.port] for each in self.primaries]
        return ["beat", self.confirmed, list(self.version), known, primaries]


class Left(NamedTuple):
    """The answer to a LEAVE."""

    done: bool
    """Whether the node can go: it owns nothing, or there is nobody to take it."""
    slots: int
    """What it owns."""

    def pack(self) -> list[object]:
        return ["leave", self.done, self.slots]


class Followed(NamedTuple):
    """The answer to a FOLLOW."""

    map: Map | None
    """The one that the primary routes by, if it is to be preferred."""

    def pack(self) -> list[object]:
        return ["map", self.map.pack() if self.map is not None else None]


class Again(NamedTuple):
    """To a JOIN: a moment later, please. To any other: it has to JOIN first."""

    def pack(self) -> list[object]:
        return ["join"]


class Static(NamedTuple):
    """The primary has a list of its secondaries, and takes no other ones."""

    def pack(self) -> list[object]:
        return ["static"]


class Elsewhere(NamedTuple):
    """Another primary leads."""

    host: str
    port: int

    def pack(self) -> list[object]:
        return ["leader", self.host, self.port]


class NoEntry(NamedTuple):
    """The node cannot be one of this cluster."""

    why: str

    def pack(self) -> list[object]:
        return ["refused", self.why]


Answer = Joined | Beaten | Left | Followed | Again | Static | Elsewhere | NoEntry


def unpack_answer(packed: object, slots: int = SLOTS) -> Answer:
    """Raises ValueError."""
    match packed:
        case ["joined", int() as incarnation, (int() | float()) as lease, known, bool() as cluster_clients]:
            return Joined(incarnation, lease, Map.unpack(known, slots), cluster_clients)
        case ["beat", bool() as confirmed, version, known, [*listed]]:
            primaries = tuple(_unpack_address(each) for each in listed)
            world = Map.unpack(known, slots) if known is not None else None
            return Beaten(confirmed, unpack_version(version), world, primaries)
        case ["leave", bool() as done, int() as count]:
            return Left(done, count)
        case ["map", known]:
            return Followed(Map.unpack(known, slots) if known is not None else None)
        case ["join"]:
            return Again()
        case ["static"]:
            return Static()
        case ["leader", str() as host, int() as port]:
            return Elsewhere(host, port)
        case ["refused", str() as why]:
            return NoEntry(why)
    raise ValueError(f"this is no answer of a primary: {packed!r:.100}")


def _unpack_address(packed: object) -> Address:
    match packed:
        case [str() as host, int() as port]:
            return Address(host, port)
    raise ValueError(f"this is no address: {packed!r:.100}")


# --- from the leader to a secondary --------------------------------------------------------------------------------


class Push(NamedTuple):
    """The map; the answer is the version that the node has then."""

    map: Map

    @property
    def method(self) -> str:
        return MAP

    def pack(self) -> list[object]:
        return [self.map.pack()]


class Prepare(NamedTuple):
    """These slots are going to move: have the database, or without one the target, know as much of them as can be
    while they are served."""

    move: int
    version: Version
    slots: tuple[int, ...]
    target: str
    """The name of the node that is to have them."""

    @property
    def method(self) -> str:
        return PREPARE

    def pack(self) -> list[object]:
        return [self.move, list(self.version), pack_slots(self.slots), self.target]

    @classmethod
    def unpack(cls, params: object, slots: int = SLOTS) -> Prepare:
        match params:
            case [int() as move, version, packed, str() as target]:
                return cls(move, unpack_version(version), tuple(unpack_slots(packed, slots)), target)
        raise ValueError("this is no PREPARE")


class Freeze(NamedTuple):
    """Serve these slots no more, and say when the database, or without one the target, has all of them."""

    move: int
    version: Version

    @property
    def method(self) -> str:
        return FREEZE

    def pack(self) -> list[object]:
        return [self.move, list(self.version)]

    @classmethod
    def unpack(cls, params: object) -> Freeze:
        match params:
            case [int() as move, version]:
                return cls(move, unpack_version(version))
        raise ValueError("this is no FREEZE")


class FenceOff(NamedTuple):
    """Keep a process from writing, unless it has beaten since."""

    name: str
    incarnation: int
    beat: int
    term: int

    @property
    def method(self) -> str:
        return FENCE

    def pack(self) -> list[object]:
        return list(self)

    @classmethod
    def unpack(cls, params: object) -> FenceOff:
        match params:
            case [str(), int(), int(), int()]:
                return cls(*cast(Any, params))
        raise ValueError("this is no FENCE")


Order = Push | Prepare | Freeze | FenceOff
"""What a leader asks of a node."""
