"""ckv: a distributed key-value store, hot records in memory and everything else in MySQL.

    >>> from ckv import Client
    >>> with Client("localhost", 8080) as client:  # doctest: +SKIP
    ...     client.put("bob", "bob@gmail.com")

The manual of the Python client is the docstring of :class:`ckv.client.Client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckv.client import Client as Client

__version__ = "0.1.0"

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported on first use (PEP 562): the program imports this package before it has patched the sockets, and nothing
    # that touches a socket or a lock may be loaded before that.
    if name == "Client":
        from ckv.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
