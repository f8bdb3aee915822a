"""The name of a node: claimed before the node serves, kept by a beat, and waited for while another process has it.

Processes of other names are waited for too, while they write keys that a primary's list gives to this node: see
:mod:`ckv.node.share`.

Nothing is loaded and nothing is written before the name is ours: what the process before us has still to save would
come later than our loads, and over our rows. For a moment, or while the database is away, nobody knows whose it is.
The node then serves what it is given, from memory alone: none of that is older than what the other one may have.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import gevent
from gevent.event import Event

from ckv import events
from ckv.errors import Fenced, Forbidden, TierUnavailable
from ckv.event import Event as LogEvent
from ckv.node.processes import has_ended, myself
from ckv.persistent import Fence, Holder, Seen, Tier
from ckv.protocol.greeting import Share

log = logging.getLogger(__name__)

BEAT_EVERY: Final = 1.0
"""Seconds between two beats."""

LEASE: Final = 5.0
"""Seconds without a beat after which the process that has the name is fenced."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at its beat. Looks are counted, and not seconds, for whoever looks may have been paused."""

LOOKS: Final = int(LEASE / LOOK_EVERY)

SAY_EVERY: Final = 10.0
"""Seconds between two lines of the log about it."""

FIRST_WORD: Final = 1.0
"""Seconds that a start waits for the database to say anything."""

GIVING_BACK: Final = 3.0
"""Seconds that a process may take at its end to give its name back. Else the next one finds out by itself."""

LEAVING: Final = 2.0
"""Seconds in which a process that was told to stop has said so, beside its name."""

_SOON: Final = 0.02

_LONGEST_PAUSE: Final = 60.0


class _Sight(NamedTuple):
    """What was seen of another process."""

    beat: tuple[int, int]
    """Its incarnation, and its beat."""
    looks: int
    """How many looks found it so after the first one."""
    at: float
    """When the last one was that counts."""


class Naming:
    """The name of one node."""

    def __init__(
        self,
        tier: Tier,
        reachable: Callable[[], bool | None],
        left: Callable[[], int | None],
        admit: Callable[[bool], None],
    ) -> None:
        """``reachable``: whether the tier answers, None when nothing is known. ``left``: the rows that are still to be
        saved once the node was told to stop, else None. ``admit``: is told whether requests can be served."""
        self._tier = tier
        self._reachable = reachable
        self._left = left
        self._admit = admit
        self.name = ""
        self.when_ours: Callable[[], None] = lambda: None
        self.when_lost: Callable[[], None] = lambda: None
        self.decided = False
        """Whether the node can serve, or could once."""
        self._began = time.monotonic()
        self._fence: Fence | None = None
        self._ours = False
        self._listens = False
        self._other: Holder | None = None
        self._share: Share | None = None
        self._asked: list[Callable[[str], None]] = []
        self.when_beaten: Callable[[float, list[Seen]], None] | None = None
        """Is told after each beat when that was sent, and what there is to see of all nodes."""
        self._to_fence: list[tuple[Holder, Callable[[bool | None], None]]] = []
        self._sights: dict[str, _Sight] = {}
        self._said = -SAY_EVERY
        self._now = Event()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    @property
    def incarnation(self) -> int:
        """That of this process; 0 before it has the name."""
        return self._fence.incarnation if self._fence is not None and self._ours else 0

    def begin(self, name: str, *, listens: bool) -> None:
        """Goes for the name. May be called again, when the node ``listens``: before, nobody is fenced."""
        self._listens = self._listens or listens
        if self._greenlet is None:
            self.name = name
            self._fence = self._tier.fence(name, myself())
            self._fence.when_fenced = self.when_lost
            self._greenlet = gevent.spawn(self._run, self._fence)

    @property
    def awaits_end(self) -> bool:
        """Whether a process of this name is about to end, which has still the port of this one."""
        if self._other is not None and self._other.left is not None:
            return True
        return not self._ours and time.monotonic() - self._began < LEAVING

    def beat(self) -> None:
        """Has the next beat come at once: what is left has changed."""
        self._now.set()

    def agree(self, share: Share, then: Callable[[str], None]) -> None:
        """Says in the database which share of the keys this process has. ``then`` is told what speaks against it, or
        nothing: that no other process writes any of these keys, or that it is not known yet whose the name is."""
        self._share = share
        if self._ours:
            self._asked.append(then)
            self._now.set()
        else:
            then("")

    def fence_off(self, holder: Holder, then: Callable[[bool | None], None]) -> None:
        """Takes the name of another process away (:meth:`~ckv.persistent.Fence.fence_off`). ``then`` is told whether
        that was done; None when nobody knows."""
        self._to_fence.append((holder, then))
        self._now.set()

    def end(self) -> None:
        """Gives the name back. Only when no session writes any more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        if self._fence is not None:
            if self._ours:
                try:
                    with gevent.Timeout(GIVING_BACK, TierUnavailable("it took too long")):
                        self._fence.release()
                except TierUnavailable as error:
                    log.warning(events.NAME_KEPT, self.name, error)
            self._fence.close()

    # --- until it is ours ------------------------------------------------------------------------------------------

    def _run(self, fence: Fence) -> None:
        self._claim(fence)
        self._ours = True
        self._other = None
        log.info(events.NAME_TAKEN, self.name, fence.incarnation)
        if not self._wait_for_others(fence):
            return
        self.when_ours()
        self._decide(serves=True)
        self._go_on(fence)

    def _claim(self, fence: Fence) -> None:
        still = 0
        while True:
            if self._waited_for_tier():
                still = 0  # the other one had to wait for it as well
            before = self._other
            try:
                holder = fence.claim()
                if holder is None:
                    return
                self._other = holder
                self._decide(serves=False)
                self._say_other(holder)
                still = still + 1 if before is not None and before[:2] == holder[:2] else 0
                if self._listens and (still >= LOOKS or has_ended(holder.process)) and fence.fence_off(holder):
                    why = "has ended" if still < LOOKS else f"has stood still for {LEASE:g} s"
                    log.warning(events.PROCESS_FENCED, self.name, holder.incarnation, why)
                    continue
            except TierUnavailable as error:
                still = 0
                if before is None:
                    self._say(events.NAME_UNKNOWN, self.name, error)
                    self._decide(serves=not isinstance(error, Forbidden))
            gevent.sleep(LOOK_EVERY)

    def _waited_for_tier(self) -> bool:
        """Returns when the tier answers; whether it did not at once. Who has the name is not known meanwhile."""
        waited = False
        while not (reachable := self._reachable()):
            away = reachable is not None or time.monotonic() - self._began > FIRST_WORD
            if away and self._other is None:
                self._decide(serves=True)
            waited = True
            gevent.sleep(_SOON)
        return waited

    def _decide(self, *, serves: bool) -> None:
        self._admit(serves)
        self.decided = self.decided or serves

    def _say_other(self, holder: Holder) -> None:
        if holder.left is not None:
            why = f"it is stopping, and has {holder.left} rows left to save"
        else:
            why = "if it is another node, give each one a name of its own (--name)"
        self._say(events.NAME_WAITS, self.name, holder.incarnation, why)

    def _say(self, event: LogEvent, *args: object) -> None:
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            log.log(event.number, event, *args)

    # --- whose keys are whose --------------------------------------------------------------------------------------

    def _wait_for_others(self, fence: Fence) -> bool:
        """For those that have keys of the share that was told while it could not be asked; false when fenced."""
        waited = False
        while self._share is not None:
            try:
                fence.beat(self._left(), self._share.short)
                why = self._look_for_others(fence, self._share)
                if not why:
                    if waited:
                        log.info(events.SHARE_FREE)
                    return True
                waited = True
                self._decide(serves=False)
                self._say(events.SHARE_WAITS, why)
            except Fenced:
                return False
            except TierUnavailable as error:
                log.debug("nobody knows who has which keys: %s", error)
            gevent.sleep(LOOK_EVERY)
        return True

    def _look_for_others(self, fence: Fence, share: Share) -> str:
        """What speaks against the share. Whoever is in the way and stands still is fenced."""
        why = ""
        now = time.monotonic()
        sights: dict[str, _Sight] = {}
        for other in fence.others():
            if not _contradicts(share, other.share):
                continue
            before = self._sights.get(other.name)
            sight = before if before is not None and before.beat == other[:2] else _Sight(other[:2], 0, now)
            if now - sight.at >= LOOK_EVERY:
                sight = _Sight(sight.beat, sight.looks + 1, now)
            if (sight.looks >= LOOKS or has_ended(other.process)) and fence.fence_off(other):
                log.warning(events.NODE_FENCED, other.name, LEASE)
                continue
            sights[other.name] = sight
            number, _, of = other.share.partition("/")
            why = why or f"{other.name} writes the keys of number {number} of {of} still"
        self._sights = sights
        return why

    def _tell(self, why: str) -> None:
        asked, self._asked = self._asked, []
        for then in asked:
            then(why)

    # --- while it is ours ------------------------------------------------------------------------------------------

    def _go_on(self, fence: Fence) -> None:
        pause = BEAT_EVERY
        while True:
            self._now.wait(pause)
            self._now.clear()
            try:
                asked_at = time.monotonic()
                fence.beat(self._left(), self._share.short if self._share is not None else "")
                if self.when_beaten is not None:
                    self.when_beaten(asked_at, fence.census())
                self._fence_others(fence)
                if self._asked and self._share is not None:
                    why = self._look_for_others(fence, self._share)
                    if why:
                        # It is not in the way of others with what it was refused.
                        self._share = None
                        fence.beat(self._left())
                    self._tell(why)
                pause = BEAT_EVERY
            except Fenced:
                return
            except TierUnavailable as error:
                if self._asked:
                    self._share = None
                self._tell(f"the database does not tell who else has keys of it: {error}")
                # It may count the attempts to log in, and block the account.
                pause = min(2 * pause, _LONGEST_PAUSE) if error.login_refused else BEAT_EVERY
                log.debug("no beat: %s", error)
                to_fence, self._to_fence = self._to_fence, []
                for _, then in to_fence:
                    then(None)

    def _fence_others(self, fence: Fence) -> None:
        while self._to_fence:
            holder, then = self._to_fence[0]
            done = fence.fence_off(holder)
            del self._to_fence[0]
            then(done)


def _contradicts(share: Share, other: str) -> bool:
    """Whether two nodes cannot have these shares by one list."""
    number, _, of = other.partition("/")
    return of != str(share.of) or number == str(share.number)
