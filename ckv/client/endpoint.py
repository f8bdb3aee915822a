"""One node, as a client reaches it: connections that are lent, and perhaps one that greenlets share."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final, Protocol

from ckv.client.calls import Call
from ckv.client.connection import Connection, Introduction
from ckv.client.login import Login
from ckv.client.pool import Pool
from ckv.client.reaching import Budget

if TYPE_CHECKING:
    from ckv.client.shared import Shared
    from ckv.tls import Tls

LONGEST_AVOIDED: Final = 30.0
"""Seconds for which a node is not asked that could not be, at most."""

AT_ONCE: Final = 0.5
"""Seconds within which what several callers find counts once."""


class Way(Protocol):
    """How the calls of a client get to whoever answers them: to one node, or to the owners of their keys."""

    def single(self, call: Call, timeout: float, deadline: float, connect_timeout: float, /) -> object:
        """Make one call; its result, or its :class:`CkvError`. It may take ``timeout`` seconds, until the deadline of
        the monotonic clock, and connecting ``connect_timeout`` more. Raises only ``Unreachable``: nothing was sent."""

    def exchange(
        self, calls: Sequence[Call], timeout: float, deadline: float, connect_timeout: float, /
    ) -> list[object]:
        """The same for many calls; the deadline is that of the first answer, and each one puts it off."""

    def retire(self) -> None:
        """End what would live on when nobody has the client any more."""

    def close(self) -> None:
        """Close the connections: each one that a call is on when that is over."""

    def forked(self) -> Way:
        """Let go of everything, in a process that a fork has made; another one, for this process."""


class Endpoint:
    """The way to one node."""

    def __init__(self, host: str, port: int, size: int, login: Login | None = None, tls: Tls | None = None) -> None:
        """``size``: how many connections there may be. ``login``: with which each of them begins. ``tls``: whom they
        trust; None without TLS."""
        self.host: Final = host
        self.port: Final = port
        self.login: Final = login
        self.tls: Final = tls
        self._pool: Final = Pool(host, port, size, login, tls)
        self._shared: Shared | None = None
        self.failures = 0
        """How often in a row it could not be asked, though it is said to be there."""
        self.avoided_until = 0.0
        """When to try again, by the monotonic clock."""
        self._failed_at = 0.0
        self._is_discarded = False

    def __repr__(self) -> str:
        return repr(self._pool)

    def single(
        self,
        call: Call,
        timeout: float,
        deadline: float,
        connect_timeout: float,
        introduction: Introduction | None = None,
        budget: Budget | None = None,
    ) -> object:
        """See :class:`Way`. ``introduction``: what the node has to have been told over the same connection before, and
        ``budget``: the time for that, if it is shared with others."""
        pool, shared = self._pool, self._shared
        if shared is not None and not shared.retired:
            if shared.introduction is not introduction:
                shared.retire()
            elif shared.takes(call, timeout, deadline):
                return call.result
        connection = pool.take(deadline)
        connection.introduction, connection.budget = introduction, budget
        try:
            return connection.call(call, timeout, deadline, connect_timeout)
        finally:
            may_share = (shared is None or shared.retired) and shared is self._shared and not self._is_discarded
            if may_share and pool.may_share(connection):
                self._share(connection)
            else:
                self._give_back(connection)

    def exchange(
        self,
        calls: Sequence[Call],
        timeout: float,
        deadline: float,
        connect_timeout: float,
        introduction: Introduction | None = None,
        budget: Budget | None = None,
    ) -> list[object]:
        """See :class:`Way`, and :meth:`single`."""
        if len(calls) == 1:
            return [self.single(calls[0], timeout, deadline, connect_timeout, introduction, budget)]
        with closing(self.conversation(calls, timeout, deadline, connect_timeout, introduction, budget)) as steps:
            for _ in steps:
                pass
        return [call.result for call in calls]

    def conversation(
        self,
        calls: Sequence[Call],
        timeout: float,
        deadline: float,
        connect_timeout: float,
        introduction: Introduction | None = None,
        budget: Budget | None = None,
    ) -> Generator[None]:
        """:meth:`exchange` in steps, see :meth:`ckv.client.connection.Connection.conversation`. The first one has a
        connection. Who has several at a time has to have begun with them by :attr:`order`."""
        connection = self._pool.take(deadline)
        connection.introduction, connection.budget = introduction, budget
        try:
            yield from connection.conversation(calls, timeout, deadline, connect_timeout)
        finally:
            self._give_back(connection)

    @property
    def order(self) -> int:
        """Of all endpoints of the process: whoever waits for one lends none that comes later."""
        return id(self)

    def discard(self) -> None:
        """Close it for good, when it is nobody's any more but of those that have a call on it."""
        self._is_discarded = True
        self.close()

    def _give_back(self, connection: Connection) -> None:
        self._pool.give_back(connection)
        if self._is_discarded:
            self.close()

    def retire(self) -> None:
        """See :class:`Way`: the loop of gevent would keep the shared connection for ever."""
        if self._shared is not None:
            self._shared.retire()

    def close(self) -> None:
        """See :class:`Way`."""
        self.retire()
        self._pool.close()

    def forked(self) -> Endpoint:
        """See :class:`Way`."""
        shared, self._shared = self._shared, None
        self._pool.forked()
        if shared is not None:
            shared.forked()
        return Endpoint(self.host, self.port, self._pool.size, self.login, self.tls)

    def avoid(self) -> None:
        """It could not be asked: it is not for a while, which grows from 1 s to :data:`LONGEST_AVOIDED`."""
        now = time.monotonic()
        if self.failures and now < self._failed_at + AT_ONCE:
            return  # many callers have found the same
        self._failed_at = now
        self.avoided_until = now + min(2.0**self.failures, LONGEST_AVOIDED)
        self.failures = min(self.failures + 1, 16)

    def may_be_asked(self) -> bool:
        """Whether it is time to try it; for one caller at a time, if it failed before."""
        if not self.failures:
            return True
        now = time.monotonic()
        if now < self.avoided_until:
            return False
        self.avoided_until = now + LONGEST_AVOIDED
        return True

    def _share(self, connection: Connection) -> None:
        """Has greenlets share a connection, which is then nobody's alone."""
        from ckv.client.shared import Shared  # it needs gevent, which is there

        self._shared = Shared(connection, self._pool.give_back)
