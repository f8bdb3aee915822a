"""The address of a node, as a person writes it and as a socket takes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a node listens."""

    host: str
    """A name, or an IP address without brackets."""

    port: int
    """0 to 65535; 0 stands for one that the system chooses."""

    def __str__(self) -> str:
        """``host:port``, or ``[IPv6]:port``.

        >>> str(Address("::1", 8080)), str(Address("localhost", 8080))
        ('[::1]:8080', 'localhost:8080')
        """
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
