"""The connections of one client: lent to one caller at a time, and left behind by a fork."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ckv.client.connection import Connection
from ckv.client.login import Login
from ckv.errors import PoolExhausted, Unreachable

if TYPE_CHECKING:
    from ckv.tls import Tls


class _Waiter:
    """A caller that waits for a connection; ``turn`` can be acquired when there is one."""

    def __init__(self) -> None:
        self.turn: Final = threading.Lock()
        self.turn.acquire()
        self.given: Connection | None = None


class Pool:
    """At most ``size`` connections. The one that was used last is lent first: few callers use few connections.

    Who finds all of them lent waits in a queue, and a connection that comes back goes to whoever came first. Lending
    and giving back take no lock where nobody waits: ``pop`` and ``append`` of a list are one step for other threads.
    What comes back is idle before anybody looks who waits, and who waits is in the queue before looking what is idle.
    """

    def __init__(self, host: str, port: int, size: int, login: Login | None = None, tls: Tls | None = None) -> None:
        self._host: Final = host
        self._port: Final = port
        self._login: Final = login
        self._tls: Final = tls
        self.size: Final = size
        self._lock: Final = threading.Lock()
        self._all: Final[set[Connection]] = set()
        """The idle ones and those that are lent, so that a fork at any moment finds each of them."""
        self._idle: Final[list[Connection]] = []
        self._waiters: Final[deque[_Waiter]] = deque()
        self._forked = False

    def __repr__(self) -> str:
        connections = len(self._all)
        lent = connections - len(self._idle)
        return f"{connections} of {self.size} connections, {lent} in use" if connections else "not connected"

    def take(self, deadline: float) -> Connection:
        """A connection for the caller alone, until :meth:`give_back`. It may have to connect yet.

        Waits until the deadline (monotonic clock) for one that comes free. Raises PoolExhausted.
        """
        try:
            return self._idle.pop()
        except IndexError:
            pass
        with self._lock:
            if self._forked:
                raise Unreachable(f"the process was forked before the call to {self._host}:{self._port} was sent")
            if len(self._all) < self.size:
                return self._new()
            waiter = _Waiter()
            self._waiters.append(waiter)
        try:
            self._hand_over()
            waiter.turn.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except BaseException:  # Ctrl-C, or a gevent time-out around the call
            if given := self._leave(waiter):
                self.give_back(given)
            raise
        if given := self._leave(waiter):
            return given
        address = f"{self._host}:{self._port}"
        raise PoolExhausted(f"all {self.size} connections to {address} were in use until the call's time was over")

    def give_back(self, connection: Connection) -> None:
        """What :meth:`take` gave. A connection that was dropped makes room for a new one."""
        if connection.connected:
            self._idle.append(connection)
            if connection.retired:
                self._drop_retired()
        else:
            self._all.discard(connection)
        if self._waiters:
            self._hand_over()

    def may_share(self, connection: Connection) -> bool:
        """Whether a connection that is lent may be kept, for greenlets to share.

        Where gevent has patched the sockets, another one is left for what needs one alone, and nobody waits. Not by
        TLS: of what was sealed and is unsent nothing can be taken back.
        """
        if self._tls is not None:
            return False
        patched = sys.modules.get("gevent.socket")
        if patched is None or patched.socket is not socket.socket or self._forked:
            return False
        return connection.connected and not connection.retired and self.size > 1 and not self._waiters

    def close(self) -> None:
        """Close the connections that nobody uses now, and each other one when it comes back."""
        for connection in list(self._all):
            connection.retired = True
        self._drop_retired()

    def forked(self) -> None:
        """Let go of everything, in the process that a fork has made; this pool is of no use there.

        The lock may be held, by a thread that does not exist here.
        """
        self._forked = True
        for connection in list(self._all):
            connection.forked()

    def _new(self) -> Connection:
        connection = Connection(self._host, self._port, self._login, self._tls)
        self._all.add(connection)
        return connection

    def _hand_over(self) -> None:
        """Give what is idle, or what there is room for, to those who wait."""
        with self._lock:
            while self._waiters:
                try:
                    connection = self._idle.pop()
                except IndexError:
                    if len(self._all) >= self.size:
                        return
                    connection = self._new()
                waiter = self._waiters.popleft()
                waiter.given = connection
                waiter.turn.release()

    def _drop_retired(self) -> None:
        """Of those that are idle."""
        with self._lock:
            for connection in list(self._idle):  # a copy, made in one step
                if connection.retired:
                    with suppress(ValueError):  # lent meanwhile
                        self._idle.remove(connection)
                        self._all.discard(connection)
                        connection.drop()

    def _leave(self, waiter: _Waiter) -> Connection | None:
        """Stop waiting; what the waiter was given."""
        with self._lock:
            if waiter.given is None:
                self._waiters.remove(waiter)
            return waiter.given
