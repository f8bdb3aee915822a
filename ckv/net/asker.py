"""Who asks a node on behalf of nobody's request: a primary that leads, or that wants to know how far the node is."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from ckv import errors


class Asker:
    """The caller of one call."""

    is_open = True

    def __init__(self, told: Callable[[object, object], None]) -> None:
        """``told`` takes the error, or None, and the result."""
        self._told = told

    def respond(self, _msgid: int, error: object, result: object) -> None:
        self._told(error, result)

    def settle(self) -> None:
        self._told(errors.to_wire(errors.NodeLost("it was not asked")), None)

    def hold(self, reason: Hashable) -> None:
        """It makes no calls of its own accord."""

    def release(self, reason: Hashable) -> None:
        """See :meth:`hold`."""
