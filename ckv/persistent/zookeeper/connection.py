"""A connection to a ZooKeeper, over kazoo: made when it is needed, kept, and made anew where it has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import gevent
from gevent.event import Event
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, KazooException, NoAuthError
from kazoo.handlers.gevent import SequentialGeventHandler
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL

from ckv import events
from ckv.errors import Forbidden, TierUnavailable
from ckv.persistent.coordinator import ANSWER_TIMEOUT
from ckv.persistent.zookeeper.address import Ensemble

log = logging.getLogger(__name__)

SESSION: Final = 4.0
"""Seconds that the servers remember a client that they do not hear; more where two of their ticks are. Nobody leads by
a session: it bounds how long a silent server is waited for, and a primary that has ended is taken to be there."""

SILENCE: Final = 0.5
"""Seconds without an answer after which a connection that ends has a server that is silent, not one that is away: kazoo
ends it by itself where two of its signs of life were not answered, and may do so within :data:`ANSWER_TIMEOUT`."""

LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts to reach all servers, at most."""

CLOSING: Final = 1.0
"""Seconds that a server may take to end a session. Else it ends by itself, :data:`SESSION` later."""

_SILENT: Final = logging.Logger("kazoo", logging.CRITICAL + 1)
"""For what kazoo has to say: of each attempt while no server is there, and, at the level ``debug``, the password."""


class ZooKeeper:
    """One client; one greenlet at a time uses it."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble: Final = ensemble
        self._client: _Client | None = None
        self.local_host = ""
        """The address of this machine from which a server is reached; empty before one was."""

    @contextmanager
    def use(self) -> Iterator[KazooClient]:
        """The client, connected, for :data:`ANSWER_TIMEOUT`. Raises TierUnavailable, or Forbidden, in the place of
        what kazoo raises.

        Nothing is sent that would only wait for a connection. What was sent and not answered may be done later, so it
        has to be such that it harms nobody then.
        """
        asked_at: float | None = None
        waited = gevent.Timeout(ANSWER_TIMEOUT)
        try:
            with waited:
                client = self._connected()
                asked_at = time.monotonic()
                yield client
        except gevent.Timeout as timeout:
            if timeout is not waited:
                raise
            if asked_at is not None:
                raise _no_answer(ANSWER_TIMEOUT) from None
            away = "no connection to a server that is one of a majority"
            raise TierUnavailable(f"{away} within {ANSWER_TIMEOUT:g} s") from None
        except NoAuthError:
            who = f"the account {self._ensemble.user!r}" if self._ensemble.user else "who has no account"
            raise Forbidden(
                f"NoAuthError: {who} may not do this: give it all rights (cdrwa) on {self._ensemble.path} and below"
            ) from None
        except KazooException as error:
            seconds = time.monotonic() - asked_at if asked_at is not None else 0.0
            if isinstance(error, ConnectionLoss) and seconds > SILENCE:
                raise _no_answer(seconds) from error
            raise TierUnavailable(f"{type(error).__name__}{f': {error}' if str(error) else ''}") from error

    def close(self) -> None:
        """Ends the session, if there is one. Never raises."""
        client, self._client = self._client, None
        if client is not None:
            client.end()

    def _connected(self) -> KazooClient:
        if self._client is not None and self._client.handler.has_ended:
            self.close()
        if self._client is None:
            self._client = _Client(self._ensemble)
        self._client.is_connected.wait()
        self.local_host = self._client.handler.local_host
        return self._client.kazoo


def _no_answer(seconds: float) -> TierUnavailable:
    error = TierUnavailable(f"no answer within {seconds:.3g} s")
    error.silent = True
    return error


class _Client:
    """One of kazoo's, which connects by itself, again and again, until it has ended."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.handler: Final = _Handler()
        self.kazoo: Final = KazooClient(
            ensemble.hosts,
            timeout=SESSION,
            handler=self.handler,
            auth_data=[("digest", f"{ensemble.user}:{ensemble.password}")] if ensemble.user else None,
            default_acl=CREATOR_ALL_ACL if ensemble.user else None,
            connection_retry=KazooRetry(max_tries=-1, max_delay=LONGEST_PAUSE, sleep_func=self.handler.sleep_func),
            logger=_SILENT,
        )
        self.is_connected: Final[Event] = self.kazoo.start_async()

    def end(self) -> None:
        """Ends the session. Never raises."""
        with suppress(Exception), gevent.Timeout(CLOSING, TimeoutError("no answer")):
            self.kazoo.stop()
            self.kazoo.close()


class _Handler(SequentialGeventHandler):  # type: ignore[misc]
    """gevent's, which also tells what kazoo does not."""

    local_host = ""
    """The address from which the last server was reached."""
    has_ended = False
    """The greenlet of the connection has: the client is of no use any more."""

    def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        made = super().create_connection(*args, **kwargs)
        self.local_host = made.getsockname()[0]
        return made

    def spawn(self, func: Callable[[], None]) -> Any:
        # The only one that kazoo spawns without its recipes.
        return super().spawn(self._run, func)

    def _run(self, func: Callable[[], None]) -> None:
        try:
            func()
        except Exception as error:  # noqa: BLE001 - the next call makes another one, whatever this is
            log.warning(events.ZOOKEEPER_DEFECT, error)
        finally:
            self.has_ended = True
