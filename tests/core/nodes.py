"""Nodes without sockets, whose requests go through compiled code first, or are all left to the sessions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, cast

import msgpack

from ckv.cluster.slots import SlotMap
from ckv.errors import NotOwner
from ckv.node.handlers import pong
from ckv.node.hotkeys import HotKeys
from ckv.node.lanes import new_lanes, route_loops
from ckv.node.parts import exec_at_owners
from ckv.node.primary import handlers as primary_handlers
from ckv.node.secondary import handlers, serve_loops
from ckv.node.steps import step_handlers
from ckv.protocol.batch import Batch, is_not_owner
from ckv.protocol.calling import CallingSession
from ckv.protocol.handler import CUT, ENOUGH, NO_CORES, Caller, Core, Handler
from ckv.protocol.limits import RECV_BYTES_OF_LARGE, Limits
from ckv.protocol.msgpackrpc import RpcMethods
from ckv.protocol.quick import QuickSession
from ckv.protocol.slow import SlowLog
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES, EvictStore
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from ckv.values import ENCODING_ERRORS
from tests.support.line import Nowhere

LIMITS = Limits(max_value_bytes=200_000)
CAPACITY = 4

OF_A_SMALLER_NODE = 10_000
"""Bytes that a node behind the primary takes: what it refuses, the primary has passed on."""


class Client:
    """A client of a node, and what it was answered. ``core``: compiled code that gets what comes first."""

    def __init__(self, methods: RpcMethods, core: Core | None) -> None:
        self._methods = methods
        self._core = core
        self.goes_ahead = False
        """Whether that gets it also while earlier requests wait for their answers."""
        self.connect()
        self._sent = b""
        self.left = 0
        """Bytes that compiled code has left to the session."""
        self.rounds = 0
        """How often it was called."""

    def connect(self) -> None:
        """Begins a new session."""
        self.line = Nowhere()
        self.session = self.line.session = QuickSession(self.line, self._methods)

    def received(self, data: bytes) -> None:
        receive_all(self._core, [(self, data)])

    def served(self, answers: bytes) -> None:
        """Takes answers, and has the session go on as long as it may."""
        self._sent += answers
        session = self.session
        line = cast(Nowhere, session.line)
        while session.attention and not session.failed and not line.holds:
            line.paused = False
            self._sent += session.more()
        self.take()

    def take(self) -> None:
        """Has the session send what it has to send."""
        if self.session.waiting:
            self._sent += self.session.take()

    def sent(self) -> bytes:
        """What was answered since the last call of this."""
        sent, self._sent = self._sent, b""
        return sent

    def answers(self) -> list[str]:
        """What was answered, in an order that does not depend on when."""
        return sorted(map(repr, self.messages()))

    def messages(self) -> list[Any]:
        """The same as messages, in the order in which they were sent."""
        unpacker = msgpack.Unpacker(unicode_errors=ENCODING_ERRORS, max_buffer_size=0, strict_map_key=False)
        unpacker.feed(self._sent)
        return list(unpacker)


def receive_all(core: Any, arrived: Iterable[tuple[Any, bytes]]) -> None:
    """Has what several clients sent in one turn served, as :class:`ckv.net.inbox.Inbox` does it."""
    inbox: list[tuple[Any, bytes]] = []
    for client, data in arrived:
        session = client.session
        if session.failed:
            continue
        if session.line.held:
            session.feed(data)
        elif (
            core is None or session.attention or not (session.may_go_ahead if client.goes_ahead else session.is_between)
        ):
            client.served(session.received(data))
        else:
            if isinstance(session, QuickSession) and session.arriving is not None:
                data = session.arrive(core, session.arriving, data)
                client.take()
                if not data:
                    continue
            inbox.append((client, session.with_kept(data)))
    while core is not None and inbox:
        outcomes = core.serve_all([(client.session, data) for client, data in inbox])
        again: list[tuple[Any, bytes]] = []
        for (client, data), outcome in zip(inbox, outcomes, strict=False):
            client.rounds += 1
            if isinstance(outcome, bytes):
                client.served(outcome)
                continue
            answers, end, why = outcome
            if why == ENOUGH and not client.session.line.held:
                again.append((client, data[end:]))
            else:
                client.left += len(data) - end
                answers += client.session.go_on(data[end:], why == CUT)
            client.served(answers)
        inbox = again + inbox[len(outcomes) :]


class Node(Client):
    """A session over a store. ``quick``: the serve loop gets what arrives first."""

    def __init__(
        self,
        policy: str,
        *,
        quick: bool,
        tier: bool,
        max_value_bytes: int = LIMITS.max_value_bytes,
        capacity: int = CAPACITY,
        pending_max: int = 100,
        hot: HotKeys | None = None,
    ) -> None:
        """``hot`` is told of the keys that are asked for."""
        self.store = new_store(policy, capacity, pending_max if tier else 0)
        self.tiers = self.store if isinstance(self.store, EvictStore) else None
        self.elsewhere: set[str] = set()
        """Keys that are another node's. Only the handlers look."""
        all_single = handlers(self.store, max_value_bytes)
        if hot is not None:
            all_single = hot.noting(all_single)
        single = {name: self._guarded(handler) for name, handler in all_single.items()}
        table: dict[str, Handler] = {**single, **step_handlers(self.store, single, max_value_bytes), "PING": pong}
        core = serve_loops(self.store, max_value_bytes, hot).rpc if quick else None
        super().__init__(RpcMethods(table, LIMITS), core)

    def _guarded(self, handler: Handler) -> Handler:
        def look(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            if params and params[0] in self.elsewhere:
                raise NotOwner("1.2 is the map here")
            return handler(caller, msgid, params)

        return look

    def records(self) -> list[tuple[str, object]]:
        return records_of(self.store)


def new_store(policy: str, capacity: int, pending_max: int, mode: str = "evict") -> Records:
    """An empty one. ``pending_max``: of its persistent tier; 0 for none."""
    memory = POLICIES[policy](capacity)
    if not pending_max:
        return MemoryStore(memory)
    environment = Environment(clock=lambda: 0.0, load_timeout=1, pending_wait=1)
    return MODES[mode](memory, Pending(pending_max, 10**6), environment)


def records_of(store: Records) -> list[tuple[str, object]]:
    """Where all records are, and then those in memory in the order in which they would leave. Empties memory."""
    places: list[tuple[str, object]] = [(key, store.locate(key)) for key in sorted(store.keys())]
    memory = store.memory
    while len(memory):
        key, value, _, clean, expires = memory.evict()
        places.append((key, (value, clean, expires)))
    return places


def packed(sent: Iterable[object]) -> bytes:
    """The messages, one after the other."""
    return b"".join(msgpack.packb(request, unicode_errors=ENCODING_ERRORS) for request in sent)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The bytes, cut at these places, and where a read ends anyway; a place may be any number."""
    ends = range(0, len(data), RECV_BYTES_OF_LARGE)
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {*ends, 0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


class FakePeer:
    """Another node that is a :class:`Node` here."""

    def __init__(self, lane: Any, capacity: int = CAPACITY, *, tier: bool = False) -> None:
        self.node = Node("lru", quick=False, tier=tier, max_value_bytes=OF_A_SMALLER_NODE, capacity=capacity)
        self.lane = lane
        self.connect()
        self.collects = True
        """Whether compiled code may collect calls for it."""
        self.requests = b""
        """What was asked last."""
        self.came_back: list[tuple[list[Any], list[int]]] = []
        """Requests that the node said were another one's, and their msgids."""

    def connect(self) -> None:
        """Begins a new session, on both sides."""
        self.node.session.close()
        self.node.connect()
        self.session = CallingSession(Nowhere(), LIMITS, self._bounced, True, self.lane)

    def _bounced(self, call: object, error: object) -> bool:
        if not isinstance(call, Batch) or not is_not_owner(error):
            return False
        self.came_back.append((call.requests, [msgid for _, msgid in call.calls]))
        return True

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, *, large: bool = False) -> None:
        if large:
            self.session.pack_alone(Batch([method, params], [(caller, msgid)]))
        else:
            self.session.add(method, params, caller, msgid)

    def takes_calls(self) -> bool:
        self.session.pack_added()
        return self.collects

    def flush_later(self) -> None: ...

    def asked(self, cuts: Iterable[int]) -> bytes:
        """Brings what was called to the node, in pieces; the answers."""
        self.session.pack_new()
        self.requests = self.session.take()
        for piece in pieces(self.requests, cuts):
            self.node.received(piece)
        self.node.take()  # what it has to answer later, too
        return self.node.sent()

    def answered(self, answers: bytes, cuts: Iterable[int]) -> None:
        """Brings answers back, in pieces."""
        for piece in pieces(answers, cuts):
            if not self.session.failed:
                self.session.received(piece)
                while self.session.attention and not self.session.failed:
                    self.session.more()


class Primary:
    """A primary before two nodes. ``quick``: compiled code gets what arrives first, on both sides."""

    def __init__(self, *, quick: bool, capacity: int = CAPACITY, tier: bool = False) -> None:
        self.slow = SlowLog(60.0, time.monotonic, time.time)
        lanes = new_lanes(2, self.slow) if quick else [None, None]
        self.peers = [FakePeer(lane, capacity, tier=tier) for lane in lanes]
        slots: Any = SlotMap(self.peers)
        self.table: dict[str, Handler] = {
            **primary_handlers(slots, LIMITS.max_value_bytes),
            "EXEC": exec_at_owners(slots, LIMITS.max_message_bytes),
            "PING": pong,
        }
        """What clients may call."""
        self._methods = RpcMethods(self.table, LIMITS, slow=self.slow)
        peers = cast(Any, self.peers)
        self.cores = route_loops(slots.owners, peers, lanes, LIMITS.max_value_bytes) if quick else NO_CORES
        self.client = self.new_client()

    def new_client(self) -> Client:
        """Another client."""
        return Client(self._methods, self.cores.rpc)

    def received(self, data: bytes, cuts: Iterable[int]) -> None:
        self.client.received(data)
        self.carry(cuts)

    def carry(self, cuts: Iterable[int]) -> None:
        """The end of a turn: what was collected goes to the nodes, and their answers to the client."""
        for peer in self.peers:
            peer.answered(peer.asked(cuts), cuts)
        self.client.take()
