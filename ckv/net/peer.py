"""The calling side: pipelined calls to one other node, many callers on one connection.

A call leaves at the end of the turn of the loop, together with all others to the same node, in one BATCH
(:mod:`ckv.protocol.calling`). No greenlet waits for the answer, which goes to the caller. The only greenlet keeps the
connection: it connects, says hello, waits until the connection is lost, and starts again, with jittered back-off
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Meanwhile, and when this node starts, calls
wait (:mod:`ckv.net.waiting`), and leave in their order once there is a connection.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import gevent
import tenacity
from gevent.event import Event

from ckv import errors
from ckv.address import Address
from ckv.net.connecting import Greeted, connect
from ckv.net.connection import Connection
from ckv.net.poller import Poller
from ckv.net.transport import Transport
from ckv.net.waiting import WaitingCalls, WaitingRoom
from ckv.protocol.batch import Batch, fail
from ckv.protocol.calling import CallingSession
from ckv.protocol.greeting import Share, calls
from ckv.protocol.handler import Call, Caller, Lane, Line
from ckv.protocol.limits import Limits
from ckv.protocol.messages import BATCH, is_bulky
from ckv.protocol.session import Session

log = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 0.05
LONGEST_BACKOFF: Final = 0.5
"""Seconds between two attempts to connect: a random time up to a bound that doubles from the first to the longest.
Short, because a node that is back should be found within a second, and an attempt costs one packet."""

REASONS_LOGGED: Final = 8
"""Different reasons why a node cannot be reached that are logged, each once, until it is connected again."""

_DRAINING: Final = f"{errors.Draining.__name__}: "


class Peer:
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
        share: Share | None = None,
        nodes: Sequence[str] = (),
    ) -> None:
        """``call_timeout``, in seconds: a call without an answer fails after half of it at the earliest, all of it at
        the latest; see :meth:`tick`.

        ``node_wait``, in seconds from :meth:`start`, from a loss, or from when the node said that it stops: until then
        calls wait for a connection, in as much of the ``room`` as is free. Later ones fail at once.

        ``lane``: where compiled code collects calls for it. Before each time it has to ask :meth:`takes_calls`, and
        afterwards to have them leave with :meth:`flush_later`.

        ``share``: what the node is taken for, where there is a list of nodes; ``nodes``: that list, if it is told.
        """
        self._calls = calls(share, nodes)
        self._lane = lane
        self.address = address
        self.reason = ""
        """Why the last attempt to connect failed, if it did."""
        self._poller = poller
        self.inbox: list[tuple[Connection, bytes]] = []
        self._limits = limits
        self._call_timeout = call_timeout
        self._flushing = False
        self.connection: Connection | None = None
        """None while there is none."""
        self.session: CallingSession | None = None
        """That of the connection."""
        self._ready: CallingSession | None = None
        """The same, as long as the node takes calls."""
        self._knows_batch = False
        self._closing = False
        self._waiting = WaitingCalls(room or WaitingRoom())
        self._wait = node_wait
        self._may_wait = False
        self._waiter: Any = poller.loop.timer(node_wait)
        self._ended = Event()
        self._congested = False
        self._slowed: set[Caller] = set()
        self._queued: deque[Batch] = deque()
        """Large requests that are not to be sent yet; each holds its caller. There is one of a connection at most."""
        self._unread = 0
        """Bytes of large requests that the node may not have read yet, and of these, those behind the last mark."""
        self._unmarked = 0
        self._is_answered = True
        """Whether the PING of the last tick was answered."""
        self._late = False
        """Whether it has been busy for longer than from one tick to the next."""
        self._untaken = 0
        """:attr:`Connection.untaken_bytes` at the last tick."""
        self._ticker = poller.loop.timer(call_timeout / 2, call_timeout / 2)
        self._greenlet: gevent.Greenlet[[], None] | None = None

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
    def in_flight(self) -> int:
        """Calls that wait for their answer."""
        return (self.session.unanswered if self.session is not None else 0) + len(self._queued)

    @property
    def waiting(self) -> int:
        """Calls that wait for the node to be connected."""
        return len(self._waiting)

    def _keep_connected(self) -> None:
        reasons: set[str] = set()

        def complain(state: tenacity.RetryCallState) -> None:
            self.reason = reason = str(state.outcome.exception()) if state.outcome is not None else ""
            if reason not in reasons and len(reasons) < REASONS_LOGGED:
                reasons.add(reason)
                log.warning("peer %s cannot be reached (%s); trying on", self.address, reason)

        trying = tenacity.Retrying(
            wait=tenacity.wait_random_exponential(multiplier=FIRST_BACKOFF, max=LONGEST_BACKOFF),
            sleep=gevent.sleep,
            before_sleep=complain,
        )
        news = "connected"
        while True:
            self._greeted(trying(connect, self.address, self._limits, self._calls))
            log.info("peer %s %s", self.address, news)
            self._ended.wait()
            news = "back"
            reasons.clear()

    def _greeted(self, greeted: Greeted) -> None:
        self._ended.clear()
        self.reason = ""
        self._knows_batch = BATCH in greeted.features
        self.connection = Connection(
            self._poller, Transport(greeted.sock), str(self.address), self._limits, self, self._lost, self._drained
        )
        self.connection.open(0)
        self._is_answered = True
        self._late = False
        self._untaken = 0
        self._may_wait = False
        self._waiter.stop()
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
        if not isinstance(error, str) or not error.startswith(_DRAINING):
            return False
        if self._ready is not None:
            log.info("peer %s is stopping", self.address)
            self._ready = None
            self._let_wait()
        return self._may_wait and isinstance(call, Batch) and self._waiting.add(call, bounced=True)

    # --- calls ---------------------------------------------------------------------------------------------------

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, *, large: bool = False) -> None:
        """Sends a request for a caller, who is told the answer, or the error, under its own ``msgid``.

        ``large``: the request has more than :data:`~ckv.protocol.limits.BULKY_BYTES`. While the node has others to
        read, it waits here, and so does its caller; small ones of others pass it by. Raises NodeDown (Draining while
        the node stops), and nothing was sent, when there is nothing to wait for.
        """
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
        """Packs it, and behind every so many bytes a PING: its answer tells that the node has read what is before it.
        The answers to the requests may wait for the database, and what the socket took has megabytes on their way."""
        session = self.session
        if session is None:
            return
        size = session.pack_alone(batch)
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
        if self.session is not None:
            self.session.pack_new()
        while self._queued and not self._is_full:
            batch = self._queued.popleft()
            self._pack_large(batch)
            batch.calls[0][0].release(batch)
        connection = self.connection
        if connection is not None:
            connection.flush()
            self._congested = connection.congested

    def receive_all(self) -> list[tuple[Connection, bytes]]:
        for connection, data in self.inbox:
            session = connection.session
            if session is None or connection.held or not data:
                connection.received(data)
                continue
            session.received(data)
            if session.attention:
                connection.attend(b"")
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
            log.warning("peer %s lost: %s", self.address, reason or "closed by the peer")
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
