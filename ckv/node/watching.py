"""A session that tells :class:`~ckv.node.health.Health` how each of its statements ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from ckv.errors import RowsRefused, TierError, WriteFailed
from ckv.node.health import Health, Kind, Reason
from ckv.persistent import NO_EXPIRY, Loaded, RowsLocked, Tier
from ckv.values import Value


class WatchedSession:
    """One connection for reads or for writes, with what of :class:`~ckv.persistent.Session` the workers use."""

    def __init__(self, tier: Tier, kind: Kind, health: Health, *, again: bool) -> None:
        """Connects. Raises what the tier raises.

        ``again``: it takes the place of one that failed. If it fails too, before it ever worked, the session was not
        the reason. (One that was made some time ago, and not used, may have broken since, unnoticed.)
        """
        self._kind: Kind = kind
        self._health = health
        self._again = True
        self._open = True
        with self._watched(connects=True):
            self._session = tier.connect()
        self._again = again

    @property
    def generation(self) -> int:
        return self._session.generation

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        with self._watched():
            return self._session.load_some(keys, max_value_bytes)

    def try_read(self) -> None:
        """Returns when the tier answers a read, whatever it says."""
        with suppress(RowsLocked):
            self.load_some([""], 0)

    def save_many(self, rows: Sequence[tuple[str, Value]], expires: Mapping[str, int] = NO_EXPIRY) -> None:
        with self._watched():
            self._session.save_many(rows, expires)

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
        self._session.close()

    @contextmanager
    def _watched(self, *, connects: bool = False, proves: bool = True) -> Iterator[None]:
        health = self._health
        attempt = health.begins(self._kind, connects=connects)
        try:
            yield
        except (RowsRefused, RowsLocked, WriteFailed):
            health.succeeded(attempt)  # it was answered
            raise
        except TierError as error:
            reason = Reason(str(error), getattr(error, "number", 0), silent=getattr(error, "silent", False))
            health.failed(attempt, reason, again=self._again)
            raise
        except BaseException:  # an error of our own, or the end of the greenlet
            health.gave_up(attempt)
            raise
        (health.succeeded if proves else health.gave_up)(attempt)
        self._again = False
