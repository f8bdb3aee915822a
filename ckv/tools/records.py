"""Records as lines of JSON: what ``ckv export`` writes and ``ckv import`` reads.

A text of UTF-8 is a JSON string; a value that is a bin is ``{"bin": "AP8="}``, and bytes in a str that are not UTF-8
are ``{"str": "/w=="}``, in base64. ``expires`` is there for a record that expires: milliseconds since 1970.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from ckv.errors import BadArguments
from ckv.values import Value, checked_expires, to_bytes, to_text


class Record(NamedTuple):
    """A record, and when it expires: milliseconds of the epoch, 0 for never."""

    key: str
    value: Value
    expires: int = 0


def jsonable(value: Value) -> str | dict[str, str]:
    """A key or a value for JSON.

    >>> jsonable("a"), jsonable(b"a"), jsonable("\\udcff")
    ('a', {'bin': 'YQ=='}, {'str': '/w=='})
    """
    if isinstance(value, bytes):
        return {"bin": base64.b64encode(value).decode("ascii")}
    try:
        value.encode()
    except UnicodeEncodeError:  # a byte that is not UTF-8 (PEP 383)
        return {"str": base64.b64encode(to_bytes(value)).decode("ascii")}
    return value


def line_of(record: Record) -> str:
    """The line, in ASCII, without its end.

    >>> line_of(Record("bob", b"\\x00", 17))
    '{"key": "bob", "value": {"bin": "AA=="}, "expires": 17}'
    """
    found: dict[str, object] = {"key": jsonable(record.key), "value": jsonable(record.value)}
    if record.expires:
        found["expires"] = record.expires
    return json.dumps(found)


def record_of(line: str | bytes) -> Record:
    """The record of a line. Raises BadArguments."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadArguments(f"no JSON: {error}") from None
    match found:
        case {"key": key, "value": value, **rest} if rest.keys() <= {"expires"}:
            text = _value(key)
            if isinstance(text, bytes):
                raise BadArguments("a key is a str")
            return Record(text, _value(value), checked_expires(rest.get("expires", 0)))
    raise BadArguments("allowed is an object with key, value and maybe expires")


def _value(found: Any) -> Value:
    match found:
        case str():
            try:
                found.encode()
            except UnicodeEncodeError:
                raise BadArguments("half a surrogate pair is no text") from None
            return found
        case {"bin": str() as text, **rest} if not rest:
            return _bytes(text)
        case {"str": str() as text, **rest} if not rest:
            return to_text(_bytes(text))
    raise BadArguments('a key or a value is a string, {"bin": BASE64} or {"str": BASE64}')


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadArguments(f"no base64: {error}") from None
