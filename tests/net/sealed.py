"""A server that speaks TLS on gevent's loop, and clients."""

from __future__ import annotations

import socket as plain_socket
import ssl
from pathlib import Path

import gevent
import gevent.socket
import gevent.ssl

from ckv.address import Address
from ckv.net.handshakes import Handshakes
from ckv.net.server import Server
from ckv.net.tls import Seal
from ckv.protocol.handler import Handler
from ckv.protocol.limits import Limits
from ckv.security.certificates import Certificates
from ckv.tls import Tls
from tests.net.conftest import Asker, World, echo
from tests.support.certificate import Authority

LARGE = b"v" * 3_000_000


class Sealed:
    """A server that speaks TLS, and clients that trust it."""

    def __init__(self, world: World, folder: Path, *, takes_plain: bool = False) -> None:
        authority = Authority(folder)
        node = authority.issue("node")
        self.ca = authority.path
        certificates = Certificates(node.path, node.key_path, authority.path, takes_plain=takes_plain)
        self.handshakes = Handshakes(world.poller.loop, certificates)
        limits = Limits(max_value_bytes=2 * len(LARGE))
        table: dict[str, Handler] = {"ECHO": echo, "PING": echo, "LATER": world.later}
        self.server = Server(world.poller, table, limits, transport=self.handshakes.transport)
        world.also(self.server)
        self.address = self.server.listen(Address("127.0.0.1", 0))

    def plain(self) -> gevent.socket.socket:
        sock = gevent.socket.create_connection((self.address.host, self.address.port))
        sock.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
        return sock

    def seal(self) -> Seal:
        """The client's half."""
        return Seal(Tls(self.ca).context, "127.0.0.1")

    def hello(self) -> bytes:
        """What a client sends first."""
        seal = self.seal()
        assert not seal.shake_hands()
        return seal.take()

    def shaken(self) -> tuple[gevent.socket.socket, Seal]:
        """A connection whose handshake is over."""
        sock, seal = self.plain(), self.seal()
        while not seal.shake_hands():
            sock.sendall(seal.take())
            seal.arrived(sock.recv(65536))
        sock.sendall(seal.take())
        return sock, seal


class SealedAsker(Asker):
    """A client by TLS."""

    def __init__(self, sealed: Sealed, receive_buffer: int | None = None) -> None:
        super().__init__(sealed.address, receive_buffer)
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(sealed.ca)
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
