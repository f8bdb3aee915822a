"""What messages of msgpack-RPC look like, and their Unpackers.

The protocol is https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md: a request ``[0, msgid, method,
params]`` is answered by ``[1, msgid, error, result]``; a notification ``[2, method, params]`` is not answered.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from ckv import errors
from ckv.protocol.limits import BULKY_BYTES, RECV_BYTES_OF_LARGE, Limits
from ckv.protocol.packing import REQUEST, new_unpacker

Message = tuple[object, Any, Any, Any]
"""A request or a response: four parts, whatever they are. In compiled code nothing else fits into it."""

NO_MESSAGE: Final = object()
"""In the place of a message that is not complete yet."""

BATCH: Final = "BATCH"
"""The method that carries many requests in one message; see :mod:`ckv.protocol.batch`."""

_MAP: Final[dict[object, object]] = {}
"""What every map becomes: an argument of a wrong type, and nothing that can be looked up."""


def new_requests_unpacker(limits: Limits) -> msgpack.Unpacker:
    """An Unpacker of what clients and other nodes ask. No request has a map, so none is built: 1,024 keys with one hash
    would take a dict half a million comparisons."""
    return new_unpacker(limits.max_message_bytes, RECV_BYTES_OF_LARGE, on_map=lambda _pairs: _MAP)


def new_answers_unpacker(limits: Limits) -> msgpack.Unpacker:
    """An Unpacker of another node's answers. None has a map, which could not be passed on: it is an error."""

    def refuse(_pairs: object) -> object:
        raise ValueError("a map")

    return new_unpacker(limits.max_message_bytes, RECV_BYTES_OF_LARGE, on_map=refuse)


def not_msgpack(error: Exception) -> str:
    """For whatever msgpack raises: FormatError, StackError, ValueError, TypeError, ..."""
    return f"not msgpack: {type(error).__name__} {error}".rstrip()


def at_message_end(unpacker: msgpack.Unpacker) -> bool:
    """Whether everything that it was fed were whole messages. Spends the Unpacker."""
    try:
        unpacker.feed(b"\xc0")  # a nil: a message of its own here, part of another one in the middle
        return next(unpacker, REQUEST) is None
    except Exception:  # noqa: BLE001 - whatever msgpack raises
        return False


def is_bulky(message: object) -> bool:
    """Whether the last part of a request's arguments, or of a GET's result, is worth being counted."""
    try:
        return len(message[-1]) > BULKY_BYTES  # type: ignore[index]
    except (TypeError, IndexError):
        return False


def arguments(params: object) -> tuple[object, ...]:
    """The arguments that ``params`` are: nil is none at all. Raises BadArguments for everything but an array."""
    if params is None:
        return ()
    if not isinstance(params, tuple):
        raise errors.BadArguments("the arguments are no array")
    return params
