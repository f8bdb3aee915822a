"""A primary's way to another one that it follows: asks it for the map, one question at a time.

What becomes of the answers is in :mod:`ckv.cluster.following`. With a coordinator primaries learn the map from there
instead (:mod:`ckv.node.coordinating`).
"""

from __future__ import annotations

import logging
from typing import Final

import gevent
from gevent.event import Event

from ckv import errors, events
from ckv.address import Address
from ckv.cluster.following import Follower
from ckv.cluster.map import Map, show
from ckv.cluster.messages import FOLLOW, Elsewhere, Follow, unpack_answer
from ckv.node.figures import Info
from ckv.node.link import FAILURES, Link
from ckv.node.routing import Routing
from ckv.outage import Outage
from ckv.protocol.limits import Limits

log = logging.getLogger(__name__)

ASK_EVERY: Final = 0.5
"""Seconds from one question to the next. As soon as a node is found to have a later map the next one is asked."""

ANSWER_TIMEOUT: Final = 2.0
"""Seconds for an answer. The connection is made anew after that."""


class Following:
    """One follower. An :class:`~ckv.cluster.authority.Authority` by which nobody leads here."""

    def __init__(self, primary: Address, limits: Limits, routing: Routing) -> None:
        self.primary = primary
        self._routing = routing
        self._link = Link(limits)
        self._look = Event()
        self._follower = Follower()
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._trouble = Outage(log)

    def begin(self) -> None:
        """Asks from now on, until :meth:`end`."""
        self._routing.when_behind = self._look.set
        self._greenlet = gevent.spawn(self._run)

    def end(self) -> None:
        """Asks nothing more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._link.close()

    def lead(self, remembered: Map, now: float) -> None:
        """Nobody asks for it: the leader of this process is never elected."""

    def replace(self, following: Map, now: float) -> None:
        """As :meth:`lead`."""

    def instead(self) -> Elsewhere:
        """Where secondaries and operators have to go."""
        return Elsewhere(self.primary.host, self.primary.port)

    def figures(self) -> Info:
        """What INFO says of it."""
        return {
            "cluster_leader": str(self.primary),
            "cluster_coordinator_connected": int(not self._follower.reason),
            "cluster_coordinator_reason": self._follower.reason or "-",
        }

    def _run(self) -> None:
        while True:
            self._look.clear()
            try:
                self._ask()
            except Exception as error:
                # Whatever it is: a primary that asks nothing more routes by what was true once.
                log.exception(events.FOLLOWING_DEFECT, self.primary)
                self._failed(str(error))
            self._look.wait(ASK_EVERY)

    def _ask(self) -> None:
        router = self._routing.router
        try:
            self._link.connect(self.primary)
            said = Follow(router.version).pack()
            answer = unpack_answer(self._link.call(FOLLOW, said, ANSWER_TIMEOUT))
        except errors.UnknownMethod:
            self._failed("it is of a version that cannot be followed")
        except FAILURES as error:
            self._failed(str(error))
        else:
            before = self._follower.reason
            world = self._follower.answered(answer)
            self._say(before)
            if world is not None:
                self._routing.take(world, push=False)

    def _failed(self, reason: str) -> None:
        before, self._follower.reason = self._follower.reason, reason
        self._say(before)

    def _say(self, before: str) -> None:
        """What is new of it; ``before``: why it did not answer until now."""
        reason = self._follower.reason
        if reason:
            self._link.close()
            self._trouble.tell(events.MAP_UNTOLD, self.primary, reason, self._known)
        elif before:
            log.info(events.FOLLOWS, self.primary, extra=self._trouble.over())

    @property
    def _known(self) -> str:
        router = self._routing.router
        return f"the map {show(router.version)}" if router.knows else "none yet"
