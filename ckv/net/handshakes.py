"""Handshakes of those who connect to a node: what their first byte says, and how much of the loop they may have.

A handshake takes the loop half a millisecond. So only some are carried on in a turn; those who wait have their turn
before the next ones, in their order, and others in between. One that is not over in time is cut off.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from ckv import events
from ckv.errors import BadSetting
from ckv.net.tls import MOST_ARRIVED, Seal, TlsTransport
from ckv.net.transport import Transport
from ckv.protocol.resp.parsing import FIRST_BYTES, TLS
from ckv.security.certificates import Certificates

log = logging.getLogger(__name__)

STEPS_PER_TURN: Final = 16
"""How often in a turn of the loop OpenSSL is given what has arrived of a handshake."""

TIMEOUT: Final = 10.0
"""Seconds for a handshake, from the connection on; where some may do without TLS, from the first byte on."""

TICK: Final = 1.0
"""Seconds between two looks at that."""


class Handshakes:
    """All that a server has under way."""

    def __init__(self, loop: Any, certificates: Certificates) -> None:
        self._loop = loop
        self._certificates: Final = certificates
        self._since: dict[ServerTransport, float] = {}
        """When those began that are not over, in that order."""
        self._left = STEPS_PER_TURN
        """Steps that may be taken in this turn."""
        self._turn_is_due = False
        """Whether the loop was asked for the next turn."""
        self._waiting: dict[ServerTransport, None] = {}
        """Those that are not carried on, in the order in which they have their turn."""
        self._let: dict[ServerTransport, None] = {}
        """Those that have their turn now, of which each has one of the steps for itself."""
        self._ticker: Any = loop.timer(TICK, TICK, ref=False)
        self.done = 0
        """How many were carried through."""
        self.failures = 0
        """How many were not."""

    @property
    def figures(self) -> dict[str, int]:
        """What INFO says of them; ckv/node/figures.py says what each figure counts."""
        return {
            "tls_handshakes": self.done,
            "tls_handshake_failures": self.failures,
            "tls_certificate_expires": self._certificates.expires,
        }

    def transport(self, sock: socket.socket) -> Transport:
        """Of a connection that was accepted. Raises OSError when the peer has reset it already."""
        made = ServerTransport(sock, self)
        if not self.takes_plain:
            self.begun(made)
        return made

    @property
    def takes_plain(self) -> bool:
        """Whether clients may do without TLS."""
        return self._certificates.takes_plain

    def reload(self) -> None:
        """Reads the certificates again, for those who connect from now on. If a file is broken all stays as it was."""
        try:
            self._certificates.reload()
        except BadSetting as error:
            log.error(events.CERTIFICATE_KEPT, error)
        else:
            log.info(events.CERTIFICATE_READ, self._certificates.cert)

    def new_seal(self) -> Seal:
        """For one that begins."""
        return Seal(self._certificates.server)

    def begun(self, transport: ServerTransport) -> None:
        """From now on its time counts."""
        if transport not in self._since:
            self._since[transport] = time.monotonic()
            if not self._ticker.active:
                self._ticker.start(self._look_after)

    def may_go_on(self, transport: ServerTransport) -> bool:
        """Whether it may be carried on now. If not, it is read again when it may."""
        self._ask_for_turn()
        if transport in self._let:
            del self._let[transport]
        elif self._waiting or self._left == len(self._let):
            self._waiting[transport] = None
            return False
        self._left -= 1
        return True

    def ended(self, transport: ServerTransport, *, well: bool) -> None:
        """It is over, or it was cut off."""
        self._waiting.pop(transport, None)
        if transport in self._let:
            del self._let[transport]
            self._ask_for_turn()  # for somebody else
        if self._since.pop(transport, None) is not None:
            self.done += well
            self.failures += not well

    def _ask_for_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.run_callback(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_is_due = False
        self._left = STEPS_PER_TURN
        # Who was not read since keeps its turn.
        for transport in list(islice(self._waiting, STEPS_PER_TURN - len(self._let))):
            del self._waiting[transport]
            self._let[transport] = None
            transport.owner.read_again()

    def _look_after(self) -> None:
        now = time.monotonic()
        for transport, since in list(self._since.items()):
            if now - since < TIMEOUT:
                break
            transport.owner.close(f"no TLS handshake within {TIMEOUT:g} s")
        if not self._since:
            self._ticker.stop()


class ServerTransport(TlsTransport):
    """A socket of which the first byte says whether its bytes are sealed."""

    def __init__(self, sock: socket.socket, handshakes: Handshakes) -> None:
        super().__init__(sock)
        self._handshakes = handshakes
        self.read = self._read_first

    def _read_first(self, fd: int, count: int) -> bytes:
        """Until it is known what comes, and by whoever has not asked for :attr:`read` since."""
        if self.is_plain:
            return os.read(fd, count)
        if self._seal is None:
            data = os.read(fd, count)
            if not data or data[0] != TLS:
                return self._without(fd, data)
            self._seal = self._handshakes.new_seal()
            self._seal.arrived(data)
            self._handshakes.begun(self)
        if not self._is_open:
            self._shake_hands(fd, self._seal)
            self.read = self._read
        return self._read(fd, count)

    def _without(self, fd: int, data: bytes) -> bytes:
        """Takes the first bytes as they are. Raises OSError where TLS is needed."""
        if not data:
            return data
        if not self._handshakes.takes_plain:
            if data[0] in FIRST_BYTES:
                with suppress(OSError):
                    os.write(fd, b"-ERR this port takes TLS only\r\n")
            raise OSError(errno.EPROTO, "TLS: what came first is no handshake, and this port takes nothing else")
        self.is_plain = True
        self.read, self.write = os.read, os.write
        return data

    def _shake_hands(self, fd: int, seal: Seal) -> None:
        """Raises BlockingIOError until it is over."""
        while True:
            if not self._handshakes.may_go_on(self):
                raise BlockingIOError
            try:
                self._is_open = seal.shake_hands()
            except OSError:
                with suppress(OSError):
                    self._send(fd)  # OpenSSL tells the peer why
                raise
            if self._is_open:
                self._say(fd)
                self._handshakes.ended(self, well=True)
                return
            self._say(fd)
            data = os.read(fd, MOST_ARRIVED)
            if not data:
                raise OSError(errno.ECONNRESET, "TLS: the input ends in the middle of a handshake")
            seal.arrived(data)

    def close(self) -> None:
        """Closes it at once, and tells the peer if the socket takes that."""
        self._handshakes.ended(self, well=False)
        super().close()
