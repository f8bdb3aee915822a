"""Bytes into requests, however they are cut, and within bounds.

A request is an array of bulk strings, ``*2\\r\\n$3\\r\\nGET\\r\\n$3\\r\\nbob\\r\\n``, or an inline one, a line.
Most of what arrives are whole requests whose arguments have no CRLF: splitting at every CRLF and comparing the lengths
is the quickest way for an interpreter. The rest is looked through step by step, and no byte of it twice.
"""

from __future__ import annotations

from typing import Final

from ckv.protocol.limits import KIB, MAX_PARTS_BYTES, Limits
from ckv.protocol.resp.inline import words_of

Request = list[bytes]
"""A command and its arguments; never empty."""

MAX_ARGUMENTS: Final = 64 * KIB
"""Arguments of a request, its command among them. Each is an object of some 50 bytes until the request is over."""

MAX_INLINE_BYTES: Final = MAX_PARTS_BYTES
"""The longest inline request."""

MAX_HEAD_BYTES: Final = 16
"""A head is a mark and a number of at most :data:`_DIGITS` digits; here with its CRLF, and some more."""

_DIGITS: Final = 10

_CRLF: Final = b"\r\n"
_ARRAY: Final = ord("*")
_BULK: Final = ord("$")
TLS: Final = 0x16
"""The first byte of a TLS connection: https://www.rfc-editor.org/rfc/rfc8446#section-5.1 (a handshake record)."""

FIRST_BYTES: Final = frozenset((*b"\t\n\r", TLS, *range(0x20, 0x80)))
"""What a client of Redis begins with: ``*``, or a line. A message of msgpack-RPC is an array, and begins with 0x93,
0x94, 0xdc or 0xdd. TLS is told that there is none."""

_HEADS: Final = tuple(b"$%d" % size for size in range(KIB))
"""The head of a bulk string of so many bytes."""

_COUNTS: Final = {b"*%d" % count: count for count in range(1, 128)}
"""The number of arguments by the head of a request."""


class Parser:
    """The requests of one peer."""

    __slots__ = ("_arguments", "_kept", "_left", "_limits", "_missing", "_size", "broken", "is_between")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept = bytearray()
        """What has arrived and is no whole argument."""
        self._missing = 0
        """Bytes that have to arrive before it is worth a look."""
        self._arguments: Request = []
        """Those of a request that has not arrived as a whole."""
        self._left = 0
        """Arguments that are still to come."""
        self._size = 0
        """Bytes of the request up to here."""
        self.broken = ""
        """What is wrong behind the requests that were found; nothing can be found any more. Empty while all is well."""
        self.is_between = True
        """Whether all that it was given were whole requests."""

    @property
    def kept_bytes(self) -> int:
        """What was kept of the beginning of a request."""
        return self._size + len(self._kept)

    @property
    def missing(self) -> int:
        """Bytes that are known to be missing of an argument; 0 where nobody knows."""
        return self._missing if self._missing > 1 else 0

    @property
    def hands_out(self) -> bool:
        """Whether :meth:`take_kept` has all that was kept: the arguments of a request are not handed out."""
        return not (self._left or self.broken)

    def keep(self, data: bytes) -> None:
        """Keeps the beginning of a request without a look at it. Only between two requests."""
        self._kept += data
        self._missing = 1
        self.is_between = False

    def take_kept(self) -> bytes | None:
        """The beginning of a request, which is not kept any more; None when it is more than can be handed out."""
        if self._left or self.broken:
            return None
        kept = bytes(self._kept)
        self._kept.clear()
        self._missing = 0
        self.is_between = True
        return kept

    def parse(self, data: bytes) -> list[Request]:
        """The requests that are whole now, in their order. Nothing may follow once it is :attr:`broken`."""
        requests: list[Request] = []
        if not self.is_between:
            if self._kept:
                self._missing -= len(data)
                self._kept += data
                if self._missing > 0:
                    return requests
                data = bytes(self._kept)
                self._kept.clear()
            self._scan(data, 0, requests)
            return requests
        lines = data.split(_CRLF)
        last = len(lines) - 1
        if last == 5 or last == 7:
            request = _short(lines)
            if request is not None:
                return [request]
        at = 0
        while at < last:
            count = _COUNTS.get(lines[at], 0)
            end = at + 1 + 2 * count
            if not count or end > last:
                break
            request = lines[at + 2 : end : 2]
            head = at + 1
            for argument in request:
                size = len(argument)
                if lines[head] != (_HEADS[size] if size < KIB else b"$%d" % size):
                    break
                head += 2
            if head != end:
                break
            requests.append(request)
            at = end
        rest = len(lines[last])
        if at < last:
            rest += 2 * (last - at) + sum(map(len, lines[at:last]))
        if rest:
            self._scan(data, len(data) - rest, requests)
        return requests

    def _scan(self, data: bytes, at: int, requests: list[Request]) -> None:
        """Finds requests from there on, and keeps what is no whole argument."""
        self._look(data, at, requests)
        self.is_between = not (self._kept or self._left or self.broken)

    def _look(self, data: bytes, at: int, requests: list[Request]) -> None:
        while at < len(data):
            began = at
            if self._left:
                at = self._argument(data, at)
                if at > began and not self._left:
                    requests.append(self._arguments)
                    self._arguments = []
                    self._size = 0
            elif data[at] == _ARRAY:
                at = self._array(data, at)
            else:
                at = self._inline(data, at, requests)
            if self.broken:
                return
            if at == began:
                self._kept += data[at:] if at else data
                return

    def _array(self, data: bytes, at: int) -> int:
        """Looks at the head of a request; returns where it ends, or ``at`` when its end has not arrived."""
        count, end = self._head(data, at)
        if end == at:
            return at
        if count > MAX_ARGUMENTS:
            return self._break("invalid multibulk length", at)
        # As Redis does: of no arguments, or of fewer, is no request at all.
        self._left = max(count, 0)
        self._size = 0
        return end

    def _argument(self, data: bytes, at: int) -> int:
        """The same with a whole argument."""
        if data[at] != _BULK:
            return self._break(f"expected '$', got {chr(data[at])!r}", at)
        size, start = self._head(data, at)
        if start == at:
            return at
        if size < 0 or size > self._limits.max_message_bytes:
            return self._break("invalid bulk length", at)
        if self._size + size > self._limits.max_message_bytes:
            return self._break(f"a request of more than {self._limits.max_message_bytes} bytes", at)
        end = start + size
        if end + 2 > len(data):
            self._missing = end + 2 - len(data)
            return at
        if data[end : end + 2] != _CRLF:
            return self._break("no CRLF behind an argument", at)
        self._arguments.append(data[start:end])
        self._size += size
        self._left -= 1
        return end + 2

    def _head(self, data: bytes, at: int) -> tuple[int, int]:
        """The number in a head, and where what follows begins; that is ``at`` when it has not arrived, or is broken."""
        end = data.find(_CRLF, at, at + MAX_HEAD_BYTES)
        if end < 0:
            if len(data) - at >= MAX_HEAD_BYTES:
                self._wrong_length(data[at])
            self._missing = 1
            return 0, at
        number = _number(data[at + 1 : end])
        if number is None:
            self._wrong_length(data[at])
            return 0, at
        return number, end + 2

    def _wrong_length(self, mark: int) -> None:
        self.broken = "invalid multibulk length" if mark == _ARRAY else "invalid bulk length"

    def _inline(self, data: bytes, at: int, requests: list[Request]) -> int:
        """Looks at an inline request; returns where it ends, or ``at``."""
        if data[at] == TLS:
            return self._break("a TLS handshake, which this port does not speak", at)
        end = data.find(b"\n", at, at + MAX_INLINE_BYTES)
        if end < 0:
            if len(data) - at >= MAX_INLINE_BYTES:
                return self._break("too big inline request", at)
            self._missing = 1
            return at
        words = words_of(data[at:end])
        if words is None:
            return self._break("unbalanced quotes in request", at)
        if words:  # `redis-cli --pipe` sends empty lines
            requests.append(words)
        return end + 1

    def _break(self, reason: str, at: int) -> int:
        self.broken = reason
        return at


def _short(lines: list[bytes]) -> Request | None:
    """The one request of two or three short parts that these six or eight lines are; None when they are not. Most that
    come by themselves are, and taking them apart at once is half the price of a loop."""
    if lines[-1]:
        return None
    try:
        if len(lines) == 6:
            head, head1, first, head2, second, _ = lines
            if head == b"*2" and head1 == _HEADS[len(first)] and head2 == _HEADS[len(second)]:
                return [first, second]
            return None
        head, head1, first, head2, second, head3, third, _ = lines
        if head == b"*3" and head1 == _HEADS[len(first)] and head2 == _HEADS[len(second)]:
            return [first, second, third] if head3 == _HEADS[len(third)] else None
    except IndexError:
        pass  # It is long.
    return None


def _number(digits: bytes) -> int | None:
    """A number in a head; None for what Redis does not take for one.

    >>> _number(b"0"), _number(b"12"), _number(b"-10"), _number(b"01"), _number(b"+1"), _number(b""), _number(b"-0")
    (0, 12, -10, None, None, None, None)
    """
    if digits[:1] == b"-":
        below = _number(digits[1:])
        return -below if below is not None and below > 0 else None
    if len(digits) > _DIGITS or not digits.isdigit() or (digits[0] == 48 and len(digits) > 1):
        return None
    return int(digits)
