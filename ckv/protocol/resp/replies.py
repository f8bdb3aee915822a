"""What answers look like in RESP2 and in RESP3, and what becomes of ckv's errors."""

from __future__ import annotations

from typing import Any, Final

from ckv import errors
from ckv.values import Value, to_bytes

RESP2: Final = 2
RESP3: Final = 3

OK: Final = b"+OK\r\n"
PONG: Final = b"+PONG\r\n"
ZERO: Final = b":0\r\n"
ONE: Final = b":1\r\n"

NILS: Final = {RESP2: b"$-1\r\n", RESP3: b"_\r\n"}
"""No value, by the version of the protocol."""


class ReplyError(Exception):
    """A command was not carried out. The text is the answer as it travels: ``ERR syntax error``."""


class Simple(str):
    """A text that is answered as a simple string: no CRLF is in it."""


class Text(str):
    """A text for people: in RESP3 a client is told so."""


CODES: Final[dict[str, str]] = {
    "Starting": "LOADING",
    "Draining": "TRYAGAIN",
    "Overloaded": "TRYAGAIN",
    "Moving": "TRYAGAIN",
    "TierUnavailable": "TRYAGAIN",
    "NoRoom": "OOM",
    "NodeDown": "CLUSTERDOWN",
    "CrossNode": "CROSSSLOT",
    "LoginNeeded": "NOAUTH",
    "LoginFailed": "WRONGPASS",
    "NotAllowed": "NOPERM",
}
"""What clients of Redis know, by our own code: nothing was written. Others are ``ERR``."""

UNKNOWN: Final = "ERR UNKNOWN"
"""Before an error after which nobody knows whether the command was carried out: it must not look as if it could be
repeated."""


def bulk(value: Value) -> bytes:
    """A value, whichever bytes it has.

    >>> bulk("bob"), bulk(b"")
    (b'$3\\r\\nbob\\r\\n', b'$0\\r\\n\\r\\n')
    """
    if type(value) is not bytes:
        value = to_bytes(value)
    return b"$%d\r\n%b\r\n" % (len(value), value)


def integer(number: int) -> bytes:
    """A number."""
    return b":%d\r\n" % number


def array(elements: list[bytes]) -> bytes:
    """An array of what is encoded already."""
    return b"*%d\r\n%b" % (len(elements), b"".join(elements))


def push(protocol: int, count: int) -> bytes:
    """The head of a message that is no answer: an array of so many elements in RESP2, where nothing else tells it."""
    return b"%b%d\r\n" % (b">" if protocol == RESP3 else b"*", count)


def error(text: str) -> bytes:
    """An error: its code and a text, which may quote what somebody has sent.

    >>> error("ERR unknown command 'a\\r\\n+OK'")
    b"-ERR unknown command 'a  +OK'\\r\\n"
    """
    return b"-%b\r\n" % to_bytes(text).replace(b"\r", b" ").replace(b"\n", b" ")


def error_of(wire: object) -> bytes:
    """The answer that an error is, in the form in which it travels between nodes.

    >>> error_of("KeyTooLong: the key is too long"), error_of("NodeLost: it broke")
    (b'-ERR KeyTooLong: the key is too long\\r\\n', b'-ERR UNKNOWN NodeLost: it broke\\r\\n')
    """
    known = errors.from_wire(wire)
    text = errors.to_wire(known)
    if isinstance(known, errors.OutcomeUnknown | errors.ServerError):
        return error(f"{UNKNOWN} {text}")
    code = CODES.get(type(known).__name__)
    if code is None:
        if isinstance(known, errors.NotANumber):
            text = str(known).removeprefix("the ")  # then it is what Redis says, which programs look for
        return error(f"ERR {text}")
    return error(f"{code} {text}")


def is_unknown(answer: bytes) -> bool:
    """Whether that is an error after which nobody knows what was done."""
    return answer.startswith(b"-ERR UNKNOWN ")


def worse_of(known: bytes, answer: bytes) -> bytes:
    """The error that one request of several calls is answered with, of one that is known, if there is, and another: the
    first, unless only the other says that nobody knows what was done."""
    return answer if not known or (is_unknown(answer) and not is_unknown(known)) else known


TOO_MANY_BYTES: Final = error_of(
    errors.to_wire(errors.BadArguments("the values that were asked for are too many bytes for one answer"))
)
UNEXPECTED: Final = "unexpected error in the answers of nodes"
"""What is logged when these are not what they should be: another node may be of another version."""
UNEXPECTED_ANSWERS: Final = error_of(errors.to_wire(errors.ServerError(UNEXPECTED)))


def encode(value: Any, protocol: int) -> bytes:
    """Any answer: what RESP2 lacks becomes what Redis makes of it there.

    >>> encode({"a": [1, None]}, RESP2), encode({"a": 1.5}, RESP3)
    (b'*2\\r\\n$1\\r\\na\\r\\n*2\\r\\n:1\\r\\n$-1\\r\\n', b'%1\\r\\n$1\\r\\na\\r\\n,1.5\\r\\n')
    """
    if value is None:
        return NILS[protocol]
    if isinstance(value, bool):
        return (b"#t\r\n" if value else b"#f\r\n") if protocol == RESP3 else integer(value)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return b",%r\r\n" % value if protocol == RESP3 else bulk(repr(value))
    if isinstance(value, Simple):
        return b"+%b\r\n" % to_bytes(value)
    if isinstance(value, Text) and protocol == RESP3:
        data = to_bytes(value)
        return b"=%d\r\ntxt:%b\r\n" % (len(data) + 4, data)
    if isinstance(value, (str, bytes)):
        return bulk(value)
    if isinstance(value, dict):
        pairs = b"".join(encode(part, protocol) for pair in value.items() for part in pair)
        return (b"%%%d\r\n" % len(value) if protocol == RESP3 else b"*%d\r\n" % (2 * len(value))) + pairs
    head = b"~" if isinstance(value, frozenset) and protocol == RESP3 else b"*"
    parts = sorted(value) if isinstance(value, frozenset) else value
    return b"%b%d\r\n%b" % (head, len(parts), b"".join(encode(part, protocol) for part in parts))
