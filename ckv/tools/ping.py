"""``ckv ping``: whether a node answers, or can serve, for probes and scripts.

A probe runs every few seconds on a busy machine. So: a blocking socket, and no import that the good case does not need.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from ckv.exits import Exit
from ckv.security.account import Account
from ckv.settings.roles import PingSettings

REQUEST: Final = b"\x94\x00\x01\xa4PING\x90"
"""The msgpack-RPC request ``[0, 1, "PING", []]``."""

ANSWER: Final = b"\x94\x01\x01\xc0\xa4PONG"
"""The response to it, ``[1, 1, nil, "PONG"]``, as a node packs it."""

FIGURES_REQUEST: Final = b"\x94\x00\x01\xa4INFO\x90"
"""The request ``[0, 1, "INFO", []]``: its answer has ``ready``."""

Judge = Callable[[bytes], str | None]
"""What is wrong with what has come so far: empty for nothing, ``None`` if more has to come."""


def run(settings: PingSettings) -> int:
    """Asks the node; the exit code. What is wrong becomes one line on stderr."""
    request, what = REQUEST, "does not answer"
    judge: Judge = _of_ping
    if settings.ready:
        request, judge, what = FIGURES_REQUEST, _of_figures, "is not ready"
    if settings.account is not None:
        request, judge = _login(settings.account) + request, partial(_behind_login, judge)
    why = _silence(settings, request, judge)
    if not why:
        return Exit.FINE
    print(f"ckv: {settings.address} {what}: {why}", file=sys.stderr)
    return Exit.FAILED


def _login(account: Account) -> bytes:
    """The request ``[0, 0, "AUTH", [user, secret]]``."""
    import msgpack

    request: bytes = msgpack.packb((0, 0, "AUTH", (account.name, account.secret())), unicode_errors="surrogateescape")
    return request


def _behind_login(judge: Judge, answer: bytes) -> str | None:
    """What the judge says of what follows the answer to a login, unless that was refused."""
    if (found := _first(answer)) is None:
        return None
    message, rest = found
    match message:
        case [1, 0, None, True]:
            return judge(rest)
        case [1, 0, str() as error, _]:
            # A node without users does not know it.
            return judge(rest) if error.startswith("UnknownMethod: ") else error
    return "what came is no answer to an AUTH"


def _first(answer: bytes) -> tuple[object, bytes] | None:
    """The first message, ``None`` for what is none, and the bytes behind it; ``None`` if more has to come."""
    import msgpack

    unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape")
    unpacker.feed(answer)
    try:
        return unpacker.unpack(), answer[unpacker.tell() :]
    except msgpack.OutOfData:
        return None
    except ValueError:  # whatever can be wrong with it
        return None, b""


def _of_ping(answer: bytes) -> str | None:
    if answer == ANSWER:
        return ""
    return None if ANSWER.startswith(answer) else _meaning(answer)


def _of_figures(answer: bytes) -> str | None:
    if (found := _first(answer)) is None:
        return None
    message, _ = found
    match message:
        case [1, 1, None, {"ready": 1}]:
            return ""
        case [1, 1, None, {"ready_reason": str() as reason}]:
            return reason
        case [1, 1, str() as error, _]:
            return error
    return "what came is no answer to an INFO"


def _silence(settings: PingSettings, request: bytes, judge: Judge) -> str:
    """Why the node does not answer well within the time-out; empty if it does.

    They begin when the host name is known; the system's own bound is that of looking it up.
    """
    address, timeout = settings.address, settings.timeout
    try:
        places = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        deadline = time.monotonic() + timeout
        with _sealed(_connected(places, deadline), settings, deadline) as sock:
            sock.sendall(request)
            answer, why = b"", None
            while why is None:
                sock.settimeout(_left(deadline))
                data = sock.recv(65536)
                if not data:
                    return "it closed the connection"
                answer += data
                why = judge(answer)
        return why
    except TimeoutError:
        return f"nothing came within {timeout:g} s"
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no DNS can have
        return getattr(error, "strerror", None) or str(error)


def _connected(places: Sequence[tuple[Any, ...]], deadline: float) -> socket.socket:
    """A connection to the first address that accepts one. Each has its share of the time, so that none takes all."""
    refused: OSError | None = None
    for number, (family, kind, protocol, _, place) in enumerate(places):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(deadline) / (len(places) - number))
            sock.connect(place)
            return sock
        except OSError as error:
            sock.close()
            refused = error
    raise refused or OSError("the host has no address")


def _sealed(sock: socket.socket, settings: PingSettings, deadline: float) -> socket.socket:
    """The same, which speaks TLS if it is to."""
    if settings.tls is None:
        return sock
    from ckv.client.tls import sealed

    sock.settimeout(_left(deadline))
    return sealed(sock, settings.tls, settings.address.host)


def _meaning(answer: bytes) -> str:
    """What an answer to PING says that is not the usual one."""
    import msgpack

    try:
        message = msgpack.unpackb(answer, raw=False, unicode_errors="surrogateescape")
    except ValueError:  # whatever can be wrong with it
        message = None
    match message:
        case [1, 1, str() as error, _]:
            # It asks who this is, and so it answers.
            return "" if error.startswith("LoginNeeded: ") else error
    return "what came is no answer to a PING"


def _left(deadline: float) -> float:
    """Seconds until the deadline; at it, as few as a time-out can have."""
    return max(deadline - time.monotonic(), 0.001)
