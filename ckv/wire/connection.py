"""One non-blocking socket on the event loop: a batch in, a batch out, bounded buffers.

The same class serves the listening side and the calling side. It is a callback on gevent's loop and not a greenlet:
a wake-up reads once, hands all the messages that are there to ``receive``, and everything these answer leaves in one
``send``, when all the sockets that were ready have been read. That is what makes Python keep up here; see
``docs/performance.md`` for the figures.

Reading stops while anybody *holds* the connection (its unsent answers, its requests in flight, a congested node behind
a primary), so a peer that does not read, or asks faster than it can be served, is slowed down by TCP itself.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import chain
from typing import Any, Final, Protocol

import msgpack
from gevent import monkey

from ckv import errors
from ckv.wire.limits import MAX_PARTS_BYTES, RECV_BYTES, RECV_BYTES_OF_LARGE, SPARE_BUFFER_BYTES, Limits
from ckv.wire.msgpackrpc import (
    NO_MESSAGE,
    RESPONSE,
    at_message_end,
    is_bulky,
    new_batch_packer,
    new_unpacker,
    not_msgpack,
)

READ: Final = 1
WRITE: Final = 2

UNSENT: Final = "unsent answers"
IN_FLIGHT: Final = "requests in flight"
PUT_OFF: Final = "requests that were put off"
END_OF_INPUT: Final = "end of input"

# The loop tells when a socket is ready, so the plain class is wanted, not gevent's, which would wait in a greenlet.
plain_socket: type[socket.socket] = monkey.get_original("socket", "socket")


class Receive(Protocol):
    """Takes the complete messages that are there, and returns how many it took.

    It may leave all but the first one behind when the connection became :attr:`Connection.held`; it is called again
    afterwards. Raises :class:`~ckv.errors.ProtocolError`, whereupon the connection is closed.
    """

    def __call__(self, connection: Connection, messages: Iterable[Any]) -> int: ...


class Flushable(Protocol):
    """Something that collects bytes to be sent."""

    def flush(self) -> None:
        """Sends them."""


class Outbox:
    """Everything that was queued during one turn of the loop, sent at its end: one ``send`` per connection and turn."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._queue: list[Flushable] = []

    def add(self, sender: Flushable) -> None:
        """Flushes it once, after the callbacks of this turn."""
        if not self._queue:
            self._loop.run_callback(self._flush)
        self._queue.append(sender)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        for sender in queue:
            sender.flush()


class _Marked:
    """The messages of an Unpacker, and where the last one ended."""

    def __init__(self, unpacker: msgpack.Unpacker) -> None:
        self._unpacker = unpacker
        self.end = 0

    def __iter__(self) -> Iterator[Any]:
        for message in self._unpacker:
            self.end = self._unpacker.tell()
            yield message


class Connection:
    """A socket, the messages that come in, and the bytes that still have to go out."""

    __slots__ = (
        "_closed",
        "_consumed",
        "_fd",
        "_fed",
        "_holds",
        "_limits",
        "_loop",
        "_max_in_flight",
        "_new_unpacker",
        "_on_drained",
        "_outbox",
        "_packer",
        "_posted",
        "_put_off",
        "_queued",
        "_read_bytes",
        "_read_watcher",
        "_receive",
        "_resuming",
        "_sock",
        "_unpacker",
        "_unsent",
        "_write_watcher",
        "held",
        "in_flight",
        "is_open",
        "peer",
        "received_bytes",
        "unsent_bytes",
    )

    def __init__(
        self,
        loop: Any,
        outbox: Outbox,
        sock: socket.socket,
        peer: str,
        limits: Limits,
        receive: Receive,
        closed: Callable[[Connection, str], None],
        on_drained: Callable[[], None] | None = None,
        new_unpacker: Callable[[Limits], msgpack.Unpacker] = new_unpacker,
    ) -> None:
        """Takes over a connected socket and starts to read.

        ``closed(connection, reason)`` is called once, whoever closes it; an empty reason is an ordinary end.
        ``on_drained()`` is called when nothing is unsent any more after :attr:`congested` was true.
        """
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Without it Nagle's algorithm holds back a small batch until the peer's delayed ACK: 40 ms stalls.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word (power, a firewall) is noticed after the system's keep-alive time.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._loop = loop
        self._outbox = outbox
        self._sock = sock
        self._fd = sock.fileno()
        self._read_bytes = RECV_BYTES
        self._limits = limits
        self._max_in_flight = limits.max_in_flight
        self._receive = receive
        self._closed = closed
        self._on_drained = on_drained
        self._new_unpacker = new_unpacker
        self._unpacker: msgpack.Unpacker | None = None
        self._fed = 0
        """Bytes that the Unpacker has been given."""
        self._consumed = 0
        """Bytes that it had taken in after the last complete message, or somewhat more."""
        self._holds: set[Hashable] = set()
        self._put_off: deque[object] | None = None
        self._packer: msgpack.Packer | None = None
        self._queued = False
        self._posted = b""
        self._unsent: deque[memoryview] = deque()
        self._resuming = False
        self.peer = peer
        self.is_open = True
        self.held = False
        self.in_flight = 0
        self.received_bytes = 0
        self.unsent_bytes = 0
        self._read_watcher = loop.io(sock.fileno(), READ)
        self._write_watcher = loop.io(sock.fileno(), WRITE)
        self._read_watcher.start(self._readable)

    # --- in ------------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            # As recv(), which would parse its arguments the slow way.
            data = os.read(self._fd, self._read_bytes)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(f"{error.strerror or error}")
            return
        if not data:
            # The peer may have closed only its sending side (`printf ... | nc`): answer what it asked, then close.
            if self._unpacker is not None and not at_message_end(self._unpacker):
                self.close("the input ends in the middle of a message")
                return
            self.hold(END_OF_INPUT)
            self._close_when_done()
            return
        count = len(data)
        self.received_bytes += count
        unpacker = self._unpacker
        if unpacker is None:
            # Not before the first byte: an Unpacker takes 40 KiB, and thousands of idle connections are normal.
            unpacker = self._unpacker = self._new_unpacker(self._limits)
            self._fed = self._consumed = 0
        try:
            unpacker.feed(data)
        except msgpack.BufferFull:
            self._too_long()
            return
        self._fed += count
        self._serve(unpacker)

    def _serve(self, unpacker: msgpack.Unpacker) -> None:
        try:
            if self._fed - self._consumed > SPARE_BUFFER_BYTES:
                self._serve_large(unpacker)
                return
            try:
                first = next(unpacker, NO_MESSAGE)
            except Exception as error:
                raise not_msgpack(error) from error
            end = unpacker.tell()
            if first is NO_MESSAGE:
                if end - self._consumed > MAX_PARTS_BYTES + RECV_BYTES_OF_LARGE:
                    self._too_long()
            elif end == self._fed:
                # The only one, as from every client that waits for each answer. To let the Unpacker look for another
                # would end in an exception inside of it, which costs as much as three messages.
                self._receive(self, (first,))
                self._consumed = end
            else:
                self._receive(self, chain((first,), unpacker))
                self._consumed = unpacker.tell()
        except errors.ProtocolError as error:
            self.flush()  # the answers to the good requests before
            self.close(str(error))

    def _serve_large(self, unpacker: msgpack.Unpacker) -> None:
        """Serves a message that filled the Unpacker's buffer, and gives the buffer back if nothing else is in it.

        The Unpacker does not tell whether it is in the middle of a message, so each message's end is noted here. That
        would cost the ordinary path three per cent.
        """
        self._read_bytes = RECV_BYTES_OF_LARGE
        marked = _Marked(unpacker)
        if self._receive(self, marked):
            self._read_bytes = RECV_BYTES
            self._consumed = unpacker.tell()
            if marked.end == self._fed:
                self._unpacker = None
        elif unpacker.tell() - self._consumed > MAX_PARTS_BYTES + RECV_BYTES_OF_LARGE:
            self._too_long()

    def _too_long(self) -> None:
        self.close(
            f"a message of more than {self._limits.max_message_bytes} bytes, or of more than {MAX_PARTS_BYTES} before "
            "its last string"
        )

    def hold(self, reason: Hashable) -> None:
        """Stops reading until everybody who held the connection has released it."""
        self._holds.add(reason)
        if not self.held:
            self.held = True
            if self.is_open:
                self._read_watcher.stop()

    def release(self, reason: Hashable) -> None:
        """Takes back one :meth:`hold`; releasing what is not held does nothing."""
        self._holds.discard(reason)
        if self.held and not self._holds and self.is_open and not self._resuming:
            # Not at once: whoever releases is in the middle of something, and serving may hold again.
            self._resuming = True
            self._loop.run_callback(self._resume)

    def put_off(self, requests: Iterable[object]) -> None:
        """Serves them in another turn of the loop, as soon as nobody holds the connection, before anything else."""
        self._put_off = deque(requests)
        self.hold(PUT_OFF)
        self.release(PUT_OFF)

    def _taken_up(self, put_off: deque[object]) -> Iterator[object]:
        while put_off:
            yield put_off.popleft()

    def _resume(self) -> None:
        self._resuming = False
        if self._holds or not self.is_open:
            return
        self.held = False
        if self._put_off is not None:
            self._receive(self, self._taken_up(self._put_off))
            if self._put_off:
                return
            self._put_off = None
        if self._unpacker is not None and not self.held:
            self._serve(self._unpacker)
        if not self.held and self.is_open:
            self._read_watcher.start(self._readable)

    # --- out -----------------------------------------------------------------------------------------------------

    def defer(self) -> None:
        """Notes that a request will be answered later, by :meth:`respond` or :meth:`settle`."""
        self.in_flight += 1
        if self.in_flight >= self._max_in_flight:
            self.hold(IN_FLIGHT)

    def respond(self, msgid: int, error: object, result: object) -> None:
        """Answers a deferred request. The bytes leave at the end of this turn of the loop."""
        if self.is_open:
            packer = self._packer
            if packer is None:
                packer = self._packer = new_batch_packer()
            # The one result of any size is that of a GET: [true, value].
            if error is None and result.__class__ is tuple and is_bulky(result):
                waiting = self.unsent_bytes + len(packer.getbuffer())
                if waiting > self._limits.max_queued_bytes:
                    result, error = None, errors.to_wire(errors.Overloaded(f"{waiting} bytes of answers are unread"))
            packer.pack((RESPONSE, msgid, error, result))
            if not self._queued:
                self._queued = True
                self._outbox.add(self)
        self.in_flight -= 1
        if self.held:
            self._settled()

    def packing(self) -> Callable[[object], object]:
        """Takes whole answers to deferred requests, none of them large, while it is open. To be followed by
        :meth:`packed`; the two are :meth:`respond` for many requests at a time.
        """
        if self._packer is None:
            self._packer = new_batch_packer()
        pack: Callable[[object], object] = self._packer.pack
        return pack

    def packed(self, count: int) -> None:
        """Takes note that as many requests were answered."""
        if not self._queued:
            self._queued = True
            self._outbox.add(self)
        self.in_flight -= count
        if self.held:
            self._settled()

    def settle(self) -> None:
        """Counts a deferred request as done that needs no answer."""
        self.in_flight -= 1
        if self.held:
            self._settled()

    def _settled(self) -> None:
        if self.in_flight <= self._max_in_flight // 2:
            self.release(IN_FLIGHT)
        self._close_when_done()

    def post(self, data: bytes) -> None:
        """Sends at the end of this turn of the loop; what is large, at once.

        Each send may wake a peer on another core up, which costs more than the rest of a small request. When the
        answers to all peers leave together, the peer is still awake at the second one.
        """
        if not self.is_open:
            return
        self._posted += data
        if len(self._posted) > SPARE_BUFFER_BYTES:
            self.flush()
        elif not self._queued:
            self._queued = True
            self._outbox.add(self)

    def flush(self) -> None:
        """Sends what is there to be sent: now what the socket takes, and the rest as soon as it takes more."""
        self._queued = False
        data = self._posted
        packer = self._packer
        if packer is not None:
            data += packer.bytes()
            if len(data) > SPARE_BUFFER_BYTES:
                self._packer = None  # it would keep its size
            else:
                packer.reset()
        if not data:
            return
        self._posted = b""
        sent = 0
        if not self._unsent:
            try:
                sent = os.write(self._fd, data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self.close(f"{error.strerror or error}")
                return
        if sent != len(data):
            self._keep(memoryview(data)[sent:])
        if self.held:
            self._close_when_done()

    def _keep(self, data: memoryview) -> None:
        """Takes note of what the socket did not take."""
        if not self._unsent:
            self._write_watcher.start(self._writable)
        self._unsent.append(data)
        self.unsent_bytes += len(data)
        if self.unsent_bytes > self._limits.hard_unsent_bytes:
            self.close(f"more than {self._limits.hard_unsent_bytes} bytes unsent: the peer does not read")
        elif self.congested:
            self.hold(UNSENT)

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that nothing should be added."""
        return self.unsent_bytes > self._limits.soft_unsent_bytes

    def _writable(self) -> None:
        unsent = self._unsent
        while unsent:
            try:
                sent = self._sock.send(unsent[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.close(f"{error.strerror or error}")
                return
            self.unsent_bytes -= sent
            if sent < len(unsent[0]):
                unsent[0] = unsent[0][sent:]
                return
            unsent.popleft()
        self._write_watcher.stop()
        self.release(UNSENT)
        if self._on_drained is not None:
            self._on_drained()
        self._close_when_done()

    # --- the end -------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether every request that was read has been answered and every answer been sent."""
        return not (self.in_flight or self._unsent or self._queued)

    def _close_when_done(self) -> None:
        if END_OF_INPUT in self._holds and self.idle:
            self.close("")

    def close(self, reason: str) -> None:
        """Closes the socket; what is unsent is dropped. Closing it again does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self.held = True  # whoever is serving it stops
        for watcher in (self._read_watcher, self._write_watcher):
            watcher.stop()
            watcher.close()
        self._sock.close()
        self._fd = -1  # Its number may be another connection's from now on.
        self._put_off = None
        self._unsent.clear()
        self._packer = None
        self._posted = b""
        self.unsent_bytes = 0
        self._unpacker = None
        self._closed(self, reason)
