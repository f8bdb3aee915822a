"""How often somebody may try to log in from one address: a few times at once, and then once a second.

Who is at an address that others try secrets from waits too; they do so for a minute after the last wrong one.
"""

from __future__ import annotations

import ipaddress
from typing import Final

FREE: Final = 5
"""Wrong logins from an address that slow nobody down."""

PAUSE: Final = 1.0
"""Seconds between two attempts after these."""

LONGEST_WAIT: Final = 5.0
"""Seconds that an attempt waits for its turn; what would wait longer is refused."""

FORGOTTEN_AFTER: Final = 60.0
"""Seconds after the last wrong login of an address."""

MOST: Final = 10_000
"""Addresses that are known; one more, and that which was wrong longest ago is forgotten."""


class Slowing:
    """The addresses from which wrong logins came. Times are in seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, float]] = {}
        """How many there were, and when the last one was; in the order of that."""
        self._turns: dict[str, float] = {}
        """When the last attempt may be made that was let through, of those who are slowed."""

    def wait(self, host: str, now: float) -> float:
        """Seconds until an attempt from there may be made, which takes that turn; more than :data:`LONGEST_WAIT` if it
        may not be made."""
        place = place_of(host)
        count, last = self._failures.get(place, (0, 0.0))
        if count < FREE or now - last >= FORGOTTEN_AFTER:
            return 0.0
        turn = max(now, self._turns.get(place, now - PAUSE) + PAUSE)
        if turn - now <= LONGEST_WAIT:
            self._turns[place] = turn
        return turn - now

    def failed(self, host: str, now: float) -> None:
        """A login from there was wrong."""
        place = place_of(host)
        count, last = self._failures.pop(place, (0, 0.0))
        self._failures[place] = (1 if now - last >= FORGOTTEN_AFTER else count + 1), now
        if len(self._failures) > MOST:
            oldest = next(iter(self._failures))
            del self._failures[oldest]
            self._turns.pop(oldest, None)


def place_of(host: str) -> str:
    """Who stands for a host: itself, or, as everybody has so many addresses of version 6, its network.

    >>> place_of("192.0.2.1"), place_of("2001:db8::1"), place_of("?")
    ('192.0.2.1', '2001:db8::/64', '?')
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
