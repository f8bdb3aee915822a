"""What has arrived from the clients of a server in one turn, and how it is served."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ckv import errors
from ckv.net.connection import Connection
from ckv.protocol.handler import Line
from ckv.protocol.limits import SPARE_BUFFER_BYTES
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.protocol.quick import NoCore, QuickSession
from ckv.protocol.session import Session
from ckv.protocol.shortcuts import CUT, ENOUGH, Core

log = logging.getLogger(__name__)


class Inbox:
    """Serves the connections of clients, in any number, with one table of methods."""

    def __init__(self, methods: RpcMethods, core: Core | None = None) -> None:
        """``core``: compiled code that answers what it can before the methods are asked."""
        self._methods = methods
        self._core = core
        self.inbox: list[tuple[Connection, bytes]] = []
        """What has arrived in this turn, put there by the :class:`~ckv.net.poller.Poller`."""

    def new_session(self, line: Line, first: int) -> Session:
        """The session of a client whose first byte this is, which tells its protocol.

        There is one protocol now, so it is not looked at: the session ends a connection that sends anything else.
        """
        return QuickSession(line, self._methods)

    def adopt(self, connection: Connection) -> None:
        """Serves it from now on, in the place of whoever did."""
        connection.hand_over_to(self)
        if isinstance(connection.session, RpcSession):
            connection.session.move_to(self._methods)

    def refuse_everything(self, error: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on every request is answered with this error, ``but`` those of these methods."""
        if self._core is not None:
            self._core = NoCore()
        self._methods.refuse_everything(error, but)

    def receive_all(self) -> list[tuple[Connection, bytes]]:
        """Serves what is there. Returns answers to be sent at the end of the turn, besides those that were posted."""
        answered: list[tuple[Connection, bytes]] = []
        for connection, data in self.inbox if self._core is None else self._served_by(self._core, answered):
            session = connection.session
            if session is None or connection.held or not data:
                connection.received(data)
                continue
            try:
                answers = session.received(data)
            except Exception:  # noqa: BLE001 - it must not cost the other connections what was read for them
                self._failed(connection)
                continue
            if session.attention:
                connection.attend(answers)
            elif answers:
                answered.append((connection, answers))
        return answered

    def _served_by(self, core: Core, answered: list[tuple[Connection, bytes]]) -> list[tuple[Connection, bytes]]:
        """Has compiled code serve what it can; returns what is left."""
        left = []
        connections = []
        inbox: list[tuple[QuickSession, bytes]] = []
        for connection, data in self.inbox:
            if connection.session is None and data:
                connection.open(data[0])
            session = connection.session
            if not isinstance(session, QuickSession) or not data or connection.held:
                left.append((connection, data))
            elif session.is_between and not session.attention:
                if session.arriving is not None:
                    data = session.arrive(core, session.arriving, data)
                    if not data:
                        continue
                connections.append(connection)
                inbox.append((session, session.with_kept(data)))
            else:
                left.append((connection, session.with_kept(data)))
        while connections:
            try:
                outcomes = core.serve_all(inbox)
            except MemoryError:
                log.exception("there is no memory to answer what %d connections have asked", len(connections))
                for connection in connections:
                    connection.close("out of memory")
                return left
            again: list[tuple[Connection, QuickSession, bytes]] = []
            for connection, (session, data), outcome in zip(connections, inbox, outcomes, strict=False):
                if isinstance(outcome, bytes):
                    answers = outcome
                else:
                    answers, end, why = outcome
                    if why == ENOUGH:
                        connection.post(answers)
                        if not connection.held:
                            again.append((connection, session, data[end:]))
                            continue
                        answers = b""
                    try:
                        answers += session.go_on(data[end:], why == CUT)
                    except Exception:  # noqa: BLE001 - as above
                        self._failed(connection)
                        continue
                if session.attention or len(answers) > SPARE_BUFFER_BYTES:
                    connection.attend(answers)
                elif answers:
                    answered.append((connection, answers))
            done = len(outcomes)
            connections = [connection for connection, _, _ in again] + connections[done:]
            inbox = [(session, data) for _, session, data in again] + inbox[done:]
        return left

    def _failed(self, connection: Connection) -> None:
        """Ends a connection whose request met a defect."""
        log.exception("unexpected error while serving %s", connection.peer)
        connection.close("unexpected error")
