"""What a secondary knows of its cluster: which slots it serves, until when, and what its primary is told.

Three rules keep two nodes from serving one slot. A node takes no map but a later one. It serves no slot that it has
frozen, or whose copies of another time it still has, before a later map says that it may. And it serves nothing when
nobody has confirmed it for the time of a lease, which counts from when it asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ckv.address import Address
from ckv.cluster.copying import Copies
from ckv.cluster.duties import EndMove, Forget, Output, StartFreeze, StartPrepare, Tell
from ckv.cluster.holding import Holding, Note
from ckv.cluster.identity import Identity
from ckv.cluster.map import NO_VERSION, Key, Map, Version, show
from ckv.cluster.messages import (
    Again,
    Answer,
    Beat,
    Beaten,
    Elsewhere,
    Join,
    Joined,
    Leave,
    Left,
    NoEntry,
    Sight,
    Static,
)  # fmt: skip
from ckv.cluster.roster import OWN_TIER, is_shared
from ckv.cluster.slots import SLOTS

BEAT_EVERY: Final = 1.0
"""Seconds from one BEAT to the next, and between two attempts to join or to leave."""

_ANY_MAP: Final[Version] = (NO_VERSION[0], NO_VERSION[1] + 1)
"""Whoever has declared this or more routes by some map."""


class Denied(Exception):
    """The node does not do what the leader asks; the text says why."""


@dataclass(slots=True)
class _Move:
    number: int
    slots: frozenset[int]
    target: Key
    frozen: bool = False


class Member:
    """A secondary that is no part of a static list, or does not know yet."""

    def __init__(self, identity: Identity, slots: int = SLOTS) -> None:
        self.identity = identity
        self.map = Map.empty(slots)
        self.joined = False
        """Whether a primary has taken it in, ever: from then on it serves nothing but what a map gives it."""
        self.static = False
        """The primary has a list of its secondaries, and the node does what any one asks."""
        self.refused = ""
        """Why the primary did not take it in."""
        self.conflict = ""
        """What speaks against the map of the primary."""
        self.leader: tuple[str, int] | None = None
        """Where the primary says that the leader is."""
        self.primaries: tuple[Address, ...] = ()
        """All primaries, as the leader says; none where there is one alone."""
        self._let_go = False
        self.slots_left = 0
        self.serves = bytearray(slots)
        """1 for each slot that it serves now. It changes in place, and is never another one."""
        self.plain_from: Version = _ANY_MAP
        """What a connection must have declared at least, by EPOCH, for its requests not to be looked at: nothing that
        it routes by that version or a later one can be for a slot that is not served."""
        self.figures: Callable[[], dict[str, int]] = dict
        """What a BEAT tells the leader of the node."""
        self.sights: Callable[[], tuple[Sight, ...]] = tuple
        """What it has seen in the database since the last BEAT."""
        self.cluster_clients = False
        """Whether the primary has said that there are such clients: see :class:`~ckv.cluster.messages.Joined`."""
        self.when_told: Callable[[], None] = lambda: None
        """Is called when it has another map, or the primary has said so."""
        self._owned: frozenset[int] = frozenset()
        self._asked: frozenset[int] = frozenset()
        """The slots for which whoever routes by its map asks it: also those of an earlier process of its name."""
        self._forgetting: set[int] = set()
        self._released: set[int] = set()
        self.copies = None if is_shared(identity.tier) else Holding(slots) if identity.tier == OWN_TIER else Copies()
        """What it knows of records that go from one node to another; None where they are in a database."""
        self._move: _Move | None = None
        self._lost_at: Version = _ANY_MAP
        self._lease = 0.0
        self._leased_until = 0.0
        self.leaves = False
        """Whether it was told to stop."""
        self._known = False
        """Whether the primary of now knows it."""
        self._due = 0.0
        self._told: set[type] = set()
        """Kinds of messages that are not answered yet."""
        self._out: list[Output] = []

    def go_on_from(self, note: Note) -> None:
        """It is what the process of before was, whose note it is. To be called first of all."""
        self.map, self.joined, self._lost_at = note.map, True, note.map.version
        self._asked = note.map.slots_of(note.name)
        self._renew(())

    def take(self) -> list[Output]:
        """What is to be done, in this order, after each of the calls below."""
        out, self._out = self._out, []
        return out

    @property
    def version(self) -> Version:
        return self.map.version

    @property
    def key(self) -> Key:
        return (self.identity.name, self.identity.incarnation)

    @property
    def owned(self) -> frozenset[int]:
        """The slots that are its own by its map."""
        return self._owned

    @property
    def is_apart(self) -> bool:
        """Whether nobody else has records where it keeps its own."""
        return self.copies is not None

    # --- what it serves ----------------------------------------------------------------------------------------------

    def leased(self, now: float) -> bool:
        """Whether it can be sure that nobody else serves its slots. To be looked at in each turn of the loop, and again
        when something has come that was waited for."""
        # Before it has joined it does not know for how long a lease is.
        return self.joined and not self.conflict and (not self._lease or now < self._leased_until)

    def is_forgetting(self, slot: int) -> bool:
        """Whether the slot is its own, and is served in a moment."""
        return slot in self._forgetting and slot in self._owned

    @property
    def is_settled(self) -> bool:
        """Whether all copies that it may have are of slots that it serves."""
        return not self._forgetting and not self._frozen

    def is_behind(self, declared: Version, now: float) -> bool:
        """Whether somebody routes by a later map, which the node asks for then."""
        if declared <= self.map.version:
            return False
        self._beat(now)
        return True

    # --- maps and moves ----------------------------------------------------------------------------------------------

    def take_map(self, following: Map) -> bool:
        """Whether the map is a later one, by which the node goes from now on."""
        if following.version <= self.map.version:
            return False
        if not self._agrees(following):
            return False
        asked = following.slots_of(self.identity.name)
        mine = asked if following.has(self.key) else frozenset()
        lost, gained = self._owned - mine, mine - self._owned
        # Under maps that never arrived here a slot may have gone and come back: what was released is not known now.
        stale, received = lost | gained | self._released, frozenset[int]()
        if self.copies is not None:
            keeps, received = self.copies.end(self.map, following, gained, self.identity.name)
            stale -= mine - gained if keeps else frozenset()
        if self.map.version == NO_VERSION:
            stale = frozenset(range(len(self.serves)))  # what it was asked for while it was on its own
        received &= stale & mine
        if not self._asked <= mine or self._released or self._frozen or self.map.version == NO_VERSION:
            self._lost_at = following.version
        self._asked = asked
        unsaved = lost - self._released
        self.map, self._owned = following, mine
        self._released.clear()
        if self._move is not None:
            self._out.append(EndMove(self._move.number))
            self._move = None
        if stale:
            self._forgetting |= stale
            self._out.append(Forget(frozenset(stale), unsaved, received))
        self._renew(stale | mine)
        self.when_told()
        return True

    def _agrees(self, following: Map) -> bool:
        """Whether nothing speaks against a map. While something does nobody knows who is to be asked."""
        copies = self.copies
        self.conflict = copies.why_not(self.map, following, self.identity.name) if copies is not None else ""
        return not self.conflict

    @property
    def _frozen(self) -> frozenset[int]:
        return self._move.slots if self._move is not None and self._move.frozen else frozenset()

    def prepare(self, move: int, version: Version, slots: Iterable[int], target: str) -> None:
        """The leader wants to move these slots away, to the node of that name. Raises Denied."""
        self._check(version)
        chosen = frozenset(slots)
        if not chosen <= self._owned or chosen & self._forgetting:
            raise Denied("not all of these slots are served here")
        if self._move is not None:
            raise Denied("another move is under way")
        node = self.map.named(target)
        if node is None or node.key == self.key:
            raise Denied(f"there is no other node {target}")
        self._move = _Move(move, chosen, node.key)
        self._out.append(StartPrepare(move, chosen, node))

    def freeze(self, move: int, version: Version) -> None:
        """The slots of the move are not served from now on. Raises Denied."""
        self._check(version)
        if self._move is None or self._move.number != move:
            raise Denied("there is no such move")
        if not self._move.frozen:
            self._move.frozen = True
            self._renew(self._move.slots)
            self._out.append(StartFreeze(move, self._move.slots))

    def _check(self, version: Version) -> None:
        if version != self.map.version:
            raise Denied(f"the map here is {show(self.map.version)}, not {show(version)}")

    def released(self, move: int) -> bool:
        """Nothing of the slots is unsaved or under way; whether that is still wanted, and the leader is to be told."""
        if self._move is None or self._move.number != move or not self._move.frozen:
            return False
        self._released |= self._move.slots
        if self.copies is not None:
            self.copies.released(self._move.target)
        return True

    def forgotten(self, slots: Iterable[int]) -> None:
        """The copies of these slots are gone."""
        done = self._forgetting.intersection(slots)
        self._forgetting -= done
        self._renew(done)

    def _renew(self, slots: Iterable[int]) -> None:
        """Sets what is served of these slots."""
        serves, frozen = self.serves, self._frozen
        for slot in slots:
            serves[slot] = slot in self._owned and slot not in self._forgetting and slot not in frozen
        if frozen or self._asked != self._owned or not self._owned.isdisjoint(self._forgetting):
            # Whatever a connection has declared, it may ask for one of these.
            self.plain_from = (self.map.version[0], self.map.version[1] + 1)
        else:
            self.plain_from = self._lost_at

    # --- who confirms it -------------------------------------------------------------------------------------------

    def confirmed(self, asked_at: float) -> None:
        """The leader or the database said, to a question that was sent at that time, that nobody has its place."""
        self._leased_until = max(self._leased_until, asked_at + self._lease)

    # --- what it says to its primary -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """To be called every tenth of a second, or so: sends what is due."""
        if now < self._due or self.static or (self.leaves and not self.joined):
            return
        self._due = now + BEAT_EVERY
        if not self._known:
            if not self._let_go:  # else it would be given slots again
                self._tell(self._join())
            return
        self._beat(now)
        if self.leaves and not self.has_left:
            self._tell(Leave(*self._me))

    @property
    def _me(self) -> tuple[str, int, int]:
        return (self.identity.name, self.identity.boot, self.identity.incarnation)

    def _join(self) -> Join:
        me = self.identity
        known = self.map if self.map.version != NO_VERSION else None
        return Join(*self._me, me.host, me.port, me.weight, me.write_mode, me.tier, known)

    def _beat(self, now: float) -> None:
        if self._known:
            self._tell(Beat(*self._me, self.map.version, self.figures(), self.sights()))

    def _tell(self, message: Join | Beat | Leave) -> None:
        if type(message) not in self._told:
            self._told.add(type(message))
            self._out.append(Tell(message))

    def leave(self, now: float) -> None:
        """The node was told to stop: it is to own nothing any more. :attr:`has_left` says when."""
        self.leaves = True
        if self._known:
            self._tell(Leave(*self._me))

    @property
    def has_left(self) -> bool:
        """Whether it can go, after :meth:`leave`: not while a JOIN is under way, for it may be given slots then."""
        may_have = Join in self._told or (self.joined and not (self.refused and not self._owned))
        return self._let_go or (self.leaves and (self.static or not may_have))

    def answered(self, message: Join | Beat | Leave, answer: Answer | None, asked_at: float, now: float) -> None:
        """What the primary said, to what was sent at ``asked_at``; None if there was an error, or no answer."""
        self._told.discard(type(message))
        match answer:
            case Joined():
                self._take_in(answer, now)
            case Beaten() if isinstance(message, Beat) and message.incarnation == self.identity.incarnation:
                if answer.confirmed:
                    self.confirmed(asked_at)
                self.primaries = answer.primaries or self.primaries
                if answer.map is not None:
                    self.take_map(answer.map)
            case Left():
                self.slots_left = answer.slots
                self._let_go = self._let_go or answer.done
            case Again():
                if self._known and not isinstance(message, Join):
                    self._known = False
                    self._due = now
            case Elsewhere():
                self.leader = (answer.host, answer.port)
                self._known = False
            case Static():
                self.static = not self.joined
            case NoEntry():
                self.refused = answer.why
                self._known = False

    def _take_in(self, answer: Joined, now: float) -> None:
        self.joined = self._known = True
        self._due = now  # the first BEAT, which confirms it
        self.refused = ""
        self._lease = answer.lease
        world = answer.map
        if self.identity.incarnation != answer.incarnation:
            if self.copies is not None and not self.copies.is_lasting:
                world = self._begin_anew(world)
            self.identity.incarnation = answer.incarnation
        self.cluster_clients = answer.cluster_clients
        if not self.take_map(world):
            self.when_told()

    def _begin_anew(self, world: Map) -> Map:
        """It is another process for the others, who may have written what it has as the one before: it knows nothing.
        The map to begin with, as it may have heard of a later one."""
        world = max(world, self.map, key=lambda each: each.version)
        self.map, self._owned, self.copies = Map.empty(len(self.serves)), frozenset(), Copies()
        self._released.clear()
        return world

    def be_listed(self) -> None:
        """A primary that has a list of its secondaries has this one in it: so it does not join, if it has not, and is
        not being taken in at this moment."""
        if not self.joined and Join not in self._told:
            self.static = True

    def lost(self, now: float) -> None:
        """The connection to the primary is lost: what was not answered never will be."""
        self._told.clear()
