"""Limits of a user on what comes over all of its connections together: requests a second, and bytes in flight.

Nobody gets an error. A connection whose user has asked too much is not read for a while, so TCP slows its peer down.
How many requests a read brings is known when they were served, and compiled code counts them: the user has to make up
then for what was too many. That keeps the rate exact over time, though not within one read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from ckv.net.connection import Connection
from ckv.protocol.handler import Caller, Handler
from ckv.protocol.limits import RECV_BYTES, RECV_BYTES_OF_SMALL
from ckv.protocol.steps import requests_of
from ckv.security.quota import Bucket, Quota

LOOK_EVERY: Final = 0.01
"""Seconds between two looks whether those may be read that are not, while there are any."""

BYTES_OF_A_REQUEST: Final = 64
"""What is read is taken for so many requests of this size until it is served: the next connection is read before."""

Read = Callable[[int, int], bytes]
"""See :attr:`ckv.net.transport.Transport.read`."""


class Meter:
    """Counts for one user, and says who of its connections may be read."""

    def __init__(self, quota: Quota, loop: Any, slowed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """``slowed``: how often they were slowed down before."""
        self.quota: Final = quota
        self.slowed = slowed
        """How often a connection was not read, for its user had asked too much."""
        self._clock = clock
        self._bucket = Bucket(quota.rate, clock()) if quota.rate else None
        self._guessed = 0
        """Requests that were taken from the bucket for what is not served yet."""
        self._came: dict[Connection, int] = {}
        """Bytes that have come over those connections that wait for answers, since they last waited for none; and over
        those that were read in this turn."""
        self._total = 0
        """What was in flight when it was counted, and what has come since."""
        self._has_counted = False
        """Whether that was done in this turn."""
        self._held: dict[Connection, None] = {}
        """Those that are not read, in the order in which they have their turn."""
        self._let: set[Connection] = set()
        """Those that have their turn now."""
        self._ticker: Any = loop.timer(LOOK_EVERY, LOOK_EVERY)

    def reading(self, connection: Connection, read: Read) -> Read:
        """What reads a connection in the place of ``read``."""

        def metered(fd: int, count: int) -> bytes:
            if not self._may_read(connection):
                self._hold(connection)
                raise BlockingIOError
            data = read(fd, min(count, RECV_BYTES))
            if len(data) == RECV_BYTES < count:
                connection.read_again()
            self._take(connection, len(data))
            return data

        return metered

    def counting_parts(self, handler: Handler) -> Handler:
        """That of EXEC, of which each part is a request."""

        def counted(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            if self._bucket is not None and len(params) == 1:
                self._bucket.take(max(0, len(requests_of(params[0])) - 1))
            return handler(caller, msgid, params)

        return counted

    def served(self, requests: int) -> None:
        """What was read is served, and has been so many requests."""
        if self._bucket is not None:
            self._bucket.take(requests - self._guessed)
        self._guessed = 0
        self._has_counted = False

    def forget(self, connection: Connection) -> None:
        """It is closed, or another user's."""
        self._total -= self._came.pop(connection, 0)
        self._let.discard(connection)
        if connection in self._held:
            del self._held[connection]
            connection.release(self)

    def _may_read(self, connection: Connection) -> bool:
        if self._held and connection not in self._let:
            return False  # these come first
        if self._bucket is not None and self._bucket.level(self._clock()) < 1:
            return False
        return self._room() > 0

    def _room(self) -> int:
        """Bytes that may come until too much is in flight."""
        most = self.quota.bytes_in_flight
        if not most:
            return RECV_BYTES
        if not self._has_counted:
            self._count()
        return most - self._total

    def _count(self) -> None:
        self._has_counted = True
        self._total = 0
        for connection, came in list(self._came.items()):
            session = connection.session
            if connection.in_flight or connection.unsent_bytes:
                self._total += came + connection.unsent_bytes
            elif session is None or not session.large:
                # In the middle of a large message there is nothing to wait for: it has to go on.
                del self._came[connection]

    def _take(self, connection: Connection, size: int) -> None:
        self._let.discard(connection)
        if self._bucket is not None:
            guess = 1 + size // BYTES_OF_A_REQUEST
            self._guessed += guess
            self._bucket.take(guess)
        if self.quota.bytes_in_flight:
            self._came[connection] = self._came.get(connection, 0) + size
            self._total += size

    def _hold(self, connection: Connection) -> None:
        self.slowed += 1
        self._let.discard(connection)
        if not self._held:
            self._ticker.start(self._tick)
        self._held[connection] = None
        connection.hold(self)

    def _tick(self) -> None:
        """Has as many read as there is room for: each brings a request at least."""
        self._has_counted = False
        reads = len(self._held)
        if self._bucket is not None:
            reads = min(reads, max(0, int(self._bucket.level(self._clock()))))
        if self.quota.bytes_in_flight:
            # Those for whom there is no room any more when they are read have their turn later.
            room = self._room()
            reads = min(reads, 1 + room // RECV_BYTES_OF_SMALL if room > 0 else 0)
        for connection in list(islice(self._held, reads)):
            del self._held[connection]
            self._let.add(connection)
            connection.release(self)
        if not self._held:
            self._ticker.stop()
