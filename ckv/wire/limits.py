"""What one peer may make a node hold: the bounds of everything that somebody else can grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

RECV_BYTES: Final = 256 * KIB
"""The most that one read takes from a socket; with it, the most requests that are served before others get a turn."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection, and the number of connections. All sizes are bytes."""

    max_value_bytes: int = MIB
    """The largest value that a PUT may carry. Up to :attr:`max_message_bytes` a larger one is read and refused."""

    max_connections: int = 10_000
    """Connections that are served at a time; one more is closed as soon as it is accepted."""

    max_in_flight: int = 1024
    """Requests of one connection that wait for an answer (a miss, another node) before reading from it stops."""

    max_container: int = 1024
    """Elements of an array, pairs of a map. No request has more than four; msgpack itself bounds nesting to 512."""

    soft_unsent_bytes: int = MIB
    """Unsent answers at which a node stops reading from the peer that does not read them."""

    @property
    def hard_unsent_bytes(self) -> int:
        """Unsent answers at which such a peer is cut off: those of requests that had been read before.

        More than a peer that does read can come to: a batch of large values is looked at every 16 requests.
        """
        return 64 * MIB + 32 * self.max_value_bytes

    @property
    def max_message_bytes(self) -> int:
        """The longest message. Its peer is cut off, for nobody can tell where the next one begins.

        Four times the largest value: a client that sends somewhat too much gets an error that says so.
        """
        return 4 * self.max_value_bytes + 64 * KIB
