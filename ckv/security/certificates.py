"""The certificates of a node: as whom it is known to clients and other nodes, and whom it trusts."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from ckv.errors import BadSetting
from ckv.security.files import read_private
from ckv.tls import Tls, new_context, trust

MAX_KEY_BYTES: Final = 2**20
"""The longest file with a key."""


class Certificates:
    """What a node's files say, which can be read again while it runs."""

    def __init__(
        self,
        cert: Path,
        key: Path | None,
        ca: Path | None,
        name: str = "",
        *,
        takes_plain: bool = False,
        to_nodes: bool = True,
        needs_clients: bool = False,
    ) -> None:
        """``key``: None if it is in the file of the certificate. ``ca``: who signs the certificates of other nodes and
        of clients; needed where these are looked at. ``name``: as in :class:`~ckv.tls.Tls`. ``takes_plain``: whether
        clients may do without TLS. ``to_nodes``: whether other nodes are reached by it. ``needs_clients``: whether
        whoever connects needs a certificate. Raises BadSetting."""
        self.cert: Final = cert
        self._key: Final = key
        self._ca: Final = ca
        self._name: Final = name
        self.takes_plain: Final = takes_plain
        self._to_nodes: Final = to_nodes
        self._needs_clients: Final = needs_clients
        self.server: ssl.SSLContext
        """By which others are served who connect from now on."""
        self.expires: int
        """When the certificate does, in seconds since 1970."""
        self.caller: Tls | None
        """By which other nodes are reached from now on; None without TLS."""
        self.reload()

    def reload(self) -> None:
        """Reads the files again. Raises BadSetting, and all stays as it was."""
        read_private(self._key or self.cert, MAX_KEY_BYTES)
        server = new_context(ssl.PROTOCOL_TLS_SERVER, self.cert, self._key)
        if self._ca is not None and self._needs_clients:
            server.verify_mode = ssl.CERT_REQUIRED
            trust(server, self._ca)
        caller = None
        if self._ca is not None and self._to_nodes:
            caller = Tls(self._ca, self.cert, self._key, self._name)
            _ = caller.context  # which reads the files
        try:
            shown, *_ = x509.load_pem_x509_certificates(self.cert.read_bytes())
        except (OSError, ValueError) as error:
            raise BadSetting(f"{self.cert}: {error}") from None
        self.server, self.caller, self.expires = server, caller, int(shown.not_valid_after_utc.timestamp())
