"""What is asked of a socket beside sending and receiving, and of the time that is left for it."""

from __future__ import annotations

import selectors
import socket
import time


def seconds_left(deadline: float) -> float:
    """Seconds until the deadline; raises TimeoutError at it. Never 0, which would mean: do not wait at all."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def can_be_read(sock: socket.socket, timeout: float) -> bool:
    """Wait until the socket can be read from or written to; whether it can be read from."""
    if has_arrived(sock):
        return True  # with TLS, also what the system has no more
    # selectors and not select.select(): it takes file numbers above 1023, and gevent patches it as well.
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        return any(events & selectors.EVENT_READ for _, events in selector.select(timeout))


def is_stale(sock: socket.socket) -> bool:
    """Whether the other end closed the connection, or sent something that nobody asked for, while it was idle."""
    return has_arrived(sock)


def has_arrived(sock: socket.socket) -> bool:
    """Whether there is something to be read now, be it the end."""
    sock.settimeout(0)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True
