"""TLS over a socket of the Poller: OpenSSL sees two pieces of memory, and the bytes between these and the socket are
moved when the Poller reads and writes.

What is *sealed* is on its way out as the peer will get it; what is *opened* was sealed by the peer.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Final

from ckv.net.transport import Owner, Transport
from ckv.protocol.limits import KIB, RECV_BYTES_OF_ONE
from ckv.tls import reason

MOST_SEALED: Final = 64 * KIB
"""Bytes of a message that are sealed before the socket has taken what was sealed before."""

MOST_ARRIVED: Final = 64 * KIB
"""Bytes that are read at a time, to be opened."""

MOST_AROUND: Final = 1 * KIB
"""Bytes that are read beyond those that are asked for, as TLS has put something around them. Not beyond
:data:`~ckv.protocol.limits.RECV_BYTES_OF_ONE`, which has room for a small request and that."""

WHOLE_RECORD: Final = 17 * KIB
"""Bytes that are read at a time, at least, when more has arrived than was asked for: what is left of a record, for
OpenSSL opens none before all of it is there, and looking whether it is takes long."""

MOST_UNASKED: Final = 64 * KIB
"""Bytes that a peer may make OpenSSL say, as for new keys, without reading them."""

MOST_UNOPENED: Final = 64 * KIB
"""Bytes in a row that may arrive of which nothing is opened, as new keys; a record that is not whole has less."""


class Seal:
    """One end of one connection by TLS. It knows no socket."""

    def __init__(self, context: ssl.SSLContext, name: str | None = None) -> None:
        """A caller's, who looks for a certificate of that name; or a server's, without."""
        self._arrived = ssl.MemoryBIO()
        self._sealed = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._sealed, name is None, name)
        self.has_more = True
        """Whether something might be opened though nothing arrives."""

    def arrived(self, data: bytes) -> None:
        """Takes what the peer has sent."""
        # It is never told of an end without a word, as many clients end: it would take that for an attack, and send no
        # answer any more. What was cut off in the middle the protocol in here tells.
        self._arrived.write(data)
        self.has_more = True

    @property
    def leaves(self) -> int:
        """How many bytes wait for :meth:`take`."""
        return self._sealed.pending

    def take(self) -> bytes:
        """What is to be sent to the peer."""
        return self._sealed.read()

    def shake_hands(self) -> bool:
        """Whether the handshake is over; more has to arrive if not. Raises OSError."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise _failure(error) from error
        return True

    def open(self, count: int) -> bytes | None:
        """Up to so many bytes; none at the end, None if more has to arrive before. Raises OSError."""
        try:
            data = self._tls.read(count)
        except ssl.SSLWantReadError:
            self.has_more = False
            return None
        except ssl.SSLZeroReturnError:  # both ends have said that nothing more comes
            data = b""
        except ssl.SSLError as error:
            raise _failure(error) from error
        # OpenSSL opens one record at a time, and what is left of one is what was not asked for. An end stays one.
        self.has_more = not data or len(data) == count or self._arrived.pending > 0
        return data

    def seal(self, data: bytes | memoryview) -> int:
        """Takes bytes to be sent; how many. Raises OSError."""
        try:
            return self._tls.write(data)
        except ssl.SSLError as error:
            raise _failure(error) from error

    def end(self) -> None:
        """Tells the peer that nothing more comes."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # it has not answered to that, and need not; or there is no way to tell it


def _failure(error: ssl.SSLError) -> OSError:
    return OSError(errno.EPROTO, f"TLS: {reason(error)}")


class TlsTransport(Transport):
    """A socket whose bytes are sealed."""

    def __init__(self, sock: socket.socket, seal: Seal | None = None) -> None:
        """``seal``: of a connection whose handshake is over. Raises as :class:`Transport` does."""
        super().__init__(sock)
        self.is_plain = False
        self.read = self._read
        self.write = self._write
        self.owner: Owner
        self._seal = seal
        self._is_open = seal is not None
        """Whether the handshake is over."""
        self._unsent = b""
        """What was sealed and the socket has not taken."""
        self._owed = 0
        """The bytes that it was made of, of which nobody was told that they are taken."""
        self._unopened = 0
        """Bytes that have arrived since something was opened."""

    def belongs_to(self, owner: Owner) -> None:
        self.owner = owner

    def _read(self, fd: int, count: int) -> bytes:
        """Once the handshake is over."""
        seal = self._seal
        assert seal is not None
        opened: list[bytes] = []
        missing = count
        is_drained = False
        size = count if count <= RECV_BYTES_OF_ONE else min(count + MOST_AROUND, MOST_ARRIVED)
        while missing:
            # Only where something may be there: for nothing OpenSSL takes longer than for a small request.
            data = seal.open(missing) if seal.has_more else None
            if data:
                self._unopened = 0
                opened.append(data)
                missing -= len(data)
                if is_drained and not seal.has_more:
                    break
            elif data is not None:
                if opened:
                    self.owner.read_again()  # which nothing else would have happen, and is the end
                break
            else:
                if self._unopened > MOST_UNOPENED:
                    raise OSError(errno.EMSGSIZE, "TLS: the peer sends too much that says nothing")
                try:
                    arrived = os.read(fd, size)
                except BlockingIOError:
                    if not opened:
                        self._say(fd)
                        raise
                    break
                if not arrived:
                    if opened:
                        self.owner.read_again()
                    break
                seal.arrived(arrived)
                self._unopened += len(arrived)
                # As the Poller sees it: what comes later is reported.
                is_drained = len(arrived) < size
                size = max(size, WHOLE_RECORD)
        self._say(fd)
        return opened[0] if len(opened) == 1 else b"".join(opened)

    def _say(self, fd: int) -> None:
        """Sends what OpenSSL has to say by itself. Raises OSError where that is too much."""
        assert self._seal is not None
        if not self._seal.leaves:
            return
        if self._seal.leaves + self._beyond > MOST_UNASKED:
            raise OSError(errno.EMSGSIZE, "TLS: the peer does not read what it asks for")
        try:
            self._send(fd)
        except BlockingIOError:
            pass  # it leaves before what is written next

    @property
    def kept_bytes(self) -> int:
        """What was written and the peer's system has not taken yet. As what is owed counts as not written, what has
        left of it counts here."""
        return super().kept_bytes + self._beyond

    @property
    def _beyond(self) -> int:
        """Unsent bytes beyond what is owed; less than none while some of that has left."""
        return len(self._unsent) - self._owed

    def _write(self, fd: int, data: bytes | memoryview) -> int:
        seal = self._seal
        if seal is None or not self._is_open:
            raise BlockingIOError
        taken = 0
        try:
            while taken < len(data):
                if not self._owed:
                    self._owed = seal.seal(data if len(data) <= MOST_SEALED else data[taken : taken + MOST_SEALED])
                # Until all of it has left these bytes count as not taken, so that whoever writes comes back, with them
                # first: who was told otherwise would not.
                self._send(fd)
                taken += self._owed
                self._owed = 0
        except BlockingIOError:
            if not taken:
                raise
        return taken

    def _send(self, fd: int) -> None:
        """Raises OSError, and BlockingIOError if a part is unsent."""
        assert self._seal is not None
        data = self._unsent + self._seal.take()
        self._unsent = data
        if data:
            self._unsent = data[os.write(fd, data) :]
            if self._unsent:
                raise BlockingIOError

    def close(self) -> None:
        """Closes it at once, and tells the peer if the socket takes that."""
        # Nothing behind what is unsent: it is dropped, and may be what nobody is to have.
        if self._seal is not None and self._is_open and not self._owed:
            self._seal.end()
            try:
                self._send(self.fd)
            except OSError:
                pass
        super().close()
