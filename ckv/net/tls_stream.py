"""A connection by TLS for one greenlet, which waits for what it sends and gets."""

from __future__ import annotations

import errno
from typing import Any, Final

from ckv.net.tls import MOST_ARRIVED, MOST_SEALED, Seal
from ckv.tls import Tls


class TlsStream:
    """What a greenlet wants of a socket of gevent's, which it takes over."""

    def __init__(self, sock: Any, seal: Seal) -> None:
        """``seal``: of a connection whose handshake is over."""
        self._sock: Final = sock
        self.seal: Final = seal

    def sendall(self, data: bytes) -> None:
        """As that of a socket."""
        for at in range(0, len(data), MOST_SEALED):
            self.seal.seal(data[at : at + MOST_SEALED])
            self._sock.sendall(self.seal.take())

    def recv(self, count: int) -> bytes:
        """As that of a socket."""
        while (data := self.seal.open(count)) is None:
            arrived = self._sock.recv(MOST_ARRIVED)
            if not arrived:
                return b""
            self.seal.arrived(arrived)
        if self.seal.leaves:
            self._sock.sendall(self.seal.take())
        return data

    def getsockname(self) -> Any:
        """As that of a socket."""
        return self._sock.getsockname()

    def close(self) -> None:
        """Closes it."""
        self._sock.close()


def shake_hands(sock: Any, tls: Tls, host: str) -> TlsStream:
    """Begins TLS over a socket of gevent's that was connected to this host. Raises OSError, also where the certificate
    of the other end is not what it has to be."""
    seal = Seal(tls.context, tls.name or host)
    while True:
        try:
            is_over = seal.shake_hands()
        finally:
            if seal.leaves:
                sock.sendall(seal.take())
        if is_over:
            return TlsStream(sock, seal)
        data = sock.recv(MOST_ARRIVED)
        if not data:
            raise OSError(errno.ECONNRESET, "TLS: it closed the connection in the middle of the handshake")
        seal.arrived(data)
