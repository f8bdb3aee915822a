"""msgpack within bounds: Unpackers that no peer can make allocate without limit, and Packers.

Nodes and the Python client share them. A *str* is held as ``str`` and a *bin* as ``bytes``; see :mod:`ckv.values`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack

from ckv.values import ENCODING_ERRORS

REQUEST: Final = 0
RESPONSE: Final = 1
NOTIFICATION: Final = 2
"""The first element of a message: https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md."""

MSGIDS: Final = 2**32
"""A msgid of ours is an unsigned 32-bit number; it starts again at 0, long after the call that had it is over."""

MAX_CONTAINER: Final = 1024
"""Elements of an array, pairs of a map. No message has more; msgpack itself bounds nesting to 1,024."""

PACKER_BYTES: Final = 4096
"""The first buffer of a Packer, which grows as needed: connections have one each, so the default would be too large."""

UNPACKER_BYTES: Final = 2048
"""The first buffer of an Unpacker, which grows as needed: 16 KiB, the default, would be too much for each idle one."""


def new_unpacker(
    max_bytes: int, chunk_bytes: int, *, on_map: Callable[[object], object] | None = None
) -> msgpack.Unpacker:
    """An Unpacker of messages of at most ``max_bytes``, which is fed at most ``chunk_bytes`` at a time.

    It makes lists and dicts; with ``on_map`` tuples, and what that makes of a map's pairs. Declared lengths are checked
    before anything is allocated for them (msgpack >= 1.2.4). After an error its state is undefined: throw it away.
    """
    return msgpack.Unpacker(
        raw=False,
        unicode_errors=ENCODING_ERRORS,
        use_list=on_map is None,
        strict_map_key=on_map is None,
        object_pairs_hook=on_map,
        read_size=UNPACKER_BYTES,
        max_buffer_size=max_bytes + chunk_bytes,
        max_str_len=max_bytes,
        max_bin_len=max_bytes,
        max_ext_len=max_bytes,
        max_array_len=MAX_CONTAINER,
        max_map_len=MAX_CONTAINER,
    )


def unpacked(data: bytes) -> Any:
    """The one object that these bytes of ours are, with tuples for arrays."""
    return msgpack.unpackb(data, use_list=False, unicode_errors=ENCODING_ERRORS)


def whole_message(data: bytes) -> Any:
    """The one message that these bytes are; None if they are anything else."""
    try:
        return msgpack.unpackb(data, unicode_errors=ENCODING_ERRORS)
    except Exception:  # noqa: BLE001 - whatever msgpack raises
        return None


def new_packer() -> msgpack.Packer:
    """A Packer that returns each message by itself."""
    return msgpack.Packer(unicode_errors=ENCODING_ERRORS, buf_size=PACKER_BYTES)


def new_batch_packer() -> msgpack.Packer:
    """A Packer that collects messages until it is reset: half the price of one bytes object per message."""
    return msgpack.Packer(unicode_errors=ENCODING_ERRORS, autoreset=False, buf_size=PACKER_BYTES)


def new_utf8_packer() -> msgpack.Packer:
    """As :func:`new_packer`, in two thirds of the time. Text that is not UTF-8 raises UnicodeEncodeError. It leaves its
    UTF-8 with each str that is not ASCII: not for what is kept and measured."""
    return msgpack.Packer(buf_size=PACKER_BYTES)
