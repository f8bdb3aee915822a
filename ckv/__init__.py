"""ckv: a distributed key-value store, hot records in memory and everything else in MySQL.

    >>> from ckv import Client
    >>> with Client("localhost", 8080) as client:  # doctest: +SKIP
    ...     client.put("bob", "bob@gmail.com")

The manual of the Python client is the docstring of :class:`Client`; its errors are here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ckv import errors
from ckv.errors import *  # noqa: F403 - errors.__all__ names them

if TYPE_CHECKING:
    from ckv.client import Client, Pipeline
    from ckv.tls import Tls

__version__ = "0.1.0"

__all__ = ["Client", "Pipeline", "Tls", "__version__"]
__all__ += errors.__all__


def __getattr__(name: str) -> Any:
    # Imported on first use (PEP 562): the program imports this package before it has patched the sockets, and nothing
    # that touches a socket or a lock may be loaded before that.
    if name in ("Client", "Pipeline"):
        from ckv import client

        return getattr(client, name)
    if name == "Tls":
        from ckv.tls import Tls

        return Tls
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
