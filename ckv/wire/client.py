"""The calling side: pipelined calls to one other node, many callers on one connection.

A call leaves at the end of the turn of the loop, together with all others to the same node, in one BATCH: one message
to be packed, unpacked and found again among those in flight instead of many. The answer goes to the caller that made
the call. No greenlet waits for it. The only greenlet is the one that keeps the connection: it connects, says hello,
waits until the connection is lost, and starts again, with jittered back-off
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "full jitter").
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import gevent
import msgpack
import tenacity
from gevent.event import Event

from ckv import errors
from ckv.settings import Address
from ckv.wire.batch import Batch, Calls
from ckv.wire.connection import Connection, plain_socket
from ckv.wire.handler import Caller
from ckv.wire.limits import MAX_PARTS_BYTES, Limits
from ckv.wire.msgpackrpc import (
    BATCH,
    BATCH_REQUESTS,
    NO_MESSAGE,
    REQUEST,
    RESPONSE,
    Message,
    new_answers_unpacker,
    new_packer,
    new_unpacker,
)
from ckv.wire.poller import Poller

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

    def __init__(self, poller: Poller, address: Address, limits: Limits, call_timeout: float) -> None:
        """``call_timeout``, in seconds: a call without an answer fails after half of it at the earliest, all of it at
        the latest: every half of it, a tick fails the calls that were there at the tick before. A tick also sends a
        PING, so that a node that hangs is noticed, and its calls fail, even while nobody calls it.
        """
        self.address = address
        self._poller = poller
        self.inbox: list[tuple[Connection, bytes]] = []
        self._limits = limits
        self._call_timeout = call_timeout
        self._pack_utf8 = msgpack.Packer().pack
        """Takes two thirds of the time of :func:`new_packer`'s. Text that is not UTF-8 raises UnicodeEncodeError."""
        self._new = Batch([], [])
        """The calls of this turn that are not packed yet."""
        self._batch_requests = BATCH_REQUESTS
        """How many of them fit into one message, as far as is known."""
        self._answered: list[Connection] = []
        """To be flushed, at once or at the end of this turn."""
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        self._flushing = False
        self._connection: Connection | None = None
        self._ended = Event()
        self._msgid = 0
        # Two generations instead of a time per call: nothing is computed per call, and ageing costs one swap a tick.
        self._calls: Calls = {}
        self._old_calls: Calls = {}
        self._congested = False
        self._slowed: set[Caller] = set()
        self._ticker = poller.loop.timer(call_timeout / 2, call_timeout / 2)
        self._greenlet: gevent.Greenlet[[], None] | None = None

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts to connect, and keeps at it until :meth:`close`."""
        self._poller.add_receiver(self)
        self._ticker.start(self._tick)
        self._greenlet = gevent.spawn(self._keep_connected)

    def close(self) -> None:
        """Ends the connection; calls in flight fail."""
        self._poller.remove_receiver(self)
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
        return sum(_count(calls) for calls in (self._calls, self._old_calls)) + len(self._new.calls)

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
        self._connection = Connection(
            self._poller,
            sock,
            str(self.address),
            self._limits,
            self,
            self._lost,
            self._drained,
            new_answers_unpacker,
        )
        self._connection.heard = True  # the greeting

    # --- calls ---------------------------------------------------------------------------------------------------

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, *, large: bool = False) -> None:
        """Sends a request for a caller, who is told the answer, or the error, under its own ``msgid``.

        ``large``: the request has more than :data:`~ckv.wire.limits.BULKY_BYTES`.

        Raises NodeDown at once, and nothing was sent, while there is no connection; Overloaded when the node is so far
        behind that a large request would only pile up here.
        """
        if self._connection is None:
            raise errors.NodeDown(f"{self.address} is not connected; the request was not sent")
        if large:
            self._refuse_if_behind(self._connection)
            self._pack_new()  # Requests of one key arrive in their order.
            self._pack_batch(Batch([method, params], [(caller, msgid)]))
        else:
            new = self._new
            new.requests.extend((method, params))
            new.calls.append((caller, msgid))
        if not self._flushing:
            self._flushing = True
            self._poller.send_first(self)
        if self._congested:
            # The node takes requests more slowly than they come. Its callers wait as they would on a socket.
            caller.hold(self)
            self._slowed.add(caller)

    def _refuse_if_behind(self, connection: Connection) -> None:
        waiting = connection.unsent_bytes + self._packed_bytes
        if waiting > self._limits.max_queued_bytes:
            raise errors.Overloaded(f"{waiting} bytes wait to be sent to {self.address}; the request was not sent")

    def flush(self) -> None:
        """Hands the calls of this turn to the connection; see :class:`ckv.wire.poller.Sender`."""
        self._flushing = False
        self._pack_new()
        packed, self._packed = self._packed, []
        self._packed_bytes = 0
        connection = self._connection
        if connection is not None:
            connection.posted += b"".join(packed)
            connection.flush()
        if self._connection is not None:  # sending may have found it broken
            self._congested = self._connection.congested

    def _pack_new(self) -> None:
        new = self._new
        count = len(new.calls)
        if not count:
            return
        self._new = Batch([], [])
        packed = self._pack_batch(new) if count <= self._batch_requests else 0
        while packed < count:
            packed += self._pack_batch(new.part(packed, packed + self._batch_requests))

    def _pack_batch(self, batch: Batch) -> int:
        """Packs it as one message; returns the number of its requests, or 0 when they have to be fewer."""
        count = len(batch.calls)
        msgids = 1 if count == 1 else 1 + count  # with those of the requests that are answered by themselves
        own = self._msgid if self._msgid + msgids <= MSGIDS else 0
        if count == 1:
            data = self._pack((REQUEST, own, *batch.requests))
            self._calls[own] = batch.calls[0]
        else:
            data = self._pack((REQUEST, own, BATCH, batch.requests))
            if len(data) > MAX_PARTS_BYTES:
                self._batch_requests = count // 2
                return 0
            self._calls[own] = batch
        if count == self._batch_requests and 4 * len(data) < MAX_PARTS_BYTES:
            self._batch_requests = min(2 * count, BATCH_REQUESTS)
        self._msgid = own + msgids
        self._packed.append(data)
        self._packed_bytes += len(data)
        return count

    def _pack(self, message: tuple[object, ...]) -> bytes:
        try:
            data: bytes = self._pack_utf8(message)
        except UnicodeEncodeError:
            data = new_packer().pack(message)
        return data

    def receive_all(self) -> list[Connection]:
        """Hands on the answers that have arrived. Clients that wait for nothing else are answered at once, the others
        are returned, to be flushed at the end of the turn.
        """
        for connection, data in self.inbox:
            message = connection.take_only(data)
            if message is not NO_MESSAGE:
                connection.hand_over(iter((message,)))
        answered, self._answered = self._answered, []
        return self._poller.answer(answered)

    def receive(self, connection: Connection, messages: Iterator[Any]) -> int:
        """Hands each answer to its caller; see :class:`ckv.wire.connection.Receiver`."""
        count = 0
        try:
            for message in messages:
                response: Message = message
                kind, own, error, result = response
                count += 1
                if kind != RESPONSE:
                    raise ValueError("not a response")
                generation = self._calls if own in self._calls else self._old_calls
                call = generation.get(own)
                if isinstance(call, Batch):
                    call.answered(own, error, result, generation, self._pack_utf8, self._answered)
                    del generation[own]
                elif call is not None:  # else it came after its time-out
                    del generation[own]
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
        if not connection.heard:
            connection.close(f"silent for {self._call_timeout / 2:g} s")
            return
        connection.heard = False
        self.call("PING", (), _Heartbeat(), 0)

    def _lost(self, connection: Connection, reason: str) -> None:
        log.warning("peer %s lost: %s", self.address, reason or "closed by the peer")
        self._connection = None
        self._pack_new()
        self._packed.clear()
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


def _count(calls: Calls) -> int:
    return sum(len(call.calls) if isinstance(call, Batch) else 1 for call in calls.values())


def _fail(calls: Calls, error: errors.CkvError) -> None:
    text = errors.to_wire(error)
    for call in calls.values():
        if isinstance(call, Batch):
            call.fail(text)
        else:
            call[0].respond(call[1], text, None)


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
