"""The Python client: blocking calls to a primary or a secondary, one at a time or many in one write."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar, overload

import msgpack

from ckv.errors import CallTimeout, CkvError, NodeLost, ProtocolError, Unreachable, from_wire
from ckv.values import ENCODING_ERRORS, Value

T = TypeVar("T")

MAX_ANSWER_BYTES: Final = 65 * 2**20
"""The longest answer: the largest value that ``--max-value-bytes`` can allow, and room for what is around it."""

_MAX_CONTAINER: Final = 1024
"""Elements of an array, pairs of a map; no answer of a node has more than four."""

_CHUNK_BYTES: Final = 256 * 1024
"""The most that one read takes and one write offers."""

_SURELY_FITS: Final = 16 * 1024
"""Bytes that an empty buffer of the system takes whatever it is set to: Linux's smallest default is 16 KiB."""

_STALE_AFTER: Final = 0.02
"""Seconds without a call after which a connection is looked at before it is used: a call more to the system."""

_REQUEST, _RESPONSE, _NOTIFICATION = 0, 1, 2


class Client:
    """A client of one node. This docstring is its manual.

        from ckv import Client

        with Client("localhost", 8080) as client:
            client.put("bob", "bob@gmail.com")
            client.get("bob")           # 'bob@gmail.com'
            client.get("alice")         # None
            client.delete("bob")        # True

    *Keys and values.* Both are ``str`` or ``bytes``. The keys ``"a"`` and ``b"a"`` are the same key. A value comes back
    with the type and the bytes that it was put with. A ``str`` travels as UTF-8; bytes in one that are not UTF-8 (put
    there by another client) arrive as lone surrogates and turn back into the same bytes on the way out (PEP 383,
    ``surrogateescape``). A key has at most 1,024 bytes and a value as many as the node allows, 1 MiB by default; the
    node refuses longer ones and other types. What msgpack cannot pack at all raises its ``TypeError`` or
    ``OverflowError`` before anything is sent.

    *Connecting.* Nothing happens before the first call, which connects. ``connect_timeout`` (seconds) bounds that, for
    each address that the host has. :meth:`close`, or the end of a ``with`` block, closes the connection; a later call
    makes a new one.

    *Time-outs.* ``timeout`` (seconds) bounds a call from its first byte to the end of its answer. In a pipeline it
    bounds the wait for the next answer: it starts anew with each one. After a time-out the connection is dropped,
    so that a late answer is never taken for that of another call.

    *Errors.* All of them are :class:`ckv.errors.CkvError`; ``error.written`` says what is known afterwards:

    - ``Unreachable``: there was no connection, and none could be made. Not written.
    - ``Refused`` and its kinds (``KeyTooLong``, ``ValueTooLarge``, ``NodeDown``, ``NoRoom``, ...): the node said no.
      Not written; the connection lives on.
    - ``CallTimeout``, ``NodeLost``: the call was sent, or part of it, and no answer came. A PUT or DEL may or may not
      have happened.
    - ``ProtocolError``: the other end does not speak msgpack-RPC. Unknown.
    - ``TierUnavailable``: the database could not be asked. What that means for a GET and a DEL its docstring says.
    - ``ServerError``: an error that this client does not know. Unknown.

    *Reconnecting.* After a time-out, a loss, a protocol error or an exception from outside (Ctrl-C) the connection is
    dropped and the next call makes a new one. A connection that broke while nothing was being called (a node that was
    restarted) is noticed and replaced without an error, unless it broke within 20 ms of the call before. No call is
    ever sent twice: whether to repeat one whose outcome is unknown is the caller's choice. A GET can always be
    repeated.

    *Pipelining.* :meth:`pipeline` collects calls and sends them in one go. It is the way to be fast: many calls cost
    one round trip.

    *Threads and gevent.* A client may be shared by threads; a lock lets one call (or one whole pipeline) through at a
    time, and the time-out starts when its turn comes. For parallel calls give each thread its own client. Where
    gevent has patched the sockets (``gevent.monkey.patch_all()``, before this module is imported) the same holds for
    greenlets.
    """

    def __init__(self, host: str, port: int, *, timeout: float = 10.0, connect_timeout: float = 5.0) -> None:
        if timeout <= 0 or connect_timeout <= 0:
            raise ValueError("a time-out is a number of seconds above 0")
        self.host = host
        self.port = port
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._packer = msgpack.Packer(unicode_errors=ENCODING_ERRORS)
        self._unpacker = _new_unpacker()
        self._last_id = 0
        self._used = 0.0
        """When the last answer came, by the monotonic clock."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @overload
    def get(self, key: Value, default: None = None) -> Value | None: ...

    @overload
    def get(self, key: Value, default: T) -> Value | T: ...

    def get(self, key: Value, default: object = None) -> object:
        """The value of the key; ``default`` if there is none."""
        return self._one("GET", (key,), lambda result: _found(result, default))

    def put(self, key: Value, value: Value) -> None:
        """Store the value under the key, replacing what was there.

        On ``CallTimeout`` or ``NodeLost`` it may or may not be stored.
        """
        self._one("PUT", (key, value), _stored)

    def delete(self, key: Value) -> bool:
        """Delete the key; whether there was one.

        On ``CallTimeout`` or ``NodeLost`` it may or may not be deleted.
        """
        return bool(self._one("DEL", (key,), _deleted))

    def ping(self) -> None:
        """Return if the node itself answers; it asks no other node."""
        self._one("PING", (), _pong)

    def call(self, method: str, *params: object) -> object:
        """Call any method; its result as msgpack gives it. For what this class has no method for."""
        return self._one(method, params, _as_it_is)

    def pipeline(self) -> Pipeline:
        """A new, empty :class:`Pipeline` on this client."""
        return Pipeline(self)

    def close(self) -> None:
        """Close the connection, once a call that another thread has under way is over."""
        with self._lock:
            self._drop()

    def _one(self, method: str, params: tuple[object, ...], read: Callable[[object], object]) -> object:
        (result,) = self._exchange([_Call(method, params, read)])
        if isinstance(result, CkvError):
            raise result
        return result

    def _exchange(self, calls: Sequence[_Call]) -> list[object]:
        """The result of each call, or its :class:`CkvError`; raises only ``Unreachable``, when nothing was sent."""
        with self._lock:
            ids = range(self._last_id + 1, self._last_id + 1 + len(calls))
            # Packed before the connection is touched: what cannot be packed must leave no trace of itself.
            requests = b"".join(
                self._packer.pack((_REQUEST, msgid % 2**32, call.method, call.params))
                for msgid, call in zip(ids, calls, strict=True)
            )
            self._last_id = ids[-1] % 2**32
            waiting = {msgid % 2**32: index for index, msgid in enumerate(ids)}
            results: list[object] = [None] * len(calls)
            sock = self._connected()
            try:
                self._converse(sock, requests, calls, waiting, results)
            except (CkvError, OSError) as error:
                self._drop()
                for index in waiting.values():
                    results[index] = self._failure(error)
            except BaseException:
                # Ctrl-C, or a gevent time-out around the call: answers are still on their way, and whoever calls next
                # must not get them.
                self._drop()
                raise
            return results

    def _converse(
        self,
        sock: socket.socket,
        requests: bytes,
        calls: Sequence[_Call],
        waiting: dict[int, int],
        results: list[object],
    ) -> None:
        """Send the requests and settle the calls until none waits. Whatever it raises, the connection is lost.

        A node stops reading from a client that does not read. So this never waits for room to send alone: it sends
        what fits, and when nothing does it waits for room *or* for answers.
        """
        deadline = time.monotonic() + self.timeout
        sock.settimeout(self.timeout)
        unsent = memoryview(requests)
        if len(requests) <= _SURELY_FITS:
            # All that was sent before is answered, so the system's buffer is empty, and there is no need to look.
            unsent = unsent[sock.send(requests) :]
        while waiting:
            if unsent:
                sock.settimeout(0)
                try:
                    unsent = unsent[sock.send(unsent[:_CHUNK_BYTES]) :]
                    if not unsent:
                        sock.settimeout(_left(deadline))
                    continue
                except BlockingIOError:
                    if not _readable(sock, _left(deadline)):
                        continue
                sock.settimeout(_left(deadline))
            data = sock.recv(_CHUNK_BYTES)
            if not data:
                raise NodeLost(f"{self._name} closed the connection")
            if self._settle(data, calls, waiting, results):
                self._used = time.monotonic()
                deadline = self._used + self.timeout
            if waiting:
                sock.settimeout(_left(deadline))

    def _settle(self, data: bytes, calls: Sequence[_Call], waiting: dict[int, int], results: list[object]) -> bool:
        """Take the answers that are complete now, in whatever order they came; whether there was one."""
        settled = False
        for msgid, error, result in self._responses(data):
            index = waiting.get(msgid)
            if index is None:
                raise ProtocolError(f"{self._name} answered a call that nobody made (msgid {msgid})")
            results[index] = calls[index].read(result) if error is None else from_wire(error)
            del waiting[msgid]
            settled = True
        return settled

    def _responses(self, data: bytes) -> list[tuple[int, object, object]]:
        try:
            self._unpacker.feed(data)
            messages: list[Any] = list(self._unpacker)
        except Exception as error:  # whatever a decoder can make of bytes from anywhere
            raise ProtocolError(f"{self._name} sent bytes that are not msgpack: {error!r}") from error
        responses = []
        for message in messages:
            # Not a pattern, which takes three times as long.
            if message.__class__ is list and len(message) == 4 and message[0] == _RESPONSE and type(message[1]) is int:
                responses.append((message[1], message[2], message[3]))
                continue
            match message:
                case [int(kind), str(), [*_]] if kind == _NOTIFICATION:
                    pass
                case _:
                    raise ProtocolError(f"{self._name} sent a message that is no msgpack-RPC response")
        return responses

    def _connected(self) -> socket.socket:
        if self._socket is not None and time.monotonic() - self._used > _STALE_AFTER and _is_stale(self._socket):
            self._drop()
        if self._socket is None:
            try:
                sock = socket.create_connection((self.host, self.port), self.connect_timeout)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no DNS can have
                raise Unreachable(f"{self._name} cannot be reached: {error}") from error
            # Never the old one: it may hold half a message of the connection before, or be broken by a bad one.
            self._unpacker = _new_unpacker()
            self._socket = sock
        return self._socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _failure(self, error: CkvError | OSError) -> CkvError:
        """A new error for a call that got no answer: each call of a pipeline has its own."""
        if isinstance(error, CkvError):
            return type(error)(*error.args)
        if isinstance(error, TimeoutError):
            return CallTimeout(f"{self._name} did not answer within {self.timeout:g} s")
        return NodeLost(f"the connection to {self._name} broke: {error}")

    @property
    def _name(self) -> str:
        return f"{self.host}:{self.port}"


class Pipeline:
    """Calls that are collected and then sent in one go; made by :meth:`Client.pipeline`.

        with client.pipeline() as batch:
            batch.put("a", "1")
            batch.get("b")
            stored, value = batch.execute()     # [None, None]: a PUT has no result, and there is no "b"

    The calls have the arguments and results of the methods of :class:`Client`. They are no transaction: some may work
    and others fail, and calls on different keys may take effect in any order. A ``with`` block that ends without an
    exception executes what was not executed yet.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._calls: list[_Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.execute()

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, key: Value, default: object = None) -> None:
        """Add a GET; its result is the value, or ``default``."""
        self._calls.append(_Call("GET", (key,), lambda result: _found(result, default)))

    def put(self, key: Value, value: Value) -> None:
        """Add a PUT; its result is ``None``."""
        self._calls.append(_Call("PUT", (key, value), _stored))

    def delete(self, key: Value) -> None:
        """Add a DEL; its result is whether there was one."""
        self._calls.append(_Call("DEL", (key,), _deleted))

    def call(self, method: str, *params: object) -> None:
        """Add a call of any method; its result is as msgpack gives it."""
        self._calls.append(_Call(method, params, _as_it_is))

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Send the calls, and return their results in the order in which they were added; then it is empty again.

        All answers are awaited, also when some are errors. Then the first error is raised; ``raise_on_error=False``
        puts each error in the place of its result instead, which tells the calls that worked from the others. When
        the connection is lost on the way, the calls without an answer have that error. If no connection could be made,
        ``Unreachable`` is raised either way.
        """
        calls, self._calls = self._calls, []
        results = self._client._exchange(calls) if calls else []
        if raise_on_error:
            for result in results:
                if isinstance(result, CkvError):
                    raise result
        return results


class _Call:
    """One call, and how to read its result."""

    __slots__ = ("method", "params", "read")

    def __init__(self, method: str, params: tuple[object, ...], read: Callable[[object], object]) -> None:
        self.method = method
        self.params = params
        self.read = read


def _found(result: object, default: object) -> object:
    match result:
        case [True, (str() | bytes()) as value]:
            return value
        case [False, _]:
            return default
    raise ProtocolError(f"a GET was answered with {type(result).__name__}, not [true, value] or [false, ...]")


def _stored(result: object) -> None:
    if result is not True:
        raise ProtocolError(f"a PUT was answered with {type(result).__name__}, not true")


def _deleted(result: object) -> bool:
    if not isinstance(result, bool):
        raise ProtocolError(f"a DEL was answered with {type(result).__name__}, not true or false")
    return result


def _pong(result: object) -> None:
    if result != "PONG":
        raise ProtocolError(f"a PING was answered with {type(result).__name__}, not PONG")


def _as_it_is(result: object) -> object:
    return result


def _new_unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(
        raw=False,
        unicode_errors=ENCODING_ERRORS,
        max_buffer_size=MAX_ANSWER_BYTES + _CHUNK_BYTES,
        max_str_len=MAX_ANSWER_BYTES,
        max_bin_len=MAX_ANSWER_BYTES,
        max_ext_len=MAX_ANSWER_BYTES,
        max_array_len=_MAX_CONTAINER,
        max_map_len=_MAX_CONTAINER,
    )


def _left(deadline: float) -> float:
    """Seconds until the deadline; raises TimeoutError at it. Never 0, which would mean: do not wait at all."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _readable(sock: socket.socket, timeout: float) -> bool:
    """Wait until the socket can be read from or written to; whether it can be read from."""
    # selectors and not select.select(): it takes file numbers above 1023, and gevent patches it as well.
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        return any(events & selectors.EVENT_READ for _, events in selector.select(timeout))


def _is_stale(sock: socket.socket) -> bool:
    """Whether the other end closed the connection, or sent something that nobody asked for, while it was idle."""
    sock.settimeout(0)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
