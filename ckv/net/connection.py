"""One non-blocking socket on the event loop: a batch in, a batch out, bounded buffers.

The same class serves the listening side and the calling side. There is no greenlet for it: in a turn of the
:class:`~ckv.net.poller.Poller` it gets the bytes that have arrived, hands all messages in them to its receiver, and
everything that these answer leaves in one ``write``.

Reading stops while anybody *holds* the connection (its unsent answers, its requests in flight, a congested node behind
a primary), so a peer that does not read, or asks faster than it can be served, is slowed down by TCP itself. The
calling side never stops reading for what it has not sent: two ends that each wait for the other one to read wait for
ever.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgpack
from gevent import monkey

from ckv import errors
from ckv.protocol.limits import (
    MAX_PARTS_BYTES,
    RECV_BYTES,
    RECV_BYTES_OF_LARGE,
    RECV_BYTES_OF_SMALL,
    SPARE_BUFFER_BYTES,
    Limits,
)
from ckv.protocol.msgpackrpc import NO_MESSAGE, at_message_end, is_bulky, new_requests_unpacker, not_msgpack
from ckv.protocol.packing import RESPONSE, new_batch_packer

if TYPE_CHECKING:
    from ckv.net.poller import Poller

log = logging.getLogger(__name__)

WRITE: Final = 2
"""What a watcher of gevent's loop waits for."""

UNSENT: Final = "unsent answers"
IN_FLIGHT: Final = "requests in flight"
PUT_OFF: Final = "requests that were put off"
END_OF_INPUT: Final = "end of input"

# The loop tells when a socket is ready, so the plain class is wanted, not gevent's, which would wait in a greenlet.
plain_socket: type[socket.socket] = monkey.get_original("socket", "socket")


class Receiver(Protocol):
    """Takes the messages of any number of connections."""

    inbox: list[tuple[Connection, bytes]]
    """What has arrived in this turn, put there by the :class:`~ckv.net.poller.Poller`."""

    def receive(self, connection: Connection, messages: Iterator[Any]) -> int:
        """Takes the complete messages that are there, and returns how many it took.

        It may leave all but the first one behind when the connection became :attr:`Connection.held`, or put them off;
        it is called again afterwards. Raises :class:`~ckv.errors.ProtocolError`, whereupon the connection is closed.
        """


class _Marked:
    """The messages of an Unpacker, and where the last one ended."""

    def __init__(self, unpacker: msgpack.Unpacker) -> None:
        self.unpacker = unpacker
        self.end = 0

    def __iter__(self) -> Iterator[Any]:
        for message in self.unpacker:
            self.end = self.unpacker.tell()
            yield message


class Connection:
    """A socket, the messages that come in, and the bytes that still have to go out."""

    __slots__ = (
        "_closed",
        "_holds",
        "_limits",
        "_max_in_flight",
        "_new_unpacker",
        "_on_drained",
        "_packer",
        "_poller",
        "_put_off",
        "_receive",
        "_resuming",
        "_sock",
        "_unsent",
        "_write_watcher",
        "calls",
        "consumed",
        "fd",
        "fed",
        "heard",
        "held",
        "in_flight",
        "inbox",
        "is_open",
        "packed",
        "peer",
        "posted",
        "queued",
        "read_bytes",
        "unpacker",
        "unsent_bytes",
    )

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        peer: str,
        limits: Limits,
        receiver: Receiver,
        closed: Callable[[Connection, str], None],
        on_drained: Callable[[], None] | None = None,
        new_unpacker: Callable[[Limits], msgpack.Unpacker] = new_requests_unpacker,
    ) -> None:
        """Takes over a connected socket and starts to read.

        ``closed(connection, reason)`` is called once, whoever closes it; an empty reason is an ordinary end.
        ``on_drained()`` is what makes it the calling side: it is called whenever nothing is unsent any more. Unsent
        requests are bounded by whoever makes them, and are no reason to stop reading the answers.
        """
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Without it Nagle's algorithm holds back a small batch until the peer's delayed ACK: 40 ms stalls.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word (power, a firewall) is noticed after the system's keep-alive time.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._poller = poller
        self._sock = sock
        self.fd = sock.fileno()
        self._limits = limits
        self._max_in_flight = limits.max_in_flight
        self._receive = receiver.receive
        self.inbox = receiver.inbox
        self._closed = closed
        self._on_drained = on_drained
        self.calls = on_drained is not None
        """Whether it is the calling side: what comes in are answers."""
        self._new_unpacker = new_unpacker
        self.unpacker: msgpack.Unpacker | None = None
        self.fed = 0
        """Bytes that the Unpacker has been given."""
        self.consumed = 0
        """Bytes that it had taken in after the last complete message, or somewhat more."""
        self.heard = False
        """Whether the peer has sent anything since somebody set it to false."""
        self._holds: set[Hashable] = set()
        self._put_off: list[object] = []
        self._packer: msgpack.Packer | None = None
        self.queued = False
        """Whether it will be flushed at the end of this turn."""
        self.posted = b""
        """What is to be sent then."""
        self.packed = False
        """Whether there is more to be sent than that: answers in the Packer, or what the socket did not take."""
        self._unsent: deque[memoryview] = deque()
        self._resuming = False
        self.peer = peer
        self.is_open = True
        self.held = False
        self.in_flight = 0
        self.read_bytes = RECV_BYTES_OF_SMALL
        self.unsent_bytes = 0
        self._write_watcher: Any = None
        poller.add(self.fd, self)

    def hand_over_to(self, receiver: Receiver) -> None:
        """Has somebody else receive what is read from now on."""
        self._receive = receiver.receive
        self.inbox = receiver.inbox

    def look_after(self) -> None:
        """To be called after each half of the time that a message may be unfinished.

        A peer that has sent nothing since the last call is closed if it is in the middle of a message; else the memory
        of its buffers is given back. Nobody can tell which it is without spending the Unpacker.
        """
        if self.heard or self.held:
            self.heard = self.held  # while it is held, it cannot go on
        elif self.unpacker is not None:
            if at_message_end(self.unpacker):
                self.unpacker = None
                if not self.queued:
                    self._packer = None
            else:
                self.close(f"nothing came of the rest of a message for {self._limits.unfinished_seconds:g} s")

    # --- in ------------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Serves what has arrived; no bytes are the end of input."""
        self.heard = True
        unpacker = self.unpacker
        if unpacker is None or not data:
            if not self.is_open:
                return
            if not data:
                self._input_ended()
                return
            # Not before the first byte: an Unpacker takes 40 KiB, and thousands of idle connections are normal.
            unpacker = self.unpacker = self._new_unpacker(self._limits)
            self.fed = self.consumed = 0
        try:
            unpacker.feed(data)
        except msgpack.BufferFull:
            self._too_long()
            return
        self.fed += len(data)
        if not self.held:
            self._serve(unpacker)

    def take_only(self, data: bytes) -> Any:
        """Takes what has arrived, and returns the message in it when it is exactly one, for the caller to serve.

        Otherwise all is served as by :meth:`received`, and the result is :data:`~ckv.protocol.msgpackrpc.NO_MESSAGE`.
        """
        unpacker = self.unpacker
        fed = self.fed
        if unpacker is None or fed != self.consumed or self.held or not data:
            self.received(data)
            return NO_MESSAGE
        self.heard = True
        self.fed = fed = fed + len(data)
        try:
            unpacker.feed(data)
            message: Any = next(unpacker, NO_MESSAGE)
            end: int = unpacker.tell()
        except Exception as error:  # noqa: BLE001 - whatever msgpack raises
            self.broken(not_msgpack(error))
            return NO_MESSAGE
        if message is NO_MESSAGE:
            self.serve(unpacker, unpacker)
            return NO_MESSAGE
        if end != fed:
            self.serve(unpacker, chain((message,), unpacker))
            return NO_MESSAGE
        # To let the Unpacker look for another would end in an exception inside of it, which costs as much as three
        # messages.
        self.consumed = fed
        return message

    def _input_ended(self) -> None:
        # The peer may have closed only its sending side (`printf ... | nc`): answer what it asked, then close.
        if self.unpacker is not None and not at_message_end(self.unpacker):
            self.close("the input ends in the middle of a message")
            return
        self.hold(END_OF_INPUT)
        self._close_when_done()

    def _serve(self, unpacker: msgpack.Unpacker) -> None:
        if self.fed - self.consumed > SPARE_BUFFER_BYTES:
            self._serve_large(unpacker)
        else:
            self.serve(unpacker, unpacker)

    def serve(self, unpacker: msgpack.Unpacker, messages: Iterator[Any]) -> int:
        """Serves all messages that are there: the Unpacker's, maybe with some before them. Returns how many."""
        served = self.hand_over(messages)
        end = unpacker.tell()
        if served:
            self.consumed = end
        elif end - self.consumed > MAX_PARTS_BYTES + RECV_BYTES_OF_LARGE:
            self._too_long()
        return served

    def hand_over(self, messages: Iterator[Any]) -> int:
        """Has them received, and deals with what is wrong with them. Returns how many there were."""
        try:
            return self._receive(self, messages)
        except errors.ProtocolError as error:
            self.broken(error)
        except Exception:  # it must not cost the other connections what was read for them
            log.exception("unexpected error while serving %s", self.peer)
            self.close("unexpected error")
        return 0

    def _serve_large(self, unpacker: msgpack.Unpacker) -> None:
        """Serves a message that filled the Unpacker's buffer, and gives the buffer back if nothing else is in it.

        The Unpacker does not tell whether it is in the middle of a message, so each message's end is noted here. That
        would cost the ordinary path three per cent.
        """
        self.read_bytes = RECV_BYTES_OF_LARGE
        marked = _Marked(unpacker)
        if self.serve(unpacker, iter(marked)):
            self.read_bytes = RECV_BYTES
            if marked.end == self.fed:
                self.unpacker = None

    def _too_long(self) -> None:
        self.close(
            f"a message of more than {self._limits.max_message_bytes} bytes, or of more than {MAX_PARTS_BYTES} before "
            "its last string"
        )

    def hold(self, reason: Hashable) -> None:
        """Stops reading until everybody who held the connection has released it."""
        self._holds.add(reason)
        self.held = True

    def release(self, reason: Hashable) -> None:
        """Takes back one :meth:`hold`; releasing what is not held does nothing."""
        self._holds.discard(reason)
        if self.held and not self._holds and self.is_open and not self._resuming:
            # Not at once: whoever releases is in the middle of something, and serving may hold again.
            self._resuming = True
            self._poller.loop.run_callback(self._resume)

    def put_off(self, requests: Iterable[object]) -> None:
        """Serves them in another turn of the loop, as soon as nobody holds the connection, before anything else."""
        if self.is_open:
            self._put_off.extend(requests)
            self.hold(PUT_OFF)
            self.release(PUT_OFF)

    def _resume(self) -> None:
        self._resuming = False
        if self._holds or not self.is_open:
            return
        self.held = False
        self.heard = True  # what has arrived meanwhile is still to be read
        if self._put_off:
            requests, self._put_off = self._put_off, []
            self.hand_over(iter(requests))
        if self.unpacker is not None and not self.held:
            self._serve(self.unpacker)
        if not self.held:
            self._poller.again(self.fd)

    # --- out -----------------------------------------------------------------------------------------------------

    def defer(self) -> None:
        """Notes that a request will be answered later, by :meth:`respond` or :meth:`settle`."""
        self.in_flight += 1
        if self.in_flight >= self._max_in_flight:
            self.hold(IN_FLIGHT)

    def respond(self, msgid: int, error: object, result: object) -> None:
        """Answers a deferred request. The bytes leave at the end of this turn of the loop."""
        # The one result of any size is that of a GET: [true, value].
        if error is None and type(result) is tuple and is_bulky(result):
            waiting = self.unsent_bytes + (len(self._packer.getbuffer()) if self._packer is not None else 0)
            if waiting > self._limits.max_queued_bytes:
                result, error = None, errors.to_wire(errors.Overloaded(f"{waiting} bytes of answers are unread"))
        self.respond_small((RESPONSE, msgid, error, result))

    def respond_small(self, response: tuple[object, ...]) -> None:
        """As :meth:`respond`, for a whole response that is not large."""
        if self.is_open:
            packer = self._packer
            if packer is None:
                packer = self._packer = new_batch_packer()
            packer.pack(response)
            self.packed = True
            if not self.queued:
                self.queued = True
                self._poller.send(self)
        self.in_flight -= 1
        if self.held:
            self.settled()

    def settle(self) -> None:
        """Counts a deferred request as done that needs no answer."""
        self.in_flight -= 1
        if self.held:
            self.settled()

    def settled(self) -> None:
        """To be called when :attr:`in_flight` has become less and the connection is held."""
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
        self.posted += data
        if len(self.posted) > SPARE_BUFFER_BYTES:
            self.flush()
        elif not self.queued:
            self.queued = True
            self._poller.send(self)

    def flush(self) -> None:
        """Sends what is there to be sent: now what the socket takes, and the rest as soon as it takes more."""
        self.queued = False
        data = self.posted
        packer = self._packer
        if packer is not None:
            data += packer.bytes()
            if len(data) > SPARE_BUFFER_BYTES:
                self._packer = None  # it would keep its size
            else:
                packer.reset()
        self.packed = bool(self._unsent)
        if not data:
            return
        self.posted = b""
        sent = 0
        if not self._unsent:
            try:
                sent = os.write(self.fd, data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self.close(f"{error.strerror or error}")
                return
        if sent != len(data):
            self.keep(data, sent)
        if self.held:
            self._close_when_done()

    def keep(self, data: bytes, sent: int) -> None:
        """Takes note of what the socket did not take; the first ``sent`` bytes it did."""
        if not self._unsent:
            if self._write_watcher is None:
                self._write_watcher = self._poller.loop.io(self.fd, WRITE)
            self._write_watcher.start(self._writable)
        self.packed = True
        self._unsent.append(memoryview(data)[sent:])
        self.unsent_bytes += len(data) - sent
        if self.calls:
            return
        if self.unsent_bytes > self._limits.hard_unsent_bytes:
            self.close(f"more than {self._limits.hard_unsent_bytes} bytes unsent: the peer does not read")
        elif self.congested:
            self.hold(UNSENT)

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that nothing should be added."""
        return self.unsent_bytes > self._limits.soft_unsent_bytes

    @property
    def untaken_bytes(self) -> int:
        """How much the peer's system has not taken yet: what is unsent, and what the system keeps for it."""
        kept: tuple[int] = struct.unpack("i", fcntl.ioctl(self.fd, termios.TIOCOUTQ, bytes(4)))
        return self.unsent_bytes + kept[0]

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
        self.packed = self.queued  # maybe for nothing
        self.release(UNSENT)
        if self._on_drained is not None:
            self._on_drained()
        self._close_when_done()

    # --- the end -------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether every request that was read has been answered and every answer been sent."""
        return not (self.in_flight or self._unsent or self.queued)

    def _close_when_done(self) -> None:
        if END_OF_INPUT in self._holds and self.idle:
            self.close("")

    def broken(self, error: errors.ProtocolError) -> None:
        """Closes the socket, for nobody can tell what the peer will send next; what was answered before is sent."""
        self.flush()
        self.close(str(error))

    def close(self, reason: str) -> None:
        """Closes the socket; what is unsent is dropped. Closing it again does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self.held = True  # whoever is serving it stops
        self._poller.remove(self.fd)
        if self._write_watcher is not None:
            self._write_watcher.stop()
            self._write_watcher.close()
        self._sock.close()
        self.fd = -1  # Its number may be another connection's from now on.
        self._put_off = []
        self._unsent.clear()
        self._packer = None
        self.posted = b""
        self.unsent_bytes = 0
        self.unpacker = None
        self._closed(self, reason)
