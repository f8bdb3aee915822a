"""msgpack-RPC: what a message looks like, and how a batch of requests becomes a batch of answers.

The protocol is https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md: a request ``[0, msgid, method,
params]`` is answered by ``[1, msgid, error, result]``; a notification ``[2, method, params]`` is not answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgpack

from ckv import __version__, errors
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import BULKY_BYTES, RECV_BYTES_OF_LARGE, REQUESTS_AT_A_TIME, SPARE_BUFFER_BYTES, Limits
from ckv.protocol.packing import NOTIFICATION, REQUEST, RESPONSE, new_batch_packer, new_packer, new_unpacker

if TYPE_CHECKING:
    from ckv.net.connection import Connection

log = logging.getLogger(__name__)

Message = tuple[object, Any, Any, Any]
"""A request or a response: four parts, whatever they are. In compiled code nothing else fits into it."""

BATCH: Final = "BATCH"
"""The method that carries many requests in one message; see :meth:`Service._batch`."""

HELLO: Final = "HELLO"
"""The method that tells another node what this one knows; see :meth:`Service._hello`."""

FEATURES: Final = (BATCH,)
"""What a node that connects cannot take for granted: there were others without it. What comes later has a name here."""

BATCH_REQUESTS: Final = 256
"""The most requests in one BATCH; each is two elements of an array, which may have :attr:`Limits.max_container`."""

BATCH_RESULT_CHARACTERS: Final = 48 * 1024
"""The values that the one answer to a BATCH may have, about. Its size is bounded like that of any small message."""

LAST_MSGID_OF_BATCH: Final = 2**64 - 1 - BATCH_REQUESTS
"""msgpack has no number for the msgids of the requests in a BATCH with a larger one."""

MAX_ODD_MSGID: Final = 64
"""Characters of a str, or bytes of a bin, that is sent back although a msgid has to be an integer."""

_PUT_OFF: Final = object()
"""The method of a request that was in a BATCH, and is served after it by itself. No message can name it."""


class Map:
    """What a map becomes: an argument of a wrong type, and nothing that can be looked up."""

    def __eq__(self, other: object) -> bool:
        return self is other

    # __eq__ without __hash__: not hashable


_MAP: Final = Map()


def _no_map(_pairs: object) -> Map:
    return _MAP


def _refuse_map(_pairs: object) -> Map:
    raise ValueError("a map")


def new_requests_unpacker(limits: Limits) -> msgpack.Unpacker:
    """An Unpacker of what clients and other nodes ask. No request has a map, so none is built: 1,024 keys with one hash
    would take a dict half a million comparisons.
    """
    return _new_unpacker(limits, _no_map)


def new_answers_unpacker(limits: Limits) -> msgpack.Unpacker:
    """An Unpacker of another node's answers. None has a map, which could not be passed on: it is an error."""
    return _new_unpacker(limits, _refuse_map)


def _new_unpacker(limits: Limits, on_map: Callable[[object], Map]) -> msgpack.Unpacker:
    return new_unpacker(
        limits.max_message_bytes, RECV_BYTES_OF_LARGE, limits.max_container, use_list=False, on_map=on_map
    )


NO_MESSAGE: Final = object()
"""In the place of a message that is not complete yet."""


def not_msgpack(error: Exception) -> errors.ProtocolError:
    """For whatever msgpack raises: FormatError, StackError, ValueError, TypeError, ..."""
    return errors.ProtocolError(f"not msgpack: {type(error).__name__} {error}".rstrip())


def at_message_end(unpacker: msgpack.Unpacker) -> bool:
    """Whether everything that it was fed were whole messages. Spends the Unpacker."""
    try:
        unpacker.feed(b"\xc0")  # a nil: a message of its own here, part of another one in the middle
        return next(unpacker, REQUEST) is None
    except Exception:  # noqa: BLE001 - whatever msgpack raises
        return False


def is_bulky(message: object) -> bool:
    """Whether the last part of a request's arguments, or of a GET's result, is worth being counted."""
    try:
        return len(message[-1]) > BULKY_BYTES  # type: ignore[index]
    except (TypeError, IndexError):
        return False


class Service:
    """Answers the requests of any number of connections, a batch at a time.

    One request after the other is unpacked, handed to its handler and answered into one buffer, which is sent once.
    A handler that returns :data:`LATER` holds up nobody.
    """

    def __init__(self, handlers: Mapping[str, Handler], limits: Limits) -> None:
        self._names = tuple(handlers)
        # Under the bin of its name as well: some languages have one kind of string, and send that.
        self._handlers: dict[Any, Handler] = {**handlers, **_by_bin(handlers)}
        wire = {BATCH: self._batch, HELLO: self._hello}
        self._methods: dict[Any, Handler] = {**self._handlers, **wire, **_by_bin(wire), _PUT_OFF: self._put_off}
        self._methods[BATCH.encode()] = self._batch_by_bin
        self._few_in_flight = limits.max_in_flight // 2
        self._soft_unsent_bytes = limits.soft_unsent_bytes
        # Shared by all connections, so that they stay in the processor's cache: a batch is served without a pause.
        self._packer = new_batch_packer()
        self._pack_lone = new_packer().pack
        self.inbox: list[tuple[Connection, bytes]] = []

    def refuse_everything(self, error: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on every request is answered with this error, ``but`` those of these methods."""

        def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
            raise error

        kept: dict[Any, Handler] = {name: self._handlers[name] for name in but}
        kept.update(_by_bin(kept))
        self._handlers = dict.fromkeys(self._handlers, refuse)
        self._methods = dict.fromkeys(self._methods, refuse) | kept

    def receive_all(self) -> list[Connection]:
        """Serves what is in the inbox, and returns connections that are to be flushed, besides those that asked for it.

        The hottest loop of a node: most clients wait for each answer, so that what arrives is one request. It does for
        many connections what :meth:`receive` does for many messages.
        """
        answered = []
        methods = self._methods
        pack = self._pack_lone
        few = self._few_in_flight  # with so many nothing is to be done but to count
        for connection, data in self.inbox:
            message: Any = connection.take_only(data)
            if message is NO_MESSAGE:
                continue
            try:
                request: Message = message
                kind, msgid, method, params = request
                if kind != REQUEST or type(msgid) is not int or type(params) is not tuple:
                    raise ValueError
            except (TypeError, ValueError):
                connection.hand_over(iter((message,)))
                continue
            try:
                result = methods[method](connection, msgid, params)
            except Exception as error:  # noqa: BLE001 - one bad request must not end the node
                answer = pack((RESPONSE, msgid, self._to_wire(error, method), None))
            else:
                if result is LATER:
                    if connection.in_flight < few:
                        connection.in_flight += 1
                    else:
                        connection.defer()
                    if method == BATCH:
                        self._post(connection)
                    continue
                answer = pack((RESPONSE, msgid, None, result))
            if connection.queued or len(answer) > SPARE_BUFFER_BYTES:
                connection.post(answer)
                pack = self._pack_lone = new_packer().pack  # the other one may keep the size of a large answer
            else:
                connection.posted = answer
                connection.queued = True
                answered.append(connection)
        return answered

    def receive(self, connection: ServedConnection, messages: Iterator[Any]) -> int:
        """Serves the messages; see :class:`ckv.net.connection.Receiver`."""
        # No list to the compiler, whose own extend() would leave nothing; what came before an error has to stay.
        found: Any = []
        broken: errors.ProtocolError | None = None
        try:
            found.extend(messages)
        except Exception as error:  # noqa: BLE001 - the Unpacker's, which was handed over as the messages to come
            broken = not_msgpack(error)
        to_come = iter(found)
        methods = self._methods
        try:
            while length_hint(to_come):
                pack = self._packer.pack
                try:
                    # Requests are taken apart by the loop itself, and whatever is none ends it: with the list to go
                    # through, a tenth less for a call.
                    for message in islice(to_come, REQUESTS_AT_A_TIME):
                        request: Message = message
                        kind, msgid, method, params = request
                        if kind != REQUEST or type(msgid) is not int or type(params) is not tuple:
                            raise ValueError
                        try:
                            result = methods[method](connection, msgid, params)
                        except Exception as error:  # noqa: BLE001 - one bad request must not end the node
                            pack((RESPONSE, msgid, self._to_wire(error, method), None))
                            continue
                        if result is LATER:
                            connection.defer()
                            if connection.held:
                                break
                        else:
                            pack((RESPONSE, msgid, None, result))
                except (TypeError, ValueError):
                    self._odd(connection, found[-1 - length_hint(to_come)])
                if len(self._packer.getbuffer()) > self._soft_unsent_bytes:
                    self._post(connection)
                if connection.held:
                    break
        finally:
            self._post(connection)
        if broken:
            raise broken
        if length_hint(to_come):
            connection.put_off(to_come)
        return len(found)

    def _post(self, connection: ServedConnection) -> None:
        """Hands over what is packed."""
        packer = self._packer
        answers = packer.bytes()
        if len(answers) > SPARE_BUFFER_BYTES:
            self._packer = new_batch_packer()  # it would keep its size
        else:
            packer.reset()
        if answers:
            connection.post(answers)

    def _batch(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """Carries out ``[method, params, method, params, ...]``: the results in their order, in one answer.

        In the place of a result stands ``[error]`` where there was one, and nil where the answer comes later, by
        itself, under the msgid of the BATCH + 1 + the number of the request. Nothing waits for a slow one.

        A large result ends it, and so does a connection that became held: the requests behind are put off. They are
        served as requests of their own, so that no limit of a connection is stretched by a BATCH.
        """
        count, odd = divmod(len(params), 2)
        if odd or count > BATCH_REQUESTS:
            raise errors.BadArguments(f"{len(params)} arguments; it is {BATCH} and up to {BATCH_REQUESTS} requests")
        if msgid > LAST_MSGID_OF_BATCH:
            raise errors.BadArguments(f"the msgid of a {BATCH} may be {LAST_MSGID_OF_BATCH} at most")
        connection = cast(ServedConnection, caller)  # a notification cannot be a BATCH
        handlers = self._handlers
        results: list[object] = []
        add = results.append
        by_itself: tuple[object, ...] | None = None
        room = BATCH_RESULT_CHARACTERS
        for at in range(0, 2 * count, 2):
            method, inner = params[at], params[at + 1]
            own = msgid + 1 + at // 2
            try:
                if type(inner) is not tuple:
                    inner = _arguments(inner)
                result: Any = handlers[method](connection, own, inner)
            except Exception as error:  # noqa: BLE001 - as in receive()
                add((self._to_wire(error, method),))
            else:
                if type(result) is bool:
                    add(result)
                    continue
                if result is LATER:
                    connection.defer()
                    add(None)
                    if not connection.held:
                        continue
                else:
                    if type(result) is tuple and len(result) == 2 and type(result[1]) in (str, bytes):
                        size = len(result[1])  # of [true, value]
                        if size <= BULKY_BYTES and size <= room:
                            room -= size
                            add(result)
                            continue
                    add(None)
                    by_itself = (RESPONSE, own, None, result)
                break
        else:
            return results
        done = len(results)
        rest = params[2 * done :]
        # Packed here, for whoever is told "later" has to hear of the BATCH first.
        # Not handed over here: receive() is not done with this Packer, which _post() may give away for its size.
        self._packer.pack((RESPONSE, msgid, None, results + [None] * (count - done)))
        if by_itself is not None:
            self._packer.pack(by_itself)
        if rest:
            msgid += 1 + done
            each = zip(rest[::2], rest[1::2], strict=True)
            connection.put_off([(REQUEST, own, _PUT_OFF, request) for own, request in enumerate(each, msgid)])
        connection.settle()  # It is answered, and LATER makes the caller look whether to go on.
        return LATER

    def _put_off(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """Carries out one request that :meth:`_batch` has left: its method and its params."""
        method, inner = params
        try:
            return self._handlers[method](caller, msgid, _arguments(inner))
        except errors.CkvError:
            raise
        except Exception as error:
            raise self._unexpected(error, method) from error

    def _to_wire(self, error: Exception, method: object) -> str:
        return errors.to_wire(error if isinstance(error, errors.CkvError) else self._unexpected(error, method))

    def _unexpected(self, error: Exception, method: object) -> errors.CkvError:
        if isinstance(error, (KeyError, TypeError)) and not (
            isinstance(method, (str, bytes)) and method in self._handlers
        ):
            shown = repr(method if len(repr(method)) < 64 else type(method).__name__)
            return errors.UnknownMethod(f"no method {shown}; there are {', '.join(self._names)}")
        log.error("unexpected error in %s", method, exc_info=error)
        return errors.ServerError(f"unexpected error in {method}")

    def _hello(self, _caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        """What this node is and knows, ``[version, [feature, ...]]``. Arguments are for callers to come."""
        return (__version__, FEATURES)

    def _batch_by_bin(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """Has a BATCH that was asked for with a bin carried out as if it had been a str, in the next turn."""
        connection = cast(ServedConnection, caller)
        connection.put_off([(REQUEST, msgid, BATCH, params)])
        connection.settle()  # It is not on its way, and LATER makes the caller look whether to go on.
        return LATER

    def _odd(self, connection: ServedConnection, message: object) -> None:
        """Deals with a message that is no ordinary request.

        Whoever can be told what is wrong with it is told, as long as it is clear who that is; otherwise raises
        ProtocolError, for nobody can tell what comes next.
        """
        if type(message) is tuple and message:  # an ext is a tuple too, of a subclass
            if message[0] == NOTIFICATION:
                self._notified(connection, message)
                return
            if message[0] == REQUEST and self._answered_all_the_same(connection, message):
                return
        raise errors.ProtocolError("a message that is neither a request nor a notification")

    def _answered_all_the_same(self, connection: ServedConnection, request: tuple[object, ...]) -> bool:
        """Answers a request that is not as it should be; false when it has no number that an answer could have."""
        if len(request) < 2 or not _is_number(request[1]):
            return False
        msgid: Any = request[1]
        if len(request) == 4 and type(msgid) is int and type(request[3]) is tuple:
            return False  # It is as it should be, and was carried out; its answer was what could not be packed.
        method = request[2] if len(request) > 2 else None
        try:
            if type(msgid) is not int:
                raise errors.BadArguments("the msgid is no integer")
            if len(request) != 4:
                raise errors.BadArguments(f"a request of {len(request)} elements; it is [0, msgid, method, params]")
            result = self._methods[method](connection, msgid, _arguments(request[3]))
        except Exception as error:  # noqa: BLE001 - as in receive()
            self._packer.pack((RESPONSE, msgid, self._to_wire(error, method), None))
        else:
            if result is LATER:
                connection.defer()
            else:
                self._packer.pack((RESPONSE, msgid, None, result))
        return True

    def _notified(self, connection: ServedConnection, message: tuple[object, ...]) -> None:
        """Carries out a notification: the same as a request, except that nobody is told."""
        method = message[1] if len(message) > 1 else None
        try:
            if len(message) != 3:
                raise errors.BadArguments(f"{len(message)} elements; it is [2, method, params]")
            if self._handlers[method](Unanswered(connection), 0, _arguments(message[2])) is LATER:
                connection.defer()
        except Exception as error:  # noqa: BLE001 - as in receive()
            text = self._to_wire(error, method)
            log.debug("notification %.64r from %s not carried out: %s", method, connection.peer, text)


def _by_bin(table: Mapping[str, Handler]) -> dict[bytes, Handler]:
    return {name.encode(): handler for name, handler in table.items()}


def _arguments(params: object) -> tuple[object, ...]:
    """The arguments that ``params`` are: nil is none at all. Raises BadArguments for everything but an array."""
    if params is None:
        return ()
    if not isinstance(params, tuple):
        raise errors.BadArguments("the arguments are no array")
    return params


def _is_number(msgid: object) -> bool:
    """Whether it can be sent back to whoever numbered a request with it, be it a number or not."""
    if isinstance(msgid, (str, bytes)):
        return len(msgid) <= MAX_ODD_MSGID
    return msgid is None or isinstance(msgid, (int, float))


class ServedConnection(Caller, Protocol):
    """What :class:`Service` needs of a :class:`ckv.net.connection.Connection`."""

    held: bool
    """Stop serving it: somebody holds it, or it is closed."""
    peer: str

    def post(self, data: bytes) -> None: ...
    def defer(self) -> None: ...
    def put_off(self, requests: Iterable[object]) -> None: ...


class Unanswered:
    """The caller of a notification: it counts as in flight until it is done, and its answer goes nowhere."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    @property
    def is_open(self) -> bool:
        return self._connection.is_open

    def respond(self, msgid: int, error: object, result: object) -> None:
        self._connection.settle()

    def settle(self) -> None:
        self._connection.settle()

    def hold(self, reason: object) -> None:
        self._connection.hold(reason)

    def release(self, reason: object) -> None:
        self._connection.release(reason)
