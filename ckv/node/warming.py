"""What was in memory at one node is in memory at the next one, once its slot has moved.

Only keys travel (WARM): the new owner loads their records as it does for a GET. So no message that is late, or comes
twice, can bring back an older value. Nothing that is in its memory gives way.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

import gevent
from gevent.event import Event

from ckv import errors
from ckv.address import Address
from ckv.cluster.map import Key, Node
from ckv.cluster.member import Member
from ckv.cluster.slots import slot_of
from ckv.node.guard import Guard
from ckv.node.link import FAILURES, Link
from ckv.node.slotset import set_of
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import Limits
from ckv.store.loading import LOAD_RECORDS, Load
from ckv.store.store import Store
from ckv.values import Value, checked_key

log = logging.getLogger(__name__)

WARM: Final = "WARM"
"""What one secondary asks of another: to load the records of these keys. The result is how many of the keys it has
dealt with; fewer than all where it has no room for more. NotOwner where it does not serve all of them, or not yet."""

MOST_KEYS: Final = 1_000_000
"""Keys that wait to be told. More are not told: their records are loaded when somebody asks for them."""

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for an answer: the database may be busy."""

RETRY: Final = 0.1
"""Seconds until a node is told again what it does not serve yet."""

PATIENCE: Final = 10.0
"""Seconds in which a node that goes on to refuse is told again."""


class Warming:
    """Both sides: what this node tells others, and what it is told."""

    has_tier: ClassVar[bool] = True
    is_quick: ClassVar[bool] = True

    def __init__(self, member: Member, guard: Guard, store: Store, limits: Limits, bytes_per_second: int) -> None:
        """``bytes_per_second``: how much others are to load for this node; 0 for nothing."""
        self._member = member
        self._guard = guard
        self._store = store
        self._limits = limits
        self._rate = bytes_per_second
        self._keys: defaultdict[int, list[str]] = defaultdict(list)
        """What is still to be told, by slot."""
        self._count = 0
        """Those of them, and of the message that is under way."""
        self._mean_bytes = 0.0
        """Of a record here: what one at the new owner is taken to be, by which it is loaded slowly enough."""
        self._has_work = Event()
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._gone: set[Key] = set()
        """Nodes that are told nothing more: they have no room, are older than this message, or do not answer."""
        self._refused: dict[Key, float] = {}
        """Nodes that do not serve yet what they were told: since when, by the monotonic clock."""
        self.warmed = 0
        """Records that were loaded here because another node said so."""

    @property
    def handlers(self) -> dict[str, Handler]:
        """What another secondary asks."""
        return {WARM: self.warm}

    # --- to others -------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing left to tell."""
        return not self._count

    def note(self, keys: Iterable[str]) -> None:
        """These are in memory here, and another node's from now on."""
        if not self._rate:
            return
        self._put_back(itertools.islice(keys, max(0, MOST_KEYS - self._count)))
        if self._count:
            self._has_work.set()
            if self._greenlet is None:
                self._greenlet = gevent.spawn(self._tell_all)

    def begin(self, move: int, target: Node) -> None:
        """A move begins: all that the other node needs will be in the database."""

    def begin_to_save(self) -> None:
        """What it was given before it joined is saved, for whoever owns it now."""

    def pass_on(self, step: object) -> None:
        """A step of a move was made."""

    def replace(self, here: frozenset[int], received: frozenset[int]) -> Iterator[None]:
        """Drops the records of these slots, and notes them. Nothing comes but by way of the database."""
        self.measure()
        return self._store.forget(set_of(here), self.note)

    def measure(self) -> None:
        """To be called before what is in memory is dropped: how large its records are."""
        memory = self._store.memory
        self._mean_bytes = memory.bytes / max(1, len(memory))

    def look(self) -> None:
        """There may be another map."""

    def end(self) -> None:
        """Tells nothing more."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _tell_all(self) -> None:
        link = Link(self._limits)
        try:
            while True:
                self._has_work.clear()
                while self._keys:
                    owner, keys = self._next()
                    due = time.monotonic()
                    if owner is not None and owner.key not in self._gone:
                        if self._tell(link, owner, keys):
                            due += len(keys) * self._mean_bytes / self._rate
                        else:
                            self._put_back(keys)
                            due += RETRY
                    self._count -= len(keys)
                    gevent.sleep(max(0.0, due - time.monotonic()))
                link.close()
                self._gone.clear()
                self._refused.clear()
                self._has_work.wait()
        finally:
            link.close()

    def _next(self) -> tuple[Node | None, list[str]]:
        """Who is told next, and what: keys of one node, from as many of its slots as one query loads."""
        slot = next(iter(self._keys))
        owner = self._owner(slot)
        keys: list[str] = []
        for other in list(self._keys):
            if self._owner(other) != owner:
                continue
            room = LOAD_RECORDS - len(keys)
            keys += self._keys[other][:room]
            del self._keys[other][:room]
            if not self._keys[other]:
                del self._keys[other]
            if len(keys) == LOAD_RECORDS:
                break
        return owner, keys

    def _owner(self, slot: int) -> Node | None:
        """The other node that owns the slot."""
        owner = self._member.map.owner(slot)
        return owner if owner is not None and owner.key != self._member.key else None

    def _put_back(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._keys[slot_of(key)].append(key)
            self._count += 1

    def _tell(self, link: Link, owner: Node, keys: list[str]) -> bool:
        """False where it is to be told again: the map has not reached it yet, or it still drops what it had of a slot
        before."""
        try:
            link.connect(Address(owner.host, owner.port))
            done = link.call(WARM, [keys], ANSWER_TIMEOUT)
        except FAILURES as error:
            now = time.monotonic()
            if isinstance(error, errors.NotOwner) and now - self._refused.setdefault(owner.key, now) < PATIENCE:
                return False
            link.close()
            log.debug("%s is told of no more records that were in memory here: %s", owner.name, error)
            self._gone.add(owner.key)
        else:
            self._refused.pop(owner.key, None)
            if done != len(keys):
                self._gone.add(owner.key)
        return True

    # --- from others -----------------------------------------------------------------------------------------------

    def warm(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of WARM."""
        match params:
            case ([*given],) if len(given) <= LOAD_RECORDS:
                keys = [checked_key(key) for key in given]
            case _:
                raise errors.BadArguments(f"WARM takes a list of up to {LOAD_RECORDS} keys")
        if not all(map(self._guard.serves, keys)):
            raise errors.NotOwner("not all of these keys are served here, or not yet")
        loads: list[Load] = []
        done = 0
        for key in keys:
            if not self._store.has_room_to_warm:
                break
            done += 1
            load = self._store.warm(key)
            if load is not None:
                loads.append(load)
        left = len(loads)
        if not left:
            return done

        def ended(found: Value | None, _error: errors.CkvError | None) -> None:
            nonlocal left
            left -= 1
            self.warmed += found is not None
            if not left:
                caller.respond(msgid, None, done)

        for load in loads:
            load.wait(ended)
        return LATER
