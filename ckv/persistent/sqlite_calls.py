"""Calls of SQLite: in gevent's thread pool, as SQLite has no socket to wait for, and what their errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

import gevent
import tenacity
from gevent.monkey import get_original

from ckv.errors import TierError, TierUnavailable

T = TypeVar("T")

BUSY_TIMEOUT: Final = 20.0
"""Seconds to wait for other processes' transactions. Whoever waits looks again only now and then and may find the next
one there, so that on a slow disk it may be for long. The sessions of one tier take turns
(:attr:`ckv.persistent.sqlite.SQLiteTier.turn`)."""

# The real ones also where gevent has replaced them: they are used in the pool's threads, not in greenlets.
new_lock = get_original("threading", "Lock")
_sleep = get_original("time", "sleep")


def patiently(call: Callable[[str], object], statement: str) -> None:
    """For what SQLite fails at once, without its usual wait, while another connection does it to the same new file."""
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: code(error) == sqlite3.SQLITE_BUSY),
        stop=tenacity.stop_after_delay(BUSY_TIMEOUT),
        wait=tenacity.wait_random(0, 0.05),
        sleep=_sleep,
        reraise=True,
    )
    retry(call, statement)


def in_pool(call: Callable[..., T], *args: object) -> T:
    """What the call returns, made in a thread of the pool. Raises a TierError, and nothing else."""

    def outcome() -> T | TierError:
        # An error that is raised in the pool also gets its traceback printed by gevent.
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 - it is raised below
            return as_tier_error(error)

    found: T | TierError = gevent.get_hub().threadpool.apply(outcome)
    if isinstance(found, TierError):
        raise found
    return found


def as_tier_error(error: Exception) -> TierError:
    """The error that a tier may raise."""
    return error if isinstance(error, TierError) else TierUnavailable(text(error))


def code(error: BaseException) -> int:
    """The primary code of an error of SQLite, without the detail that the upper bits add; 0 without one."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def text(error: Exception) -> str:
    """What an error says, in one line."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return " ".join(f"SQLite {name}: {error}".split())
