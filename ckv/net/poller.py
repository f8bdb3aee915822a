"""The sockets of all connections, and one turn over those that are ready: read all, serve all, send all.

Each step is taken for all sockets before the next one begins. That makes small requests quick: the code of each step
stays in the processor's caches, and the peer that the first answer wakes up is still awake at the second. For the same
reason the sockets are in an epoll of their own, which gevent's loop watches as one file. The one exception: of what
other nodes answered, a client that waits for nothing else gets its own at once. ``docs/performance.md`` has figures.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, Protocol

from gevent import monkey

from ckv.net.transport import Transport
from ckv.protocol.handler import Line
from ckv.protocol.limits import BYTES_OF_ONE, RECV_BYTES, RECV_BYTES_OF_LARGE, RECV_BYTES_OF_ONE, RECV_BYTES_OF_SMALL
from ckv.protocol.session import Session

READ: Final = 1
WRITE: Final = 2
"""What a watcher of gevent's loop waits for."""

SOCKETS_PER_TURN: Final = 64
"""Sockets that are served in a turn, before gevent's loop goes on."""

BYTES_OF_A_SOCKET: Final = RECV_BYTES // 4
"""So many bytes from a socket make it count once more."""

BYTES_LEFT_BEHIND: Final = RECV_BYTES_OF_LARGE
"""So many bytes are read in one go, about, of what clients' sockets had left."""

ANSWERS_IN_A_ROW: Final = 3
"""So often are other nodes' sockets in which something was left read by themselves, before clients have their turn."""

FEW_SOCKETS: Final = 4
"""Fewer than that are served so quickly that little has arrived meanwhile, and answers need not wait for it."""

# Edge-triggered (https://man7.org/linux/man-pages/man7/epoll.7.html): a socket is reported once when something has
# arrived, and neither reading it nor leaving it alone costs another call of the kernel. Whoever leaves something unread
# has to come back by himself, see :meth:`Poller.again`. The end of input has a name of its own, for it may arrive
# together with data, and nothing else would report it then.
_ARRIVED: Final[int] = select.EPOLLIN
_EVENTS: Final[int] = _ARRIVED | select.EPOLLRDHUP | select.EPOLLET
# In the place of an event, for a socket in which something was left. As after an end of input, it is read until there
# is nothing more. A client's has a number that the kernel does not use.
_ANSWERS_LEFT: Final[int] = select.EPOLLRDHUP
_LEFT: Final[int] = 1 << 32

# gevent's patches take epoll away, for a greenlet must not wait in it. Nobody waits here.
_new_epoll: Final[Callable[[], select.epoll]] = monkey.get_original("select", "epoll")


class Polled:
    """A socket as the Poller sees it: it is read when it is ready, and flushed when there is something to be sent."""

    __slots__ = ("calls", "fd", "heard", "held", "inbox", "read", "read_bytes", "unsent_bytes", "write")

    def __init__(self, transport: Transport, inbox: list[Any], calls: bool) -> None:
        self.fd = transport.fd
        """The number of its file; -1 when it is closed, for that number may be another one's then."""
        self.read: Callable[[int, int], bytes] = transport.read
        self.write: Callable[[int, bytes | memoryview], int] = transport.write
        """See :class:`ckv.net.transport.Transport`."""
        self.read_bytes = RECV_BYTES_OF_SMALL
        """What the next read may take."""
        self.heard = calls
        """Whether anything has arrived since somebody asked; from another node, its greeting has."""
        self.unsent_bytes = 0
        """What the socket has not taken yet."""
        self.inbox = inbox
        """Takes what was read, as ``(polled, bytes)``; no bytes are the end of input."""
        self.calls = calls
        """Whether it is the calling side: what comes in are answers."""
        self.held = False
        """Whether it is not to be read."""

    @property
    def in_flight(self) -> int:
        """Requests of its peer that wait for an answer."""
        raise NotImplementedError

    def keep(self, data: bytes, sent: int) -> None:
        """Takes note of what the socket did not take; the first ``sent`` bytes it did."""
        raise NotImplementedError

    def flush(self) -> None:
        """Sends what has come together."""
        raise NotImplementedError

    def close(self, reason: str) -> None:
        """Closes the socket; what is unsent is dropped. Closing it again does nothing."""
        raise NotImplementedError

    def close_on_defect(self) -> None:
        """Closes it for the error that is being handled, which is logged."""
        raise NotImplementedError


def send_all(answers: Iterable[tuple[Polled, bytes]]) -> None:
    """Sends bytes now: what the sockets take, and the rest as soon as they take more."""
    for polled, data in answers:
        sent = 0
        if not polled.unsent_bytes:
            try:
                sent = polled.write(polled.fd, data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                polled.close(f"{error.strerror or error}")
                continue
        if sent != len(data):
            polled.keep(data, sent)


class Receiver(Protocol):
    """Takes what has arrived for any number of connections."""

    inbox: list[Any]
    """What has arrived in this turn, as ``(polled, bytes)``."""

    def receive_all(self) -> Iterable[tuple[Polled, bytes]]:
        """Takes what is in its inbox. Returns what is to be sent, besides what connections will be flushed for."""

    def new_session(self, line: Line, first: int) -> Session:
        """The session of a new connection, whose peer's first byte is ``first``."""


class Poller:
    """Reads, serves and sends for the connections of a node, on gevent's loop."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self._connections: list[Polled | None] = []
        """At the number of their file, which the kernel keeps as small as it can: quicker than a dict."""
        self._receivers: dict[Receiver, None] = {}
        self._again: dict[int, None] = {}
        """The sockets in which something was left, each once, in the order in which they have their turn."""
        self._answers_again: dict[int, None] = {}
        """The same of those to other nodes."""
        self._answers_in_a_row = 0
        self._first_to_send: list[Callable[[], None]] = []
        self._to_send: list[Polled] = []
        self._answers: list[tuple[Polled, bytes]] = []
        """To be sent before what those have to send."""
        self.look: Callable[[], None] | None = None
        """Is called before anything is served, and before answers leave. It may :meth:`drop_answers`."""
        self._in_turn = False
        self._room = 0
        """For how many more sockets there is in this turn."""
        self._turn_is_due = False
        """Whether the loop was asked for a turn. It may have others before, which must not make it more than one."""
        self._epoll = _new_epoll()
        self._poll = self._epoll.poll
        self._watcher = loop.io(self._epoll.fileno(), READ)
        self._watcher.start(self._guarded_turn)

    def add(self, connection: Polled) -> None:
        """Reads the socket from now on, whenever something has arrived."""
        fd = connection.fd
        self._connections += [None] * (fd + 1 - len(self._connections))
        self._connections[fd] = connection
        self._epoll.register(fd, _EVENTS)

    def remove(self, connection: Polled) -> None:
        """Forgets a socket that is about to be closed."""
        self._connections[connection.fd] = None
        self._epoll.unregister(connection.fd)

    def add_receiver(self, receiver: Receiver) -> None:
        """Has it receive, in every turn from now on."""
        self._receivers[receiver] = None

    def remove_receiver(self, receiver: Receiver) -> None:
        """Ends what :meth:`add_receiver` began; doing it again does nothing."""
        self._receivers.pop(receiver, None)

    def again(self, connection: Polled) -> None:
        """Reads the socket in the next turn, whether or not something arrives until then."""
        (self._answers_again if connection.calls else self._again)[connection.fd] = None
        if not self._in_turn:
            self._ask_for_turn()

    def send(self, connection: Polled) -> None:
        """Flushes it once, at the end of this turn."""
        self._to_send.append(connection)
        if not self._in_turn:
            self._ask_for_turn()

    def send_first(self, flush: Callable[[], None]) -> None:
        """Calls it once, at the end of this turn, before connections are flushed: other nodes have to work for some. It
        raises nothing."""
        self._first_to_send.append(flush)
        if not self._in_turn:
            self._ask_for_turn()

    def answer(self) -> None:
        """Flushes those at once that wait for nothing else: they can send the next request meanwhile. Others get all
        answers of this turn together."""
        self.send_answers()
        connections, self._to_send = self._to_send, []
        for connection in connections:
            if connection.in_flight:
                self._to_send.append(connection)
            else:
                _flush(connection)

    def send_answers(self) -> None:
        """Sends the answers that wait for the end of the turn."""
        self.look_first()
        answers, self._answers = self._answers, []
        send_all(answers)

    def look_first(self) -> None:
        """To be called before anything is served, or sent, apart from a turn."""
        if self.look is not None:
            self.look()

    def drop_answers(self) -> None:
        """Closes the sockets of all to whom something was answered that has not left: nobody is to have it. In the
        middle of a turn it is not known whose these are, and all are closed."""
        answered: list[Polled | None] = [*self._to_send, *[polled for polled, _ in self._answers]]
        if self._in_turn:
            answered = self._connections.copy()
        self._answers = []
        for polled in answered:
            if polled is not None and not polled.calls:
                polled.close("what was answered may not hold any more")

    def close(self) -> None:
        """Ends it, when all its sockets are closed."""
        self._watcher.close()
        self._epoll.close()

    def _ask_for_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self.loop.run_callback(self._due_turn)

    def _due_turn(self) -> None:
        self._turn_is_due = False
        if not self._epoll.closed:
            self._guarded_turn()

    def _guarded_turn(self) -> None:
        try:
            self.turn()
        except Exception:  # noqa: BLE001 - gevent stops the watcher of a file whose callback raises: nothing would be read
            self.loop.handle_error(self, *sys.exc_info())  # tells it as what is raised in any other callback

    def turn(self) -> None:
        """Reads, serves and sends once. The loop calls it when a socket is ready."""
        self.look_first()
        self._room = SOCKETS_PER_TURN
        self._in_turn = True
        try:
            while self._room > 0 and (ready := self._read()):
                for receiver in tuple(self._receivers):  # one may end in its turn
                    if receiver.inbox:
                        try:
                            answers = receiver.receive_all()
                            self._answers += answers  # apart, for the call may have sent those before
                        finally:
                            receiver.inbox.clear()
                # What arrived meanwhile comes along: the larger the batches, the less a call costs.
                if ready < FEW_SOCKETS and (self._answers or self._to_send):
                    break
        finally:
            self._in_turn = False
            if self._again or self._answers_again:
                self._ask_for_turn()
            self._send()

    def _read(self) -> int:
        """Puts what has arrived into the inboxes, of as many sockets as there is room for; returns their number."""
        connections = self._connections
        events = self._with_some_left_behind() if self._again or self._answers_again else self._poll(0, self._room)
        room = self._room - len(events)
        left = BYTES_LEFT_BEHIND
        for fd, event in events:
            connection = connections[fd]
            if connection is None or connection.held:
                self._again.pop(fd, None)
                continue  # Closed a moment ago; or it comes again when it is released.
            size = connection.read_bytes
            try:
                data = connection.read(fd, size)
            except (BlockingIOError, InterruptedError):
                self._again.pop(fd, None)
                continue
            except OSError as error:
                connection.close(f"{error.strerror or error}")
                continue
            connection.heard = True
            length = len(data)
            room -= length // BYTES_OF_A_SOCKET
            if length == size or event > _ARRIVED:
                self._again.pop(fd, None)  # it goes to the end
                self.again(connection)
                if size <= RECV_BYTES_OF_SMALL:
                    connection.read_bytes = RECV_BYTES
                elif length == size:
                    connection.read_bytes = RECV_BYTES_OF_LARGE
                if event == _LEFT:
                    left -= length
                    if left <= 0:
                        connection.inbox.append((connection, data))
                        break  # The rest has its turn later.
            elif size != RECV_BYTES_OF_ONE:
                if length < RECV_BYTES_OF_SMALL:
                    connection.read_bytes = RECV_BYTES_OF_ONE if length < BYTES_OF_ONE else RECV_BYTES_OF_SMALL
                elif length < RECV_BYTES < size:
                    connection.read_bytes = RECV_BYTES
            connection.inbox.append((connection, data))
        self._room = room
        return len(events)

    def _with_some_left_behind(self) -> list[tuple[int, int]]:
        """Sockets in which something was left, beside those that are ready: clients that send a lot come last.

        What other nodes answer is read first. It ends what was begun, and small answers are behind large ones: while
        these come, clients can wait. No socket is read twice before what it brought is served, which bounds the buffer
        of its connection: what was reported of one that was left is dropped.
        """
        left, answers = self._again, self._answers_again
        first = [(fd, _ANSWERS_LEFT) for fd in answers]
        nodes = [self._connections[fd] for fd in answers]
        are_large = any(node is not None and node.read_bytes > RECV_BYTES for node in nodes)
        if are_large and self._answers_in_a_row < ANSWERS_IN_A_ROW:
            self._answers_in_a_row += 1
            answers.clear()
            return first
        self._answers_in_a_row = 0
        new = [event for event in self._poll(0, self._room) if event[0] not in left and event[0] not in answers]
        answers.clear()
        return first + new + [(fd, _LEFT) for fd in islice(left, SOCKETS_PER_TURN)]

    def _send(self) -> None:
        flushes, self._first_to_send = self._first_to_send, []
        for flush in flushes:
            flush()
        self.send_answers()
        connections, self._to_send = self._to_send, []
        for connection in connections:
            _flush(connection)


def _flush(connection: Polled) -> None:
    try:
        connection.flush()
    except Exception:  # noqa: BLE001 - it must not cost the others their answers
        connection.close_on_defect()
