"""A primary's way to another one that it follows: it routes by the map of that one, and never leads.

It asks for later maps, one question at a time, and goes on routing by the last one while nobody answers: that no node
serves what is not its own is up to the nodes. With a coordinator primaries learn the map from there instead
(:mod:`ckv.node.coordinating`).
"""

from __future__ import annotations

import logging
from typing import Final

import gevent
from gevent.event import Event

from ckv import errors
from ckv.address import Address
from ckv.cluster.map import Map, show
from ckv.cluster.messages import FOLLOW, Elsewhere, Follow, Followed, Static, unpack_answer
from ckv.node.figures import Info
from ckv.node.link import FAILURES, Link
from ckv.node.routing import Routing
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
        self._reason = "it was not asked yet"
        """Why it does not answer; empty if it does."""
        self._greenlet: gevent.Greenlet[..., None] | None = None

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
            "cluster_coordinator_connected": int(not self._reason),
            "cluster_coordinator_reason": self._reason or "-",
        }

    def _run(self) -> None:
        while True:
            self._look.clear()
            try:
                self._ask()
            except Exception as error:
                # Whatever it is: a primary that asks nothing more routes by what was true once.
                log.exception("what %s has answered was not carried out", self.primary)
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
            match answer:
                case Followed(world):
                    self._answered()
                    if world is not None:
                        self._routing.take(world, push=False)
                case Static():
                    self._failed(
                        "it has a list of its secondaries: a primary with the same list needs nobody to follow"
                    )
                case _:
                    self._failed(f"it is no primary that can be followed: {answer!r:.100}")

    def _failed(self, reason: str) -> None:
        self._link.close()
        if reason != self._reason:
            self._reason = reason
            log.warning("%s does not tell the map: %s; routes by %s", self.primary, reason, self._known)

    def _answered(self) -> None:
        if self._reason:
            self._reason = ""
            log.info("follows %s", self.primary)

    @property
    def _known(self) -> str:
        router = self._routing.router
        return f"the map {show(router.version)}" if router.knows else "none yet"
