"""What a method of a node is, who calls it, and what carries the bytes of whoever calls.

Interpreted, not compiled: a compiled module would look at each caller for whether it inherits from a protocol of its
own, which none does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Protocol

LATER: Final = object()
"""What a handler returns when the answer will come through the :class:`Caller` that it was given."""


class Caller(Protocol):
    """Whoever waits for the answer to one or more requests: a client's session, another node."""

    @property
    def is_open(self) -> bool:
        """Whether an answer can still reach anybody."""

    def respond(self, msgid: int, error: object, result: object) -> None:
        """Takes the answer to the request that it numbered ``msgid``."""

    def settle(self) -> None:
        """Takes note that a request is done without an answer."""

    def hold(self, reason: Hashable) -> None:
        """Sends no further requests until :meth:`release`, as far as that is in its power."""

    def release(self, reason: Hashable) -> None:
        """Ends a :meth:`hold`."""


class Handler(Protocol):
    """Carries out one method. Returns the result or :data:`LATER`.

    Raises a :class:`~ckv.errors.CkvError`.
    """

    def __call__(self, caller: Caller, msgid: int, params: tuple[object, ...], /) -> object: ...


class Line(Protocol):
    """What carries the bytes of a session: a connection, as the session sees it."""

    @property
    def peer(self) -> str:
        """Who is at the other end, for the log."""

    @property
    def held(self) -> bool:
        """Whether nothing more is to be served now: somebody holds it, or it is closed."""

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that nothing should be added."""

    @property
    def unsent_bytes(self) -> int:
        """What the socket has not taken yet."""

    def wake(self) -> None:
        """Takes and sends what the session has to send, at the end of this turn of the loop."""

    def hold(self, reason: Hashable) -> None:
        """Stops reading until everybody who held it has released it."""

    def release(self, reason: Hashable) -> None:
        """Takes back one :meth:`hold`; releasing what is not held does nothing."""

    def read_by(self, read: Callable[[int, int], bytes] | None) -> None:
        """Has this read from the descriptor, where that has the peer's bytes as they are, until it is told None."""

    def pause(self) -> None:
        """Holds it until the next turn of the loop."""

    def done(self) -> None:
        """Takes note that a request was the last one in flight, maybe; whoever closed the other end waits for that."""
