"""The bytes of clients of Redis: requests of every kind, and what is none, for :mod:`tests.fuzz.traffic` to damage."""

from __future__ import annotations

from tests.core.resp import request
from tests.fuzz.traffic import FILLINGS, LARGE, SMALL, Keys

NAMES = [b"GET", b"SET", b"DEL", b"EXISTS", b"PING", b"get", b"gEt", b"set", b"NONE", b"", b"G\x05T", b"STRLEN"]
HEADS = [
    *(
        b"*0\r\n",
        b"*-1\r\n",
        b"*-10\r\n",
        b"*01\r\n",
        b"*+2\r\n",
        b"*4294967298\r\n",
        b"*99999999999\r\n",
        b"$3\r\n",
        b"\r\n",
        b"PING\r\n",
    ),
    *(
        b"*2\r\n$3\r\nGET\r\n" + size
        for size in (b"$4294967297\r\n", b"$9999999999\r\n", b"$65537\r\n", b"$-1\r\n", b"$01\r\n")
    ),
    b"*2\r\n$3\r\nGET\r\n$18446744073709551615\r\n",
    b"*2\r\n$3\r\nGET\r\n$1\r\nab\r\n",
]
"""What a request may begin with, and what looks as if it did."""


class RespTraffic(Keys):
    """What one client sends."""

    def _value(self) -> bytes:
        choices = self._choices
        size = choices.one_of(LARGE) if choices.once_in(8) else choices.one_of(SMALL)
        filling = b"\r\n" if choices.once_in(8) else choices.one_of(FILLINGS)
        return (choices.taken(2) + filling * (size // len(filling) + 1))[:size]

    def message(self) -> bytes:
        """A request, nearly always a good one."""
        choices = self._choices
        kind = choices.below(32)
        if kind < 10:
            return request(choices.one_of([b"GET", b"GET", b"get", b"Get"]), self._key())
        if kind < 20:
            return request(choices.one_of([b"SET", b"SET", b"set", b"sEt"]), self._key(), self._value())
        if kind < 23:
            return request(choices.one_of([b"DEL", b"del"]), self._key())
        if kind < 26:
            return request(choices.one_of([b"EXISTS", b"exists"]), self._key())
        if kind == 26:
            return request(choices.one_of([b"PING", b"ping"]))
        if kind == 27:
            return request(b"HELLO", choices.one_of([b"3", b"2", b"4"]))
        if kind == 28:
            return request(
                choices.one_of([b"MGET", b"DEL", b"EXISTS"]), *(self._key() for _ in range(choices.below(5)))
            )
        if kind == 29:
            return request(b"MSET", *(part for _ in range(choices.below(3)) for part in (self._key(), self._value())))
        if kind == 30:
            return request(choices.one_of(NAMES), *(self._key() for _ in range(choices.below(4))))
        return choices.one_of(HEADS) if choices.once_in(6) else request(b"STRLEN", self._key())

    def stream(self, count: int) -> bytes:
        """So many requests, one after the other."""
        return b"".join(self.message() for _ in range(count))
