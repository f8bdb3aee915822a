"""The name of a node: claimed before the node serves, kept by a beat, and waited for while another process has it.

Nothing is loaded and nothing is written before the name is ours: what the process before us has still to save would
come later than our loads, and over our rows. For a moment, or while the database is away, nobody knows whose it is.
The node then serves what it is given, from memory alone: none of that is older than what the other one may have.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import gevent
from gevent.event import Event

from ckv.errors import Fenced, Forbidden, TierUnavailable
from ckv.node.processes import has_ended, myself
from ckv.persistent import Fence, Holder, Tier

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
                    log.warning("the name %s could not be given back: %s", self.name, error)
            self._fence.close()

    # --- until it is ours ------------------------------------------------------------------------------------------

    def _run(self, fence: Fence) -> None:
        self._claim(fence)
        self._ours = True
        self._other = None
        log.info("the name %s is taken, incarnation %d", self.name, fence.incarnation)
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
                    log.warning(
                        "the process that had the name %s, incarnation %d, %s: it is fenced, and cannot write any more",
                        self.name,
                        holder.incarnation,
                        "has ended" if still < LOOKS else f"has stood still for {LEASE:g} s",
                    )
                    continue
            except TierUnavailable as error:
                still = 0
                if before is None:
                    self._say(f"the name {self.name} cannot be claimed yet: {error}")
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
            what = f"it is stopping, and has {holder.left} rows left to save"
        else:
            what = "if it is another node, give each one a name of its own (--name)"
        self._say(f"waiting: another process has the name {self.name}, incarnation {holder.incarnation}: {what}")

    def _say(self, text: str) -> None:
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            log.warning(text)

    # --- while it is ours ------------------------------------------------------------------------------------------

    def _go_on(self, fence: Fence) -> None:
        pause = BEAT_EVERY
        while True:
            self._now.wait(pause)
            self._now.clear()
            try:
                fence.beat(self._left())
                pause = BEAT_EVERY
            except Fenced:
                return
            except TierUnavailable as error:
                # It may count the attempts to log in, and block the account.
                pause = min(2 * pause, _LONGEST_PAUSE) if error.login_refused else BEAT_EVERY
                log.debug("no beat: %s", error)
