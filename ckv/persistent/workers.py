"""The greenlets that carry batches between the store and the persistent tier, each with its own connection.

A worker looks for the next batch, carries it, reports how it ended, and looks again. Loads and flushes take turns, so
that neither can starve the other with a single worker. When the tier is away it tries on for ever, with jittered
back-off; the batch went back into the store, and what it held can still be read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import gevent
import tenacity
from gevent.event import Event

from ckv import errors
from ckv.persistent import Session, Tier
from ckv.persistent.flushing import write_batch
from ckv.store.store import Store

log = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 0.05
LONGEST_BACKOFF: Final = 2.0
"""Seconds between two attempts: a random time up to a bound that doubles from the first to the longest."""


class Workers:
    """A pool of workers. One store, one tier."""

    def __init__(self, tier: Tier, size: int) -> None:
        self._tier = tier
        self._size = size
        self._work = Event()
        self._greenlets: list[gevent.Greenlet[[Store], None]] = []
        self._lost = False
        self._ever_connected = False
        # Figures since the start; ckv/figures.py says what each of them counts.
        self.losses = 0
        self.retries = 0
        self.flush_seconds_total = 0.0
        self.flush_seconds_max = 0.0

    @property
    def connected(self) -> bool:
        """Whether the last that a worker heard of the tier was good."""
        return self._ever_connected and not self._lost

    def wake(self) -> None:
        """There is something to do. Cheap, and never waits: the store calls it for every victim."""
        if not self._work.is_set():
            self._work.set()

    def start(self, store: Store) -> None:
        """Connects, and works until :meth:`close`."""
        self._greenlets = [gevent.spawn(self._run, store) for _ in range(self._size)]

    def close(self) -> None:
        """Ends the workers. What they had in hand was not reported, so it is still in the store."""
        gevent.killall(self._greenlets, block=True, timeout=1)

    def _run(self, store: Store) -> None:
        worker = _Worker(self._tier, store, self._flushed)
        # One series of attempts from one success to the next: the back-off also grows while connecting works and
        # everything else fails, as with a full disk.
        carry = tenacity.Retrying(
            wait=tenacity.wait_random_exponential(multiplier=FIRST_BACKOFF, max=LONGEST_BACKOFF),
            retry=tenacity.retry_if_exception_type(Exception),
            sleep=gevent.sleep,
            before_sleep=self._failed,
        )
        try:
            carry(worker.connect)
            self._succeeded()
            while True:
                if worker.has_work:
                    carry(worker.carry_next)
                    self._succeeded()
                else:
                    self._work.clear()
                    self._work.wait(store.flush_in())
        finally:
            worker.close()

    def _flushed(self, seconds: float) -> None:
        self.flush_seconds_total += seconds
        self.flush_seconds_max = max(self.flush_seconds_max, seconds)

    def _failed(self, state: tenacity.RetryCallState) -> None:
        self.retries += 1
        error = state.outcome.exception() if state.outcome is not None else None
        if not isinstance(error, errors.TierError):
            log.error("unexpected error between the tiers; trying on", exc_info=error)
        elif not self._lost:
            self._lost = True
            self.losses += self._ever_connected
            news = "lost" if self._ever_connected else "cannot be reached"
            log.warning("database %s: %s: %s; trying on", news, self._tier.name, error)

    def _succeeded(self) -> None:
        if self._lost or not self._ever_connected:
            log.info("database %s: %s", "back" if self._ever_connected else "connected", self._tier.name)
            self._lost = False
            self._ever_connected = True


class _Worker:
    """One connection, or none for the moment."""

    def __init__(self, tier: Tier, store: Store, flushed: Callable[[float], None]) -> None:
        """``flushed`` is told how many seconds a batch took to be committed."""
        self._tier = tier
        self._store = store
        self._flushed = flushed
        self._session: Session | None = None
        self._generation = tier.generation
        self._loads_next = True

    @property
    def has_work(self) -> bool:
        return bool(self._store.loads_queued) or self._store.flush_in() == 0

    def connect(self) -> Session:
        if self._generation != self._tier.generation:
            self.close()
        if self._session is None:
            self._generation = self._tier.generation
            self._session = self._tier.connect()
        return self._session

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def carry_next(self) -> None:
        """Carries one batch, if there is one."""
        store = self._store
        session = self.connect()
        try:
            if store.loads_queued and (self._loads_next or store.flush_in() != 0):
                self._loads_next = False
                self._load(store, session)
            else:
                self._loads_next = True
                self._flush(store, session)
        except BaseException:
            # After any error the state of the connection is unknown.
            self.close()
            raise

    def _load(self, store: Store, session: Session) -> None:
        batch = store.load_begin()
        if not batch:
            return
        try:
            # A key can be in a batch twice: a miss, a write that overtook it, and a miss again.
            found = session.load_many(list(dict.fromkeys(load.key for load in batch)))
        except BaseException as error:  # also a kill: the loads must go back whatever happens
            store.load_failed(batch, error if isinstance(error, errors.CkvError) else errors.TierError(str(error)))
            raise
        store.load_end(batch, found)

    def _flush(self, store: Store, session: Session) -> None:
        batch = store.flush_begin()
        if not batch:
            return
        began = time.monotonic()
        try:
            refused = write_batch(session, batch)
        except BaseException:  # also a kill: the rows must go back whatever happens
            store.flush_failed(batch)
            raise
        for write in batch:
            if write.key in refused:
                log.error(
                    "row refused by the database and parked; it stays readable (key of %d characters): %s",
                    len(write.key),
                    refused[write.key],
                )
        self._flushed(time.monotonic() - began)
        store.flush_end(batch, refused)
        # Not before the next batch is on its way: meanwhile the database would have nothing to do.
        gevent.get_hub().loop.run_callback(store.admit)
