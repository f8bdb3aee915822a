"""The bytes of a connected socket: as they are, or as a subclass makes them (:mod:`ckv.net.tls`).

``read`` may return fewer bytes than asked for only when nothing is left, in the socket or read ahead: only after a full
read is it called again without something arriving, or when it asks its owner for that.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Final, Protocol

from gevent import monkey

from ckv.address import Address

# The loop tells when a socket is ready, so the plain class is wanted, not gevent's, which would wait in a greenlet.
plain_socket: type[socket.socket] = monkey.get_original("socket", "socket")

_CARRIED: Final = struct.Struct("=120x Q Q")
"""``tcpi_bytes_acked`` and ``tcpi_bytes_received`` of ``struct tcp_info`` (linux/tcp.h), since Linux 4.1."""


class Owner(Protocol):
    """Who reads and writes by a transport."""

    def read_again(self) -> None:
        """Reads soon, though nothing has arrived; nothing, once it is closed."""

    def close(self, reason: str) -> None:
        """Closes it."""


class Transport:
    """A socket as it is: what a connection reads from and writes to. It never waits."""

    def __init__(self, sock: socket.socket) -> None:
        """Takes the socket over. Raises OSError when the peer has reset it already."""
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Without it Nagle's algorithm holds back a small batch until the peer's delayed ACK: 40 ms stalls.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word (power, a firewall) is noticed after the system's keep-alive time.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._sock = sock
        self.is_plain = True
        """Whether the bytes are those that the descriptor has, so that they may be read from there."""
        self.fd = sock.fileno()
        """What is watched to know when to read and write."""
        # Not the socket's own methods, which parse their arguments the slow way.
        self.read: Callable[[int, int], bytes] = os.read
        """``read(fd, count)``: up to so many bytes; none at the end of input. Raises OSError, and BlockingIOError when
        there are none now."""
        self.write: Callable[[int, bytes | memoryview], int] = os.write
        """``write(fd, data)``: takes some of the bytes, and says how many. Raises as :attr:`read`; what was not
        taken is written next."""

    def belongs_to(self, owner: Owner) -> None:
        """Is told once, before anything is read; this one has no use for it."""

    @property
    def own_address(self) -> Address:
        """That of this end."""
        host, port, *_ = self._sock.getsockname()
        return Address(host, port)

    @property
    def kept_bytes(self) -> int:
        """What was written and the peer's system has not taken yet."""
        return int.from_bytes(fcntl.ioctl(self.fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    @property
    def carried(self) -> tuple[int, int]:
        """Bytes that came, and bytes that the peer's system has acknowledged, since it is connected: as the kernel
        counts them, those of TLS too; 0 where it does not."""
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _CARRIED.size)
        acknowledged, received = _CARRIED.unpack(info.ljust(_CARRIED.size, b"\0"))
        return received, acknowledged

    def close(self) -> None:
        """Closes it at once."""
        self._sock.close()
