"""Bytes into msgpack messages, however they are cut, and within bounds: what both ends have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

import msgpack

from ckv import core
from ckv.protocol.handler import Line
from ckv.protocol.limits import MAX_PARTS_BYTES, RECV_BYTES_OF_LARGE, SPARE_BUFFER_BYTES, Limits
from ckv.protocol.messages import NO_MESSAGE, at_message_end, not_msgpack
from ckv.protocol.session import Session

MOST_KEPT_BYTES: Final = RECV_BYTES_OF_LARGE
"""A longer beginning of a message is the Unpacker's: it need not be looked at again with each read."""


class Reader(Session):
    """A session whose peer sends msgpack."""

    __slots__ = (
        *("_consumed", "_count", "_end", "_fed", "_kept", "_limits", "_new_unpacker", "_unpacker", "_unread"),
        "is_between",
    )

    def __init__(self, line: Line, limits: Limits, new_unpacker: Callable[[Limits], msgpack.Unpacker]) -> None:
        super().__init__(line, limits.max_in_flight)
        self._limits = limits
        self._new_unpacker = new_unpacker
        self.is_between = True
        """Whether all that it was given were whole messages. Kept for compiled code alone, if that is there."""
        self._kept = b""
        """The beginning of a message that it was not given yet."""
        self._unpacker: msgpack.Unpacker | None = None
        self._fed = 0
        """Bytes that the Unpacker has been given."""
        self._consumed = 0
        """Bytes that it had taken in after the last complete message, or somewhat more."""
        self._unread = False
        """Whether it was given some that nobody has looked at."""
        self._count = 0
        """Messages in what was looked at last."""
        self._end = 0
        """Where the last one that :meth:`_marked` passed on has ended."""

    @property
    def protocol_name(self) -> str:
        return "msgpack-RPC"

    # --- what is different at the two ends -----------------------------------------------------------------------

    def _serve_one(self, message: Any) -> bytes:
        """Serves a message that came by itself; the answer to it."""
        return self._serve(iter((message,)))

    def _serve(self, messages: Iterator[Any]) -> bytes:
        """Serves the messages that are there, and notes in ``_count`` how many there were; the answers to them."""
        raise NotImplementedError

    def _serve_left(self) -> bytes:
        """Serves what :meth:`_serve` had left; the answers to it."""
        return b""

    @property
    def _has_left(self) -> bool:
        """Whether it has left any."""
        return False

    # --- what is the same ----------------------------------------------------------------------------------------

    def received(self, data: bytes) -> bytes:
        unpacker = self._unpacker
        fed = self._fed
        if unpacker is None or self._kept or fed != self._consumed:
            self.feed(data)
            return self.more()
        self._fed = fed = fed + len(data)
        try:
            unpacker.feed(data)
            message: Any = next(unpacker, NO_MESSAGE)
            end: int = unpacker.tell()
        except Exception as error:  # noqa: BLE001 - whatever msgpack raises
            self._fail(not_msgpack(error))
            return b""
        if end == fed and message is not NO_MESSAGE:
            # The Unpacker is not let look for another message: it would end that with an exception, which is dear.
            self._consumed = fed
            self.is_between = True
            return self._serve_one(message)
        return self._look(unpacker, unpacker if message is NO_MESSAGE else chain((message,), unpacker))

    def with_kept(self, data: bytes) -> bytes:
        """What has arrived, with what was kept of it before."""
        kept = self._kept
        if not kept:
            return data
        self._kept = b""
        return kept + data

    def go_on(self, data: bytes, is_cut: bool) -> bytes:
        """Takes over where compiled code has stopped; the answers. ``is_cut``: it is the beginning of one message."""
        if is_cut and len(data) <= MOST_KEPT_BYTES:
            self._kept = data
            return b""
        if self.attention or self.line.held:
            self.feed(data)
            return b""
        return Reader.received(self, data)  # not that of a class which asks compiled code first

    def feed(self, data: bytes) -> None:
        data = self.with_kept(data)
        self.is_between = False
        unpacker = self._unpacker
        if unpacker is None:
            # Not before the first byte: an Unpacker is large, and thousands of idle connections are normal.
            unpacker = self._unpacker = self._new_unpacker(self._limits)
            self._fed = self._consumed = 0
        try:
            unpacker.feed(data)
        except msgpack.BufferFull:
            self._fail(self._too_long())
            return
        self._fed += len(data)
        self._unread = self.attention = True

    def more(self) -> bytes:
        self.attention = False
        answers = b""
        if self._has_left:
            answers = self._serve_left()
        elif self._unread and not self.failed:
            self._unread = False
            unpacker: Any = self._unpacker
            answers = self._look(unpacker, unpacker, self._fed - self._consumed > SPARE_BUFFER_BYTES)
        if self._unread or self._has_left or self.failed:
            self.attention = True
        return answers

    def rest(self) -> bool:
        if self._kept or (self._unpacker is not None and not at_message_end(self._unpacker)):
            return False
        self._unpacker = None
        return True

    def close(self) -> None:
        super().close()
        self._unpacker = None
        self._kept = b""
        self._unread = False

    def _look(self, unpacker: msgpack.Unpacker, messages: Iterator[Any], is_large: bool = False) -> bytes:
        """Serves what is there: the Unpacker's messages, maybe with some before them. ``is_large``: it fills the
        Unpacker's buffer, which is given back if nothing else is in it."""
        self._count = 0
        if core.COMPILED or is_large:
            answers = self._serve(self._marked(unpacker, messages))
            self.is_between = self._count > 0 and self._end == self._fed
        else:
            answers = self._serve(messages)
        end = unpacker.tell()
        if self._count:
            self._consumed = end
        elif end - self._consumed > MAX_PARTS_BYTES + RECV_BYTES_OF_LARGE:
            self._fail(self._too_long())
        if is_large:
            self.large = not self._count
            self.attention = True
            if self.is_between:
                self._unpacker = None
        return answers

    def _marked(self, unpacker: msgpack.Unpacker, messages: Iterator[Any]) -> Iterator[Any]:
        """Notes each message's end: the Unpacker does not tell whether it is in the middle of one. That is too dear for
        the ordinary path."""
        for message in messages:
            self._end = unpacker.tell()
            yield message

    def _too_long(self) -> str:
        return (
            f"a message of more than {self._limits.max_message_bytes} bytes, or of more than {MAX_PARTS_BYTES} before "
            "its last string"
        )

    def _fail(self, reason: str) -> None:
        self.failed = self.failed or reason
        self.attention = True
