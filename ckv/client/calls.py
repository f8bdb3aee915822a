"""One call of the client: what is asked, and how its result is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ckv.errors import ProtocolError
from ckv.values import to_bytes

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One call. ``read`` makes what the caller gets of the result, and raises ProtocolError if it is none."""

    method: str
    params: tuple[object, ...]
    read: Callable[[object], object]
    result: object = None
    """What ``read`` made, or the :class:`CkvError` that came instead, when the call is over."""
    # What is known of one that shares a connection (:mod:`ckv.client.shared`).
    waiter: Any = None
    msgid: int = 0
    timeout: float = 0.0
    deadline: float = 0.0

    @property
    def key(self) -> bytes | None:
        """The key that it is about; ``None`` if it has none."""
        key = self.params[0] if self.params else None
        return to_bytes(key) if isinstance(key, str | bytes) else None


def found(result: object, default: object) -> object:
    """Of a GET: the value, or the default."""
    match result:
        case [True, (str() | bytes()) as value]:
            return value
        case [False, _]:
            return default
    raise ProtocolError(f"a GET was answered with {type(result).__name__}, not [true, value] or [false, ...]")


def stored(result: object) -> None:
    """Of a PUT."""
    if result is not True:
        raise ProtocolError(f"a PUT was answered with {type(result).__name__}, not true")


def deleted(result: object) -> bool:
    """Of a DEL: whether there was one."""
    if not isinstance(result, bool):
        raise ProtocolError(f"a DEL was answered with {type(result).__name__}, not true or false")
    return result


def was_written(result: object) -> bool:
    """Of a SET: whether it wrote."""
    match result:
        case [bool() as written, bool(), str() | bytes()]:
            return written
    raise _not_a_set(result)


def old_value(result: object, default: object) -> object:
    """Of a SET that asks for it: the value that was there before, or the default."""
    match result:
        case [bool(), True, (str() | bytes()) as value]:
            return value
        case [bool(), False, _]:
            return default
    raise _not_a_set(result)


def _not_a_set(result: object) -> ProtocolError:
    return ProtocolError(f"a SET was answered with {type(result).__name__}, not [written, found, old]")


def answered(method: str, kind: type[T], result: object) -> T:
    """Of any method whose result has this type."""
    if type(result) is not kind:  # a bool is an int, too
        raise ProtocolError(f"{method} was answered with {type(result).__name__}, not {kind.__name__}")
    return result


def as_it_is(result: object) -> object:
    """Of any method: what msgpack made of it."""
    return result
