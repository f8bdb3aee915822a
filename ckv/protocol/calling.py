"""The calling end of msgpack-RPC: requests of many callers out, in BATCHes, and each answer to whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ckv import errors
from ckv.protocol.batch import BATCH_REQUESTS, Batch, Calls, fail
from ckv.protocol.handler import Call, Caller, Lane, Line, Routed
from ckv.protocol.limits import MAX_PARTS_BYTES, Limits
from ckv.protocol.messages import BATCH, Message, new_answers_unpacker
from ckv.protocol.packing import MSGIDS, REQUEST, RESPONSE, new_packer, new_utf8_packer, unpacked
from ckv.protocol.reading import Reader
from ckv.protocol.session import Unanswered

Bounced = Callable[[Call | Batch | None, object], bool]
"""Told of each error that the node answered, and to what, None where the answer came after its time-out; whether the
call is taken back, and its caller not told."""


class CallingSession(Reader):
    """Calls to one node over one line. What is called between two :meth:`pack_new` travels together, as one message."""

    def __init__(self, line: Line, limits: Limits, bounced: Bounced, knows_batch: bool, lane: Lane | None) -> None:
        """``knows_batch``: whether the node knows BATCH. ``lane``: where compiled code collects calls to it as well."""
        super().__init__(line, limits, new_answers_unpacker)
        self._lane = lane
        self._bounced = bounced
        self._most_requests = BATCH_REQUESTS if knows_batch else 1
        self._batch_requests = self._most_requests
        """How many requests fit into one message, as far as is known."""
        self._new = Batch([], [])
        """The calls that are not packed yet."""
        self._routed: list[Routed] = []
        """What was taken from the lane and is not packed yet."""
        self._out: list[bytes] = []
        self._utf8 = new_utf8_packer()
        self.msgid = 0
        """That of the next message; a BATCH has one more for each of its requests."""
        # Two generations instead of a time per call: nothing is computed per call, and ageing costs one swap a tick.
        self._calls: Calls = {}
        self._old_calls: Calls = {}

    def add(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        """Makes a call, whose answer the caller gets under its own ``msgid``."""
        if self._lane is not None and (self._lane.count or self._routed):
            self.pack_new()  # Requests of one key have to arrive in their order.
        new = self._new
        new.requests.extend((method, params))
        new.calls.append((caller, msgid))

    def pack_added(self) -> None:
        """Packs the calls that were added."""
        new = self._new
        count = len(new.calls)
        if count:
            self._new = Batch([], [])
            packed = 0
            try:
                if count <= self._batch_requests:
                    packed = self._pack(new)
                while packed < count:
                    packed += self._pack(new.part(packed, packed + self._batch_requests))
            except BaseException:
                self._new = new.part(packed, count)  # These leave with the next.
                raise

    def pack_new(self) -> None:
        """Packs the calls that were added, or those that the lane has: there are not both."""
        self.pack_added()
        if self._lane is not None and (self._lane.count or self._routed):
            while self._routed or self._lane.count:
                if not self._routed:
                    self._routed = self._lane.take()
                packed = 0
                try:
                    for routed in self._routed:
                        own = self._numbered(len(routed))
                        self._send(own, routed, routed.packed(own))
                        packed += 1
                finally:
                    del self._routed[:packed]  # Any others leave with the next.

    def pack_alone(self, batch: Batch) -> int:
        """Packs the one call in it, which is not to be made again, behind those that were added; its bytes."""
        self.pack_new()  # As in add().
        own = self._numbered(1)
        data = self._packed((REQUEST, own, *batch.requests))
        self._send(own, batch.calls[0], data)
        return len(data)

    def ping(self, answered: Callable[[], None]) -> None:
        """Asks for any answer at all, of a node that may be stopping: whatever it says, the node has got to it."""
        self.pack_alone(Batch(["PING", ()], [(Unanswered(self, answered), 0)]))

    def tell(self, method: str, params: tuple[object, ...]) -> None:
        """Makes a call whose answer nobody waits for."""
        self.pack_alone(Batch([method, params], [(Unanswered(self, _nothing), 0)]))

    def take(self) -> bytes:
        out, self._out = self._out, []
        self.waiting = False
        return b"".join(out)

    def _pack(self, batch: Batch) -> int:
        """Packs it as one message; returns the number of its requests, or 0 when they have to be fewer."""
        count = len(batch.calls)
        own = self._numbered(count)
        if count == 1:
            data = self._packed((REQUEST, own, *batch.requests))
        else:
            data = self._packed((REQUEST, own, BATCH, batch.requests))
            if len(data) > MAX_PARTS_BYTES:
                self._batch_requests = count // 2
                return 0
        if count == self._batch_requests and 4 * len(data) < MAX_PARTS_BYTES:
            self._batch_requests = min(2 * count, self._most_requests)
        self._send(own, batch, data)
        return count

    def _send(self, own: int, call: Call | Batch | Routed, data: bytes) -> None:
        self._calls[own] = call
        try:
            self._out.append(data)
        except BaseException:
            del self._calls[own]  # It is not sent, and may be packed again.
            raise
        self.waiting = True

    def _numbered(self, count: int) -> int:
        """The msgid of a message with so many requests."""
        msgids = 1 if count == 1 else 1 + count  # with those of the requests that are answered by themselves
        own = self.msgid if self.msgid + msgids <= MSGIDS else 0
        self.msgid = own + msgids
        return own

    def _packed(self, message: tuple[object, ...]) -> bytes:
        try:
            data: bytes = self._utf8.pack(message)
        except UnicodeEncodeError:
            data = new_packer().pack(message)
        return data

    def received(self, data: bytes) -> bytes:
        lane = self._lane
        if lane is None or not self.is_between or self.attention:
            return super().received(data)
        data = self.with_kept(data)
        end, is_cut = lane.answer_all(data, self._calls, self._old_calls)
        return b"" if end == len(data) else self.go_on(data[end:], is_cut)

    def _serve(self, messages: Iterator[Any]) -> bytes:
        """Hands each answer to its caller. Nothing is answered to that."""
        count = 0
        try:
            for message in messages:
                response: Message = message
                kind, own, error, result = response
                count += 1
                if kind != RESPONSE:
                    raise ValueError("not a response")
                generation = self._calls if own in self._calls else self._old_calls
                call = _taken_apart(generation.get(own))
                is_back = error is not None and self._bounced(call, error)
                if call is None:
                    continue  # it came after its time-out
                if isinstance(call, Batch) and not is_back:
                    call.answered(own, error, result, generation, self._bounced)
                del generation[own]
                if isinstance(call, tuple) and not is_back:
                    call[0].respond(call[1], error, result)
        except Exception as error:  # noqa: BLE001 - whatever msgpack raises, and what a message of another shape raises
            self._fail(f"not a msgpack-RPC response: {type(error).__name__} {error}")
        self._count = count
        return b""

    @property
    def unanswered(self) -> int:
        """Calls that wait for their answer."""
        sent = [*self._calls.values(), *self._old_calls.values(), *self._routed, self._new]
        count = sum(1 if isinstance(call, tuple) else len(call) for call in sent)
        return count + (self._lane.count if self._lane is not None else 0)

    def fail_old(self, error: errors.CkvError) -> None:
        """Fails the calls that were in flight at the last call of this already."""
        overdue, self._old_calls, self._calls = self._old_calls, self._calls, {}
        _fail(overdue.values(), error)

    def fail_all(self, error: errors.CkvError) -> None:
        """Fails all calls, those that are not sent yet included."""
        calls = [*self._old_calls.values(), *self._calls.values(), *self._routed, self._new]
        if self._lane is not None:
            calls += self._lane.take()
        self._old_calls, self._calls, self._routed, self._new = {}, {}, [], Batch([], [])
        _fail(calls, error)


def _nothing() -> None:
    """Takes an answer that nobody waits for."""


def _fail(calls: Iterable[Call | Batch | Routed], error: errors.CkvError) -> None:
    for call in calls:
        fail([call] if isinstance(call, tuple) else call.calls_made(), errors.to_wire(error))


def _taken_apart(call: Call | Batch | Routed | None) -> Call | Batch | None:
    """What a message was made of: for what goes another way than an ordinary answer."""
    if call is None or isinstance(call, (tuple, Batch)):
        return call
    parts = b"\xdc" + (2 * len(call)).to_bytes(2) + call.requests_made()  # an array with its length in two bytes
    return Batch(list(unpacked(parts)), call.calls_made())
