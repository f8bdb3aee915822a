"""What one peer may make a node hold: the bounds of everything that somebody else can grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

RECV_BYTES: Final = 64 * KIB
RECV_BYTES_OF_SMALL: Final = 4 * KIB
RECV_BYTES_OF_ONE: Final = 479
"""The most that one read takes from a socket: after one that left something, at first and after a small one (a larger
buffer is dearer), and after less than :data:`BYTES_OF_ONE`. The last is what Python's own allocator has room for."""

RECV_BYTES_OF_LARGE: Final = 256 * KIB
"""The same in the middle of a large message, and after a read of :data:`RECV_BYTES` that left something."""

BYTES_OF_ONE: Final = 128
"""Few enough for one small request, or two."""

MAX_PARTS_BYTES: Final = 64 * KIB
"""The bytes that an unfinished message may have apart from its last string, for small parts become Python objects of
up to 80 times their bytes. No request needs more than a key in front of its value."""

BULKY_BYTES: Final = 16 * KIB
"""From here on a value is worth being counted before it is put into a buffer."""

SPARE_BUFFER_BYTES: Final = 64 * KIB
"""A buffer that grew larger is given back; smaller ones are kept for the next batch."""

REQUESTS_AT_A_TIME: Final = 16
"""Requests of a connection that are served before anybody looks how much their answers come to."""

IDLE_CONNECTION_BYTES: Final = 320 * KIB
"""The most memory that a connection keeps between two messages, after values of any size in both directions; after a
minute of silence it is hardly any. ``tests/system/test_memory.py`` holds it, and ``deploy/`` reckons with it."""

TLS_BYTES: Final = 256 * KIB
"""The most memory that TLS adds to that, and keeps until the connection ends: OpenSSL's buffers stay as large as they
were. The same test holds it."""

MAX_IN_FLIGHT_OF_A_NODE: Final = 65_536
"""Calls between two nodes that wait for their answer."""

WAITING_REQUESTS: Final = 16_384
WAITING_BYTES: Final = 32 * MIB
"""Calls of a primary that wait until their node is connected, and the memory that they take; all nodes together."""


@dataclass(slots=True)
class Limits:
    """The bounds of one connection, and the number of connections. All sizes are bytes. While a node runs
    :attr:`max_connections` alone may change."""

    max_value_bytes: int = MIB
    """The largest value that a PUT may carry. Up to :attr:`max_message_bytes` a larger one is read and refused."""

    max_connections: int = 10_000
    """Clients that are served at a time; those beyond them may ask what operators ask."""

    max_in_flight: int = 256
    """Requests of one connection that wait for an answer (a miss, another node) before reading from it stops. A primary
    allows :attr:`max_answers_in_flight`, a secondary :data:`MAX_IN_FLIGHT_OF_A_NODE`."""

    unfinished_seconds: float = 60.0
    """Seconds of silence in the middle of a message after which its sender is cut off; half of it at the earliest."""

    soft_unsent_bytes: int = MIB
    """Unsent answers at which a node stops reading from the peer that does not read them."""

    @property
    def hard_unsent_bytes(self) -> int:
        """Unsent answers at which such a peer is cut off. Large answers are refused long before, at half of it."""
        return 2 * self.max_queued_bytes

    @property
    def max_queued_bytes(self) -> int:
        """Unsent bytes to one peer beyond which nothing large is added: its requests are refused instead. More than the
        answers of :data:`REQUESTS_AT_A_TIME` requests come to."""
        return 64 * MIB + REQUESTS_AT_A_TIME * self.max_value_bytes

    @property
    def max_answers_in_flight(self) -> int:
        """Requests of one client that other nodes may answer at a time: if each asks for the largest value, the answers
        fit into :attr:`max_queued_bytes`, so that none is refused however slowly the client reads."""
        return min(self.max_in_flight, (self.max_queued_bytes - self.soft_unsent_bytes) // self.max_value_bytes - 1)

    @property
    def max_message_bytes(self) -> int:
        """The longest message; whoever sends a longer one is cut off. Four times the largest value, so that a client
        that sends somewhat too much gets an error that says so."""
        return 4 * self.max_value_bytes + 64 * KIB
