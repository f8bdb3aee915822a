"""The methods of the client about all keys."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

from ckv.client.calls import answered
from ckv.errors import ProtocolError
from ckv.values import Value


class Scanning:
    """What :class:`ckv.client.Client` has of these."""

    @abstractmethod
    def _one(self, method: str, params: tuple[object, ...], read: Callable[[object], object]) -> object:
        """Make one call; what ``read`` makes of its result."""

    def scan(self, match: Value = "*", count: int = 1000) -> Iterator[str]:
        """All keys that match, whichever tier has them; begun when the first one is asked for.

        A key that has a value all the while is told at least once, and may be told again; one that comes or goes
        meanwhile is told or not; one that has no value all the while is not told. In ``match``, ``*`` stands for any
        bytes, ``?`` for one, ``[a-z]`` for one of these, ``[^a-z]`` for any but these; ``\\`` takes that from what is
        behind it. A call looks at about ``count`` keys, 1 to 1000. With ``match`` a beginning of keys, as in
        ``"user:*"``, no others are looked for in the database.

        Raises ``Refused`` in the middle when the node has forgotten the scan: it was started anew, or it has not heard
        of it for ten minutes, or of too many others, or its database was replaced.
        """
        cursor = 0
        while True:
            cursor, keys = self._scanned(cursor, match, count)
            yield from keys
            if cursor == 0:
                return

    def flush(self) -> int:
        """Delete all records, in all tiers; how many there were. Raises ``Refused`` where no node was told to allow it.

        It is many calls, and others are served in between. What is written meanwhile may be deleted too, and what is
        written afterwards stays. When one of the calls fails the rest is still there: call it again.
        """
        cursor = number = 0
        while True:
            match self._one("FLUSH", (cursor,), lambda result: result):
                case [int() as cursor, int() as deleted]:
                    number += deleted
                case other:
                    raise ProtocolError(f"a FLUSH was answered with {type(other).__name__}, not a cursor and a number")
            if cursor == 0:
                return number

    def count(self) -> int:
        """How many records there are in all tiers, about."""
        return answered("DBSIZE", int, self._one("DBSIZE", (), lambda result: result))

    def _scanned(self, cursor: int, match: Value, count: int) -> tuple[int, list[str]]:
        match self._one("SCAN", (cursor, match, count), lambda result: result):
            case [int() as following, [*found]]:
                keys = [key for key in found if isinstance(key, str)]
                if len(keys) == len(found):
                    return following, keys
        raise ProtocolError("a SCAN was answered with something else than a cursor and keys")
