"""What a secondary says to its primary: it joins the cluster, says each second that it lives, and takes its leave.

:class:`ckv.cluster.member.Member` decides what is said. Here it goes over one connection, one message after the
other: an answer that is late keeps nothing waiting but the next message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import gevent
from gevent.queue import SimpleQueue

from ckv import errors, events
from ckv.address import Address
from ckv.cluster.member import Member
from ckv.cluster.messages import (
    BEAT,
    JOIN,
    LEAVE,
    Again,
    Answer,
    Beat,
    Join,
    Joined,
    Leave,
    NoEntry,
    Static,
    unpack_answer,
)
from ckv.node.link import FAILURES, Link
from ckv.outage import Outage
from ckv.protocol.greeting import NOT_LET_IN
from ckv.protocol.limits import Limits

log = logging.getLogger(__name__)

ANSWER_TIMEOUT: Final = 2.0
"""Seconds for an answer. The connection is made anew after that."""

SAY_AFTER: Final = 2.0
"""Seconds without an answer after which that is news: nodes may start in any order, and primaries take turns."""

_METHODS: Final = {Join: JOIN, Beat: BEAT, Leave: LEAVE}


class Membership:
    """The way to the primary: to the one of several that leads, if they say so."""

    def __init__(
        self, member: Member, primaries: Sequence[Address], limits: Limits, carry_out: Callable[[], None]
    ) -> None:
        """``primaries``: they are asked in turn, until one answers. ``carry_out``: is called after whatever may have
        changed what the ``member`` wants to have done."""
        self._member = member
        self._primaries = primaries
        self._turn = 0
        self._carry_out = carry_out
        self._said: SimpleQueue[Join | Beat | Leave] = SimpleQueue()
        self._link = Link(limits)
        self._to = primaries[0]
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self.answered_at = time.monotonic()
        """When the primary answered last, or this began."""
        self.has_answered = False
        """Whether a primary has answered that has no list, in whatever words: then this is a node of a cluster."""
        self._failures = 0
        self._refused, self._away = Outage(log), Outage(log)
        """What the log says of not being taken in, and of no answer."""

    @property
    def primaries(self) -> list[Address]:
        """Those that it was given, and that a leader has named."""
        return [*self._primaries, *(each for each in self._member.primaries if each not in self._primaries)]

    @property
    def has_asked_all(self) -> bool:
        """Whether as many attempts have failed as there are primaries."""
        return self._failures >= len(self.primaries)

    def start(self) -> None:
        """Sends what there is to say from now on, until :meth:`close`."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def close(self) -> None:
        """Says nothing more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._link.close()

    def tell(self, message: Join | Beat | Leave) -> None:
        """Sends it, when what came before it is answered."""
        self._said.put(message)

    def _run(self) -> None:
        while True:
            message = self._said.get()
            try:
                self._say(message)
            except Exception:
                # Whatever it is: a node that says nothing more is given up.
                log.exception(events.MEMBERSHIP_DEFECT, type(message).__name__)
                self._link.close()
                self._member.lost(time.monotonic())

    def _say(self, message: Join | Beat | Leave) -> None:
        asked_at, answer = self._exchange(message)
        now = time.monotonic()
        was_joined = self._member.joined
        if isinstance(answer, Static) and self._member.leader is not None:
            log.debug("another primary said that %s leads, which is none of this cluster", self._to)
            self._ask_another()
            answer = None
        self.has_answered = self.has_answered or not (answer is None or isinstance(answer, Static))
        self._member.answered(message, answer, asked_at, now)
        if answer is None:
            self._member.lost(now)
        else:
            self.answered_at = now
            self._away.end(events.PRIMARY_BACK, self._to)
            if isinstance(answer, Static) or (isinstance(message, Join) and isinstance(answer, Again)):
                self._ask_another()  # it may be cut off from what says who leads, or have a list now
        self._note(answer, was_joined)
        self._carry_out()

    def _note(self, answer: Answer | None, was_joined: bool) -> None:
        """What the log says of it."""
        match answer:
            case Joined(incarnation):
                what, name = "known again in" if was_joined else "joined", self._member.identity.name
                log.info(events.JOINED, what, self._to, name, incarnation, extra=self._refused.over())
            case NoEntry(why):
                self._is_not_taken_in(why)
            case Static():
                self._link.close()
                if was_joined:
                    log.error(events.LIST_NOW, self._to)
                else:
                    log.debug("%s has a list of its secondaries", self._to)

    def _is_not_taken_in(self, why: str) -> None:
        self._refused.tell(events.NOT_TAKEN_IN, self._to, why)

    def _exchange(self, message: Join | Beat | Leave) -> tuple[float, Answer | None]:
        """When it was sent, and the answer; None if there was none, or an error."""
        asked_at = time.monotonic()
        try:
            self._to = self._next()
            self._link.connect(self._to)
            if isinstance(message, Join) and not message.host:
                # Where this node is reached: as it is seen from there.
                self._member.identity.host = self._link.own_host
                message = message._replace(host=self._member.identity.host)
            asked_at = time.monotonic()
            return asked_at, unpack_answer(self._link.call(_METHODS[type(message)], message.pack(), ANSWER_TIMEOUT))
        except errors.UnknownMethod:
            return asked_at, Static()  # it is older than clusters
        except NOT_LET_IN as error:
            self.has_answered = True
            self._is_not_taken_in(str(error))
            self._link.close()
            self._ask_another()  # which may have other users
        except errors.Draining as error:
            log.debug("%s did not answer %s: %s", self._to, type(message).__name__, error)
            self._ask_another()  # it leads no more
        except errors.Refused as error:
            log.debug("%s did not answer %s: %s", self._to, type(message).__name__, error)
            self.has_answered = True
            if isinstance(message, Join):
                self._member.refused = str(error)
                self._note(NoEntry(str(error)), self._member.joined)
        except FAILURES as error:
            self._failures += 1
            log.debug("%s did not answer %s: %s", self._to, type(message).__name__, error)
            if time.monotonic() - self.answered_at > SAY_AFTER:
                self._away.tell(events.PRIMARY_AWAY, self._to, error)
            self._link.close()
            self._ask_another()
        return asked_at, None

    def _next(self) -> Address:
        """Whom to ask."""
        if self._member.leader is not None:
            return Address(*self._member.leader)
        known = self.primaries
        return known[self._turn % len(known)]

    def _ask_another(self) -> None:
        """The next one in turn, which may know who leads."""
        self._turn += 1
        self._member.leader = None
