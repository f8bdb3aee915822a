"""The calling side: pipelined calls to one other node, many callers on one connection.

A call leaves at the end of the turn of the loop, together with all others to the same node, in one BATCH
(:mod:`ckv.protocol.calling`). No greenlet waits for the answer, which goes to the caller. The only greenlet keeps the
connection: it connects, says hello, waits until the connection is lost, and starts again. Meanwhile, and when this node
starts, calls wait (:mod:`ckv.net.waiting`), and leave in their order once there is a connection.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import gevent
from gevent.event import Event

from ckv import errors, events
from ckv.address import Address
from ckv.net.callee import Callee
from ckv.net.connecting import Greeted, connect_at_last
from ckv.net.connection import Connection
from ckv.net.poller import Poller
from ckv.net.relogin import LoggedIn
from ckv.net.waiting import WaitingCalls, WaitingRoom
from ckv.outage import Outage
from ckv.protocol.batch import Batch, fail, is_not_owner
from ckv.protocol.calling import Bounced, CallingSession
from ckv.protocol.greeting import calls
from ckv.protocol.handler import Call, Caller, Lane, Line
from ckv.protocol.limits import Limits
from ckv.protocol.messages import BATCH, is_bulky
from ckv.protocol.session import Session

log = logging.getLogger(__name__)

_DRAINING: Final = f"{errors.Draining.__name__}: "


class Peer(Callee):
    """Another node, connected or being connected."""

    def __init__(
        self,
        poller: Poller,
        address: Address,
        limits: Limits,
        call_timeout: float,
        node_wait: float = 0.0,
        room: WaitingRoom | None = None,
        lane: Lane | None = None,
        *,
        greeting: Callable[[], bytes] = calls,
        introduce: Callable[[], Sequence[tuple[str, tuple[object, ...]]]] = tuple,
        came_back: Bounced | None = None,
    ) -> None:
        """``call_timeout``, in seconds: a call without an answer fails after half of it at the earliest, all of it at
        the latest; see :meth:`tick`. ``node_wait``, in seconds from :meth:`start`, from a loss, or from when the node
        said that it stops: until then calls wait for a connection, in as much of the ``room`` as is free. Later ones
        fail at once.

        ``lane``: where compiled code collects calls for it. Before each time it has to ask :meth:`takes_calls`, and
        afterwards to have them leave with :meth:`flush_later`. ``greeting``: makes what it is sent first, for each
        attempt to connect. ``introduce``: what it is told on each connection before anything else. ``came_back`` is
        told of calls that were for another node, as it answered.
        """
        self._introduce = introduce
        self._came_back = came_back
        self._greeting = greeting
        self._lane = lane
        self.address = address
        self.reason = ""
        """Why the last attempt to connect failed, if it did."""
        self.is_refused = False
        """Whether it did because the node has other keys than it is taken for."""
        self._poller = poller
        self.inbox: list[tuple[Connection, bytes]] = []
        self._limits = limits
        self._call_timeout = call_timeout
        self.connection: Connection | None = None
        self.session: CallingSession | None = None
        """That of the connection. None while there is none, both."""
        self._ready: CallingSession | None = None
        """The same, as long as the node takes calls."""
        self._knows_batch = self._closing = self._flushing = self._may_wait = self._congested = False
        self.process = ""  # see ckv.protocol.greeting.PROCESS
        self._waiting = WaitingCalls(room or WaitingRoom())
        self._wait = node_wait
        self._waiter: Any = poller.loop.timer(node_wait)
        self._ended = Event()
        self._trouble = Outage(log)
        self._slowed: set[Caller] = set()
        self._queued: deque[Batch] = deque()
        """Large requests that are not to be sent yet; each holds its caller. There is one of a connection at most."""
        self._unread = self._unmarked = 0
        """Bytes of large requests that the node may not have read yet, and of these, those behind the last mark."""
        self._is_answered = True
        """Whether the PING of the last tick was answered."""
        self._late = False
        """Whether it has been busy for longer than from one tick to the next."""
        self._untaken = 0  # see Connection.untaken_bytes, at the last tick
        self._ticker = poller.loop.timer(call_timeout / 2, call_timeout / 2)
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self.login: Final = LoggedIn(address, self.ask)

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts to connect, and keeps at it until :meth:`close`."""
        self._poller.add_receiver(self)
        self._ticker.start(self.tick)
        self._let_wait()
        self._greenlet = gevent.spawn(self._keep_connected)

    def close(self) -> None:
        """Ends the connection; calls in flight fail, and so do those that wait for it."""
        self._closing = True
        self._poller.remove_receiver(self)
        self._ticker.stop()
        self._end_wait()
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
        if self.connection is not None:
            self.connection.close("closing")

    @property
    def connected(self) -> bool:
        """Whether calls can be made now."""
        return self._ready is not None

    @property
    def is_down(self) -> bool:
        """Whether calls fail at once."""
        return self._ready is None and not self._may_wait

    @property
    def in_flight(self) -> int:
        """Calls that wait for their answer."""
        return (self.session.unanswered if self.session is not None else 0) + len(self._queued)

    @property
    def waiting(self) -> int:
        """Calls that wait for the node to be connected."""
        return len(self._waiting)

    def _keep_connected(self) -> None:
        def failed(error: BaseException | None) -> None:
            self.reason = str(error or "")
            self.is_refused = isinstance(error, errors.WrongNode)
            self._trouble.tell(events.PEER_UNREACHABLE, self.address, self.reason)

        is_back = False
        while True:
            self._greeted(connect_at_last(self.address, self._limits, self._greeting, failed))
            log.info(events.PEER_BACK if is_back else events.PEER_CONNECTED, self.address, extra=self._trouble.over())
            self._ended.wait()
            is_back = True

    def _greeted(self, greeted: Greeted) -> None:
        self._ended.clear()
        self.reason, self.is_refused = "", False
        self._knows_batch, self.process = BATCH in greeted.known.features, greeted.known.process
        self.connection = Connection(
            self._poller, greeted.transport(), str(self.address), self._limits, self, self._lost, self._drained
        )
        self.connection.open(0)
        self._is_answered = True
        self._late = self._may_wait = False
        self._untaken = 0
        self._waiter.stop()
        for method, params in self._introduce():
            self.tell(method, params)
        self.login.begins(greeted.login)
        # All at once, so that nobody who calls from now on overtakes them. There are no more of them than may wait.
        for batch in self._waiting.take():
            requests: list[Any] = batch.requests
            for method, params, (caller, msgid) in zip(requests[::2], requests[1::2], batch.calls, strict=True):
                if not caller.is_open:
                    caller.settle()  # Nobody would hear of it, and whoever asked may have asked again elsewhere.
                elif is_bulky(params):  # and so alone
                    self._pack_large(batch)
                    self.flush_later()
                else:
                    self.call(method, params, caller, msgid)

    def new_session(self, line: Line, first: int) -> Session:
        self.session = self._ready = CallingSession(line, self._limits, self._bounced, self._knows_batch, self._lane)
        return self.session

    # --- while there is no connection ----------------------------------------------------------------------------

    def _let_wait(self) -> None:
        """From now on, for a while, calls wait."""
        self._may_wait = self._wait > 0 and not self._closing
        if self._may_wait:
            # A new one: a timer of gevent's that was used goes on where it was (https://github.com/gevent/gevent/issues/1890).
            self._waiter.close()
            self._waiter = self._poller.loop.timer(self._wait)
            self._waiter.start(self._end_wait)
        queued, self._queued = self._queued, deque()
        for batch in queued:
            ((caller, msgid),) = batch.calls
            if not (self._may_wait and self._waiting.add(batch)):
                caller.respond(msgid, errors.to_wire(self._no_connection()), None)
            caller.release(batch)

    def _end_wait(self) -> None:
        """From now on calls fail at once; those that have waited fail now."""
        self._may_wait = False
        self._waiter.stop()
        for batch in self._waiting.take():
            fail(batch.calls, errors.to_wire(self._no_connection()))

    def _no_connection(self) -> errors.CkvError:
        if self.connection is not None:
            return errors.Draining(f"{self.address} is stopping; the request was not carried out")
        return errors.NodeDown(f"{self.address} is not connected; the request was not sent")

    def _bounced(self, call: Call | Batch | None, error: object) -> bool:
        """Takes note that the node is stopping, if that is what it answered, and whether the call waits for the next.

        The node refuses all that follow, so no later call of the same key was carried out either. They are made again
        in their order, before those that came after the first such answer.
        """
        if self._came_back is not None and is_not_owner(error):
            return self._came_back(call, error)
        if not isinstance(error, str) or not error.startswith(_DRAINING):
            return False
        if self._ready is not None:
            log.info(events.PEER_STOPPING, self.address)
            self._ready = None
            self._let_wait()
        return self._may_wait and isinstance(call, Batch) and self._waiting.add(call, bounced=True)

    def tell(self, method: str, params: tuple[object, ...]) -> None:
        """Makes a call that nobody waits for, if there is a connection."""
        if self.session is not None:
            self.session.tell(method, params)
            self.flush_later()

    def ask(self, method: str, params: tuple[object, ...], caller: Caller) -> None:
        """Makes a call by itself, behind all that came before, of a method that no client has; the ``caller`` is told
        under 0. Raises NodeDown, and nothing was sent."""
        if self._ready is None:
            raise self._no_connection()
        self._ready.pack_alone(Batch([method, params], [(caller, 0)]))
        self.flush_later()

    def take_queued(self) -> list[Batch]:
        """The large requests that are not sent yet; nobody is held for them any more."""
        queued, self._queued = list(self._queued), deque()
        for batch in queued:
            batch.calls[0][0].release(batch)
        return queued

    # --- calls ---------------------------------------------------------------------------------------------------

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, *, large: bool = False) -> None:
        """See :class:`Callee`. While the node has others to read, a large one waits here, and so does its caller; small
        ones of others pass it by. Raises NodeDown (Draining while the node stops) when there is nothing to wait for."""
        session = self._ready
        if session is not None and not large:
            session.add(method, params, caller, msgid)
        else:
            batch = Batch([method, params], [(caller, msgid)])
            if session is None:
                if self._may_wait and self._waiting.add(batch):
                    return
                raise self._no_connection()
            if self._is_full:
                self._queued.append(batch)
                caller.hold(batch)
                return
            self._pack_large(batch)
        if not self._flushing:
            self.flush_later()
        if self._congested:
            # The node takes requests more slowly than they come. Its callers wait as they would on a socket.
            caller.hold(self)
            self._slowed.add(caller)

    def takes_calls(self) -> bool:
        """Whether compiled code may collect calls now."""
        session = self._ready
        if session is None or self._congested or not self._knows_batch:
            return False
        session.pack_added()
        return True

    @property
    def _is_full(self) -> bool:
        return self._unread > 2 * self._limits.soft_unsent_bytes

    def _pack_large(self, batch: Batch) -> None:
        if self.session is not None:
            self._packed(self.session, self.session.pack_alone(batch))

    def _packed(self, session: CallingSession, size: int) -> None:
        """Packs a PING behind every so many bytes of large requests: its answer tells that the node has read those.
        The answers to the requests may wait for the database, and what the socket took has megabytes on their way."""
        self._unread += size
        self._unmarked += size
        if self._unmarked > self._limits.soft_unsent_bytes:
            session.ping(partial(self._was_read, self._unmarked))
            self._unmarked = 0

    def _was_read(self, count: int) -> None:
        self._unread -= count
        if self._queued:
            self.flush_later()

    def flush_later(self) -> None:
        """Has what was called leave at the end of this turn."""
        if not self._flushing:
            self._flushing = True
            self._poller.send_first(self.flush)

    def flush(self) -> None:
        """Hands the calls of this turn to the connection."""
        self._flushing = False
        connection, session = self.connection, self.session
        if connection is None or session is None:
            return  # and nothing is to leave
        try:
            session.pack_new()
            while self._queued and not self._is_full:
                size = session.pack_alone(self._queued[0])
                batch = self._queued.popleft()
                batch.calls[0][0].release(batch)
                self._packed(session, size)
            connection.flush()
            self._congested = connection.congested
        except Exception:  # noqa: BLE001 - who else is to be flushed has nothing to do with it
            connection.close_on_defect()

    def receive_all(self) -> list[tuple[Connection, bytes]]:
        for connection, data in self.inbox:
            session = connection.session
            try:
                if session is None or connection.held or not data:
                    connection.received(data)
                else:
                    session.received(data)
                    if session.attention:
                        connection.attend(b"")
            except Exception:  # noqa: BLE001 - nobody knows which answers were passed on
                connection.close_on_defect()
        self._poller.answer()  # clients that wait for nothing else
        return []

    # --- what goes wrong -----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """To be called after each half of the time that a call may take: fails the calls that were there at the tick
        before, and sends a PING, so that a node that hangs is noticed even while nobody calls it.

        A node answers in the order in which it was asked, apart from what waits for its database. While it is busy with
        what came before the PING, the time of the calls behind it has not begun.
        """
        connection, session = self.connection, self.session
        if connection is None or session is None:
            return  # and no call waits
        # A large request may take its time on the way; as long as more and more of it was taken, all is well.
        before, self._untaken = self._untaken, connection.untaken_bytes
        alive = connection.was_heard() or self._untaken < before
        if alive and not self._is_answered:
            self._late = True
            return
        if not self._late:
            session.fail_old(errors.CallTimeout(f"{self.address} did not answer within {self._call_timeout:g} s"))
        self._late = False  # What it has got to only now has its time, too.
        if not alive:
            connection.close(f"silent for {self._call_timeout / 2:g} s")
            return
        self._is_answered = False
        session.ping(self._answered)
        self.flush_later()

    def _answered(self) -> None:
        self._is_answered = True

    def _lost(self, connection: Connection, reason: str) -> None:
        if not self._closing:
            self._trouble.tell(events.PEER_LOST, self.address, reason or "closed by the peer")
        session = self.session
        self.connection = self.session = self._ready = None
        self._let_wait()
        if session is not None:
            session.fail_all(errors.NodeLost(f"the connection to {self.address} broke before the answer came"))
        self._unread = self._unmarked = 0
        self._drained()
        self._ended.set()

    def _drained(self) -> None:
        self._congested = False
        slowed, self._slowed = self._slowed, set()
        for caller in slowed:
            caller.release(self)
