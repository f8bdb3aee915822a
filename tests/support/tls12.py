"""A client of TLS 1.2 that seals by itself what OpenSSL would not send: requests to begin the handshake again."""

from __future__ import annotations

import hmac
import ssl
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ckv.net.tls import Seal
from ckv.tls import Tls

CIPHER: Final = "ECDHE-ECDSA-AES128-GCM-SHA256"
HANDSHAKE: Final = 22
DATA: Final = 23
"""Kinds of records."""
AGAIN: Final = b"\x01\0\0\0"
"""The beginning of a ClientHello, which is answered with a warning before anybody looks further."""


class Sealer:
    """Seals records of a session whose handshake is over (RFC 5246, 6.2; RFC 5288)."""

    def __init__(self, server: Seal, ca: Path, keys: Path) -> None:
        """Carries the handshake through. ``keys``: a file for the secrets of the session, which OpenSSL writes."""
        context = Tls(ca).context
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHER)
        context.keylog_filename = str(keys)
        client = Seal(context, "127.0.0.1")
        said = b""
        while not (client.shake_hands() & server.shake_hands()):
            server.arrived(client.take())
            said += (data := server.take())
            client.arrived(data)
        server_random = said[11:43]  # behind the headers of the record and of its message, and the version
        client_random, master = map(bytes.fromhex, _line(keys)[1:])
        keys_of_it = _expanded(master, server_random + client_random)
        self._cipher = AESGCM(keys_of_it[:16])
        self._salt = keys_of_it[32:36]
        self._count = 1  # the end of the handshake was the first

    def record(self, kind: int, data: bytes) -> bytes:
        """The next record, as it is sent."""
        number = self._count.to_bytes(8, "big")
        self._count += 1
        head = bytes([kind, 3, 3])
        sealed = number + self._cipher.encrypt(self._salt + number, data, number + head + len(data).to_bytes(2, "big"))
        return head + len(sealed).to_bytes(2, "big") + sealed


def _line(keys: Path) -> list[str]:
    return next(line.split() for line in keys.read_text().splitlines() if line.startswith("CLIENT_RANDOM"))


def _expanded(master: bytes, randoms: bytes) -> bytes:
    """The keys: two of 16 bytes, and two salts of 4 (RFC 5246, 5 and 6.3)."""
    seed = b"key expansion" + randoms
    step, made = seed, b""
    while len(made) < 40:
        step = hmac.digest(master, step, "sha256")
        made += hmac.digest(master, step + seed, "sha256")
    return made
