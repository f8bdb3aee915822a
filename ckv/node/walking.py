"""The greenlet that asks the persistent tier for what concerns all keys: the next rows of a walk, how many there are.

It has a connection of its own, which comes with the first question and goes when there were none for a while. So a walk
over a large table holds up no load and no flush, and says nothing about how well they are. One question at a time: the
database has no more of it than that, however many clients walk.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gevent.event import Event

from ckv import events
from ckv.errors import Overloaded, TierError, TierUnavailable
from ckv.persistent import Session, Tier
from ckv.store.waiting import Waiting

log = logging.getLogger(__name__)

MOST_QUESTIONS: Final = 1024
"""That wait at a time."""

IDLE: Final = 5.0
"""Seconds without a question after which the connection is closed."""

Ask = Callable[[Session], Any]
"""Asks a session, and returns what is told."""


@dataclass(eq=False, slots=True)
class Question(Waiting[Any]):
    """Something that the tier is asked, or has to be. Its waiters are told the answer."""

    ask: Ask
    deadline: float


class Walker:
    """Asks one tier."""

    def __init__(self, tier: Tier, away: Callable[[], str], timeout: float) -> None:
        """``away``: why no read is worth an attempt now; empty when it is. ``timeout``: seconds that anybody waits."""
        self._tier = tier
        self._away = away
        self._timeout = timeout
        self._questions: deque[Question] = deque()
        self._asking: Question | None = None
        self._wake = Event()

    def ask(self, ask: Ask) -> Question:
        """What will have the answer. It is told in another greenlet, within the time-out, or of a TierUnavailable.

        Raises TierUnavailable when it is known that there will be none, and Overloaded.
        """
        if why := self._away():
            raise TierUnavailable(f"the persistent tier is away: {why}")
        if len(self._questions) >= MOST_QUESTIONS:
            raise Overloaded("too many are asking for all keys")
        question = Question(ask, time.monotonic() + self._timeout)
        self._questions.append(question)
        self._wake.set()
        return question

    def look(self) -> None:
        """Tells those whose time is over. To be called some ten times a second."""
        now = time.monotonic()
        overdue = [question for question in (self._asking, *self._questions) if question and question.deadline <= now]
        for question in overdue:
            why = f"the persistent tier did not answer within {self._timeout:g} s"
            question.tell(None, TierUnavailable(why))

    def run(self) -> None:
        """Never returns."""
        session: Session | None = None
        try:
            while True:
                self._wake.clear()
                if not self._questions and not self._wake.wait(IDLE if session is not None else None):
                    _close(session)
                    session = None
                    continue
                question = self._questions.popleft()
                if not question.wanted:
                    continue
                self._asking = question
                try:
                    session = self._fit(session)
                    answer = question.ask(session)
                    if session.generation != self._tier.generation:
                        raise TierUnavailable("the answer came over a connection that had become unfit")
                    question.tell(answer, None)
                except Exception as error:
                    if not isinstance(error, TierError):  # of these the workers say what they find
                        log.error(events.WALK_DEFECT, exc_info=error)
                    _close(session)
                    session = None
                    question.tell(None, error if isinstance(error, TierError) else TierUnavailable(str(error)))
                finally:
                    self._asking = None
        finally:
            _close(session)

    def _fit(self, session: Session | None) -> Session:
        """A session that is fit to be used: this one, or a new one. Raises what the tier raises."""
        if session is not None and session.generation == self._tier.generation:
            return session
        _close(session)
        return self._tier.connect()


def _close(session: Session | None) -> None:
    if session is not None:
        session.close()
