"""What a record is made of: keys and values as the program holds them.

A msgpack *str* is held as ``str`` and a *bin* as ``bytes``, so the Python type **is** the record's msgpack type. Bytes
in a *str* that are not UTF-8 become lone surrogates (PEP 383) on the way in and turn back into the same bytes on the
way out; the mapping is one to one, so a key may be held as ``str`` always: the *str* ``a`` and the *bin* ``a`` are the
same key.
"""

from __future__ import annotations

from typing import Final

from ckv import errors

Value = str | bytes
"""A value: ``str`` for a msgpack str, ``bytes`` for a msgpack bin."""

MAX_KEY_BYTES: Final = 1024
"""The longest key, in bytes. It is also the width of the key column in the persistent tier."""

ENCODING: Final = "utf-8"
ENCODING_ERRORS: Final = "surrogateescape"

BYTES_PER_CHARACTER: Final = 4
"""The most bytes that UTF-8 takes for one character."""

MAX_RECORDS: Final = 2**32 - 16
"""The most records that memory can hold: it counts them in 32 bits."""

MAX_EXPIRES: Final = 2**53 - 1
"""The latest expiry, in milliseconds of the epoch: what every language's numbers hold exactly."""

SURELY_FITS: Final = MAX_KEY_BYTES // BYTES_PER_CHARACTER
"""Characters up to which a key needs no encoding to know that it is short enough."""


def to_bytes(text: Value) -> bytes:
    """The bytes of a key or a value, exactly as a client sent them."""
    return text.encode(ENCODING, ENCODING_ERRORS) if isinstance(text, str) else text


def to_text(data: bytes) -> str:
    """The ``str`` that holds these bytes; :func:`to_bytes` gives them back unchanged."""
    return data.decode(ENCODING, ENCODING_ERRORS)


def size_of(value: Value) -> int:
    """The bytes that a value has."""
    return len(value) if isinstance(value, bytes) or value.isascii() else len(to_bytes(value))


def checked_key(key: object) -> str:
    """The key as the program holds it. Raises BadArguments for what is not a str or bin, KeyTooLong."""
    if isinstance(key, bytes):
        key = to_text(key)
    elif not isinstance(key, str):
        raise errors.BadArguments(f"a key must be a str or a bin, not {type(key).__name__}")
    if len(key) > SURELY_FITS and len(to_bytes(key)) > MAX_KEY_BYTES:
        raise errors.KeyTooLong(f"the key has {len(to_bytes(key))} bytes, {MAX_KEY_BYTES} are allowed")
    return key


def checked_expires(expires: object) -> int:
    """When a record expires, in milliseconds of the epoch; 0 for never. Raises BadArguments for anything else."""
    if type(expires) is not int or not 0 <= expires <= MAX_EXPIRES:
        raise errors.BadArguments(
            f"expires is {str(expires)[:20]}: allowed is a whole number, of milliseconds since 1970, or 0 for never,"
            f" up to {MAX_EXPIRES}"
        )
    return expires


def checked_count(count: object, least: int, most: int) -> int:
    """How many of something are asked for. Raises BadArguments."""
    if type(count) is not int or not least <= count <= most:
        raise errors.BadArguments(f"the count is {type(count).__name__} {count!r:.20}; it is {least} to {most}")
    return count


def checked_value(value: object, max_bytes: int) -> Value:
    """The value itself. Raises BadArguments for what is not a str or bin, ValueTooLarge."""
    if not isinstance(value, (str, bytes)):
        raise errors.BadArguments(f"a value must be a str or a bin, not {type(value).__name__}")
    size = size_of(value)
    if size > max_bytes:
        raise errors.ValueTooLarge(f"the value has {size} bytes, {max_bytes} are allowed")
    return value
