"""Where a node listens: a socket at the first address of a name that this machine has."""

from __future__ import annotations

import socket
from typing import Final

from ckv.address import Address
from ckv.net.resolver import plain_getaddrinfo
from ckv.net.transport import plain_socket

BACKLOG: Final = 4096
"""Connections that the kernel completes while the loop is busy; the kernel lowers it to its own somaxconn."""


def bound(address: Address) -> socket.socket:
    """Listens on the first address of the name that this machine has. Raises OSError, for the first that failed."""
    # The plain one, for nobody has to be served meanwhile, and gevent's may start a thread.
    try:
        places = plain_getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:  # a host name that no DNS can have
        raise OSError(str(error)) from error
    failed: OSError | None = None
    for family, kind, proto, _, target in places:
        listener = plain_socket(family, kind, proto)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(target)
            listener.listen(BACKLOG)
            return listener
        except OSError as error:
            listener.close()
            failed = failed or error
    raise failed or OSError("the name has no address")
