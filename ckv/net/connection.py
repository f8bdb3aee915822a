"""One non-blocking socket on the event loop, which carries the bytes of a session: bounded, and of no protocol.

It serves the listening and the calling side, without a greenlet: in a turn of the :class:`~ckv.net.poller.Poller` its
session gets the bytes that have arrived, and all answers to them leave together.

Reading stops while anybody *holds* the connection (unsent answers, requests in flight, a congested node behind a
primary), so TCP slows down a peer that does not read, or asks too fast. The calling side never stops reading for what
it has not sent, which its callers bound: two ends that each wait for the other one to read wait for ever.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Final

from ckv import events
from ckv.address import Address
from ckv.net.poller import WRITE, Polled, Poller, Receiver, send_all
from ckv.net.transport import Transport
from ckv.protocol.limits import RECV_BYTES_OF_LARGE, SPARE_BUFFER_BYTES, Limits
from ckv.protocol.session import Session

log = logging.getLogger(__name__)

UNSENT: Final = "unsent answers"
PAUSED: Final = "a pause"
END_OF_INPUT: Final = "end of input"


class Connection(Polled):
    """A transport, the session that it carries (which sees a :class:`~ckv.protocol.handler.Line`), and unsent bytes."""

    def __init__(
        self,
        poller: Poller,
        transport: Transport,
        peer: str,
        limits: Limits,
        receiver: Receiver,
        closed: Callable[[Connection, str], None],
        on_drained: Callable[[], None] | None = None,
    ) -> None:
        """Starts to read. ``closed(connection, reason)`` is called once, whoever closes it; an empty reason is an
        ordinary end. ``on_drained()`` makes it the calling side: it is called whenever nothing is unsent any more."""
        super().__init__(transport, receiver.inbox, on_drained is not None)
        self._poller = poller
        self._transport = transport
        self._limits = limits
        self._receiver = receiver
        self._closed = closed
        self._is_limited = False
        """Whether somebody else reads for a while, see :meth:`read_through`."""
        self._on_drained = on_drained
        self._metered: Callable[[int, int], bytes] | None = None
        """What reads it in the place of the transport, see :meth:`meter`."""
        self.session: Session | None = None
        """None until the first byte."""
        self._holds: set[Hashable] = set()
        self._resuming = False
        self._queued = False
        """Whether it will be flushed at the end of this turn."""
        self._posted = b""
        """What is to be sent then, before what its session has to send."""
        self._unsent: deque[memoryview] = deque()
        self.peer = peer
        self.since = time.monotonic()
        """When it came, by the monotonic clock."""
        self.is_open = True
        self._write_watcher: Any = None
        transport.belongs_to(self)
        poller.add(self)

    def open(self, first: int) -> Session:
        """Begins the session, whose peer's first byte is ``first``; 0 where it is known without."""
        self.session = session = self._receiver.new_session(self, first)
        # What has arrived may have told that the bytes are plain.
        self.write = self._transport.write
        if not self._is_limited:
            self.read = self._transport.read
        return session

    @property
    def own_address(self) -> Address:
        """Where the peer has found this end."""
        return self._transport.own_address

    @property
    def carried(self) -> tuple[int, int]:
        """See :attr:`Transport.carried`. Only while it is open."""
        return self._transport.carried

    def hand_over_to(self, receiver: Receiver) -> None:
        """Has somebody else receive what is read from now on."""
        self._receiver = receiver
        self.inbox = receiver.inbox

    def look_after(self) -> None:
        """To be called after each half of the time that a message may be unfinished: closes a peer that is in the
        middle of one and has sent nothing since the last call, or else gives the memory of its buffers back."""
        heard = self.was_heard()
        if self.held:
            self.heard = True  # It cannot go on.
        elif not heard and self.session is not None and not self.session.rest():
            self.close(f"nothing came of the rest of a message for {self._limits.unfinished_seconds:g} s")

    def was_heard(self) -> bool:
        """Whether the peer has sent anything since the last call of this."""
        heard, self.heard = self.heard, False
        return heard

    def received(self, data: bytes) -> None:
        """Serves what has arrived; no bytes are the end of input."""
        if not self.is_open:
            return
        if not data:
            # The peer may have closed only its sending side (`printf ... | nc`): answer what it asked, then close.
            self._poller.send_answers()
            if self.session is not None and not self.session.ended():
                self.close("the input ends in the middle of a message")
            else:
                self.hold(END_OF_INPUT)
                self.done()
            return
        session = self.session
        if session is None:
            session = self.open(data[0])
        session.feed(data)
        self.attend(b"")

    def attend(self, answers: bytes) -> None:
        """Sends the answers, and goes on with what the session has left, as long as nobody holds the connection."""
        session = self.session
        if session is None:
            return
        try:
            while True:
                if session.large:
                    self.read_bytes = RECV_BYTES_OF_LARGE
                if answers:
                    self.post(answers)
                if session.failed:
                    # Nobody can tell what the peer will send next. What was answered before is sent.
                    self._poller.send_answers()
                    self.flush()
                    self.close(session.failed)
                    return
                if self.held or not session.attention:
                    return
                answers = session.more()
        except Exception:  # noqa: BLE001 - it must not cost the other connections what was read for them
            self.close_on_defect()

    def hold(self, reason: Hashable) -> None:
        self._holds.add(reason)
        self.held = True

    def release(self, reason: Hashable) -> None:
        self._holds.discard(reason)
        if self.held and not self._holds and self.is_open and not self._resuming:
            # Not at once: whoever releases is in the middle of something, and serving may hold again.
            self._resuming = True
            self._poller.loop.run_callback(self._resume)

    def read_by(self, read: Callable[[int, int], bytes] | None) -> None:
        if read is None:
            self._is_limited = False
            self.read = self._metered or self._transport.read
            self._poller.again(self)  # something may be behind what was read
        elif self._transport.is_plain and self._metered is None:
            self.read = read

    def meter(self, reading: Callable[[Callable[[int, int], bytes]], Callable[[int, int], bytes]] | None) -> None:
        """From now on all is read by what ``reading`` makes of what reads the transport; as it is, for None."""
        self._metered = reading(self._transport.read) if reading is not None else None
        self.read_by(None)

    def read_through(self, limit: Callable[[bytes], None]) -> None:
        """Has ``limit`` look at all that is read, until :meth:`read_by` is called with None. It may raise OSError,
        which closes the connection."""

        def read(fd: int, count: int) -> bytes:
            data = self._transport.read(fd, count)
            limit(data)
            return data

        self._is_limited = True
        self.read = read

    def read_again(self) -> None:
        if self.is_open:
            self._poller.again(self)

    def finish(self) -> None:
        self.hold(END_OF_INPUT)

    def pause(self) -> None:
        self.hold(PAUSED)
        self.release(PAUSED)

    def _resume(self) -> None:
        self._resuming = False
        if self._holds or not self.is_open:
            return
        self.held = False
        self.heard = True  # what has arrived meanwhile is still to be read
        self.attend(b"")
        if not self.held:
            self._poller.again(self)

    @property
    def in_flight(self) -> int:
        return self.session.in_flight if self.session is not None else 0

    def post(self, data: bytes) -> None:
        """Sends at the end of this turn of the loop; what is large, or has to leave in order, at once."""
        if not self.is_open:
            return
        self._posted += data
        in_order = self.session is not None and self.session.in_order
        at_once = in_order or len(self._posted) > SPARE_BUFFER_BYTES
        if not at_once or self._poller.look is not None:
            self.wake()  # or it is taken for one to whom nothing was answered
        if at_once:
            self._poller.send_answers()  # of requests before
            self._send_posted()

    @property
    def has_posted(self) -> bool:
        """Whether there are such answers. What is answered to later requests must not leave before them."""
        return len(self._posted) > 0

    def wake(self) -> None:
        if not self._queued:
            self._queued = True
            self._poller.send(self)

    def flush(self) -> None:
        self._queued = False
        if self.session is not None and self.session.waiting:
            self._posted += self.session.take()
        self._send_posted()
        if self.session is not None and self.session.failed:  # which it did apart from its own requests
            self.close(self.session.failed)

    def _send_posted(self) -> None:
        # Without what its session has: a later answer of a BATCH may not come before the first, which may wait still.
        data, self._posted = self._posted, b""
        if data:
            send_all(((self, data),))
        if self.held:
            self.done()

    def keep(self, data: bytes, sent: int) -> None:
        if not self._unsent:
            if self._write_watcher is None:
                self._write_watcher = self._poller.loop.io(self.fd, WRITE)
            self._write_watcher.start(self._writable)
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
        return self.unsent_bytes > self._limits.soft_unsent_bytes

    @property
    def untaken_bytes(self) -> int:
        """How much the peer's system has not taken yet: what is unsent, and what the system keeps for it."""
        return self.unsent_bytes + self._transport.kept_bytes

    def _writable(self) -> None:
        unsent = self._unsent
        while unsent:
            try:
                sent = self.write(self.fd, unsent[0])
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
        self.done()

    @property
    def idle(self) -> bool:
        """Whether every request that was read has been answered and every answer been sent."""
        return not (self.in_flight or self._unsent or self._queued)

    def done(self) -> None:
        if END_OF_INPUT in self._holds and self.idle:
            self.close("")

    def close_on_defect(self) -> None:
        """Closes it for the error that is being handled, which is logged: a handler of its request has a defect."""
        log.exception(events.CONNECTION_DEFECT, self.peer)
        self.close("unexpected error")

    def close(self, reason: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self.held = True  # whoever is serving it stops
        self._poller.remove(self)
        if self._write_watcher is not None:
            self._write_watcher.close()
        self._transport.close()
        self.fd = -1
        self._unsent.clear()
        self._posted = b""
        self.unsent_bytes = 0
        if self.session is not None:
            self.session.close()
        self._closed(self, reason)


def kind_of(reason: str) -> str:
    """What reasons that differ only in what the peer has sent have in common.

    >>> kind_of("not msgpack: ValueError 2000 exceeds max_array_len(1024)"), kind_of("more than 5 bytes unsent")
    ('not msgpack', 'more than N bytes unsent')
    """
    return re.sub(r"\d+", "N", reason.partition(":")[0])
