"""The login of a MySQL 8 server, and nothing behind it: caching_sha2_password in full, over a plain connection."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PLUGIN = b"caching_sha2_password"
SALT = b"twenty bytes of salt"

# CLIENT_ flags: LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH
CAPABILITIES = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
UTF8MB4 = 255
FULL_AUTHENTICATION = b"\x01\x04"
PUBLIC_KEY_REQUEST = b"\x02"
OK = b"\x00\x00\x00\x02\x00\x00\x00"
DENIED = b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied"


class Mysql8:
    """Listens on a port of its own; ``logins`` has user and password of each login that worked, in their order."""

    def __init__(self, user: str, password: str) -> None:
        self.logins: list[tuple[str, str]] = []
        self._known = (user, password)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Mysql8:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # accept() in another thread returns at a shutdown, not at a close.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    self._login(_Packets(connection))
                except OSError:
                    pass  # the client went away

    def _login(self, packets: _Packets) -> None:
        packets.send(
            b"\x0a8.0.36\0" + struct.pack("<I", 1) + SALT[:8] + b"\0"
            + struct.pack("<HBHHB", CAPABILITIES & 0xFFFF, UTF8MB4, 2, CAPABILITIES >> 16, len(SALT) + 1)
            + bytes(10) + SALT[8:] + b"\0" + PLUGIN + b"\0"
        )  # fmt: skip
        user = packets.receive()[32:].split(b"\0", 1)[0].decode()
        packets.send(FULL_AUTHENTICATION)
        assert packets.receive() == PUBLIC_KEY_REQUEST
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        packets.send(b"\x01" + self._key.public_key().public_bytes(encoding, form))
        oaep = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
        hidden = self._key.decrypt(packets.receive(), oaep)
        password = bytes(byte ^ SALT[index % len(SALT)] for index, byte in enumerate(hidden)).rstrip(b"\0").decode()
        if (user, password) == self._known:
            self.logins.append((user, password))
            packets.send(OK)
        else:
            packets.send(DENIED)


class _Packets:
    """MySQL's packets over a socket: three bytes of length, one that counts."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._next = 0

    def send(self, payload: bytes) -> None:
        self._connection.sendall(struct.pack("<I", len(payload))[:3] + bytes([self._next]) + payload)
        self._next += 1

    def receive(self) -> bytes:
        header = self._exactly(4)
        self._next = header[3] + 1
        return self._exactly(int.from_bytes(header[:3], "little"))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._connection.recv(count - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data
