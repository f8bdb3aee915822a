"""What the settings of TLS come to, together: each by itself says little."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ckv.errors import BadSetting

if TYPE_CHECKING:
    from ckv.security.certificates import Certificates
    from ckv.tls import Tls

OF_ALL: Final = ("tls_cert", "tls_key", "tls_ca", "tls_name")
"""The fields of the settings of TLS that all have, in the order of the arguments here."""

OF_NODES: Final = (*OF_ALL, "tls_clients", "tls_plain")
"""Those of nodes."""


def of_tool(cert: Path | None, key: Path | None, ca: Path | None, name: str) -> Tls | None:
    """How a tool connects; None for no TLS. Raises BadSetting."""
    if ca is None:
        if cert is not None or key is not None or name:
            raise BadSetting("--tls-ca: missing, and so there is no TLS: allowed without is none of --tls-...")
        return None
    from ckv.tls import Tls  # it loads OpenSSL

    tls = Tls(ca, cert, key, name)
    _ = tls.context  # which reads the files
    return tls


def of_node(
    cert: Path | None, key: Path | None, ca: Path | None, name: str, clients: str, plain: str
) -> Certificates | None:
    """What a node shows, and whom it trusts; None for no TLS. Raises BadSetting."""
    if cert is None:
        if key is not None or ca is not None or clients != "no" or plain != "no":
            raise BadSetting("--tls-cert: missing, and so there is no TLS: allowed without is none of --tls-...")
        return None
    if ca is None and (plain != "all" or clients != "no"):
        raise BadSetting("--tls-ca: missing, to look at certificates by: allowed without is --tls-plain=all")
    if plain != "no" and clients != "no":
        raise BadSetting(f"--tls-clients: {clients!r} with --tls-plain={plain}, which needs none: allowed is either")
    from ckv.security.certificates import Certificates  # it loads OpenSSL

    return Certificates(
        cert, key, ca, name, takes_plain=plain != "no", to_nodes=plain != "all", needs_clients=clients != "no"
    )
