"""The PINGs that a node sends to another one on its own account, as a caller of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class Probe:
    """The caller of one PING. Whatever the answer says, the node has got to it."""

    is_open = True

    def __init__(self, answered: Callable[[], None]) -> None:
        """``answered()`` is called when there is an answer, or when there will be none."""
        self._answered = answered

    def respond(self, msgid: int, error: object, result: object) -> None:
        """See :meth:`ckv.protocol.handler.Caller.respond`, as for those below."""
        self._answered()

    def settle(self) -> None:
        """Nothing is counted."""

    def hold(self, reason: Hashable) -> None:
        """One call needs no slowing down."""

    def release(self, reason: Hashable) -> None:
        """Nothing was held."""
