"""TLS as both ends of a connection want it, and who a caller is there: TLS 1.2 and newer, nothing renegotiated.

The defaults of Python's ``ssl`` module decide the rest: https://docs.python.org/3/library/ssl.html#ssl-security.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from ckv.errors import BadSetting

SYSTEM: Final = Path("system")
"""Stands for the authorities that the system trusts."""

_REVOCATIONS: Final = b"-----BEGIN X509 CRL-----"


@dataclass(frozen=True)
class Tls:
    """How somebody connects: whom it trusts, and who it is itself. The files are in PEM."""

    ca: Path = SYSTEM
    """Certificates of authorities, one of which has signed that of the other end; with their revocation lists, if there
    are any. With :data:`SYSTEM` those of the system."""
    cert: Path | None = None
    """The own certificate, with those between it and the authority; None for nobody."""
    key: Path | None = None
    """Its key; None if that is in the same file."""
    name: str = ""
    """The name that the other end's certificate has to have; empty for the host that was connected to."""

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Made of the files when it is first used. Raises BadSetting."""
        context = new_context(ssl.PROTOCOL_TLS_CLIENT, self.cert, self.key)
        trust(context, self.ca)
        return context


def new_context(protocol: int, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Of a caller, or of a server, with its certificate. Raises BadSetting."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # No tickets: a key that comes to light opens no other session. Of TLS 1.2 OpenSSL keeps sessions in memory, as long
    # as this context lives, which Python cannot forbid.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password=_no_password)
        except (OSError, ValueError) as error:
            files = cert if key is None else f"{cert} and {key}"
            raise BadSetting(f"{files}: {reason(error)}") from None
    return context


def trust(context: ssl.SSLContext, ca: Path) -> None:
    """Has it trust who was signed by these authorities, and was not revoked. Raises BadSetting."""
    if ca == SYSTEM:
        context.load_default_certs(
            ssl.Purpose.SERVER_AUTH if context.protocol == ssl.PROTOCOL_TLS_CLIENT else ssl.Purpose.CLIENT_AUTH
        )
        return
    try:
        context.load_verify_locations(ca)
        if _REVOCATIONS in ca.read_bytes():
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    except (OSError, ValueError) as error:
        raise BadSetting(f"{ca}: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Why something of TLS failed, in a few words and without places in OpenSSL's source.

    >>> reason(FileNotFoundError(2, "No such file or directory"))
    'No such file or directory'
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _no_password() -> str:
    # OpenSSL would ask whoever sits at the terminal.
    raise ValueError("the key has a password: allowed is one without")
