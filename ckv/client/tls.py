"""A socket of the client that speaks TLS, and seems to be one that does not."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

from ckv.tls import Tls, reason

RECORD_BYTES: Final = 16 * 1024
"""What one record of TLS takes (RFC 8446, 5.1). The other end opens a record when it has all of it, and not before."""


class TlsSocket(ssl.SSLSocket):
    """What :mod:`ckv.client.connection` asks of a socket: BlockingIOError where it would have to wait, and a look at
    whether anything is there."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """As that of a socket. With MSG_PEEK it tells whether there is anything, and not what."""
        if flags:
            return b"?" if self.pending() else super(ssl.SSLSocket, self).recv(buflen, flags)
        try:
            return super().recv(buflen)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLError as error:  # also what the other end has said against the own certificate
            raise OSError(f"TLS: {reason(error)}") from error

    def send(self, data: Any, flags: int = 0) -> int:
        """As that of a socket, a record at most; what was not sent has to be sent next."""
        # Of several records some would have left when OpenSSL says that it has to wait, and count as unsent.
        try:
            sent = super().send(memoryview(data)[:RECORD_BYTES], flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        if not sent and len(data):
            raise BlockingIOError  # gevent's says so in this way
        return sent


def sealed(sock: socket.socket, tls: Tls, host: str) -> socket.socket:
    """The socket, connected to this host, which speaks TLS from now on. Raises OSError, and the socket is closed."""
    try:
        context = tls.context
        context.sslsocket_class = TlsSocket
        return context.wrap_socket(sock, server_hostname=tls.name or host)
    except TimeoutError:
        raise
    except OSError as error:
        sock.close()
        raise OSError(f"TLS: {reason(error)}") from error
