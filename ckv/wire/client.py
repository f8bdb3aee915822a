"""The calling side: pipelined calls to one other node, many callers on one connection.

A call is packed at once and leaves at the end of the turn of the loop, together with all others to the same node; the
answer goes to the caller that made the call. No greenlet waits for it. The only greenlet is the one that keeps the
connection: it connects, says hello, waits until the connection is lost, and starts again, with jittered back-off
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "full jitter").
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Final

import gevent
import msgpack
import tenacity
from gevent.event import Event

from ckv import errors
from ckv.settings import Address
from ckv.wire.connection import Connection, Outbox, plain_socket
from ckv.wire.limits import SPARE_BUFFER_BYTES, Limits
from ckv.wire.msgpackrpc import REQUEST, RESPONSE, Caller, is_bulky, new_batch_packer, new_unpacker, take

log = logging.getLogger(__name__)

CONNECT_TIMEOUT: Final = 2.0
"""Seconds for the TCP connection, and again for the answer to the first PING."""

FIRST_BACKOFF: Final = 0.05
LONGEST_BACKOFF: Final = 0.5
"""Seconds between two attempts to connect: a random time up to a bound that doubles from the first to the longest.

Short, because a node that is back should be found within a second, and an attempt costs one packet.
"""

MSGIDS: Final = 2**32
"""A msgid is an unsigned 32-bit number; it starts again at 0, long after the call that had it is over."""


class Peer:
    """Another node, connected or being connected."""

    def __init__(self, loop: Any, outbox: Outbox, address: Address, limits: Limits, call_timeout: float) -> None:
        """``call_timeout``, in seconds: a call without an answer fails after half of it at the earliest, all of it at
        the latest: every half of it, a tick fails the calls that were there at the tick before. A tick also sends a
        PING, so that a node that hangs is noticed, and its calls fail, even while nobody calls it.
        """
        self.address = address
        self._loop = loop
        self._outbox = outbox
        self._limits = limits
        self._call_timeout = call_timeout
        self._packer = new_batch_packer()
        self._pack = self._packer.pack
        self._flushing = False
        self._connection: Connection | None = None
        self._ended = Event()
        self._msgid = 0
        # Two generations instead of a time per call: nothing is computed per call, and ageing costs one swap a tick.
        self._calls: dict[int, tuple[Caller, int]] = {}
        self._old_calls: dict[int, tuple[Caller, int]] = {}
        self._received_bytes_at_tick = 0
        self._congested = False
        self._slowed: set[Caller] = set()
        self._ticker = loop.timer(call_timeout / 2, call_timeout / 2)
        self._greenlet: gevent.Greenlet[[], None] | None = None

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts to connect, and keeps at it until :meth:`close`."""
        self._ticker.start(self._tick)
        self._greenlet = gevent.spawn(self._keep_connected)

    def close(self) -> None:
        """Ends the connection; calls in flight fail."""
        self._ticker.stop()
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
        if self._connection is not None:
            self._connection.close("closing")

    @property
    def connected(self) -> bool:
        """Whether calls can be made now."""
        return self._connection is not None

    @property
    def in_flight(self) -> int:
        """Calls that wait for their answer."""
        return len(self._calls) + len(self._old_calls)

    def _keep_connected(self) -> None:
        complained = False

        def complain(state: tenacity.RetryCallState) -> None:
            nonlocal complained
            if not complained and state.outcome is not None:
                complained = True
                log.warning("peer %s cannot be reached (%s); trying on", self.address, state.outcome.exception())

        connect = tenacity.Retrying(
            wait=tenacity.wait_random_exponential(multiplier=FIRST_BACKOFF, max=LONGEST_BACKOFF),
            retry=tenacity.retry_if_exception_type((Exception, gevent.Timeout)),
            sleep=gevent.sleep,
            before_sleep=complain,
        )
        news = "connected"
        while True:
            connect(self._connect)
            log.info("peer %s %s", self.address, news)
            self._ended.wait()
            news, complained = "back", True

    def _connect(self) -> None:
        """Connects and asks one PING: a node that is stopped accepts connections too (the kernel does), silently."""
        target = (self.address.host, self.address.port)
        with gevent.Timeout(CONNECT_TIMEOUT), closing(socket.create_connection(target)) as sock:
            sock.sendall(msgpack.packb((REQUEST, 0, "PING", ())))
            unpacker = new_unpacker(self._limits)
            while True:
                data = sock.recv(4096)
                if not data:
                    raise errors.NodeLost("closed by the peer")
                unpacker.feed(data)
                for _, _, error, _ in unpacker:
                    if error is not None:
                        raise errors.from_wire(error)
                    self._greeted(plain_socket(fileno=sock.detach()))
                    return

    def _greeted(self, sock: socket.socket) -> None:
        self._ended.clear()
        self._received_bytes_at_tick = -1
        self._connection = Connection(
            self._loop, self._outbox, sock, str(self.address), self._limits, self._answers, self._lost, self._drained
        )

    # --- calls ---------------------------------------------------------------------------------------------------

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        """Sends a request for a caller, who is told the answer, or the error, under its own ``msgid``.

        Raises NodeDown at once, and nothing was sent, while there is no connection; Overloaded when the node is so far
        behind that a large request would only pile up here.
        """
        if self._connection is None:
            raise errors.NodeDown(f"{self.address} is not connected; the request was not sent")
        if len(params) > 1 and is_bulky(params):  # a key alone is not
            self._refuse_if_behind(self._connection)
        own = self._msgid
        self._msgid = (own + 1) % MSGIDS
        self._calls[own] = (caller, msgid)
        self._pack((REQUEST, own, method, params))
        if not self._flushing:
            self._flushing = True
            self._outbox.add(self)
        if self._congested:
            # The node takes requests more slowly than they come. Its callers wait as they would on a socket.
            caller.hold(self)
            self._slowed.add(caller)

    def _refuse_if_behind(self, connection: Connection) -> None:
        waiting = connection.unsent_bytes + len(self._packer.getbuffer())
        if waiting > self._limits.max_queued_bytes:
            raise errors.Overloaded(f"{waiting} bytes wait to be sent to {self.address}; the request was not sent")

    def flush(self) -> None:
        """Hands the calls of this turn to the connection; see :class:`ckv.wire.connection.Outbox`."""
        self._flushing = False
        data = take(self._packer)
        if len(data) > SPARE_BUFFER_BYTES:
            self._packer = new_batch_packer()  # it would keep its size
            self._pack = self._packer.pack
        if self._connection is not None:
            self._connection.post(data)
            self._connection.flush()
        if self._connection is not None:  # sending may have found it broken
            self._congested = self._connection.congested

    def _answers(self, connection: Connection, messages: Iterable[Any]) -> int:
        """Hands each answer to its caller; see :class:`ckv.wire.connection.Receive`."""
        calls, old_calls = self._calls, self._old_calls
        count = 0
        try:
            for message in messages:
                count += 1
                kind, own, error, result = message
                if kind != RESPONSE:
                    raise ValueError("not a response")
                call = calls.pop(own, None) or old_calls.pop(own, None)
                if call is not None:  # else it came after its time-out
                    call[0].respond(call[1], error, result)
        except Exception as error:  # whatever msgpack raises, and what a message of another shape raises here
            raise errors.ProtocolError(f"not a msgpack-RPC response: {type(error).__name__} {error}") from error
        return count

    # --- what goes wrong -----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        overdue, self._old_calls, self._calls = self._old_calls, self._calls, {}
        _fail(overdue, errors.CallTimeout(f"{self.address} did not answer within {self._call_timeout:g} s"))
        connection = self._connection
        if connection is None:
            return
        if connection.received_bytes == self._received_bytes_at_tick:
            connection.close(f"silent for {self._call_timeout / 2:g} s")
            return
        self._received_bytes_at_tick = connection.received_bytes
        self.call("PING", (), _Heartbeat(), 0)

    def _lost(self, connection: Connection, reason: str) -> None:
        log.warning("peer %s lost: %s", self.address, reason or "closed by the peer")
        self._connection = None
        take(self._packer)
        calls = self._old_calls | self._calls
        self._old_calls, self._calls = {}, {}
        _fail(calls, errors.NodeLost(f"the connection to {self.address} broke before the answer came"))
        self._drained()
        self._ended.set()

    def _drained(self) -> None:
        self._congested = False
        slowed, self._slowed = self._slowed, set()
        for caller in slowed:
            caller.release(self)


def _fail(calls: dict[int, tuple[Caller, int]], error: errors.CkvError) -> None:
    text = errors.to_wire(error)
    for caller, msgid in calls.values():
        caller.respond(msgid, text, None)


class _Heartbeat:
    """The caller of a PING that is sent only to get any answer at all."""

    def respond(self, msgid: int, error: object, result: object) -> None:
        """Nobody waits."""

    def settle(self) -> None:
        """Nothing is counted."""

    def hold(self, reason: object) -> None:
        """One call needs no slowing down."""

    def release(self, reason: object) -> None:
        """See :meth:`hold`."""
