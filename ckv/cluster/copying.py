"""Slots that move by copy, where nodes keep records in memory alone: what either node has to know of it.

The source sends their records while it serves them, then serves them no more and sends the rest, and only then does the
leader change the map. Nobody sees the copy before that. Two nodes have the records meanwhile, so each has to know for
certain, by the next map that reaches it, whether the other one has served them since: see :func:`is_certain`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

from ckv.cluster.map import NO_VERSION, Key, Map, Version, show, unpack_version

COPY: Final = "COPY"
"""What a secondary without a persistent node says to the one that is to have some of its slots."""


class Copy(NamedTuple):
    """Some records of the slots of a move, for the node that is to have them, which answers true. An error ends it."""

    source: str
    target: str
    """The nodes, by name."""
    move: int
    version: Version
    number: int
    """The place of this message among those of the move, from 0 on: none is missing, and none comes twice."""
    records: bytes
    """As :mod:`ckv.node.copying` packs them."""
    total: int
    digest: int
    """How many records the copy has with these, and the sum of their digests, as the source knows it."""
    is_last: bool
    """Whether nothing comes any more: the slots are frozen, and the copy has all of them."""

    def pack(self) -> list[object]:
        return [*self[:3], list(self.version), *self[4:]]

    @classmethod
    def unpack(cls, params: object) -> Copy:
        match params:
            case [str(), str(), int(), version, int(), bytes(), int(), int(), bool()]:
                said: Any = params
                return cls(*said)._replace(version=unpack_version(version))
        raise ValueError("this is no COPY")


def is_certain(before: Map, following: Map, other: Key) -> bool:
    """Whether a map says for certain who has served the slots of a move since the map ``before``, by which they were
    copied, when it is the next one that the node takes; ``other`` is the other node of the move.

    It does when it comes right after that map: then it ends the move, one way or the other. Else others have come
    between. As long as the other process is in the cluster the slots cannot have been its own and somebody else's
    meanwhile: it would have had to copy them, under a map that both nodes know, or to be given up. One that was given
    up never comes back as the process that it was.
    """
    return following.is_up(other) or following.version == before.successor().version


class Copies:
    """What one node has to know of its moves, as their source and as their target."""

    is_lasting: ClassVar[bool] = False
    """Whether what the node has outlives its process."""

    def __init__(self) -> None:
        self._released_to: Key | None = None
        self._source: Key | None = None
        """Who sends what is received."""
        self._next = (0, NO_VERSION, 0)
        """The move, the version of the map and the number of the message that has to come."""
        self._is_whole = False

    def released(self, target: Key) -> None:
        """As the source: the other node has all of the slots, and they may be its own by the next map."""
        self._released_to = target

    def receive(self, said: Copy, world: Map, me: Key) -> str:
        """As the target: what speaks against a message; nothing if it is the one that has to come. Then
        :meth:`received` has to follow."""
        source = world.named(said.source)
        if said.version != world.version or said.target != me[0] or not world.has(me):
            return f"this node is not the {said.target} of the map {show(said.version)}"
        if source is None or source.key == me:
            return f"there is no other node {said.source}"
        if said.number == 0:
            self._source, self._next, self._is_whole = source.key, (said.move, said.version, 0), False
        if self._source != source.key or self._next != (said.move, said.version, said.number) or self._is_whole:
            return "that is not what comes next of a copy"
        return ""

    def received(self, said: Copy, *, is_right: bool) -> None:
        """The records of a message are here, and are as the source counts them or not, which ends the copy."""
        self._source = self._source if is_right else None
        self._next = (said.move, said.version, said.number + 1)
        self._is_whole = said.is_last

    @property
    def has_copy(self) -> bool:
        """Whether all has come that its source has."""
        return self._source is not None and self._is_whole

    def restore_copy(self) -> None:
        """The process before this one had all that its source had."""
        self._source, self._is_whole = ("", 0), True

    def drop_copy(self) -> None:
        """What has come is not what its source has."""
        self._source = None

    def why_not(self, before: Map, following: Map, name: str) -> str:
        """What speaks against a later map; nothing, where others may have had what the node has."""
        return ""

    def end(self, before: Map, following: Map, gained: frozenset[int], name: str) -> tuple[bool, frozenset[int]]:
        """Another map ends all of it, by which a node of this name has ``gained`` slots: whether what was released and
        is still its own has been nobody else's, and which slots have come as their source had them last."""
        target, self._released_to = self._released_to, None
        source, self._source = self._source, None
        has_all = source is not None and self._is_whole and is_certain(before, following, source)
        keeps = target is not None and is_certain(before, following, target)
        return keeps, gained if has_all else frozenset()
