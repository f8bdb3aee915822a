"""EXEC: what it asks of a node and what that answers, as bytes.

All requests of a step are one *bin*, and so are their answers: a message has small parts up to 64 KiB only, but a last
string of any size. Requests are msgpack objects in a row, for each its method, the number of its arguments, and these;
answers are two for each request, an error or nil, and the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgpack

from ckv import errors
from ckv.protocol.messages import at_message_end
from ckv.protocol.packing import new_batch_packer
from ckv.values import ENCODING_ERRORS

WATCHED: Final = "WATCHED"
"""In the place of a method, of a key and a digest: nothing is carried out if the record has another one by then."""

PRESENT: Final = b"present"
"""In the place of a digest, which is never as short: nothing is carried out if the key has no record by then."""

MAX_REQUESTS: Final = 65_536
"""Requests of one step: each is a few objects in memory."""

MAX_ARGUMENTS: Final = 8
"""Of one request."""

Asked = tuple[str, tuple[Any, ...]]
"""A request of a step: its method and its arguments."""

Told = tuple[object, Any]
"""An answer: the error in the form that travels, or None, and the result."""


def packed_requests(requests: Iterable[Asked]) -> bytes:
    """The requests as they travel."""
    packer = new_batch_packer()
    pack = packer.pack
    for method, params in requests:
        pack(method)
        pack(len(params))
        for param in params:
            pack(param)
    data: bytes = packer.bytes()
    return data


def requests_of(data: object) -> list[Asked]:
    """The requests that these bytes are. Raises BadArguments."""
    if not isinstance(data, bytes):
        raise errors.BadArguments(f"the requests must be a bin, not {type(data).__name__}")
    # Strings and numbers alone: whatever is nested could take many times its bytes.
    unpacker = msgpack.Unpacker(
        raw=False,
        unicode_errors=ENCODING_ERRORS,
        max_buffer_size=len(data) + 1,
        max_array_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    unpacker.feed(data)
    requests: list[Asked] = []
    try:
        for method in unpacker:
            count = next(unpacker)
            if type(method) is bytes:
                method = method.decode("ascii", "replace")
            if type(method) is not str or type(count) is not int or not 0 <= count <= MAX_ARGUMENTS:
                raise ValueError
            if len(requests) == MAX_REQUESTS:
                raise errors.BadArguments(f"a step has at most {MAX_REQUESTS} requests")
            requests.append((method, tuple(next(unpacker) for _ in range(count))))
        if not at_message_end(unpacker):
            raise ValueError
    except errors.BadArguments:
        raise
    except Exception:  # noqa: BLE001 - whatever msgpack raises
        number = len(requests) + 1
        raise errors.BadArguments(
            f"request {number} is not its method, the number of its arguments, and these"
        ) from None
    return requests


def packed_answers(answers: Iterable[Told]) -> bytes:
    """The answers as they travel."""
    packer = new_batch_packer()
    for error, result in answers:
        packer.pack(error)
        packer.pack(result)
    data: bytes = packer.bytes()
    return data


def answers_of(data: object, count: int) -> Sequence[Told]:
    """The answers to so many requests. Raises ValueError for anything else."""
    if not isinstance(data, bytes):
        raise ValueError("not the answers of a step")
    unpacker = msgpack.Unpacker(
        raw=False, use_list=False, unicode_errors=ENCODING_ERRORS, max_buffer_size=max(1, len(data))
    )
    unpacker.feed(data)
    parts = list(unpacker)
    if len(parts) != 2 * count:
        raise ValueError("not the answers of a step")
    return list(zip(parts[::2], parts[1::2], strict=True))
