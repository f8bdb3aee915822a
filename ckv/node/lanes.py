"""How a primary passes requests on that need no look at their parts: compiled loops, and the nodes that they call."""

from __future__ import annotations

import time
from array import array
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from ckv import core
from ckv.net.peer import Peer
from ckv.protocol.batch import BATCH_REQUESTS
from ckv.protocol.handler import Caller, Cores, Outcome
from ckv.protocol.latencies import BOUNDS, KINDS, Latencies
from ckv.protocol.limits import BULKY_BYTES, MAX_PARTS_BYTES
from ckv.protocol.packing import unpacked
from ckv.protocol.slow import SlowLog


class Late:
    """The caller of a request that compiled code has passed on, and whose answer Python brings, which is timed."""

    __slots__ = ("_caller", "_latencies", "_method", "_since")

    def __init__(self, latencies: Latencies, caller: Caller, kind: int, since: float) -> None:
        """``since``: when it was passed on, by the monotonic clock."""
        self._caller = caller
        self._latencies = latencies
        self._method = KINDS[kind]
        self._since = since

    @property
    def is_open(self) -> bool:
        """See :class:`Caller`, as for all of these."""
        return self._caller.is_open

    def respond(self, msgid: int, error: object, result: object) -> None:
        self._latencies.add(self._method, time.monotonic() - self._since)
        self._caller.respond(msgid, error, result)

    def settle(self) -> None:
        self._caller.settle()

    def hold(self, reason: Hashable) -> None:
        self._caller.hold(reason)

    def release(self, reason: Hashable) -> None:
        self._caller.release(reason)


def new_lanes(count: int, slow: SlowLog | None = None) -> list[Any]:
    """A lane for each node; None without the compiled modules. ``slow``: is told how long calls took, and which errors
    were answered."""
    if not core.COMPILED:
        return [None] * count
    from ckv.core.lane import Lane

    lanes = [Lane(bulky_bytes=BULKY_BYTES) for _ in range(count)]
    if slow is not None:
        latencies, counts = slow.latencies, slow.errors
        for lane in lanes:
            lane.watch(partial(Late, latencies), BOUNDS, lambda packed: counts.count(unpacked(packed)))
            latencies.take(lane)
    return lanes


class RouteLoop:
    """A compiled loop for one protocol, and the nodes that it calls."""

    def __init__(self, router: Any, peers: Sequence[Peer], lanes: list[Any]) -> None:
        """``lanes`` are those of the ``peers``."""
        self._nodes = list(zip(peers, lanes, strict=True))
        self._router = router

    def route_by(self, targets: array[int], peers: Mapping[int, Peer], lanes: Mapping[int, Any]) -> None:
        """Goes by this from now on: for each slot the number of a node. What has a number of none is left to the
        sessions. It is copied."""
        self._nodes = [(peer, lanes[number]) for number, peer in peers.items()]
        self._router.route_by(targets, [lanes.get(number) for number in range(max(peers, default=-1) + 1)])

    @property
    def requests(self) -> int:
        """See :class:`ckv.protocol.handler.Loop`."""
        return int(self._router.requests)

    @property
    def more_keys(self) -> int:
        """See :class:`ckv.protocol.handler.RespLoop`."""
        return int(self._router.more_keys)

    def count_calls(self, counts: bool, /) -> None:
        """See :class:`ckv.protocol.handler.Loop`."""
        self._router.count_calls(counts)

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
        """See :class:`ckv.protocol.handler.Core`."""
        for peer, lane in self._nodes:
            lane.open(peer.takes_calls())
        try:
            outcomes: Sequence[Outcome] = self._router.serve_all(inbox)
        finally:
            # Also when it failed: what was collected for others before has to leave.
            for peer, lane in self._nodes:
                if lane.count:
                    peer.flush_later()
        return outcomes

    def arrived(self, _arriving: Any, /) -> None:
        """There are none: what is large goes through the sessions."""


def route_loops(owners: array[int], peers: Sequence[Peer], lanes: list[Any], max_value_bytes: int) -> Cores:
    """One for each protocol, which send to the ``owners`` of slots, numbers among the ``peers``. Only with the compiled
    modules; ``lanes`` are those of the ``peers``."""
    from ckv.core.route import RespRouter, Router

    bounds = {
        "batch_requests": BATCH_REQUESTS,
        "batch_bytes": MAX_PARTS_BYTES,
        "bulky_bytes": min(BULKY_BYTES, max_value_bytes),
    }
    rpc, resp = Router(owners, lanes, **bounds), RespRouter(owners, lanes, **bounds)
    return Cores(RouteLoop(rpc, peers, lanes), RouteLoop(resp, peers, lanes), resp_goes_ahead=True)
