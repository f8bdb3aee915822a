"""What a method of a node is, and who calls it.

Interpreted, not compiled: a compiled module would look at each caller for whether it inherits from a protocol of its
own, which none does.
"""

from __future__ import annotations

from typing import Final, Protocol

LATER: Final = object()
"""What a handler returns when the answer will come through the :class:`Caller` that it was given."""


class Caller(Protocol):
    """Whoever waits for the answer to one or more requests: a client's connection, a greenlet."""

    @property
    def is_open(self) -> bool:
        """Whether an answer can still reach anybody."""

    def respond(self, msgid: int, error: object, result: object) -> None:
        """Takes the answer to the request that it numbered ``msgid``."""

    def settle(self) -> None:
        """Takes note that a request is done without an answer."""

    def hold(self, reason: object) -> None:
        """Sends no further requests until :meth:`release`, as far as that is in its power."""

    def release(self, reason: object) -> None:
        """Ends a :meth:`hold`."""


class Handler(Protocol):
    """Carries out one method. Returns the result or :data:`LATER`.

    Raises a :class:`~ckv.errors.CkvError`.
    """

    def __call__(self, caller: Caller, msgid: int, params: tuple[object, ...], /) -> object: ...
