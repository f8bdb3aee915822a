"""How a result is shown: to a person, to a script as bytes, and as JSON."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from ckv.errors import CkvError, to_wire
from ckv.node import figures
from ckv.tools.shell.words import quoted
from ckv.values import Value, to_bytes

NOTHING: Final = "(none)"
"""What a person sees in the place of a value when there is none."""


def for_people(name: str, result: object, encoding: str = "utf-8") -> str:
    """A result as the prompt shows it: a value in quotes, and nothing that could upset a terminal.

    >>> for_people("GET", "two words"), for_people("GET", b"\\x00"), for_people("GET", None), for_people("PUT", None)
    ('"two words"', 'b"\\\\x00"', '(none)', 'OK')
    """
    if name == "GET":
        return (
            NOTHING if result is None else quoted(result, encoding) if isinstance(result, str | bytes) else repr(result)
        )
    if name == "DEL":
        return "OK" if result else NOTHING
    match name, result:
        case "INFO", dict():
            return figures.for_people(result)
        case "PEEK", [where, bytes() as digest]:
            return f"{where} {digest.hex()}".rstrip()
        case "SCAN", [cursor, [*entries]]:
            return "\n".join([*(_scanned(entry, encoding) for entry in entries), f"next cursor {cursor}"])
    return "OK" if result is None else str(result)


def raw(name: str, result: object) -> bytes:
    """A result as a script gets it: the bytes of a value exactly, ``OK`` for a PUT, ``1`` or ``0`` for a DEL."""
    if isinstance(result, bool):
        return b"1" if result else b"0"
    if isinstance(result, str | bytes):
        return to_bytes(result)
    return to_bytes(for_people(name, result))


def as_json(name: str, result: object) -> str:
    """A result as one line of JSON, in ASCII.

    A value that is a str of UTF-8 is a string. JSON has no other ones: a bin is ``{"bin": BASE64}``, and a str of other
    bytes ``{"str": BASE64}``. No value at all is ``null``, what a PUT answers ``true``, and a digest is hexadecimal.

    >>> as_json("GET", "ü"), as_json("GET", b"\\x00"), as_json("GET", None), as_json("PUT", None)
    ('"\\\\u00fc"', '{"bin": "AA=="}', 'null', 'true')
    """
    match name, result:
        case "PUT", None:
            return "true"
        case "PEEK", [where, bytes() as digest]:
            result = [where, digest.hex()]
        case "SCAN", [cursor, [*entries]]:
            result = [cursor, [_entry(entry) for entry in entries]]
    return json.dumps(_jsonable(result))


def error_as_json(error: Exception) -> str:
    """An error as one line of JSON: what it is, and whether the command took effect (yes, no or unknown)."""
    if isinstance(error, CkvError):
        return json.dumps({"error": _utf8(to_wire(error)), "written": error.written})
    return json.dumps({"error": _utf8(str(error)), "written": "no"})


def _entry(entry: Any) -> list[object]:
    key, where, digest = entry
    return [key, where, digest.hex()]


def _scanned(entry: Any, encoding: str) -> str:
    key, where, digest = entry
    return f"{quoted(key, encoding)} {where} {digest.hex()}".rstrip()


def _jsonable(result: Any) -> Any:
    if isinstance(result, list):
        return [_jsonable(part) for part in result]
    if isinstance(result, str | bytes):
        return _string(result)
    return result


def _string(value: Value) -> object:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # a byte that is not UTF-8 (PEP 383)
            return {"str": base64.b64encode(to_bytes(value)).decode("ascii")}
        return value
    return {"bin": base64.b64encode(value).decode("ascii")}


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
