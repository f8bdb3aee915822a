"""Which clients ask most: CLIENTS.

Bytes are those that the kernel counts for each socket anyway, and calls are counted by connection only while somebody
asks: a node that nobody looks at pays for neither. Meanwhile a note is taken each second, and what is told is the
difference to it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from heapq import nlargest
from typing import Final, NamedTuple, Protocol

from ckv.protocol.handler import Cores
from ckv.protocol.session import Session
from ckv.values import checked_count

MAX_ROWS: Final = 100
"""The most connections in one answer."""

UNASKED: Final = 5.0
"""Seconds after the last question in which calls are counted."""


class Client(Protocol):
    """A connection, as it is looked at: a :class:`~ckv.net.connection.Connection`, whatever that imports."""

    peer: str
    since: float
    session: Session | None

    @property
    def in_flight(self) -> int: ...
    @property
    def carried(self) -> tuple[int, int]: ...


class Counted(NamedTuple):
    """What came and went over a connection, since it is there."""

    calls: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    """Those that the other end has acknowledged."""


class Totals(NamedTuple):
    """What a server has counted, since its start."""

    accepted: int
    """Connections that came."""
    requests: int
    """Of all of them, also those that are closed."""


class _Note(NamedTuple):
    at: float
    totals: Totals
    of: dict[Client, Counted]


class Clients:
    """Those of one server."""

    def __init__(
        self,
        connections: Set[Client],
        nodes: Set[Client],
        cores: Cores,
        totals: Callable[[], Totals],
        user_of: Callable[[Session], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``connections``: that are open, as they come and go; ``nodes``: those of them that other nodes have made.
        ``cores``: compiled code that counts calls by connection on demand. ``user_of``: who has logged in, empty for
        nobody. ``clock``: seconds, and never goes back."""
        self._connections = connections
        self._nodes = nodes
        self._cores = cores
        self._totals = totals
        self._user_of = user_of
        self._clock = clock
        self._notes: deque[_Note] = deque(maxlen=2)
        """The last two: what is told is about one second at least, and two at most."""
        self._asked = 0.0

    def told(self, count: object) -> list[object]:
        """What CLIENTS answers, of the seconds before: how many there are, 0 where counting begins with this call; the
        clients that are connected, the connections that came, and the calls and bytes of all clients; and up to
        ``count`` clients, those with the largest share first. Raises BadArguments."""
        most = checked_count(count, 1, MAX_ROWS)
        self._asked = self._clock()
        now = self._noted()
        if not self._notes:
            self._count_calls(True)
            self._notes.append(now)
        before = self._notes[0]
        done = {connection: _since(before.of.get(connection), counted) for connection, counted in now.of.items()}
        of_nodes = sum(done.pop(node).calls for node in self._nodes & done.keys())
        # Those of connections that are closed are among them: a client may make a new one for each call.
        calls = max(0, now.totals.requests - before.totals.requests - of_nodes)
        whole = Counted(calls, *(sum(each[way] for each in done.values()) for way in (1, 2)))
        most_active = nlargest(most, done.items(), key=lambda item: largest_share(item[1], whole))
        return [
            now.at - before.at,
            [len(done), now.totals.accepted - before.totals.accepted, *whole],
            [self._row(connection, now.at, counted) for connection, counted in most_active],
        ]

    def tick(self) -> None:
        """To be called each second."""
        if not self._notes:
            return
        if self._clock() - self._asked > UNASKED:
            self._notes.clear()
            self._count_calls(False)
        else:
            self._notes.append(self._noted())

    def _noted(self) -> _Note:
        return _Note(self._clock(), self._totals(), {each: _counted(each) for each in self._connections})

    def _count_calls(self, counts: bool) -> None:
        for core in (self._cores.rpc, self._cores.resp):
            if core is not None:
                core.count_calls(counts)

    def _row(self, connection: Client, now: float, counted: Counted) -> list[object]:
        session = connection.session
        return [
            connection.peer,
            self._user_of(session) if session is not None else "",
            session.protocol_name if session is not None else "-",
            now - connection.since,
            connection.in_flight,
            *counted,
        ]


def largest_share(part: Sequence[float], whole: Sequence[float]) -> float:
    """By which a client is judged, 0 to 1: its part of the calls, or of the bytes in or out, whichever is largest. So
    one that asks for few and large values is found, too.

    >>> largest_share((1, 10, 900), (100, 1000, 1000)), largest_share((0, 0, 0), (0, 0, 0))
    (0.9, 0.0)
    """
    return max(some / all_ if all_ else 0.0 for some, all_ in zip(part, whole, strict=True))


def _counted(connection: Client) -> Counted:
    session = connection.session
    return Counted(session.calls if session is not None else 0, *connection.carried)


def _since(before: Counted | None, now: Counted) -> Counted:
    if before is None:
        return now
    return Counted(now.calls - before.calls, now.bytes_in - before.bytes_in, now.bytes_out - before.bytes_out)
