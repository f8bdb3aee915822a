"""One connection of the client: requests out, answers in, and what is known when it breaks in between."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from ckv.client.calls import Call, as_it_is
from ckv.client.login import AUTH, Login
from ckv.client.reaching import UNBOUNDED, Budget
from ckv.client.sockets import can_be_read, has_arrived, is_stale, seconds_left
from ckv.errors import (
    CallTimeout,
    CkvError,
    Draining,
    NodeLost,
    NotOwner,
    ProtocolError,
    UnknownMethod,
    Unreachable,
    from_wire,
)
from ckv.protocol.packing import MSGIDS, NOTIFICATION, REQUEST, RESPONSE, new_packer, new_unpacker, whole_message

if TYPE_CHECKING:
    from ckv.tls import Tls

MAX_ANSWER_BYTES: Final = 65 * 2**20
"""The longest answer: the largest value that ``--max-value-bytes`` can allow, and room for what is around it."""

CHUNK_BYTES: Final = 256 * 1024
"""The most that one read takes and one write offers."""

SURELY_FITS: Final = 16 * 1024
"""Bytes that an empty buffer of the system takes whatever it is set to: Linux's smallest default is 16 KiB."""

Introduction = tuple[str, tuple[object, ...]]
"""A method, and its arguments, that a node is told before calls may follow over the same connection."""

ELSEWHERE: Final = 0.01
"""Seconds after which another node was waited for, so that what this one sends, or is sent, could not go on."""

STALE_AFTER: Final = 0.02
"""Seconds without a call after which a connection is looked at before it is used: a call more to the system."""


class Connection:
    """A connection to one node. It is made by the first exchange, and again by one that finds it broken.

    One thread at a time may use it; :class:`ckv.client.pool.Pool` sees to that.
    """

    def __init__(self, host: str, port: int, login: Login | None = None, tls: Tls | None = None) -> None:
        """``login``: with which each connection begins. ``tls``: whom it trusts; None without TLS."""
        self._host: Final = host
        self._port: Final = port
        self._login: Final = login
        self._tls: Final = tls
        self.name: Final = f"{host}:{port}"
        self.packer: Final = new_packer()
        self._unpacker = new_unpacker(MAX_ANSWER_BYTES, CHUNK_BYTES)
        self.socket: socket.socket | None = None
        self.last_id = 0
        self._sent = 0
        """Bytes of the exchange under way that the system took; what it did not take, nobody can have carried out."""
        self.used = 0.0
        """When the last answer came, by the monotonic clock."""
        self.introduction: Introduction | None = None
        """What the node has to have been told before it is asked anything."""
        self.introduced: Introduction | None = None
        """What it was told."""
        self.budget: Budget | None = None
        """The time that it may take to get so far, if whoever has it shares that with others."""
        self._forked = False
        self.retired = False
        """Whether it is to be closed when its exchange is over."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without looking."""
        return self.socket is not None

    def exchange(self, calls: Sequence[Call], timeout: float, deadline: float, connect_timeout: float) -> list[object]:
        """The result of each call, or its :class:`CkvError`; raises only ``Unreachable``, when nothing was sent.

        The first answer has to come before the deadline (monotonic clock), where packing the calls and connecting do
        not count; each answer puts it off until ``timeout`` seconds later.
        """
        with closing(self.conversation(calls, timeout, deadline, connect_timeout)) as steps:
            for _ in steps:
                pass
        return [call.result for call in calls]

    def conversation(
        self, calls: Sequence[Call], timeout: float, deadline: float, connect_timeout: float
    ) -> Generator[None]:
        """:meth:`exchange` in steps, so that several nodes are asked at the same time; the results are in the calls.

        After the first step all is packed and nothing else has happened; after the second one it has left, as far as
        the system takes it at once. Whoever gives up has to close it.
        """
        began = time.monotonic()
        pack = self.packer.pack
        waiting = {msgid % MSGIDS: call for msgid, call in enumerate(calls, self.last_id + 1)}
        # Packed before the connection is touched: what cannot be packed must leave no trace of itself.
        packed = [pack((REQUEST, msgid, call.method, call.params)) for msgid, call in waiting.items()]
        self.last_id = (self.last_id + len(calls)) % MSGIDS
        requests = packed[0] if len(packed) == 1 else b"".join(packed)
        ends = dict.fromkeys(waiting, 1)  # Small ones leave in one piece: any byte of them stands for all.
        if len(requests) > SURELY_FITS:
            ends = dict(zip(waiting, accumulate(map(len, packed)), strict=True))
        del packed  # The requests may be large, and they are here once more.
        deadline += time.monotonic() - began
        yield
        left, budget = deadline - time.monotonic(), UNBOUNDED
        if self.introduction is not None:
            budget = self.budget or Budget()
            budget.begin(left)
        while True:
            self._sent = 0
            if self.socket is not None and time.monotonic() - self.used > STALE_AFTER and is_stale(self.socket):
                self.drop()  # it broke while it was idle
            kept = self.socket
            if left <= 0:
                raise Unreachable(f"the time of the call to {self.name} was over before it was sent")
            sock = kept or self._connect(connect_timeout, budget)
            try:
                refused = self._log_in(sock, connect_timeout, budget) if kept is None else None
                until = time.monotonic() + left
                if refused is None and self.introduced is not self.introduction:
                    refused = self._introduce(sock, timeout, budget)
                if refused is not None:
                    for call in calls:
                        call.result = type(refused)(*refused.args)
                    break
                unsent = self._begin(sock, requests, until - time.monotonic())
                left_at = time.monotonic()
                yield
                now = time.monotonic()
                if now - left_at > ELSEWHERE and (unsent or has_arrived(sock)):
                    # An answer is in time though another node was waited for meanwhile, and so is a large one, of which
                    # the rest comes only now. What could not leave meanwhile has its time from now on, too.
                    until = max(until, now + timeout)
                sock.settimeout(seconds_left(until))
                self._converse(sock, unsent, waiting, timeout, until)
            except (CkvError, OSError) as error:
                self.drop()
                if kept and not self._sent and not isinstance(error, TimeoutError):
                    # It broke while nobody used it, and nothing of these calls has left.
                    continue
                for msgid, call in waiting.items():
                    call.result = self.failure(error, ends[msgid] <= self._sent, timeout)
            except BaseException:
                # Ctrl-C, or a gevent time-out around the call: answers are still on their way, and whoever calls next
                # must not get them.
                self.drop()
                raise
            break

    def call(self, call: Call, timeout: float, deadline: float, connect_timeout: float) -> object:
        """As :meth:`exchange` for a single call; in half the time where nothing is unusual."""
        sock, now = self.socket, time.monotonic()  # the same all the time: a fork takes it away from the copy
        msgid = (self.last_id + 1) % MSGIDS
        request = self.packer.pack((REQUEST, msgid, call.method, call.params))
        is_new = sock is None or self.introduced is not self.introduction
        if is_new or sock is None or now - self.used > STALE_AFTER or len(request) > SURELY_FITS:
            return self.exchange((call,), timeout, deadline, connect_timeout)[0]
        self.last_id = msgid
        self._sent = 0
        try:
            unsent, data = self._begin(sock, request, deadline - now), b""
            if not unsent:
                data = sock.recv(CHUNK_BYTES)
                # Not a pattern, which takes three times as long.
                message = whole_message(data)
                if message.__class__ is list and len(message) == 4 and message[:3] == [RESPONSE, msgid, None]:
                    self.used = time.monotonic()
                    return call.read(message[3])
            self._converse(sock, unsent, {msgid: call}, timeout, deadline, data)
        except (CkvError, OSError) as error:
            self.drop()
            if not self._sent and not isinstance(error, TimeoutError):
                return self.exchange((call,), timeout, deadline, connect_timeout)[0]
            return self.failure(error, self._sent > 0, timeout)
        except BaseException:  # as above
            self.drop()
            raise
        return call.result

    def drop(self) -> None:
        """Close the connection if there is one. The next exchange makes a new one."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
            self.introduced = None

    def forked(self) -> None:
        """Let go of a connection that belongs to the process that this one was forked from, and never make another.

        It is closed and not shut down, so the other process has it as before. A copy of the caller may still be here,
        in a greenlet or below a signal handler: its call fails, for the original makes the same one.
        """
        self._forked = True
        self.drop()

    def _log_in(self, sock: socket.socket, connect_timeout: float, budget: Budget) -> CkvError | None:
        """Log in over a new connection; the error that the node answered, if it does not let this user in. Raises as
        :meth:`_converse` does, and nothing of the calls was sent."""
        if self._login is None:
            return None
        with budget.to_connect(connect_timeout) as left:
            result = self._tell(sock, Call(AUTH, tuple(self._login), as_it_is), left, left)
        # A node without users does not know it.
        if isinstance(result, CkvError) and not isinstance(result, UnknownMethod):
            self.drop()
            return result
        return None

    def _tell(self, sock: socket.socket, call: Call, timeout: float, left: float) -> object:
        """Make a call before all others, in the seconds that are left; its result."""
        msgid = self.last_id = (self.last_id + 1) % MSGIDS
        until = time.monotonic() + left
        try:
            request = self.packer.pack((REQUEST, msgid, call.method, call.params))
            self._converse(sock, self._begin(sock, request, left), {msgid: call}, timeout, until)
        finally:
            self._sent = 0
        return call.result

    def _introduce(self, sock: socket.socket, timeout: float, budget: Budget) -> CkvError | None:
        """Tell the node what it has to be told; the error that it answered, if it does not take the calls then. Raises
        as :meth:`_converse` does, and nothing of the calls was sent."""
        if self.introduction is None:
            self.drop()
            return Unreachable(f"{self.name} was asked as another one before")
        with budget.to_tell() as left:
            result = self._tell(sock, Call(*self.introduction, as_it_is), timeout, left)
        if isinstance(result, CkvError):
            self.drop()
            return result
        self.introduced = self.introduction
        return None

    def _begin(self, sock: socket.socket, requests: bytes, left: float) -> bytes | memoryview:
        """Send what the system takes at once, which may take so many seconds; returns what is unsent."""
        if left <= 0:
            raise TimeoutError
        if len(requests) > SURELY_FITS:
            unsent = memoryview(requests)
            sock.settimeout(0)
            try:
                while unsent:
                    count = sock.send(unsent[:CHUNK_BYTES])
                    self._sent += count
                    unsent = unsent[count:]
            except BlockingIOError:
                pass
            return unsent
        sock.settimeout(left)
        # All that was sent before is answered, so the system's buffer is empty, and there is no need to look.
        self._sent = sock.send(requests)
        return requests[self._sent :]

    def _converse(
        self,
        sock: socket.socket,
        unsent: bytes | memoryview,
        waiting: dict[int, Call],
        timeout: float,
        deadline: float,
        data: bytes = b"",
    ) -> None:
        """Send what is unsent, and settle the calls, by msgid, until none waits; ``data`` has arrived already.

        When it raises, the connection is lost.

        A node stops reading from a client that does not read. So this never waits for room to send alone: it sends
        what fits, and when nothing does it waits for room *or* for answers.
        """
        stopping = False
        while waiting:
            if unsent:
                sock.settimeout(0)
                try:
                    count = sock.send(unsent[:CHUNK_BYTES])
                    self._sent += count
                    unsent = unsent[count:]
                    if not unsent:
                        sock.settimeout(seconds_left(deadline))
                    continue
                except BlockingIOError:
                    if not can_be_read(sock, seconds_left(deadline)):
                        continue
                sock.settimeout(seconds_left(deadline))
            data = data or sock.recv(CHUNK_BYTES)
            if not data:
                raise NodeLost(f"{self.name} closed the connection")
            settled: list[Call] = []
            stopping |= self.settle(data, waiting, settled)
            data = b""
            if settled:
                self.used = time.monotonic()
                deadline = self.used + timeout
            if waiting:
                sock.settimeout(seconds_left(deadline))
        if stopping:
            # A node that stops closes its connections. A call that is on its way then has an unknown outcome, while
            # one that finds nobody has a known one.
            self.drop()

    def settle(self, data: bytes, waiting: dict[int, Call], settled: list[Call]) -> bool:
        """Take the answers that are complete now, in whatever order they came; their calls go into ``settled``.

        Whether one said that the node is stopping.
        """
        try:
            self._unpacker.feed(data)
            messages: list[Any] = list(self._unpacker)
        except Exception as broken:  # whatever a decoder can make of bytes from anywhere
            raise ProtocolError(f"{self.name} sent bytes that are not msgpack: {broken!r}") from broken
        stopping = False
        for message in messages:
            # Not a pattern, which takes three times as long.
            if message.__class__ is list and len(message) == 4 and message[0] == RESPONSE and type(message[1]) is int:
                _, msgid, error, result = message
                call = waiting.get(msgid)
                if call is None:
                    raise ProtocolError(f"{self.name} answered a call that nobody made (msgid {msgid})")
                if error is None:
                    call.result = call.read(result)
                else:
                    call.result = from_wire(error)
                    # Behind what was not the node's it refuses what comes over this connection, so that nothing
                    # overtakes that. All of it is made again, elsewhere or over another one.
                    is_elsewhere = self.introduced is not None and isinstance(call.result, NotOwner)
                    stopping = stopping or is_elsewhere or isinstance(call.result, Draining)
                settled.append(waiting.pop(msgid))
                continue
            match message:
                case [int(kind), str(), [*_]] if kind == NOTIFICATION:
                    continue
            raise ProtocolError(f"{self.name} sent a message that is no msgpack-RPC response")
        return stopping

    def _connect(self, timeout: float, budget: Budget) -> socket.socket:
        """Connect to the first address of the host that takes it. Raises Unreachable."""
        # Never the old one: it may hold half a message of the connection before, or be broken by a bad one.
        self._unpacker = new_unpacker(MAX_ANSWER_BYTES, CHUNK_BYTES)
        failure: Exception = OSError("the host has no address")
        try:
            # Not socket.create_connection(): what is being connected must be known here, to be let go of after a fork.
            with budget.to_look_up():
                addresses = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)
            for family, kind, proto, _, address in addresses:
                if self._forked:
                    raise Unreachable(f"the process was forked before the call to {self.name} was sent")
                try:
                    with budget.to_connect(timeout) as seconds:
                        sock = self.socket = socket.socket(family, kind, proto)
                        sock.settimeout(seconds)
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        sock.connect(address)
                        if self._tls is not None:
                            from ckv.client.tls import sealed  # it loads OpenSSL

                            sock = self.socket = sealed(sock, self._tls, self._host)
                    return sock
                except OSError as error:
                    failure = error
                    self.drop()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no DNS can have
            failure = error
        except BaseException:
            self.drop()
            raise
        raise Unreachable(f"{self.name} cannot be reached: {failure}") from failure

    def failure(self, error: CkvError | OSError, sent: bool, timeout: float) -> CkvError:
        """A new error for a call that got no answer: each call of a pipeline has its own."""
        if isinstance(error, ProtocolError) or (sent and isinstance(error, CkvError)):
            return type(error)(*error.args)
        if not sent:
            why = f"within {timeout:g} s" if isinstance(error, TimeoutError) else f"before it broke: {error}"
            return Unreachable(f"the connection to {self.name} did not take the whole call {why}")
        if isinstance(error, TimeoutError):
            return CallTimeout(f"{self.name} did not answer within {timeout:g} s")
        return NodeLost(f"the connection to {self.name} broke: {error}")
