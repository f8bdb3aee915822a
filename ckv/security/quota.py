"""How much a user may ask of a node: requests a second, bytes in flight, and connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ckv.errors import BadSetting
from ckv.units import show_size, size, whole

BURST: Final = 1.0
"""Seconds of whose requests a user may make at once who has made none for as long."""

_MOST_REQUESTS: Final = 10**7
_MOST_BYTES: Final = 2**40
_MOST_CONNECTIONS: Final = 10**6

rate = whole(0, _MOST_REQUESTS)
"""Reads requests a second; 0 for any number."""

bytes_in_flight = size(0, _MOST_BYTES)
"""Reads a number of bytes; 0 for any number."""

connections = whole(0, _MOST_CONNECTIONS)
"""Reads a number of connections; 0 for any number."""

_LIMITS: Final[Mapping[str, tuple[Callable[[str], int], str]]] = {
    "rate": (rate, f"0 to {_MOST_REQUESTS} requests a second, as in rate=1000"),
    "bytes": (bytes_in_flight, f"0 to {show_size(_MOST_BYTES)}, as in bytes=16MiB"),
    "connections": (connections, f"0 to {_MOST_CONNECTIONS}, as in connections=100"),
}
"""Those in the file of users: what reads them, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a user may ask of a node, over all of its connections together; 0 stands for any number."""

    rate: int = 0
    """Requests a second."""
    bytes_in_flight: int = 0
    """Bytes of requests that wait for an answer, and of answers that were not taken."""
    connections: int = 0
    """Connections at a time."""

    def __bool__(self) -> bool:
        return self.is_metered or self.connections > 0

    @property
    def is_metered(self) -> bool:
        """Whether what comes over the connections is counted."""
        return self.rate > 0 or self.bytes_in_flight > 0

    def words(self) -> tuple[str, ...]:
        """As it stands in the file of users."""
        return (
            *((f"rate={self.rate}",) if self.rate else ()),
            *((f"bytes={show_size(self.bytes_in_flight)}",) if self.bytes_in_flight else ()),
            *((f"connections={self.connections}",) if self.connections else ()),
        )


NONE: Final = Quota()


def parse(words: list[str]) -> Quota:
    """What :meth:`Quota.words` wrote. Raises ValueError, whose text quotes nothing of it: in a garbled line a limit
    may have a piece of a hash in it.

    >>> parse(["rate=1k", "bytes=16MiB", "connections=9"])
    Quota(rate=1000, bytes_in_flight=16777216, connections=9)
    """
    found: dict[str, int] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in _LIMITS or name in found:
            raise ValueError("not a limit: allowed is rate=REQUESTS, bytes=SIZE and connections=NUMBER, each once")
        read, allowed = _LIMITS[name]
        try:
            found[name] = read(text)
        except BadSetting:
            raise ValueError(f"{name} is not in range: allowed is {allowed}") from None
    return Quota(found.get("rate", 0), found.get("bytes", 0), found.get("connections", 0))


class Bucket:
    """Requests that may be made, of which there are more with time: a token bucket. It may be overdrawn, which has to
    be made up for. Times are in seconds of a clock that never goes back."""

    def __init__(self, rate: int, now: float) -> None:
        """``rate``: requests a second."""
        self._rate = rate
        self._most = max(1.0, rate * BURST)
        self._level = self._most
        self._at = now

    def level(self, now: float) -> float:
        """How many may be made now; less than 1 is none."""
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def take(self, count: int) -> None:
        """They were made."""
        self._level -= count
