"""How a secondary is a node of a cluster whose map changes: what it knows, who talks to its primary, what it serves.

Records go from one node to another one by way of the database that nodes have in common, or as copies where they keep
them in memory alone, or each in a file of its own.
"""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from ckv import errors, events
from ckv.address import WILDCARDS, Address
from ckv.cluster.identity import Identity
from ckv.cluster.map import NO_VERSION, show
from ckv.cluster.member import BEAT_EVERY, Member
from ckv.cluster.messages import FENCE, Beat
from ckv.cluster.view import View, of_map
from ckv.node.copying import Copying
from ckv.node.fencing import Fencing
from ckv.node.figures import Info
from ckv.node.filing import Filing
from ckv.node.guard import Guard
from ckv.node.membership import Membership
from ckv.node.moves import Movable, Moves
from ckv.node.naming import Naming
from ckv.node.warming import Warming
from ckv.persistent import Tier
from ckv.protocol.handler import Caller, Handler
from ckv.protocol.limits import Limits
from ckv.settings.roles import SecondarySettings
from ckv.store.alone import MemoryStore
from ckv.store.filed import Filed
from ckv.store.store import Store

log = logging.getLogger(__name__)

TICK: Final = 0.1
"""Seconds between two looks at what is due."""

SILENCE: Final = 3.0
"""Seconds without an answer of the primary after which a node that was told to stop hands nothing over to others."""

ELECTION: Final = 8.0
"""The same where there are several: one that has died is followed within 5 s, and then it has to be found."""

KNOWN_WITHIN: Final = 3.0
"""Seconds within which each primary that is connected has the map by which a node that leaves owns nothing."""

FIRST_ANSWER: Final = 3.0
"""Seconds for each primary to answer a node that begins. If none does, it does what any one asks, until it joins."""


class Joining:
    """One secondary's part."""

    def __init__(
        self,
        loop: Any,
        settings: SecondarySettings,
        limits: Limits,
        store: Store | MemoryStore,
        naming: Naming | None,
        tier: str,
        own: Tier | None = None,
    ) -> None:
        """``tier``: by what name its database is known, or one of :mod:`ckv.cluster.roster`; all nodes of a cluster
        have to have the same. ``own``: its file, where each node has one of its own."""
        self._naming = naming
        self._fencing: Fencing | None = None
        self.drain_timeout = settings.drain_timeout
        self._saves = not isinstance(store, MemoryStore)
        self._name = settings.name
        self._placed = False
        """Whether it is known by what it serves."""
        self._begun = 0.0
        self.when_placed: Callable[[], None] = lambda: None
        """Is called then, once."""
        self._is_known = False
        """Whether it is known who this is, so that it can join."""
        self._asks_at = 0.0
        """When it asks next, as somebody who is not known."""
        host = "" if settings.bind in WILDCARDS else settings.bind
        boot = random.getrandbits(53)
        self.member = Member(Identity("", boot, host, 0, write_mode=settings.write_mode, tier=tier))
        self.guard = Guard(self.member, time.monotonic)
        self._membership = Membership(self.member, settings.primaries, limits, self._carry_out)
        tell, rate = self._membership.tell, settings.warm_rate
        self._filing: Filing | None = None
        passing: Copying | Warming
        moving: Movable = store
        if isinstance(store, MemoryStore):
            passing = Copying(self.member, store, limits, rate)
        else:
            passing = warming = Warming(self.member, self.guard, store, limits, rate)
            if own is not None:
                moving = filed = Filed(store)
                passing = self._filing = Filing(self.member, filed, own, limits, rate, warming)
        self._moves = Moves(self.member, moving, self.guard, tell, passing)
        self.member.figures = self._moves.figures
        self.has_list: Callable[[], bool] = lambda: False
        """Whether a primary with a list has taken it for one of that."""
        self._ticker: Any = loop.timer(TICK, TICK)

    @property
    def handlers(self) -> dict[str, Handler]:
        """What a primary asks, beside requests."""
        return {**self._moves.handlers, FENCE: self._fence}

    def begin(self, address: Address) -> None:
        """The node serves at this address."""
        self.member.identity.port = address.port
        self._begun = time.monotonic()
        self._ticker.start(self._tick)
        self._tick()

    @property
    def has_heard(self) -> bool:
        """Whether anything is known of a primary, or that there is none."""
        return self._placed or self._membership.has_answered

    def _place(self) -> None:
        """Looks whether it is known by what the node serves. One of a cluster serves nothing before it has joined:
        others may have what was its own, and have written to it since."""
        member, membership = self.member, self._membership
        if self._placed:
            return
        is_alone = not membership.has_answered and (
            membership.has_asked_all or time.monotonic() - self._begun > FIRST_ANSWER * len(membership.primaries)
        )
        if member.static or member.joined or is_alone:
            self._placed = True
            self.guard.look_again()  # first, lest anything be served unseen
            self.when_placed()

    def _tick(self) -> None:
        if self.has_list():
            self.member.be_listed()
        self.guard.tick()  # nobody waits for long, also while it is not known who this is
        if self.member.static:
            self._place()
            self._ticker.stop()  # for ever, so that it costs nothing
            return
        self._membership.start()
        self._is_known = self._is_known or self._names_itself()
        if not self._is_known:
            self._ask_for_a_cluster()
            self._carry_out()
            return
        self.member.tick(time.monotonic())
        self._carry_out()
        if self._fencing is None and self.member.joined and self._naming is not None:
            self._fencing = Fencing(self.member, self._naming)
            self._naming.beat()

    def _names_itself(self) -> bool:
        identity = self.member.identity
        if self._naming is None:
            identity.name = self._name or f"{socket.gethostname()}:{identity.port}"
            return True
        # Without the number that it writes under it could not be fenced.
        identity.name, identity.incarnation = self._naming.name, self._naming.incarnation
        if self._filing is not None and identity.incarnation:
            identity.incarnation = max(identity.incarnation, self._filing.least_incarnation)
            return self._filing.is_open
        return identity.incarnation > 0

    def _ask_for_a_cluster(self) -> None:
        """Asks whether the primary has a list, while the node cannot join: to a BEAT of somebody who is not known each
        primary answers in its way, and nothing comes of it."""
        now = time.monotonic()
        if not self.has_heard and now >= self._asks_at:
            self._asks_at = now + BEAT_EVERY
            self._membership.tell(Beat("", self.member.identity.boot, 0, NO_VERSION, {}, ()))

    def open_file(self, then: Callable[[], None]) -> None:
        """The name of the node is its own: learns what its file says of it, if it has one, and goes on."""
        if self._filing is not None and self._naming is not None:
            self._filing.open(self._naming.name)
        then()

    def _carry_out(self) -> None:
        self._place()
        self._moves.carry_out()

    def _fence(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        if self._fencing is None:
            raise errors.Refused("this node has not joined")
        return self._fencing.handlers[FENCE](caller, msgid, params)

    def may_tell(self) -> bool:
        """Whether nobody else can have written to what this node serves."""
        return not self.member.joined or self.member.leased(time.monotonic())

    def view(self) -> View | None:
        """What clients in cluster mode are told; None if the primary has not said that there are such clients."""
        member = self.member
        if not (member.joined and member.cluster_clients):
            return None
        return of_map(member.map, Address(member.identity.host, member.identity.port))

    def serves(self, slot: int) -> bool:
        """Whether the node serves a slot of its own now, or in a moment."""
        member = self.member
        if not member.joined:
            return True
        return member.is_forgetting(slot) or (bool(member.serves[slot]) and member.leased(time.monotonic()))

    @property
    def _patience(self) -> float:
        """Seconds for slots to go to others: what is not handed over has to be saved, if it can be, which takes time
        too."""
        return self.drain_timeout / (2 if self._saves else 1)

    def leave(self, wait: Callable[[Callable[[], bool]], bool]) -> None:
        """The node was told to stop: hands over what it owns, as long as there is somebody and time. ``wait`` waits for
        a condition as long as there is, and says whether it came true."""
        began = time.monotonic()
        silence = ELECTION if len(self._membership.primaries) > 1 else SILENCE
        self.member.leave(began)
        if not self.member.owned and self.member.has_left:
            return
        self._carry_out()

        def is_over() -> bool:
            now, heard = time.monotonic(), max(began, self._membership.answered_at)
            return self.member.has_left or now - began > self._patience or now - heard > silence

        wait(is_over)
        if not self.member.joined:
            return
        if not self.member.has_left:
            log.warning(events.SLOTS_KEPT, len(self.member.owned))
            return
        let_go_at = time.monotonic()
        if not self.member.slots_left:
            # The map by which it owns nothing is on its way, on another connection than that it can go.
            wait(lambda: not self.member.owned or time.monotonic() - let_go_at > KNOWN_WITHIN)
        if not self.member.owned:
            log.info(events.SLOTS_GIVEN)
            wait(lambda: self._moves.has_told_all or time.monotonic() - began > self._patience)
            # Whoever still routes here, as a follower may, is told where to ask instead. Else its requests would fail.
            wait(lambda: self.guard.map_is_known or time.monotonic() - let_go_at > KNOWN_WITHIN)

    def end(self) -> None:
        """It is no node any more."""
        self._ticker.stop()
        self._membership.close()
        self._moves.end()

    @property
    def primaries(self) -> list[Address]:
        """Those that it may ask."""
        return self._membership.primaries

    def figures(self) -> Info:
        """What INFO says of it."""
        member = self.member
        return {
            "cluster_joined": int(member.joined),
            "cluster_map": show(member.version) if member.joined else "-",
            "cluster_primaries": len(self._membership.primaries),
            "cluster_slots": len(member.owned),
            "cluster_turned_away": self.guard.turned_away,
            "cluster_warmed": self._moves.warmed,
        }
