"""What has arrived from the clients of a server in one turn, and how it is served."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ckv import errors
from ckv.net.connection import Connection
from ckv.protocol.handler import Line
from ckv.protocol.limits import SPARE_BUFFER_BYTES
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.protocol.session import Session

log = logging.getLogger(__name__)


class Inbox:
    """Serves the connections of clients, in any number, with one table of methods."""

    def __init__(self, methods: RpcMethods) -> None:
        self._methods = methods
        self.inbox: list[tuple[Connection, bytes]] = []
        """What has arrived in this turn, put there by the :class:`~ckv.net.poller.Poller`."""

    def new_session(self, line: Line, first: int) -> Session:
        """The session of a client whose first byte this is, which tells its protocol.

        There is one now, and so nothing to choose: whatever is no msgpack-RPC is told apart by its session.
        """
        return RpcSession(line, self._methods)

    def adopt(self, connection: Connection) -> None:
        """Serves it from now on, in the place of whoever did."""
        connection.hand_over_to(self)
        if isinstance(connection.session, RpcSession):
            connection.session.move_to(self._methods)

    def refuse_everything(self, error: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on every request is answered with this error, ``but`` those of these methods."""
        self._methods.refuse_everything(error, but)

    def receive_all(self) -> list[tuple[Connection, bytes]]:
        """Serves what is there. Returns answers to be sent at the end of the turn, besides those that were posted."""
        answered: list[tuple[Connection, bytes]] = []
        # What answers many requests at once, from memory alone, would take its share of the inbox here.
        for connection, data in self.inbox:
            session = connection.session
            if session is None or connection.held or not data:
                connection.received(data)
                continue
            try:
                answers = session.received(data)
            except Exception:  # it must not cost the other connections what was read for them
                log.exception("unexpected error while serving %s", connection.peer)
                connection.close("unexpected error")
                continue
            if session.attention or len(answers) > SPARE_BUFFER_BYTES:
                connection.attend(answers)
            elif answers:
                answered.append((connection, answers))
        return answered
