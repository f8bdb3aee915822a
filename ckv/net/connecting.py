"""Connecting to another node: look its name up, try its addresses, and greet it. Each step has a bound of its own.

Addresses are tried as in `RFC 8305 <https://www.rfc-editor.org/rfc/rfc8305>`_ ("happy eyeballs"): the next one as soon
as the last one failed or was silent for a moment, and the first where the node greets back is taken. For a node that is
stopped the kernel accepts connections too, silently.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, Final, NamedTuple

import gevent.socket
from gevent.queue import Empty, SimpleQueue

from ckv import errors
from ckv.address import Address
from ckv.net.transport import plain_socket
from ckv.protocol.greeting import features
from ckv.protocol.limits import Limits

NAME_TIMEOUT: Final = 30.0
"""Seconds to look the name up. The C library takes as long when all is silent: 3 servers, 2 attempts, 5 s each."""

ADDRESS_TIMEOUT: Final = 2.0
"""Seconds for the TCP connection to one address."""

GREETING_TIMEOUT: Final = 2.0
"""Seconds for the answers to the greeting."""

NEXT_ADDRESS: Final = 0.25
"""Seconds until the next address is tried beside one that has not answered: RFC 8305's "Connection Attempt Delay"."""


class Greeted(NamedTuple):
    """A connection to a node, and what the node said that it knows."""

    sock: socket.socket
    features: frozenset[str]


def connect(address: Address, limits: Limits, calls: bytes) -> Greeted:
    """Connects and greets; ``calls``: see :func:`ckv.protocol.greeting.calls`. Raises Unreachable, which says what
    failed: the name, or which addresses and how."""
    places = _look_up(address)
    outcomes: SimpleQueue[Greeted | str] = SimpleQueue()
    attempts: list[gevent.Greenlet[..., None]] = []
    failures: list[str] = []
    try:
        while len(failures) < len(places):
            if len(attempts) < len(places):
                attempts.append(gevent.spawn(_attempt, places[len(attempts)], address, limits, calls, outcomes.put))
            try:
                outcome = outcomes.get(timeout=NEXT_ADDRESS if len(attempts) < len(places) else None)
            except Empty:
                continue
            if isinstance(outcome, Greeted):
                return outcome
            failures.append(outcome)
    finally:
        gevent.killall(attempts, block=False)
        while not outcomes.empty():
            late = outcomes.get()
            if isinstance(late, Greeted):
                late.sock.close()
    raise errors.Unreachable("; ".join(failures) or f"the name {address.host} has no address")


def _look_up(address: Address) -> list[Any]:
    try:
        with gevent.Timeout(NAME_TIMEOUT, TimeoutError(f"not found within {NAME_TIMEOUT:g} s")):
            return list(gevent.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no DNS can have
        raise errors.Unreachable(f"the name {address.host}: {_reason(error)}") from error


def _attempt(
    place: Any, address: Address, limits: Limits, calls: bytes, outcome: Callable[[Greeted | str], None]
) -> None:
    family, kind, protocol, _, target = place  # of getaddrinfo()
    try:
        with closing(gevent.socket.socket(family, kind, protocol)) as sock:
            sock.settimeout(ADDRESS_TIMEOUT)
            try:
                sock.connect(target)
            except TimeoutError:
                raise TimeoutError(f"no connection within {ADDRESS_TIMEOUT:g} s") from None
            with gevent.Timeout(GREETING_TIMEOUT, TimeoutError(f"no greeting within {GREETING_TIMEOUT:g} s")):
                sock.sendall(calls)
                known = features(iter(partial(sock.recv, 4096), b""), limits)
            outcome(Greeted(plain_socket(fileno=sock.detach()), known))
    except Exception as error:  # noqa: BLE001 - whatever a socket raises, and msgpack about what came
        where = "" if target[0] == address.host else f"{target[0]}: "
        outcome(where + _reason(error))


def _reason(error: Exception) -> str:
    """In a few words. A system's error is without its number, one of ours with its name."""
    if isinstance(error, errors.CkvError):
        return errors.to_wire(error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
