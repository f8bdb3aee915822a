"""Whether connections to a server are encrypted, and by whose certificate: what MySQL's own clients call ssl-mode.

Of its modes these are PREFERRED, VERIFY_CA and VERIFY_IDENTITY. There is no REQUIRED: who could read along without TLS
could as well show a certificate of its own (https://dev.mysql.com/doc/refman/8.4/en/using-encrypted-connections.html).
"""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from ckv.errors import BadSetting
from ckv.tls import SYSTEM, new_context, trust

Mode = Literal["prefer", "verify-ca", "verify"]

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
"""``prefer``: encrypted where the server can, and any certificate will do. ``verify-ca``: never without, and an
authority that is trusted has signed the certificate. ``verify``: it also has the host of the server's address."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """What a connection needs."""

    mode: Mode
    ca: Path = SYSTEM
    """Who is trusted, in PEM; with lists of what was revoked, if there are any."""

    @property
    def is_needed(self) -> bool:
        """Whether a server that has none is not asked anything."""
        return self.mode != "prefer"

    def context(self) -> ssl.SSLContext:
        """For a connection; the file is read anew each time, for authorities change. Raises BadSetting."""
        if not self.is_needed:
            return _unverified()
        return _verified_by_system(self.mode) if self.ca == SYSTEM else _verified(self.mode, self.ca)


def parse(mode: str, ca: str) -> Encryption:
    """Of what somebody typed, empty for nothing. The file is read, to see whether it can be. Raises BadSetting."""
    if mode and mode not in MODES:
        raise BadSetting(f"{mode!r} is no mode of TLS: allowed is {', '.join(MODES[:-1])} or {MODES[-1]}")
    found = Encryption(mode or MODES[0], Path(ca) if ca else SYSTEM)
    if ca and not found.is_needed:
        raise BadSetting(f"{ca}: authorities, and with the mode {found.mode} nobody asks them: {MODES[-1]} does")
    if found.is_needed:
        found.context()
    return found


UNVERIFIED: Final = Encryption(MODES[0])


@functools.cache
def _unverified() -> ssl.SSLContext:
    context = new_context(ssl.PROTOCOL_TLS_CLIENT, None, None)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _verified(mode: Mode, ca: Path) -> ssl.SSLContext:
    context = new_context(ssl.PROTOCOL_TLS_CLIENT, None, None)
    context.check_hostname = mode == "verify"
    trust(context, ca)
    return context


@functools.cache
def _verified_by_system(mode: Mode) -> ssl.SSLContext:
    # Some hundred authorities, which take 20 ms to read.
    return _verified(mode, SYSTEM)
