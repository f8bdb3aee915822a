"""``ckv ping``: whether a node answers, for probes and scripts.

A probe runs every few seconds on a busy machine. So: a blocking socket, and no import that the good case does not need.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from ckv.address import Address
from ckv.exits import Exit
from ckv.settings.roles import ToolSettings

REQUEST: Final = b"\x94\x00\x01\xa4PING\x90"
"""The msgpack-RPC request ``[0, 1, "PING", []]``."""

ANSWER: Final = b"\x94\x01\x01\xc0\xa4PONG"
"""The response to it, ``[1, 1, nil, "PONG"]``, as a node packs it."""


def run(settings: ToolSettings) -> int:
    """Asks the node; the exit code. What is wrong becomes one line on stderr."""
    why = _silence(settings.address, settings.timeout)
    if why is None:
        return Exit.FINE
    print(f"ckv: {settings.address} does not answer: {why}", file=sys.stderr)
    return Exit.FAILED


def _silence(address: Address, timeout: float) -> str | None:
    """Why the node does not answer PING within ``timeout`` seconds; ``None`` if it does.

    They begin when the host name is known; the system's own bound is that of looking it up.
    """
    try:
        places = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        deadline = time.monotonic() + timeout
        with _connected(places, deadline) as sock:
            sock.sendall(REQUEST)
            answer = b""
            while answer != ANSWER:
                sock.settimeout(_left(deadline))
                data = sock.recv(4096)  # an error is shorter by far
                if not data:
                    return "it closed the connection"
                answer += data
                if not ANSWER.startswith(answer):
                    return _meaning(answer)
        return None
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


def _meaning(answer: bytes) -> str:
    """What an answer says that is not the usual one."""
    import msgpack

    try:
        message = msgpack.unpackb(answer, raw=False, unicode_errors="surrogateescape")
    except ValueError:  # whatever can be wrong with it
        message = None
    match message:
        case [1, 1, str() as error, _]:
            return error
    return "what came is no answer to a PING"


def _left(deadline: float) -> float:
    """Seconds until the deadline; at it, as few as a time-out can have."""
    return max(deadline - time.monotonic(), 0.001)
