"""The msgpack-RPC session of a client, or of another node that asks: requests in, answers out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import length_hint
from typing import Any, Final, cast

from ckv import errors
from ckv.commands import COMMANDS
from ckv.protocol.batch import carry_out
from ckv.protocol.defects import meant
from ckv.protocol.greeting import ANSWER, HELLO
from ckv.protocol.handler import LATER, Caller, Handler, Line
from ckv.protocol.limits import REQUESTS_AT_A_TIME, SPARE_BUFFER_BYTES, Limits
from ckv.protocol.messages import BATCH, Message, arguments, is_bulky, new_requests_unpacker, not_msgpack
from ckv.protocol.packing import NOTIFICATION, REQUEST, RESPONSE, new_batch_packer, new_packer
from ckv.protocol.reading import Reader
from ckv.protocol.session import Unanswered
from ckv.protocol.slow import NEVER, Begun, SlowLog

log = logging.getLogger(__name__)

PUT_OFF: Final = object()
"""The method of a request that was in a BATCH, and is served after it by itself. No message can name it."""

MAX_ODD_MSGID: Final = 64
"""Characters of a str, or bytes of a bin, that is sent back although a msgid has to be an integer."""

SHOWN_METHODS: Final = 12
"""How many methods are named to whoever asks for one that there is not."""

_BATCHES: Final = (BATCH, BATCH.encode())

_BEGINS_WITH_KEY: Final[dict[object, bool]] = {
    method: command.arguments[:1] == ("key",) for name, command in COMMANDS.items() for method in (name, name.encode())
}
"""For the methods that the slow log may tell, which are not those of nodes alone, whether it may tell the first
argument: that of EXEC has values in it."""

_NOTHING: Final[Iterator[Any]] = iter(())


class RpcMethods:
    """What all sessions of a server share: methods, and one set of Packers, which stays in the processor's caches."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        limits: Limits,
        others: Mapping[str, Handler] | None = None,
        slow: SlowLog = NEVER,
    ) -> None:
        """``others`` may be asked for only by themselves. ``slow``: where is noted what took long."""
        self.limits = limits
        self.slow = slow
        self._names = tuple(handlers)
        self.handlers = _with_bins(handlers)
        """What may be asked for by itself, in a BATCH and in a notification."""
        own = {BATCH: self._batch, HELLO: lambda _caller, _msgid, _params: ANSWER, **(others or {})}
        self.methods = {**self.handlers, **_with_bins(own), PUT_OFF: self._put_off}
        """The handlers and the others, and what only msgpack-RPC has."""
        self._all = (self.handlers, self.methods)
        self.packer = new_batch_packer()
        """Collects the answers to what came together."""
        self.pack: Callable[[object], bytes] = new_packer().pack
        """Packs one answer. Whoever has it pack a large one has to :meth:`renew` it. No Packer for UTF-8 alone, which
        would leave a value's UTF-8 with a str that the store has measured."""
        self.requests = 0
        """Requests that came to the sessions, each of a BATCH counted."""

    def refuse_everything(self, error: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on every request is answered with this error, ``but`` those of these methods."""

        def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
            raise error

        handlers, methods = self._all
        kept = _with_bins({name: handlers[name] for name in but})
        self.handlers = dict.fromkeys(handlers, refuse) | kept
        self.methods = dict.fromkeys(methods, refuse) | kept

    def refuse_nothing(self) -> None:
        """Takes that back."""
        self.handlers, self.methods = self._all

    def to_wire(self, error: Exception, method: object) -> str:
        """The error that is answered to a request whose handler, or the look-up of it, raised this one."""
        wire = errors.to_wire(self._meant(error, method))
        self.slow.errors.count(wire)
        return wire

    def _meant(self, error: Exception, method: object) -> errors.CkvError:
        """The error itself, if a handler means it; else that there is no such method, or a defect, which is logged."""
        if isinstance(error, errors.CkvError):
            return error
        is_known = isinstance(method, (str, bytes)) and method in self.handlers
        if isinstance(error, (KeyError, TypeError)) and not is_known:
            is_short = isinstance(method, (str, bytes)) and len(repr(method)) < 64
            shown = repr(method if is_short else type(method).__name__)
            named = ", ".join(self._names[:SHOWN_METHODS])
            others = len(self._names) - SHOWN_METHODS
            more = f" and {others} others" if others > 0 else ""
            return errors.UnknownMethod(f"no method {shown}; there are {named}{more}")
        return meant(error, str(method))

    def renew(self) -> None:
        """Makes a new Packer of one answer: one that has packed a large one keeps its size."""
        self.pack = new_packer().pack

    def take(self) -> bytes:
        """The answers that are in the Packer."""
        packer = self.packer
        answers: bytes = packer.bytes()
        if len(answers) > SPARE_BUFFER_BYTES:
            self.packer = new_batch_packer()
        else:
            packer.reset()
        return answers

    def _batch(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """BATCH: the results in their order, in one answer, and what is left for later; see :func:`carry_out`."""
        session = cast(RpcSession, caller)  # a notification cannot be a BATCH
        inner = len(params) // 2 - 1  # it was counted as itself
        self.requests += inner
        session.calls += inner
        results, large = carry_out(session, self.handlers, self.to_wire, msgid, params)
        done = len(results)
        rest = params[2 * done :]
        if not large and not rest:
            return results
        # Packed here, for whoever is told "later" has to hear of the BATCH first.
        self.packer.pack((RESPONSE, msgid, None, results + [None] * (len(rest) // 2)))
        for result in large:
            self.packer.pack((RESPONSE, msgid + done, None, result))
        session.put_off(msgid + 1 + done, [*zip(rest[::2], rest[1::2], strict=True)])
        session.settle()  # It is answered, and LATER makes the session look whether to go on.
        return LATER

    def _put_off(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """Carries out one request that :meth:`_batch` has left: its method and its params."""
        method, inner = params
        try:
            return self.handlers[method](caller, msgid, arguments(inner))
        except Exception as error:  # noqa: BLE001 - as in _serve_requests()
            raise self._meant(error, method) from None


class RpcSession(Reader):
    """Answers the requests of one peer, one after the other. A handler that returns LATER holds up nobody."""

    __slots__ = ("_begun", "_broken", "_first", "_more", "_shared", "_to_come")

    def __init__(self, line: Line, shared: RpcMethods) -> None:
        super().__init__(line, shared.limits, new_requests_unpacker)
        self._shared = shared
        self._to_come: Iterator[Any] = _NOTHING
        """Goes through the messages that were found, so that what it has not come to is left."""
        self._begun: dict[int, Begun] = {}
        """Requests that wait for their answers, by their msgids."""
        self._broken = ""
        """What is wrong behind them."""
        self._first = b""
        """The first answer of this turn to a request that had to wait; most have no other. Then further ones."""
        self._more = bytearray()

    def move_to(self, shared: RpcMethods) -> None:
        """Has what is read from now on served by other methods."""
        self._shared = shared

    def _serve_one(self, message: Any) -> bytes:
        """The hottest code of a node: most clients wait for each answer, so that what arrives is one request."""
        try:
            request: Message = message
            kind, msgid, method, params = request
            if kind != REQUEST or type(msgid) is not int or type(params) is not tuple:
                raise ValueError
        except (TypeError, ValueError):
            return self._serve(iter((message,)))
        shared = self._shared
        shared.requests += 1
        self.calls += 1
        try:
            result = shared.methods[method](self, msgid, params)
        except Exception as error:  # noqa: BLE001 - one bad request must not end the node
            return shared.pack((RESPONSE, msgid, shared.to_wire(error, method), None))
        if result is LATER:
            self.defer_request(msgid, method, params)
            return shared.take() if method in _BATCHES else b""
        answer = shared.pack((RESPONSE, msgid, None, result))
        if len(answer) > SPARE_BUFFER_BYTES:
            shared.renew()
            self.attention = True
        return answer

    def _serve(self, messages: Iterator[Any]) -> bytes:
        # No list to the compiler, whose own extend() would leave nothing; what came before an error has to stay.
        found: Any = []
        try:
            found.extend(messages)
        except Exception as error:  # noqa: BLE001 - the Unpacker's, which was handed over as the messages to come
            self._broken = not_msgpack(error)
        self._count = len(found)
        self._shared.requests += len(found)
        self.calls += len(found)
        self._to_come = iter(found)
        return self._serve_left()

    def _serve_left(self) -> bytes:
        """Serves until all is served, or the line is held, or there are many bytes to be sent before the rest."""
        shared = self._shared
        try:
            self._serve_requests(shared)
        except errors.ProtocolError as error:
            self._broken = str(error)
            self._to_come = _NOTHING
        except BaseException:
            shared.take()  # They are not the next session's.
            raise
        if not length_hint(self._to_come):
            self._to_come = _NOTHING  # It keeps the messages.
        elif not self._broken or not self.line.held:
            self.attention = True
            return shared.take()
        if self._broken:
            self._fail(self._broken)
        return shared.take()

    def _serve_requests(self, shared: RpcMethods) -> None:
        to_come = self._to_come
        methods = shared.methods
        line = self.line
        pack = shared.packer.pack
        message: Any = None
        while length_hint(to_come):
            try:
                # The loop itself takes requests apart, and ends at what is none: that saves a call for each.
                for message in islice(to_come, REQUESTS_AT_A_TIME):
                    request: Message = message
                    kind, msgid, method, params = request
                    if kind != REQUEST or type(msgid) is not int or type(params) is not tuple:
                        raise ValueError
                    try:
                        result = methods[method](self, msgid, params)
                    except Exception as error:  # noqa: BLE001 - one bad request must not end the node
                        pack((RESPONSE, msgid, shared.to_wire(error, method), None))
                        continue
                    if result is LATER:
                        self.defer_request(msgid, method, params)
                        if line.held:
                            break
                    else:
                        pack((RESPONSE, msgid, None, result))
            except (TypeError, ValueError):
                self._odd(message)
            if line.held or len(shared.packer.getbuffer()) > self._limits.soft_unsent_bytes:
                return

    @property
    def _has_left(self) -> bool:
        return length_hint(self._to_come) > 0

    def put_off(self, msgid: int, calls: Sequence[object]) -> None:
        """Serves requests of a BATCH (each its method and params), the first under this ``msgid``, by themselves: in
        another turn of the loop, as soon as nobody holds the line, before anything else."""
        if calls and self.is_open:
            requests = [(REQUEST, own, PUT_OFF, call) for own, call in enumerate(calls, msgid)]
            self._to_come = iter([*requests, *self._to_come])
            self.attention = True
            self.line.pause()

    def defer_request(self, number: int, method: object, params: Sequence[object]) -> None:
        self.defer()
        if method is PUT_OFF:
            method, params = params[0], arguments(params[1])
        begins_with_key = _BEGINS_WITH_KEY.get(method)
        if begins_with_key is not None:
            first = params[0] if params and begins_with_key else None
            self._begun[number] = self._shared.slow.begun(method, first, len(params))

    def respond(self, msgid: int, error: object, result: object) -> None:
        begun = self._begun.pop(msgid, None)
        if begun is not None:
            self._shared.slow.answered(begun, self.line.peer)
        try:
            # The one result of any size is that of a GET: [true, value].
            if error is None and type(result) is tuple and is_bulky(result):
                unread = self.line.unsent_bytes + len(self._first) + len(self._more)
                if unread > self._limits.max_queued_bytes:
                    result, error = None, errors.to_wire(errors.Overloaded(f"{unread} bytes of answers are unread"))
            if error is not None:
                self._shared.slow.errors.count(error)
            answer = self._shared.pack((RESPONSE, msgid, error, result))
            if len(answer) > SPARE_BUFFER_BYTES:
                self._shared.renew()
            self.collect(answer)
        except Exception:  # noqa: BLE001 - whoever brings the answer may have those of others
            self.break_off_on_defect()
        self.in_flight -= 1
        if self._full or self._ended:
            self._settled()

    def collect(self, answers: bytes) -> None:
        """Collects answers, which leave at the end of this turn of the loop."""
        if self.waiting:
            self._more += answers
        elif self.is_open:
            self._first = answers
            self.waiting = True
            self.line.wake()

    def take(self) -> bytes:
        answers, self._first = self._first, b""
        self.waiting = False
        if self._more:
            answers += self._more
            self._more.clear()
        return answers

    def close(self) -> None:
        super().close()
        self._to_come = _NOTHING
        self._begun.clear()
        self._first = b""
        self._more.clear()

    # --- what is no ordinary request -----------------------------------------------------------------------------

    def _odd(self, message: object) -> None:
        """Carries a notification out, and tells whoever has sent a wrong request what is wrong with it. Raises
        ProtocolError where it is not clear who that is, for nobody can tell what comes next."""
        if type(message) is tuple and message:  # an ext is a tuple too, of a subclass
            if message[0] == NOTIFICATION:
                self._notified(message)
                return
            if message[0] == REQUEST and self._answered_all_the_same(message):
                return
        raise errors.ProtocolError("a message that is neither a request nor a notification")

    def _answered_all_the_same(self, request: tuple[object, ...]) -> bool:
        """Answers a request that is not as it should be; false when it has no number that an answer could have."""
        if len(request) < 2 or not _can_be_sent_back(request[1]):
            return False
        shared = self._shared
        msgid: Any = request[1]
        if len(request) == 4 and type(msgid) is int and type(request[3]) is tuple:
            return False  # It is as it should be, and was carried out; its answer was what could not be packed.
        method = request[2] if len(request) > 2 else None
        result: object = None
        wire = None
        try:
            if type(msgid) is not int:
                raise errors.BadArguments("the msgid is no integer")
            if len(request) != 4:
                raise errors.BadArguments(f"a request of {len(request)} elements; it is [0, msgid, method, params]")
            result = shared.methods[method](self, msgid, arguments(request[3]))
        except Exception as error:  # noqa: BLE001 - as in _serve_requests()
            wire = shared.to_wire(error, method)
        if result is LATER:
            self.defer()
        else:
            shared.packer.pack((RESPONSE, msgid, wire, result))
        return True

    def _notified(self, message: tuple[object, ...]) -> None:
        """Carries out a notification: the same as a request, except that nobody is told."""
        shared = self._shared
        method = message[1] if len(message) > 1 else None
        try:
            if len(message) != 3:
                raise errors.BadArguments(f"{len(message)} elements; it is [2, method, params]")
            if shared.handlers[method](Unanswered(self, self.settle), 0, arguments(message[2])) is LATER:
                self.defer()
        except Exception as error:  # noqa: BLE001 - as in _serve_requests()
            text = shared.to_wire(error, method)
            log.debug("notification %.64r from %s not carried out: %s", method, self.line.peer, text)


def _with_bins(handlers: Mapping[str, Handler]) -> dict[Any, Handler]:
    """The same, by the bin of each name too: some languages have one kind of string, and send that."""
    return {**handlers, **{name.encode(): handler for name, handler in handlers.items()}}


def _can_be_sent_back(msgid: object) -> bool:
    if isinstance(msgid, (str, bytes)):
        return len(msgid) <= MAX_ODD_MSGID
    return msgid is None or isinstance(msgid, (int, float))
