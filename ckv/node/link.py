"""One connection from a node to another one, for one call at a time: what it has to say beside requests of clients."""

from __future__ import annotations

from typing import Any, Final

import gevent
import gevent.socket
import msgpack

from ckv import errors
from ckv.address import Address
from ckv.net.connecting import connect
from ckv.protocol.greeting import calls
from ckv.protocol.limits import RECV_BYTES, Limits
from ckv.protocol.messages import new_answers_unpacker
from ckv.protocol.packing import REQUEST, RESPONSE, new_packer

FAILURES: Final = (errors.CkvError, OSError, ValueError, msgpack.UnpackException)
"""What :meth:`Link.call` raises. Unless it is what the other node answered, the connection is of no use after it."""


class Link:
    """The way to whichever node is asked."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sock: Any = None
        self._to: Address | None = None
        self._unpacker: msgpack.Unpacker
        self._number = 0

    def connect(self, to: Address) -> None:
        """Has the connection lead to this node. Raises what :func:`ckv.net.connecting.connect` raises."""
        if self._sock is not None and to == self._to:
            return
        self.close()
        self._to = to
        greeted = connect(to, self._limits, calls)
        plain = greeted.sock
        self._sock = gevent.socket.socket(plain.family, plain.type, fileno=plain.detach())
        self._sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        if greeted.seal is not None:
            from ckv.net.tls_stream import TlsStream  # it loads OpenSSL

            self._sock = TlsStream(self._sock, greeted.seal)
        self._unpacker = new_answers_unpacker(self._limits)

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    @property
    def own_host(self) -> str:
        """The address of this machine, as the other node sees it."""
        host: str = self._sock.getsockname()[0]
        return host

    def call(self, method: str, params: list[object], timeout: float) -> object:
        """The result. Raises one of :data:`FAILURES`: what the other node answers, NodeLost, CallTimeout after so many
        seconds, ProtocolError, OSError or what msgpack raises."""
        with gevent.Timeout(timeout, errors.CallTimeout(f"no answer within {timeout:g} s")):
            return self._call(method, params)

    def _call(self, method: str, params: list[object]) -> object:
        self._number += 1
        self._sock.sendall(new_packer().pack((REQUEST, self._number, method, params)))
        while True:
            for message in self._unpacker:
                match message:
                    case (kind, number, error, result) if kind == RESPONSE and number == self._number:
                        if error is not None:
                            raise errors.from_wire(error)
                        return result
                raise errors.ProtocolError("not the answer to what was asked")
            data = self._sock.recv(RECV_BYTES)
            if not data:
                raise errors.NodeLost("closed by the peer")
            self._unpacker.feed(data)
