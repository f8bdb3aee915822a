"""Whether the persistent tier answers: what came of every attempt in, a state with its reason out.

Reads and writes have a *side* each, because one can work while the other does not: a full disk, a backup that holds
back every commit. The state is that of the worse side. That of the reads says whether loads are worth an attempt: a
circuit breaker (Nygard, *Release It!*), which one attempt at a time closes again (:mod:`ckv.node.workers`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

State = Literal["connecting", "up", "slow", "hung", "down"]
"""What each one means says ``database_state`` in :data:`ckv.node.figures.FIGURES`."""

Kind = Literal["read", "write"]

SLOW_AFTER: Final = 0.5
"""Seconds for one statement, or one transaction with up to 500 rows, from which on it is called slow."""

NOT_SLOW: Final = 0.25
CALM: Final = 5.0
"""It is slow no longer when for so many seconds nothing took longer than :data:`NOT_SLOW`."""

STARTING: Final = 10.0
"""Seconds from the start during which loads wait as usual for a tier that was never reached: it may start as well."""

TELL_AGAIN: Final = 60.0
"""Seconds of a trouble without anything to tell, after which it is told again."""

_WORSE: Final[dict[State, int]] = {"up": 0, "slow": 1, "connecting": 2, "hung": 3, "down": 4}


class Reason(NamedTuple):
    """Why an attempt failed."""

    text: str
    number: int = 0
    """What server or driver call it; 0 for nothing."""
    silent: bool = False
    """No answer came, so that it may be there."""


class Change(NamedTuple):
    """The state is another one, or its reason is; or neither, where a trouble is told again."""

    before: State
    after: State
    reason: str
    """Empty when all is well."""
    seconds: float
    """How long the state before has lasted."""
    trouble_seconds: float
    """How long it is since all was well; 0 when all is."""


@dataclass(frozen=True, eq=False, slots=True)
class Attempt:
    """A connection that is made, a statement or a transaction, while under way."""

    kind: Kind
    began: float
    connects: bool


@dataclass(slots=True)
class _Side:
    """What is known about the reads, or the writes."""

    last_good: float
    live: int = 0
    """Sessions, as far as is known."""
    fault: tuple[int, Reason] | None = None
    """Why the last statement failed, until one succeeds, and a number that grows."""
    slow_at: float | None = None
    slowest: float = 0.0

    def took(self, seconds: float, now: float) -> None:
        if seconds >= SLOW_AFTER or (self.slow_at is not None and seconds > NOT_SLOW):
            self.slow_at = now
            self.slowest = max(self.slowest, seconds)


class Health:
    """The state of one tier."""

    def __init__(self, clock: Callable[[], float], hung_after: float, noted: Callable[[], None] = lambda: None) -> None:
        """``clock`` gives seconds. What is under way for longer than ``hung_after`` seconds hangs, if nothing else of
        its kind succeeds meanwhile. ``noted`` is called when something was learnt.
        """
        self._noted = noted
        self._clock = clock
        self._hung_after = hung_after
        self._started = clock()
        self._sides: dict[Kind, _Side] = {"read": _Side(self._started), "write": _Side(self._started)}
        self._under_way: dict[Attempt, None] = {}
        """The oldest one comes first."""
        self._connect_fault: tuple[int, Reason] | None = None
        self._failures = 0
        self._last_good = self._started
        self._well_at = self._started
        self._told: set[object] = set()
        """The reasons in this trouble that were told."""
        self._told_at = self._started
        self.reached = False
        """Whether it ever answered."""
        self.state: State = "connecting"
        self._since = self._started
        self.reason = ""
        """Why it is not up."""
        self.losses = 0

    # --- attempts --------------------------------------------------------------------------------------------------

    def begins(self, kind: Kind, *, connects: bool = False) -> Attempt:
        """A statement or a transaction was sent; with ``connects`` a connection for such ones is being made."""
        attempt = Attempt(kind, self._clock(), connects)
        self._under_way[attempt] = None
        return attempt

    def succeeded(self, attempt: Attempt) -> None:
        """It was answered."""
        now = self._clock()
        self.gave_up(attempt)
        side = self._sides[attempt.kind]
        self._last_good = now
        self.reached = True
        if attempt.connects:
            self._connect_fault = None
            side.live += 1
        else:
            side.fault = None
            side.last_good = now
            side.took(now - attempt.began, now)
        self._noted()

    def failed(self, attempt: Attempt, reason: Reason, *, again: bool) -> None:
        """It failed. ``again``: so did the one before it, over another session, so that this is not the reason."""
        troubled = self._of(attempt.kind)[0] in ("hung", "down")
        self.gave_up(attempt)
        self._failures += 1
        if attempt.connects:
            self._connect_fault = (self._failures, reason)
        elif again or reason.silent or troubled:
            # Otherwise it may be the session alone (a restart, a deadlock): the next attempt will tell.
            self._sides[attempt.kind].fault = (self._failures, reason)
        self._noted()

    def gave_up(self, attempt: Attempt) -> None:
        """It is over, and nothing was learnt of it."""
        del self._under_way[attempt]

    def closed(self, kind: Kind) -> None:
        """A session is no longer there."""
        self._sides[kind].live -= 1
        self._noted()

    # --- what is known ---------------------------------------------------------------------------------------------

    @property
    def answers(self) -> bool:
        """Whether the last word was good."""
        return self.state in ("up", "slow")

    def doubtful(self, kind: Kind) -> bool:
        """Whether the last such statement failed, so that it is to be tried out before anything depends on it."""
        return self._sides[kind].fault is not None

    def stuck(self, kind: Kind, seconds: float) -> bool:
        """Whether such a statement is under way for so long and nothing of its kind was answered meanwhile."""
        side = self._sides[kind]
        oldest = next((of for of in self._under_way if of.kind == kind and not of.connects), None)
        return oldest is not None and self._clock() - max(oldest.began, side.last_good) >= seconds

    @property
    def is_read(self) -> bool:
        """Whether reads were answered since the state is what it is: then what is wrong is wrong with writes alone."""
        return self._of("read")[0] in ("up", "slow") and self._sides["read"].last_good > self._since

    @property
    def state_seconds(self) -> float:
        """How long the state has lasted."""
        return self._clock() - self._since

    @property
    def reads_away(self) -> str:
        """Why no read is worth an attempt; empty when it is."""
        state, reason = self._of("read")
        if state not in ("hung", "down") or not (self.reached or self._clock() - self._started >= STARTING):
            return ""
        return reason.text

    def look(self) -> Change | None:
        """What has changed since the last look, or is a trouble of which nothing was told for a while; to be called
        after every attempt and some times a second."""
        now = self._clock()
        state, reason = max((self._of("read"), self._of("write")), key=lambda found: _WORSE[found[0]])
        key = reason.number or reason.text  # one reason may be told in several words
        self.reason = reason.text
        is_known = key in self._told and now - self._told_at < TELL_AGAIN
        if state == self.state and (is_known or state in ("up", "connecting")):
            return None
        before, seconds = self.state, now - self._since
        if state != before:
            self.losses += self.reached and before in ("up", "slow") and state in ("hung", "down")
            self.state, self._since = state, now
        trouble = now - self._well_at
        if state == "up":
            self._told.clear()
        elif before == "up":
            self._well_at, trouble = now, 0.0
        self._told.add(key)
        self._told_at = now
        return Change(before, state, self.reason, seconds, trouble)

    def _of(self, kind: Kind) -> tuple[State, Reason]:
        side = self._sides[kind]
        now = self._clock()
        # With a session left, that another one cannot be had is no more than bad news.
        connect_fault = self._connect_fault if side.fault is not None or not side.live else None
        if faults := [fault for fault in (side.fault, connect_fault) if fault is not None]:
            _, reason = max(faults)
            return ("hung" if reason.silent else "down"), reason
        hung = self._hung_after
        if self.stuck(kind, hung):
            return "hung", Reason(f"a {kind} has been under way for more than {hung:g} s", silent=True)
        connecting = next((of for of in self._under_way if of.connects), None)
        if not side.live and connecting is not None and now - max(connecting.began, self._last_good) >= hung:
            return "hung", Reason(f"a connection has been under way for more than {hung:g} s", silent=True)
        if not self.reached:
            return "connecting", Reason("")
        if self.stuck(kind, SLOW_AFTER):
            side.took(SLOW_AFTER, now)
        if side.slow_at is not None:
            if now - side.slow_at < CALM:
                return "slow", Reason(f"a {kind} took {side.slowest:.1f} s or more", number=-1)
            side.slow_at, side.slowest = None, 0.0
        return "up", Reason("")
