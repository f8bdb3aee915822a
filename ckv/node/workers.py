"""The greenlets that carry batches between the store and the persistent tier, each with its own connection.

Loads have workers of their own, so that a lock or a backup, for which a flush may wait long, holds up no read. When the
tier is away they try on for ever, with jittered back-off and one at a time; the batch is back in the store, where it
can be read. Loads fail at once then: see :mod:`ckv.node.health`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final

import gevent
import tenacity
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from ckv import errors, events
from ckv.node.crew import Crew
from ckv.node.daytime import now_ms
from ckv.node.flushing import flush
from ckv.node.health import Change, Health, Kind
from ckv.node.purging import Purger
from ckv.node.unsaved import Unsaved
from ckv.node.walking import Walker
from ckv.node.watching import WatchedSession
from ckv.persistent import RowsLocked, Tier
from ckv.store.loading import LOAD_BYTES
from ckv.store.store import Store

log = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 0.05
LONGEST_BACKOFF: Final = 2.0
"""Seconds between two attempts: a random time up to a bound that doubles from the first to the longest."""

FIRST_LOGIN_BACKOFF: Final = 5.0
LONGEST_LOGIN_BACKOFF: Final = 60.0
"""The same, and not random, after the server refused the account: it may count the attempts, and block it."""

LOOK_AT_LOGIN: Final = 1.0
"""Seconds between two looks during a back-off whether the file with the password has changed."""

HUNG_AFTER: Final = 1.0
"""Seconds before a statement may be said to hang, also with a shorter ``--load-timeout``."""

HELP_AFTER: Final = 0.2
"""Seconds for which all loads may be at a standstill before one more connection is made for them."""

HELPER_IDLE: Final = 5.0
"""Seconds without a load after which that connection is closed."""

GATHER: Final = 0.0005
"""Seconds that a worker waits for more to carry while another one is under way."""

GATHERED: Final = 32
"""Keys or rows for which it does not."""

ALL_LOADS_BYTES: Final = 16 * 1024 * 1024
"""The most bytes of values that all queries together may bring at a time, as far as no single value is larger."""

SMALLEST_LOAD_BYTES: Final = 64 * 1024

_ordinary_backoff = tenacity.wait_random_exponential(multiplier=FIRST_BACKOFF, max=LONGEST_BACKOFF)


class Workers:
    """As many workers for loads, and as many for flushes, as the pool has. One store, one tier."""

    def __init__(self, tier: Tier, size: int, load_timeout: float) -> None:
        """``load_timeout`` in seconds: a load that takes longer hangs."""
        self.tier = tier
        self.health = Health(time.monotonic, max(load_timeout, HUNG_AFTER), self._noted)
        self._load_bytes = min(LOAD_BYTES, max(ALL_LOADS_BYTES // size, SMALLEST_LOAD_BYTES))
        """The most bytes of values that a query may bring, as far as no single value is larger."""
        self._size = size
        self._loaders = Crew()
        self._flushers = Crew()
        self._to_help = Event()
        self._hurry = Event()
        self._may_carry = Event()
        self._may_carry.set()
        self.wake: Final = self._flushers.wake
        self.wake_loads: Final = self._loaders.wake
        self.hurry: Final[Callable[[], None]] = self._hurry.set
        """Ends the back-off: somebody has mended something."""
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        self._store: Store
        self._unsaved: Unsaved
        self._finding_out = BoundedSemaphore(1)
        """Held while a connection is made, and for as long as that fails: there is one attempt at a time."""
        self._logins_refused = 0
        self._refused = ""
        self._calls_before = (0, 0)
        self._ever_up = False
        self.may_tell: Callable[[], bool] = lambda: True
        """Whether what was loaded may be told: nobody else can have written to it since it was asked for."""
        self.purger = Purger(tier, now_ms)
        self.walker = Walker(tier, lambda: self.health.reads_away, load_timeout)
        # Figures since the start; ckv/node/figures.py says what each of them counts.
        self.retries = 0
        self.flush_seconds_total = 0.0
        self.flush_seconds_max = 0.0

    def renew(self) -> None:
        """Has all sessions connect anew, for they keep the limits that the server had when they began."""
        self.tier.generation += 1
        self.hurry()

    def hold(self) -> None:
        """From now on they connect and no more: who has the name of the node is not known."""
        self._may_carry.clear()

    def go_on(self) -> None:
        """Takes that back."""
        self._may_carry.set()

    def start(self, store: Store) -> None:
        """Connects, and works until :meth:`close`."""
        self._store = store
        self._unsaved = Unsaved(store, time.monotonic)
        self.tier.when_other = store.distrust
        loads = partial(_Worker, self, "read", store.load_in, self._load)
        flushes = partial(_Worker, self, "write", store.flush_in, self._flush)
        self._greenlets = [gevent.spawn(self._help, loads()), gevent.spawn(self.purger.run, self._purges)]
        self._greenlets.append(gevent.spawn(self.walker.run))
        for _ in range(self._size):
            self._greenlets.append(gevent.spawn(self._work, loads(), self._loaders, lambda: store.loading.queued))
            self._greenlets.append(gevent.spawn(self._work, flushes(), self._flushers, lambda: store.pending.queued))

    def _purges(self) -> bool:
        return self._may_carry.is_set() and self.health.answers and self._store.expiry_seen

    def close(self) -> None:
        """Ends the workers. What they had in hand was not reported, so it is still in the store."""
        gevent.killall(self._greenlets, block=True, timeout=1)

    def look(self) -> None:
        """Notices what did not happen. To be called some ten times a second, from :meth:`start` on."""
        self._noted()
        self._unsaved.look()
        self.walker.look()
        if self._store.load_in() == 0 and self.health.stuck("read", HELP_AFTER):
            self._to_help.set()

    # --- the greenlets ---------------------------------------------------------------------------------------------

    def _work(self, worker: _Worker, crew: Crew, queued: Callable[[], int]) -> None:
        """Carries what is due, and waits for more. ``queued``: how much is due."""
        with closing(worker):
            while True:
                self._ready(worker)
                if (due := worker.due_in()) != 0:
                    crew.wait(due)
                    continue
                if crew.busy and queued() < GATHERED:
                    gevent.sleep(GATHER)
                self._carry(worker, crew)

    def _help(self, worker: _Worker) -> None:
        """Loads over one more connection, which there is only as long as all the others are at a standstill."""
        with closing(worker):
            while True:
                self._to_help.wait()
                self._ready(worker)
                while worker.due_in() == 0:
                    self._carry(worker, self._loaders)
                self._to_help.clear()
                if not self._to_help.wait(HELPER_IDLE):
                    worker.close()

    def _carry(self, worker: _Worker, crew: Crew) -> None:
        """Carries a batch, in a series of attempts from one success to the next: the back-off grows also while
        connecting alone works.
        """
        failed: list[Exception] = []

        def attempt() -> None:
            if failed:
                raise failed.pop()
            self._ready(worker)
            worker.carry_next()

        self._may_carry.wait()
        crew.busy += 1
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - all of them count as failed attempts
            failed.append(error)  # the first of the series, which is made only now: it costs as much as a batch
            self._series()(attempt)
        finally:
            crew.busy -= 1

    def _series(self) -> tenacity.Retrying:
        return tenacity.Retrying(wait=self._backoff, sleep=self._pause, before_sleep=self._failed)

    def _ready(self, worker: _Worker) -> None:
        """Returns when the worker has a connection that is fit to be used."""
        while not worker.ready:
            with self._finding_out:
                self._series()(worker.make_ready)

    def _load(self, session: WatchedSession) -> None:
        store = self._store
        query = store.load_begin(self._load_bytes)
        if query is None:
            return
        if store.load_in() is not None:
            self.wake_loads()
        began = time.monotonic()
        try:
            # A key can be in a query twice: a miss, a write that overtook it, and a miss again.
            found, larger, expires = session.load_some(
                [*dict.fromkeys(load.key for load in query.loads)], query.max_value_bytes
            )
            if session.generation != self.tier.generation:
                raise errors.TierUnavailable("the answer came over a connection that had become unfit")
            if not self.may_tell():
                raise errors.TierUnavailable("another node may have written to these keys meanwhile")
        except RowsLocked as error:
            store.load_locked(query, errors.TierError(f"somebody has locked the row: {error}"))
            return
        except BaseException as error:  # also a kill: the loads must go back whatever happens
            store.load_failed(query, error if isinstance(error, errors.CkvError) else errors.TierError(str(error)))
            raise
        store.load_end(query, found, larger, expires)
        log.debug("loaded %d of %d keys in %.1f ms", len(found), len(query.loads), 1000 * (time.monotonic() - began))

    def _flush(self, session: WatchedSession) -> None:
        store = self._store
        batch = store.flush_begin()
        if not batch:
            return
        if store.flush_in() is not None:
            self.wake()  # for what is left, though it may not be due yet: this one may hang
        began = time.monotonic()
        if flush(store, session, batch):
            took = time.monotonic() - began
            self.flush_seconds_total += took
            self.flush_seconds_max = max(self.flush_seconds_max, took)
            log.debug("flushed %d rows in %.1f ms", len(batch), 1000 * took)
        # Not before the next batch is on its way: meanwhile the database would have nothing to do.
        gevent.get_hub().loop.run_callback(store.admit)

    # --- attempts that fail ------------------------------------------------------------------------------------------

    def _backoff(self, state: tenacity.RetryCallState) -> float:
        if not getattr(state.outcome and state.outcome.exception(), "login_refused", False):
            self._logins_refused = 0
            return _ordinary_backoff(state)
        self._logins_refused += 1
        return float(min(FIRST_LOGIN_BACKOFF * 2 ** (self._logins_refused - 1), LONGEST_LOGIN_BACKOFF))

    def _pause(self, seconds: float) -> None:
        login = self.tier.login()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._hurry.wait(min(left, LOOK_AT_LOGIN)) or self.tier.login() != login:
                break
        self._hurry.clear()

    def _failed(self, state: tenacity.RetryCallState) -> None:
        self.retries += 1
        assert state.outcome is not None
        error = state.outcome.exception()
        if not isinstance(error, errors.TierError):
            log.error(events.TIER_DEFECT, exc_info=error)

    # --- what is said about it ---------------------------------------------------------------------------------------

    def _noted(self) -> None:
        """Something was learnt about the tier."""
        if change := self.health.look():
            self._say(change)
        away = self.health.reads_away
        if away != self._refused:
            self._refused = away
            if away:
                self._store.loads_refused(errors.TierUnavailable(f"the persistent tier is away: {away}"))
            else:
                self._store.loads_accepted()

    def _say(self, change: Change) -> None:
        name = self.tier.name
        before, after = change.before, change.after
        figures = self._store.figures
        calls = (figures.load_refusals + figures.refused_for_room, figures.load_timeouts + figures.commit_timeouts)
        if before in ("up", "connecting"):
            self._calls_before = calls
        refused, waited = (now - then for now, then in zip(calls, self._calls_before, strict=True))
        after_all = (change.trouble_seconds, change.seconds, before, refused, waited)
        if after == "up":
            if before == "connecting":
                log.info(events.DATABASE_CONNECTED, name)
            else:
                log.info(events.DATABASE_BACK if self._ever_up else events.DATABASE_AT_LAST, name, *after_all)
            self._ever_up = True
        elif before == after:
            lasts = round(change.trouble_seconds, 1)
            log.warning(events.DATABASE_STILL, after, name, change.reason, extra={"lasts": lasts})
        elif after == "slow":
            if before == "up":
                log.warning(events.DATABASE_SLOW, name, change.reason)
            else:
                log.warning(events.DATABASE_SLOW_NOW, name, change.reason, *after_all)
        elif after == "hung":
            log.warning(events.DATABASE_HUNG, name, change.reason)
        else:
            was_there = self.health.reached
            log.warning(events.DATABASE_LOST if was_there else events.DATABASE_UNREACHABLE, name, change.reason)


class _Worker:
    """One connection, or none for the moment, and what it is there for."""

    def __init__(
        self, workers: Workers, kind: Kind, due_in: Callable[[], float | None], carry: Callable[[WatchedSession], None]
    ) -> None:
        """``carry`` carries one batch, if there is one. ``due_in`` says in how many seconds there will be one; None for
        not before somebody says so.
        """
        self.due_in = due_in
        self._carry = carry
        self._kind: Kind = kind
        self._tier = workers.tier
        self._health = workers.health
        self._session: WatchedSession | None = None
        self._failed = False

    @property
    def ready(self) -> bool:
        """Whether there is a connection that is fit to be used."""
        return self._session is not None and self._session.generation == self._tier.generation and not self._doubtful

    def make_ready(self) -> None:
        """Connects, anew if need be. Raises what the tier raises."""
        self.close()
        self._session = WatchedSession(self._tier, self._kind, self._health, again=self._failed)
        if self._doubtful:
            # Nothing is loaded as long as that fails, so that something has to be asked for.
            self._use(WatchedSession.try_read)

    def carry_next(self) -> None:
        """Carries one batch, if there is one. Only when it is ready."""
        self._use(self._carry)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    @property
    def _doubtful(self) -> bool:
        return self._kind == "read" and self._health.doubtful("read")

    def _use(self, carry: Callable[[WatchedSession], None]) -> None:
        assert self._session is not None
        try:
            carry(self._session)
        except BaseException:
            # After any error the state of the connection is unknown.
            self._failed = True
            self.close()
            raise
        self._failed = False
