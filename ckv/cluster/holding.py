"""Slots that move by copy between nodes each of which keeps its records in a file of its own (SQLite).

As :mod:`ckv.cluster.copying`, but what a node has outlives its process, and nobody else can have it. So no node is
given up: its slots change hands only when it has released them, and what it owned by the last map that it took is its
own until then, whichever maps it has missed. That is what it has to know again when it is started with its file
(:class:`Note`), beside two things more: what it has released since, and whether the file has rows of slots that are not
its own. Such rows are never read, for the node serves what is its own alone. They are deleted before one of these slots
can become its own.

What has to stand in the file, before what:

- what was released, before the leader is told so: else a node that is started again could not tell a map that takes
  these slots from one of a leader that has forgotten it, which it must not follow;
- that all of a copy has come, before the source is told so;
- a map, before a slot is served that was not its own by the one before, and before a row is deleted by it;
- that there are rows of others, before the first of them.
"""

from __future__ import annotations

from typing import NamedTuple

from ckv.cluster.copying import Copies, Copy
from ckv.cluster.map import NOBODY, Key, Map, pack_slots, show, unpack_slots
from ckv.cluster.slots import SLOTS


class Note(NamedTuple):
    """What a node has to know when it is started again with its file. It stands in the file."""

    name: str
    map: Map
    """The last one that the node took."""
    given: frozenset[int] = frozenset()
    """Slots that it has released under this map."""
    has_copy: bool = False
    """Whether all rows have come of slots that are to be its own by the next map."""
    has_others: bool = False
    """Whether there may be rows of slots that are not its own."""

    def pack(self) -> list[object]:
        return [self.name, self.map.pack(), pack_slots(sorted(self.given)), self.has_copy, self.has_others]

    @classmethod
    def unpack(cls, packed: object, slots: int = SLOTS) -> Note:
        """Raises ValueError."""
        match packed:
            case [str() as name, world, given, bool() as has_copy, bool() as has_others]:
                return cls(name, Map.unpack(world, slots), frozenset(unpack_slots(given, slots)), has_copy, has_others)
        raise ValueError("this is no note of a node")


class Holding(Copies):
    """What one such node has to know of its moves, and of its file."""

    is_lasting = True

    def __init__(self, slots: int = SLOTS) -> None:
        super().__init__()
        self._all = frozenset(range(slots))
        self.others: frozenset[int] = frozenset()
        """Slots of which there may be rows that have to be deleted."""
        self.is_strange = False
        """The file is not this node's: no map makes it so."""
        self._coming: frozenset[int] = frozenset()
        """Slots of which rows have come from another node, by the map of now."""
        self._early: frozenset[int] = frozenset()
        """Slots of nobody's so far, of which there may be rows that clients gave the node before it joined."""
        self._is_receiving = False
        self._given: frozenset[int] = frozenset()

    # --- what stands in the file -----------------------------------------------------------------------------------

    def begin(self, note: Note | None) -> None:
        """The process begins, with a file that has this note; with None there is nothing in it yet."""
        if note is None:
            self._early = self._all
            return
        others = self._all - note.map.slots_of(note.name)
        self._given = note.given
        if note.has_copy:
            self._is_receiving, self._coming = True, others
            self.restore_copy()
        elif note.has_others:
            self.others = others

    def note(self, name: str, world: Map) -> Note:
        """What has to stand in the file by now."""
        has_others = bool(self.others or self._early or self._is_receiving)
        return Note(name, world, self._given, self.has_copy, has_others)

    def mistrust(self, mine: frozenset[int]) -> None:
        """The file is not what the node has written: it may be an older one, with rows of any slot but ``mine`` that
        have to be deleted, and without the copy that has come."""
        self.others |= self._all - mine
        self._early = frozenset()
        self.drop_copy()

    def deleted(self, slots: frozenset[int]) -> None:
        """No rows of these slots are there any more."""
        self.others -= slots

    # --- as the source ---------------------------------------------------------------------------------------------

    def give(self, slots: frozenset[int]) -> None:
        """The other node has all of these: when this is noted they may be released."""
        self._given = slots

    # --- as the target ---------------------------------------------------------------------------------------------

    def receive(self, said: Copy, world: Map, me: Key) -> str:
        why = super().receive(said, world, me)
        if not why and said.number == 0:
            if self.others or self._is_receiving:
                self.drop_copy()
                return "there are rows here that have to be deleted first"
            self._is_receiving = True
        return why

    def comes(self, slots: frozenset[int]) -> None:
        """Rows of these slots are about to be written."""
        self._coming |= slots

    # --- maps ------------------------------------------------------------------------------------------------------

    def why_not(self, before: Map, following: Map, name: str) -> str:
        if self.is_strange:
            return "its file is another node's, or has records that this node was given before it joined"
        taken = before.slots_of(name) - following.slots_of(name) - self._given
        if not taken:
            return ""
        return (
            f"by the map {show(following.version)} {len(taken)} slots are not this node's whose records are in its file"
            f" alone, by the map {show(before.version)}"
        )

    def end(self, before: Map, following: Map, gained: frozenset[int], name: str) -> tuple[bool, frozenset[int]]:
        mine, has_copy = following.slots_of(name), self.has_copy
        super().end(before, following, gained, name)
        self.others |= before.slots_of(name) - mine
        self.others |= self._coming - mine if has_copy else self._coming
        nobodys = frozenset(slot for slot in self._early if following.owners[slot] == NOBODY)
        self.others |= self._early - mine - nobodys
        self._early = nobodys
        self._coming, self._is_receiving, self._given = frozenset(), False, frozenset()
        return False, gained if has_copy else frozenset()
