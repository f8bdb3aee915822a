"""A session that tells :class:`~ckv.node.health.Health` how each of its statements ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ckv.errors import RowsRefused, TierError, WriteFailed
from ckv.node.health import Attempt, Health, Kind, Reason
from ckv.persistent import Loaded, RowsLocked, Session, Tier
from ckv.values import Value


def watched_connect(tier: Tier, kind: Kind, health: Health, *, again: bool) -> WatchedSession:
    """A new session for reads or for writes.

    ``again``: it takes the place of one that failed. If it fails too, before it ever worked, the session was not the
    reason. (One that was made some time ago, and not used, may have broken since, unnoticed.)
    """
    with _watched(health, health.begins(kind, connects=True), again=True):
        session = tier.connect()
    return WatchedSession(session, kind, health, again=again)


class WatchedSession:
    """One connection, with what of :class:`~ckv.persistent.Session` the workers use."""

    def __init__(self, session: Session, kind: Kind, health: Health, *, again: bool) -> None:
        self._session = session
        self._kind: Kind = kind
        self._health = health
        self._again = again
        self._open = True

    @property
    def generation(self) -> int:
        return self._session.generation

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        with self._watched():
            return self._session.load_some(keys, max_value_bytes)

    def save_many(self, rows: Sequence[tuple[str, Value]]) -> None:
        with self._watched():
            self._session.save_many(rows)

    def delete_many(self, keys: Sequence[str]) -> None:
        with self._watched():
            self._session.delete_many(keys)

    def probe(self) -> None:
        # That it passes is no good news: on a full disk it does, and what was to be written still does not fit.
        with self._watched(proves=False):
            self._session.probe()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._health.closed(self._kind)
            self._health.noted()
        self._session.close()

    @contextmanager
    def _watched(self, *, proves: bool = True) -> Iterator[None]:
        with _watched(self._health, self._health.begins(self._kind), again=self._again, proves=proves):
            yield
        self._again = False


@contextmanager
def _watched(health: Health, attempt: Attempt, *, again: bool, proves: bool = True) -> Iterator[None]:
    try:
        yield
    except (RowsRefused, RowsLocked, WriteFailed):
        health.succeeded(attempt)  # it was answered
        health.noted()
        raise
    except TierError as error:
        reason = Reason(str(error), getattr(error, "number", 0), silent=getattr(error, "silent", False))
        health.failed(attempt, reason, again=again)
        health.noted()
        raise
    except BaseException:  # an error of our own, or the end of the greenlet
        health.gave_up(attempt)
        raise
    if proves:
        health.succeeded(attempt)
    else:
        health.gave_up(attempt)
    health.noted()
