"""What has arrived from the clients of a server in one turn, and how it is served."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from ckv import errors, events
from ckv.net.connection import Connection
from ckv.protocol.handler import CUT, ENOUGH, NO_CORES, Cores, Line, Loop
from ckv.protocol.limits import SPARE_BUFFER_BYTES
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.protocol.quick import QuickSession
from ckv.protocol.resp.methods import RespMethods
from ckv.protocol.resp.parsing import FIRST_BYTES
from ckv.protocol.resp.quick import QuickRespSession
from ckv.protocol.session import Session

log = logging.getLogger(__name__)

Pairs = list[tuple[Connection, bytes]]
"""What has arrived from connections, or what is to be sent to them."""

Asked = list[tuple[QuickSession | QuickRespSession, bytes]]
"""What has arrived from their sessions, for compiled code."""


class Counts(Protocol):
    """Counts requests, each of several in one message."""

    @property
    def requests(self) -> int: ...


class Inbox:
    """Serves the connections of clients, in any number, with one table of methods."""

    def __init__(self, methods: RpcMethods, cores: Cores = NO_CORES, resp: RespMethods | None = None) -> None:
        """``cores``: compiled code that answers what it can before the methods are asked. ``resp``: what clients of
        Redis may call, if those are served."""
        self._methods = methods
        self._resp = resp
        self._cores = self._all_cores = cores
        self.inbox: Pairs = []
        """What has arrived in this turn, put there by the :class:`~ckv.net.poller.Poller`."""

    @property
    def counters(self) -> list[Counts]:
        """Who counts the requests that came; compiled code may be that of other inboxes, too."""
        sources = (self._methods, self._resp, self._all_cores.rpc, self._all_cores.resp)
        return [source for source in sources if source is not None]

    def new_session(self, line: Line, first: int) -> Session:
        if self._resp is not None and first in FIRST_BYTES:
            return QuickRespSession(line, self._resp)
        # It ends a connection that sends anything else.
        return QuickSession(line, self._methods)

    def adopt(self, connection: Connection) -> None:
        """Serves it from now on, in the place of whoever did."""
        connection.hand_over_to(self)
        if isinstance(connection.session, RpcSession):
            connection.session.move_to(self._methods)
        elif isinstance(connection.session, QuickRespSession) and self._resp is not None:
            connection.session.move_to(self._resp)

    def refuse_everything(self, error: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on every request is answered with this error, ``but`` those of these methods."""
        self._cores = NO_CORES
        self._methods.refuse_everything(error, but)
        if self._resp is not None:
            self._resp.refuse_everything(error, but)

    def refuse_nothing(self) -> None:
        """Takes that back."""
        self._cores = self._all_cores
        self._methods.refuse_nothing()
        if self._resp is not None:
            self._resp.refuse_nothing()

    def receive_all(self) -> Pairs:
        core, resp_core, goes_ahead = self._cores
        answered: Pairs = []
        asking: list[Connection] = []
        asked: Asked = []
        asking_resp: list[Connection] = []
        asked_resp: Asked = []
        for connection, data in self.inbox:
            try:
                session = connection.session
                if session is None and data:
                    session = connection.open(data[0])
                if session is None or connection.held or not data:
                    connection.received(data)
                    continue
                if (
                    core is not None
                    and isinstance(session, QuickSession)
                    and session.is_between
                    and not session.attention
                ):
                    if session.arriving is not None:
                        data = session.arrive(core, session.arriving, data)
                        if not data:
                            continue
                    asked.append((session, session.with_kept(data)))
                    asking.append(connection)
                    continue
                if (
                    resp_core is not None
                    and isinstance(session, QuickRespSession)
                    and not session.attention
                    and (session.may_go_ahead if goes_ahead else session.is_between)
                ):
                    asked_resp.append((session, session.with_kept(data)))
                    asking_resp.append(connection)
                    continue
                answers = session.received(data)
                if session.attention or connection.has_posted:
                    connection.attend(answers)
                elif answers:
                    answered.append((connection, answers))
            except Exception:  # noqa: BLE001 - it must not cost the other connections what was read for them
                connection.close_on_defect()
                del asked[len(asking) :], asked_resp[len(asking_resp) :]
        while core is not None and asking:
            asking, asked = _ask(core, asking, asked, answered)
        while resp_core is not None and asking_resp:
            asking_resp, asked_resp = _ask(resp_core, asking_resp, asked_resp, answered)
        return answered


def _ask(core: Loop, asking: list[Connection], asked: Asked, answered: Pairs) -> tuple[list[Connection], Asked]:
    """Has compiled code serve what it can, and the sessions the rest; returns what it has still to be asked."""
    try:
        outcomes = core.serve_all(asked)
    except Exception as error:  # as in receive_all(); and nobody knows what these were answered
        log.exception(events.SERVING_DEFECT, len(asking))
        reason = "out of memory" if isinstance(error, MemoryError) else "unexpected error"
        for connection in asking:
            connection.close(reason)
        return [], []
    asking_still: list[Connection] = []
    asked_still: Asked = []
    for connection, (session, data), outcome in zip(asking, asked, outcomes, strict=False):
        try:
            if isinstance(outcome, bytes):
                answers = outcome
            else:
                answers, end, why = outcome
                rest = data[end:]
                if why == ENOUGH:
                    connection.post(answers)
                    answers = b""
                    if not connection.held:
                        asked_still.append((session, rest))
                        asking_still.append(connection)
                        continue
                answers += session.go_on(rest, why == CUT)
            if session.attention or connection.has_posted or len(answers) > SPARE_BUFFER_BYTES:
                connection.attend(answers)
            elif answers:
                answered.append((connection, answers))
        except Exception:  # noqa: BLE001 - as in receive_all()
            connection.close_on_defect()
            del asked_still[len(asking_still) :]
    done = len(outcomes)
    return asking_still + asking[done:], asked_still + asked[done:]
