"""The methods of the client for commands that read a record before they write it, and for many keys at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar, overload

from ckv.client.calls import answered, found, old_value, was_written
from ckv.client.expiring import expires_in
from ckv.client.pipeline import Pipeline
from ckv.values import Value

T = TypeVar("T")


class Updates:
    """What :class:`ckv.client.Client` has besides GET, PUT and DEL.

    Each of them that writes is one step, which nothing comes between, whoever else writes the key. One whose outcome is
    unknown (``NodeLost``, ``CallTimeout``, ``CommitTimeout``) is never sent again.
    """

    @abstractmethod
    def _one(self, method: str, params: tuple[object, ...], read: Callable[[object], object]) -> object:
        """Make one call; what ``read`` makes of its result."""

    @abstractmethod
    def pipeline(self) -> Pipeline:
        """A new, empty pipeline."""

    def incr(self, key: Value, amount: int = 1) -> int:
        """Add to the integer under the key, 0 if there is none; the sum. Raises ``NotANumber``.

        Both, and the sum, have 64 bits and a sign. A record that is new is a ``str``.
        """
        return answered("INCRBY", int, self._one("INCRBY", (key, amount), lambda result: result))

    def decr(self, key: Value, amount: int = 1) -> int:
        """The same the other way."""
        return self.incr(key, -amount)

    def incr_float(self, key: Value, amount: float | Decimal | str) -> float:
        """Add to the number under the key, 0 if there is none; the sum. Raises ``NotANumber``.

        It is kept as digits, 17 behind the point at most, and counted as Redis does.
        """
        return float(answered("INCRBYFLOAT", str, self._one("INCRBYFLOAT", (key, str(amount)), lambda result: result)))

    def append(self, key: Value, value: Value) -> int:
        """Add to the end of the value, or store one if there is none; the length in bytes that it has then."""
        return answered("APPEND", int, self._one("APPEND", (key, value), lambda result: result))

    def add(self, key: Value, value: Value, *, expire: float | None = None) -> bool:
        """Store the value if there is none; whether it was stored."""
        return self._set(key, value, "NX", expire)

    def replace(self, key: Value, value: Value, *, expire: float | None = None) -> bool:
        """Store the value if there is one already; whether it was stored."""
        return self._set(key, value, "XX", expire)

    def compare_and_put(self, key: Value, expected: Value, value: Value, *, expire: float | None = None) -> bool:
        """Store the value if the one that is there has the bytes of the ``expected`` one; whether it was stored."""
        return self._set(key, value, "IFEQ", expire, expected)

    @overload
    def get_and_put(self, key: Value, value: Value, default: None = None) -> Value | None: ...

    @overload
    def get_and_put(self, key: Value, value: Value, default: T) -> Value | T: ...

    def get_and_put(self, key: Value, value: Value, default: object = None) -> object:
        """Store the value; the one that was there before, or ``default`` if there was none."""
        return self._one("SET", (key, value, 0, "", "", "GET"), lambda result: old_value(result, default))

    @overload
    def pop(self, key: Value, default: None = None) -> Value | None: ...

    @overload
    def pop(self, key: Value, default: T) -> Value | T: ...

    def pop(self, key: Value, default: object = None) -> object:
        """Delete the key; the value that it had, or ``default`` if there was none."""
        return self._one("GETDEL", (key,), lambda result: found(result, default))

    def delete_if(self, key: Value, expected: Value) -> bool:
        """Delete the key if its value has the bytes of the ``expected`` one; whether it was deleted."""
        return answered("DELIFEQ", bool, self._one("DELIFEQ", (key, expected), lambda result: result))

    def exists(self, key: Value) -> bool:
        """Whether there is a value."""
        return answered("EXISTS", bool, self._one("EXISTS", (key,), lambda result: result))

    def length(self, key: Value) -> int:
        """The length of the value in bytes, 0 if there is none."""
        return answered("STRLEN", int, self._one("STRLEN", (key,), lambda result: result))

    # --- many keys -------------------------------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Value]) -> dict[Value, Value]:
        """The values of those of the keys that have one, in one round trip. It is no transaction."""
        wanted = list(dict.fromkeys(keys))
        calls = self.pipeline()
        for key in wanted:
            calls.get(key)
        return {key: value for key, value in zip(wanted, calls.execute(), strict=True) if value is not None}

    def put_many(
        self,
        records: Mapping[str, Value] | Mapping[bytes, Value] | Mapping[Value, Value],
        *,
        expire: float | None = None,
    ) -> None:
        """Store all of the records, in one round trip. It is no transaction: when it raises, some may be stored."""
        calls = self.pipeline()
        for key, value in records.items():
            calls.put(key, value, expire=expire)
        calls.execute()

    def _set(self, key: Value, value: Value, condition: str, expire: float | None, expected: Value = "") -> bool:
        return bool(self._one("SET", (key, value, expires_in(expire), condition, expected, ""), was_written))
