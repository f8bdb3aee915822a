"""The bytes of clients: requests of every kind and in every encoding, damaged, and cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgpack

from ckv.protocol.batch import BATCH_REQUESTS
from ckv.protocol.limits import BULKY_BYTES, KIB, RECV_BYTES_OF_LARGE, RECV_BYTES_OF_SMALL
from ckv.protocol.session import Session
from ckv.values import MAX_KEY_BYTES
from tests.core.messages import MSGIDS
from tests.core.nodes import LIMITS, OF_A_SMALLER_NODE, Client
from tests.fuzz.choices import Choices

KEYS = [
    *(b"a", b"b", b"c", b"key", b"{tag}x", b"{tag}y", b"{}", b"{a}{b}", b"{", "ü".encode(), b"\xff\xc3", b"\0", b""),
    *(b"k" * size for size in (31, 32, 255, 256, MAX_KEY_BYTES)),
]
LONG_KEYS = [b"k" * (MAX_KEY_BYTES + 1), "ü".encode() * (MAX_KEY_BYTES // 2 + 1), b"\x80" * (MAX_KEY_BYTES + 1)]

SMALL = [0, 1, 2, 7, 31, 32, 40, 100, 255, 256, 300]
LARGE = [
    *(BULKY_BYTES + more for more in (-1, 0, 1, 1000)),
    *(2**16 + more for more in (-1, 0, 1)),
    *(LIMITS.max_value_bytes + more for more in (-1, 0, 1)),
    *(OF_A_SMALLER_NODE, OF_A_SMALLER_NODE + 1, 3000, 48 * KIB, LIMITS.max_message_bytes),
]
FILLINGS = [b"v", b"\xff", "ü".encode(), b"\xed\xb2\x80", b"\0"]

ODD = [None, 0, -1, 7, 2**64 - 1, 1.5, True, [], [["a"]], {}, {"a": 1}, {1: [2]}, msgpack.ExtType(5, b"x")]
"""What may stand where something else should: nothing that is a key."""

VALUE = object()
UPDATES: list[tuple[bytes, *tuple[object, ...]]] = [
    (b"INCRBY", 1), (b"INCRBY", "-7"), (b"APPEND", VALUE), (b"GETDEL",), (b"EXISTS",), (b"DELIFEQ", "loaded"),
    (b"COUNT", 1, "XX", -1), (b"COUNT", b"7", "", 1 << 50), (b"EXTEND", "loaded", 1, 0),
    (b"SET", "5", 0, "NX", "", ""), (b"SET", VALUE, 0, "XX", "", "GET"), (b"SET", VALUE, 0, "", "", ""),
]  # fmt: skip
"""Methods that read before they write, and what stands behind the key."""

COUNTS = [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 64, BATCH_REQUESTS - 1, BATCH_REQUESTS, BATCH_REQUESTS + 1]
HEADS = [
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\x7f\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\x00\xff\xff\xff",
    b"\xc9\xff\xff",
]
"""Lengths that nothing of that length follows."""


def head(size: int, short: tuple[int, int], types: tuple[int, int, int], choices: Choices) -> bytes:
    """The head of something with so many bytes or elements: mostly the shortest, as Packers write it.

    ``short``: the first byte of the shortest kind, and its first size that is too much. ``types``: those with a size of
    8, 16 and 32 bits, 0 for none.
    """
    first, end = short
    made = [bytes([first | size])] if size < end else []
    for kind, width in zip(types, (1, 2, 4), strict=True):
        if kind and size < 256**width:
            made.append(bytes([kind]) + size.to_bytes(width, "big"))
    return choices.one_of(made) if choices.once_in(12) else made[0]


def raw(data: bytes, choices: Choices, *, text: bool) -> bytes:
    """A str or a bin."""
    return (
        head(len(data), *(((0xA0, 32), (0xD9, 0xDA, 0xDB)) if text else ((0, 0), (0xC4, 0xC5, 0xC6))), choices) + data
    )


def array(parts: list[bytes], choices: Choices) -> bytes:
    """An array of what is packed already."""
    return head(len(parts), (0x90, 16), (0, 0xDC, 0xDD), choices) + b"".join(parts)


class Keys:
    """What clients of each protocol take their keys from. All begin with ``prefix``."""

    def __init__(self, choices: Choices, prefix: bytes = b"") -> None:
        self._choices = choices
        self._prefix = prefix

    def _key(self) -> bytes:
        choices = self._choices
        if choices.once_in(40):
            return self._prefix + choices.one_of(LONG_KEYS)
        key = choices.one_of(KEYS) if choices.below(3) else b"k%d" % choices.below(40)
        return (self._prefix + key)[:MAX_KEY_BYTES]


class Traffic(Keys):
    """What one client sends."""

    def _value(self, most: int) -> bytes:
        choices = self._choices
        if choices.once_in(30):
            return bytes(msgpack.packb(choices.one_of(ODD)))
        size = choices.one_of(LARGE) if choices.once_in(8) else choices.one_of(SMALL)
        size = min(size, most)
        filling = choices.one_of(FILLINGS)
        value = (choices.taken(2) + filling * (size // len(filling) + 1))[:size]
        return raw(value, choices, text=choices.below(3) < 2)

    def call(self, most: int = LIMITS.max_message_bytes) -> list[bytes]:
        """A method and its arguments, whose value has so many bytes at most."""
        choices = self._choices
        kind = choices.below(32)
        if kind == 31:
            method = msgpack.packb(
                choices.one_of(["PING", "GET", "PUT", "DEL", "NONE", "BATCH", b"GET", b"PUT", 7, None])
            )
            params = choices.one_of(ODD) if choices.below(2) else [choices.one_of(ODD) for _ in range(choices.below(4))]
            return [method, msgpack.packb(params)]
        key = raw(self._key(), choices, text=choices.below(4) < 3)
        if kind < 14:
            return [raw(b"GET", choices, text=True), array([key], choices)]
        if kind < 25:
            return [raw(b"PUT", choices, text=True), array([key, self._value(most)], choices)]
        if kind < 28:
            return [raw(b"DEL", choices, text=True), array([key], choices)]
        method, *others = choices.one_of(UPDATES)
        arguments = [self._value(most) if other is VALUE else bytes(msgpack.packb(other)) for other in others]
        return [raw(method, choices, text=True), array([key, *arguments], choices)]

    def message(self) -> bytes:
        """A message, nearly always one that a node can answer."""
        choices = self._choices
        kind = choices.below(32)
        if kind < 6:
            count = choices.one_of(COUNTS) if choices.below(2) else choices.below(12)
            parts = [part for call in self._calls(count) for part in call]
            if choices.once_in(20):
                parts.append(b"\xa3GET")
            return array([b"\x00", self._msgid(), raw(b"BATCH", choices, text=True), array(parts, choices)], choices)
        if kind == 6:
            return array([b"\x02", *self.call()], choices)
        if kind == 7:
            return bytes(
                msgpack.packb(
                    choices.one_of([[0, 1, "GET", ["a"], 5], [0, 1], [0, "x", "GET", ["a"]], [1, 2, None, True], 7])
                )
            )
        return array([b"\x00", self._msgid(), *self.call()], choices)

    def _calls(self, count: int) -> Iterator[list[bytes]]:
        """So many calls; the last ones again and again, so that a large BATCH is no large input."""
        made = [self.call(2 * LIMITS.max_message_bytes // count) for _ in range(min(count, 8))]
        for number in range(count):
            yield made[number] if number < len(made) else self._choices.one_of(made)

    def _msgid(self) -> bytes:
        choices = self._choices
        if choices.once_in(12):
            return bytes(msgpack.packb(choices.one_of(MSGIDS)))
        number = choices.below(65_536)
        return head(number, (0, 128), (0xCC, 0xCD, 0xCE), choices)

    def stream(self, count: int) -> bytes:
        """So many messages, one after the other."""
        return b"".join(self.message() for _ in range(count))


def damaged(data: bytes, choices: Choices, times: int) -> bytes:
    """The bytes with so many places that are wrong: changed, gone, there twice, or followed by anything."""
    broken = bytearray(data)
    for _ in range(times):
        at = choices.below(len(broken) + 1)
        size = choices.below(24)
        kind = choices.below(6)
        if kind <= 1 and at < len(broken):
            broken[at] = choices.below(256)
        elif kind == 2:
            del broken[at : at + size]
        elif kind == 3:
            broken[at:at] = broken[at : at + size]
        elif kind == 4:
            broken[at:at] = choices.taken(size)
        else:
            lying = choices.one_of(HEADS)
            broken[at : at + len(lying)] = lying
    return bytes(broken)


def cut(data: bytes, choices: Choices) -> list[bytes]:
    """The bytes in the pieces in which they are read."""
    kind = choices.below(8)
    if kind == 0:
        places = {choices.below(len(data) + 1) for _ in range(choices.below(8))}
    elif kind == 1 and len(data) < 600:
        places = set(range(len(data)))
    elif kind == 2:
        places = set(range(0, len(data), RECV_BYTES_OF_SMALL))
    elif kind == 3:
        places = {choices.below(len(data) + 1)}
    else:
        places = set()
    places |= {*range(0, len(data), RECV_BYTES_OF_LARGE), 0, len(data)}
    return [data[start:end] for start, end in pairwise(sorted(places))]


def depends_on_cuts(*sessions: Session) -> bool:
    """Whether one of them failed for a message that had too much before its last string: how much more than the bound
    is taken depends on how the message was cut, and on what came before it."""
    return any("before its last string" in session.failed for session in sessions)


def stopped_apart(one: Session, other: Session) -> bool:
    """Whether too many requests are in flight for one of them, and not as many for the other: of a BATCH they may leave
    other requests for later (see below), and so stop reading at another one. Then nothing has one order any more."""
    return one.in_flight != other.in_flight and (one.line.held or other.line.held)


def client_answers(client: Client) -> list[str]:
    """What a client was answered, with each result of a BATCH as the answer that it would have had by itself.

    What is too large for the answer to a BATCH is counted in bytes by compiled code, and in characters by its twin.
    """
    found: list[str] = []
    for message in client.messages():
        _, msgid, _error, results = message
        if isinstance(results, list) and not is_record(results):
            found.append(f"{msgid} {len(results)}")
            for own, result in enumerate(results, msgid + 1):
                if isinstance(result, list) and len(result) == 1:
                    found.append(repr([1, own, result[0], None]))
                elif result is not None:
                    found.append(repr([1, own, None, result]))
        else:
            found.append(repr(message))
    return sorted(found)


def is_record(result: list[object]) -> bool:
    """Whether it is the result of a GET."""
    return len(result) == 2 and type(result[0]) is bool and isinstance(result[1], (str, bytes))
