"""What compiled code does for sessions: its side of the contract.

Interpreted, for the same reason as :mod:`ckv.protocol.handler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from ckv.protocol.handler import Caller

Call = tuple[Caller, int]
"""Who made a call, and the msgid under which it wants the answer."""

Outcome = bytes | tuple[bytes, int, int]
"""The answers to all that a session was sent; or, where that is not all of it: also where the first request is that is
not answered, and why it is not."""

LEFT: Final = 0
CUT: Final = 1
ENOUGH: Final = 2
"""Why: it is the session's; its end has not arrived yet; there are so many answers that they have to be sent first."""


class Arriving(Protocol):
    """A PUT whose large value has not arrived as a whole: :class:`ckv.core.serve.Arriving`."""

    @property
    def missing(self) -> int:
        """Bytes that have not arrived yet."""

    @property
    def mark(self) -> bytes:
        """What :meth:`read` returns for bytes that are in their place: this very object."""

    def read(self, fd: int, size: int, /) -> bytes:
        """As ``read`` of a :class:`~ckv.net.transport.Transport`, for all that is there of its own."""

    def take(self, data: bytes, /) -> int:
        """Takes bytes that have arrived; returns how many of them are its own."""

    def message(self) -> bytes:
        """What has arrived, from the beginning of the request on."""


class Core(Protocol):
    """Compiled code that answers requests: :class:`ckv.core.serve.Server`, :class:`ckv.core.route.Router`."""

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
        """What became of the bytes of each :class:`~ckv.protocol.quick.QuickSession`, from the first one on: not of all
        when there are so many answers that they have to be sent first.

        A session may have been given an :class:`Arriving`, by its ``arrives()``, for bytes in the middle of a message.

        Raises MemoryError: nobody knows what was answered then.
        """

    def arrived(self, arriving: Any, /) -> bytes | None:
        """The answer to an :class:`Arriving` of its own that is whole; None when it is for the session."""


class Routed(Protocol):
    """A :class:`ckv.protocol.batch.Batch` of calls that compiled code has collected: :class:`ckv.core.route.Routed`."""

    def __len__(self) -> int: ...

    def packed(self, msgid: int, /) -> bytes:
        """The message, which is a BATCH if there are several requests."""

    def calls_made(self) -> list[Call]:
        """Who made each of the calls."""

    def requests_made(self) -> bytes:
        """The methods and arguments of all, each packed."""


class Lane(Protocol):
    """What compiled code collects for one node, and passes on from it: :class:`ckv.core.route.Lane`."""

    @property
    def count(self) -> int:
        """Calls that are collected."""

    def take(self) -> list[Routed]:
        """What is collected, and is not any more."""

    def answer_all(self, data: bytes, calls: dict[int, Any], old_calls: dict[int, Any], /) -> tuple[int, bool]:
        """Hands answers to whoever asked, and takes out of ``calls`` and ``old_calls`` what is done.

        It begins at the beginning of a message, and goes on as long as they are ordinary answers to :class:`Routed`.
        Returns where it stopped, and whether that is at a message whose end is missing. Raises MemoryError: nobody
        knows who was told then.
        """
