"""What a secondary tells of its records, with digests of the values, to be compared with a database: AUDIT and PEEK."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from ckv import errors
from ckv.store import Place, Records, Where
from ckv.values import Value, to_bytes

DIGEST_BYTES: Final = 16
"""The length of a digest: two values that differ have the same one in no foreseeable future."""

MAX_COUNT: Final = 1000
"""The most keys in one answer to AUDIT; clients bound an array to 1024 elements."""

MAX_AUDIT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of values at which an answer to AUDIT is closed: a node serves nobody while it computes digests (4 ms)."""

MAX_AUDITS: Final = 4
"""Audits that are open at a time. Each holds a list of all keys: 8 MB for a million records."""

IDLE: Final = 60.0
"""Seconds after which an audit that nobody went on with is forgotten."""

_POSITIONS: Final = 2**40  # a cursor is the number of its audit times this, plus the position in the list of keys
_NUMBERS: Final = 2**22

Entry = tuple[str, Where, bytes]
"""A key, where its current value is, and the digest of that; no bytes where there is no value."""


def digest(value: Value, expires: int = 0) -> bytes:
    """Tells values apart by their type and their bytes, and adds when the record expires, if it does.

    >>> digest("a") == digest(b"a"), len(digest("a")), digest("a", 256)[16:]
    (False, 16, b'\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x00')
    """
    data = (b"s" if isinstance(value, str) else b"b") + to_bytes(value)
    return blake2b(data, digest_size=DIGEST_BYTES).digest() + (expires.to_bytes(8, "big") if expires else b"")


def entry(key: str, place: Place) -> Entry:
    """What the node tells of a key, which it has in this place."""
    return key, place.where, b"" if place.value is None else digest(place.value, place.expires)


class Audits:
    """The audits that are open.

    An audit begins with a list of the keys that the node knows then, and each answer tells what is true of its keys
    when it is made. So a record that is in memory or pending from the first answer to the last is told exactly once;
    one that comes or goes meanwhile is told once or not at all. A cursor can be asked again until the audit is over.
    """

    def __init__(self, store: Records, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds that never go back."""
        self._store = store
        self._clock = clock
        self._open: dict[int, tuple[list[str], float]] = {}
        """Number of an audit to its keys and the time of the last request; the one that was used last is last."""

    def next(self, cursor: object, count: object) -> tuple[int, list[Entry]]:
        """The cursor of the next answer, 0 when there is none, and up to ``count`` entries, perhaps none.

        Cursor 0 begins an audit. Raises BadArguments, and Refused for one that is over or forgotten: after
        :data:`IDLE` seconds, or for others that were begun.
        """
        if type(cursor) is not int or type(count) is not int:
            raise errors.BadArguments("cursor and count must be whole numbers")
        if not 1 <= count <= MAX_COUNT:
            raise errors.BadArguments(f"count is {count}: allowed is 1 to {MAX_COUNT}")
        number, start = divmod(cursor, _POSITIONS) if cursor else (self._begin(), 0)
        if number not in self._open:
            raise errors.Refused(f"there is no audit with the cursor {cursor}: begin again with 0")
        keys, _ = self._open.pop(number)
        entries: list[Entry] = []
        size = 0
        position = start
        while position < len(keys) and position - start < count and size < MAX_AUDIT_BYTES:
            key = keys[position]
            position += 1
            place = self._store.locate(key)
            size += len(place.value or ())
            if place.where != "elsewhere":
                entries.append(entry(key, place))
        if position >= len(keys):
            return 0, entries
        self._open[number] = keys, self._clock()
        return number * _POSITIONS + position, entries

    def expire(self) -> None:
        """Forgets the audits that nobody goes on with."""
        oldest = self._clock() - IDLE
        self._open = {number: (keys, used) for number, (keys, used) in self._open.items() if used > oldest}

    def _begin(self) -> int:
        if len(self._open) >= MAX_AUDITS:
            del self._open[next(iter(self._open))]
        # By chance, so that a cursor of before a restart does not fit an audit of after it.
        number = random.randrange(1, _NUMBERS)
        self._open[number] = self._store.keys(), self._clock()
        return number
