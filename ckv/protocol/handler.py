"""What a method of a node is, who calls it, what carries the bytes, and what compiled code does for all of them.

Interpreted, not compiled: compiled code would look whether each caller inherits from the protocol, which none does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from ckv.address import Address

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


Call = tuple[Caller, int]
"""Who made a call, and the msgid under which it wants the answer."""

Handler = Callable[[Caller, int, tuple[object, ...]], object]
"""Carries out one method, given caller, msgid and params. Returns the result or :data:`LATER`; raises a
:class:`~ckv.errors.CkvError`."""


class Line(Protocol):
    """What carries the bytes of a session: a connection, as the session sees it."""

    peer: str
    """Who is at the other end, for the log."""

    unsent_bytes: int
    """What the socket has not taken yet."""

    @property
    def own_address(self) -> Address:
        """Where whoever is at the other end has found this one."""

    @property
    def held(self) -> bool:
        """Whether nothing more is to be served now: somebody holds it, or it is closed."""

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that nothing should be added."""

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

    def finish(self) -> None:
        """Reads nothing more, and is closed when all that was read is answered and sent."""

    def done(self) -> None:
        """Takes note that a request was the last one in flight, maybe; whoever closed the other end waits for that."""

    def close(self, reason: str) -> None:
        """Ends it, and with it the session, at once: nothing more is sent, not even what waits."""


# --- compiled code -------------------------------------------------------------------------------------------------

Outcome = bytes | tuple[bytes, int, int]
"""The answers to all that a session was sent; or answers, where the first request is that has none, and why."""

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


class Loop(Protocol):
    """Answers the requests of one protocol, or passes them on."""

    @property
    def requests(self) -> int:
        """Requests that it has answered or passed on, each of several that came as one counted."""

    def count_calls(self, counts: bool, /) -> None:
        """From now on counts those of each session in its ``calls``, too, or counts them no more, which saves time."""

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
        """What became of the bytes of each session, up to where there are so many answers that they have to be sent
        first. Raises MemoryError, and whatever Python raises that it asks: nobody knows what was answered then.
        """


class RespLoop(Loop, Protocol):
    """Those of clients of Redis: :class:`ckv.core.serve_resp.Server`, :class:`ckv.core.route.RespRouter`."""

    @property
    def more_keys(self) -> int:
        """Keys that these requests named beyond one each."""


class Core(Loop, Protocol):
    """Those of msgpack-RPC: :class:`ckv.core.serve.Server`, :class:`ckv.core.route.Router`.

    A :class:`~ckv.protocol.quick.QuickSession` may have been given an :class:`Arriving`, by its ``arrives()``, for
    bytes in the middle of a message.
    """

    def arrived(self, arriving: Any, /) -> bytes | None:
        """The answer to an :class:`Arriving` of its own that is whole; None when it is for the session."""


class Cores(NamedTuple):
    """The compiled code of a node: what answers before the handlers are asked, by protocol, and None without."""

    rpc: Core | None = None
    resp: RespLoop | None = None
    resp_goes_ahead: bool = False
    """Whether ``resp`` is also given what comes while earlier requests of its session wait for their answers."""


NO_CORES: Final = Cores()


class Routed(Protocol):
    """A :class:`ckv.protocol.batch.Batch` of calls that compiled code has collected: :class:`ckv.core.lane.Routed`."""

    def __len__(self) -> int: ...

    def packed(self, msgid: int, /) -> bytes:
        """The message, which is a BATCH if there are several requests."""

    def calls_made(self) -> list[Call]:
        """Who made each of the calls."""

    def requests_made(self) -> bytes:
        """The methods and arguments of all, each packed."""


class Lane(Protocol):
    """What compiled code collects for one node, and passes on from it: :class:`ckv.core.lane.Lane`."""

    @property
    def count(self) -> int:
        """Calls that are collected."""

    def take(self) -> list[Routed]:
        """What is collected, and is not any more."""

    def answer_all(self, data: bytes, calls: dict[int, Any], old_calls: dict[int, Any], /) -> tuple[int, bool]:
        """Hands on the answers from the beginning of a message, as long as they are ordinary ones to :class:`Routed`,
        and takes out of ``calls`` and ``old_calls`` what is done. Returns where it stopped, and whether that is at a
        message whose end is missing. Raises MemoryError, and whatever a caller raises: nobody knows then who was told
        of that message, and the connections of all who have calls in it are closed.
        """
