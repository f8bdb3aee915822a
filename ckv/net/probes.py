"""The PINGs that a node sends to another one on its own account, as callers of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class _Ping:
    """The caller of a PING of our own."""

    is_open = True

    def respond(self, msgid: int, error: object, result: object) -> None:
        """Whatever it says: the node has got to it."""

    def settle(self) -> None:
        """Nothing is counted."""

    def hold(self, reason: Hashable) -> None:
        """One call needs no slowing down."""

    def release(self, reason: Hashable) -> None:
        """See :meth:`hold`."""


class Heartbeat(_Ping):
    """One that is sent only to get any answer at all."""

    def __init__(self) -> None:
        self.answered = True
        """Whether the last one was."""

    def sent(self) -> None:
        """From now on it is not answered."""
        self.answered = False

    def respond(self, msgid: int, error: object, result: object) -> None:
        """See :meth:`_Ping.respond`."""
        self.answered = True


class Mark(_Ping):
    """One that stands behind so many bytes of large requests: its answer tells that the node has read them."""

    def __init__(self, was_read: Callable[[int], None], count: int) -> None:
        self._was_read = was_read
        self._count = count

    def respond(self, msgid: int, error: object, result: object) -> None:
        """See :meth:`_Ping.respond`."""
        self._was_read(self._count)
