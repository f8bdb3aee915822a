"""Secrets: made, kept as what cannot be turned back, and compared in a time that tells nothing.

A secret that ckv makes has 256 bits, so a single SHA-256 is enough, and takes microseconds. A password that a person
has chosen is kept as scrypt (RFC 7914), which takes 16 MiB of memory and some 80 ms to look at.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["sha256", "scrypt"]

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32

_SCRYPT_N: Final = 2**14
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a secret. Its ``repr`` shows nothing of that."""

    kind: Kind
    salt: bytes = field(repr=False)
    """Empty for ``sha256``."""
    digest: bytes = field(repr=False)

    def __str__(self) -> str:
        """As it stands in the file: ``sha256:DIGEST`` or ``scrypt:SALT:DIGEST``, in hex."""
        parts = [self.salt.hex()] if self.salt else []
        return ":".join((self.kind, *parts, self.digest.hex()))

    def is_of(self, secret: bytes) -> bool:
        """Whether it is that of this secret. Takes as long if it is not."""
        return hmac.compare_digest(self.digest, _digest(self.kind, self.salt, secret))


def made() -> str:
    """A new secret: 256 bits by chance, in 43 letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(32)


def kept(secret: bytes, kind: Kind) -> Kept:
    """What is to be kept of a secret."""
    salt = os.urandom(SALT_BYTES) if kind == "scrypt" else b""
    return Kept(kind, salt, _digest(kind, salt, secret))


def parse(text: str) -> Kept:
    """What :meth:`Kept.__str__` wrote. Raises ValueError, whose text quotes nothing of it."""
    kind, *parts = text.split(":")
    sizes = {"sha256": (HASH_BYTES,), "scrypt": (SALT_BYTES, HASH_BYTES)}.get(kind)
    try:
        data = [bytes.fromhex(part) for part in parts]
    except ValueError:
        data = []
    if sizes is None or tuple(map(len, data)) != sizes:
        raise ValueError("no hash of a secret: allowed is sha256:DIGEST or scrypt:SALT:DIGEST")
    return Kept("sha256" if kind == "sha256" else "scrypt", b"".join(data[:-1]), data[-1])


def _digest(kind: Kind, salt: bytes, secret: bytes) -> bytes:
    if kind == "sha256":
        return hashlib.sha256(secret).digest()
    return hashlib.scrypt(secret, salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, dklen=HASH_BYTES)
