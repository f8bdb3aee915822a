"""How a result is shown: to a person, to a script as bytes, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from ckv.errors import CkvError, to_wire
from ckv.node import figures
from ckv.tools.records import jsonable
from ckv.tools.shell.words import quoted
from ckv.values import to_bytes


def for_people(name: str, result: Any, encoding: str = "utf-8") -> str:
    """A result as the prompt shows it: a value in quotes, and nothing that could upset a terminal.

    >>> for_people("GET", "two words"), for_people("GET", b"\\x00"), for_people("GET", None), for_people("PUT", None)
    ('"two words"', 'b"\\\\x00"', '(none)', 'OK')
    """
    match name, _readable(name, result):
        case ("GET" | "GETDEL" | "GETEX", None) | ("DEL", False):
            return "(none)"
        case (("GET" | "GETDEL" | "GETEX"), (str() | bytes()) as value):
            return quoted(value, encoding)
        case "INFO", dict() as info:
            return figures.for_people(info)
        case "PEEK", [where, str() as digest]:
            return f"{where} {digest}".rstrip()
        case "SCAN", [cursor, [*keys]]:
            return "\n".join([*(quoted(key, encoding) for key in keys), f"next cursor {cursor}"])
        case "AUDIT", [cursor, [*entries]]:
            lines = [f"{quoted(key, encoding)} {where} {digest}".rstrip() for key, where, digest in entries]
            return "\n".join([*lines, f"next cursor {cursor}"])
        case "OWNERS", [str() as basis, [*version], [*places], bytes() as owners]:
            numbers = Counter(int.from_bytes(owners[at : at + 2], "little") for at in range(0, len(owners), 2))
            nodes = [(number, place) for number, place in enumerate(places) if place is not None]
            lines = [f"{host}:{port} {numbers[at]} slots" for at, (host, port, *_) in nodes]
            return "\n".join([f"{basis} {'.'.join(map(str, version))}", *lines])
        case "SET", [bool() as written, bool() as was_there, old]:
            before = f", before {quoted(old, encoding)}" if was_there and old else ""
            return ("OK" if written else "not written") + before
        case "COUNT", [bool() as counted, total]:
            return str(total) if counted else "not counted"
        case ("DEL" | "DELIFEQ" | "EXTEND", True) | (_, None):
            return "OK"
        case _, bool() as answer:
            return "yes" if answer else "no"
    return str(result)


def raw(name: str, result: object) -> bytes:
    """A result as a script gets it: the bytes of a value exactly, ``OK`` for a PUT, ``1`` or ``0`` for a DEL."""
    if isinstance(result, bool):
        return b"1" if result else b"0"
    return to_bytes(result if isinstance(result, str | bytes) else for_people(name, result))


def as_json(name: str, result: object) -> str:
    """A result as one line of JSON, in ASCII: docs/shell.md has the forms. Digests are hexadecimal.

    >>> as_json("GET", "ü"), as_json("GET", b"\\x00"), as_json("GET", None), as_json("PUT", None)
    ('"\\\\u00fc"', '{"bin": "AA=="}', 'null', 'true')
    """
    return json.dumps(True if name == "PUT" and result is None else _jsonable(_readable(name, result)))


def error_as_json(error: Exception) -> str:
    """An error as one line of JSON: what it is, and whether the command took effect (yes, no or unknown)."""
    text, written = (to_wire(error), error.written) if isinstance(error, CkvError) else (str(error), "no")
    return json.dumps({"error": text.encode("utf-8", "backslashreplace").decode(), "written": written})


def _readable(name: str, result: Any) -> Any:
    """The result with its digests in hexadecimal."""
    match name, result:
        case "PEEK", [where, bytes() as digest]:
            return [where, digest.hex()]
        case "AUDIT", [cursor, [*entries]]:
            return [cursor, [[key, where, digest.hex()] for key, where, digest in entries]]
    return result


def _jsonable(result: Any) -> Any:
    match result:
        case list():
            return [_jsonable(part) for part in result]
        case bytes() | str():
            return jsonable(result)
    return result
