"""ckv: a distributed key-value store, hot records in memory and everything else in MySQL.

    >>> from ckv import Client
    >>> with Client("localhost", 8080) as client:  # doctest: +SKIP
    ...     client.put("bob", "bob@gmail.com")

The manual of the Python client is the docstring of :class:`Client`; its errors are here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckv.client import Client, Pipeline
    from ckv.errors import (
        BadArguments,
        CallTimeout,
        CkvError,
        CommitTimeout,
        Draining,
        KeyTooLong,
        NodeDown,
        NodeLost,
        NoRoom,
        OutcomeUnknown,
        Overloaded,
        PoolExhausted,
        ProtocolError,
        Refused,
        RowsRefused,
        ServerError,
        TierError,
        TierUnavailable,
        UnknownMethod,
        Unreachable,
        ValueTooLarge,
    )

__version__ = "0.1.0"

__all__ = [
    "BadArguments",
    "CallTimeout",
    "CkvError",
    "Client",
    "CommitTimeout",
    "Draining",
    "KeyTooLong",
    "NoRoom",
    "NodeDown",
    "NodeLost",
    "OutcomeUnknown",
    "Overloaded",
    "Pipeline",
    "PoolExhausted",
    "ProtocolError",
    "Refused",
    "RowsRefused",
    "ServerError",
    "TierError",
    "TierUnavailable",
    "UnknownMethod",
    "Unreachable",
    "ValueTooLarge",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Imported on first use (PEP 562): the program imports this package before it has patched the sockets, and nothing
    # that touches a socket or a lock may be loaded before that.
    if name in ("Client", "Pipeline"):
        from ckv import client

        return getattr(client, name)
    if name in __all__:
        from ckv import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
