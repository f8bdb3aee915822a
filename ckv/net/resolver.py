"""Names to addresses: what is an address already is not looked up, and so starts no thread.

gevent asks the C library in a thread of its pool, which stays. From then on the kernel counts the users of every file
that is read or written, and the C library makes every call ready to be cancelled, which a small request pays for. A
node whose neighbours and database are given by number does without.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

import gevent.resolver.thread
from gevent import monkey

plain_getaddrinfo: Final[Callable[..., list[Any]]] = monkey.get_original("socket", "getaddrinfo")
"""The C library's, which lets nobody else run meanwhile."""


class Resolver(gevent.resolver.thread.Resolver):
    """gevent's resolver, for names only."""

    def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """As :func:`socket.getaddrinfo`."""
        try:
            return plain_getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            return list(super().getaddrinfo(host, port, family, type, proto, flags))
