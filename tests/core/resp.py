"""The same for clients of Redis: a node without sockets, whose requests go through compiled code first, or do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from ckv.cluster.view import View
from ckv.node.handlers import pong
from ckv.node.hotkeys import HotKeys
from ckv.node.secondary import record_handlers, serve_loops
from ckv.protocol.handler import RespLoop
from ckv.protocol.resp.methods import RespMethods
from ckv.protocol.resp.quick import QuickRespSession
from ckv.redis.placing import Placing
from ckv.redis.table import for_node
from ckv.store import Records
from tests.core.nodes import CAPACITY, LIMITS, FakePeer, Primary, new_store, receive_all, records_of
from tests.support.line import Nowhere

MOST_TURNS = 100


class RespClient:
    """A client of Redis, and what it was answered. ``core``: compiled code that gets what comes first."""

    def __init__(self, methods: RespMethods, core: RespLoop | None, *, goes_ahead: bool = False) -> None:
        self.core = core
        self.goes_ahead = goes_ahead
        """Whether that gets it also while earlier requests wait for their answers."""
        self.line = Nowhere()
        self.session = self.line.session = QuickRespSession(self.line, methods)
        self.sent = b""
        """What it was answered, in order."""
        self.left = 0
        """Bytes that compiled code has left to the session."""
        self.rounds = 0
        """How often it was called."""

    def received(self, data: bytes) -> None:
        receive_all(self.core, [(self, data)])

    def served(self, answers: bytes) -> None:
        """Takes answers, and has the session go on as long as it may."""
        self.sent += answers
        session = self.session
        line = cast(Nowhere, session.line)
        while session.attention and not session.failed and not line.holds:
            line.paused = False
            self.sent += session.more()
        self.take()

    def take(self) -> None:
        """Has the session send what it has to send."""
        if self.session.waiting:
            self.sent += self.session.take()


class RespNode(RespClient):
    """A session over a store. ``quick``: the serve loop gets what arrives first."""

    def __init__(
        self,
        policy: str = "lru",
        *,
        quick: bool,
        tier: bool,
        capacity: int = CAPACITY,
        mode: str = "evict",
        hot: HotKeys | None = None,
    ) -> None:
        """``hot`` is told of the keys that are asked for."""
        self.store: Records = new_store(policy, capacity, 100 if tier else 0, mode)
        self.placing = Placing()
        methods = resp_methods(self.store, self.placing, hot)
        super().__init__(methods, serve_loops(self.store, LIMITS.max_value_bytes, hot).resp if quick else None)

    def tell(self, view: View) -> None:
        """Clients are in cluster mode from now on."""
        loop: Any = self.core
        if loop is not None:
            loop.serve_only(view.served)
        self.placing.view = view

    def records(self) -> list[tuple[str, object]]:
        """See :func:`records_of`."""
        return records_of(self.store)


class RespPrimary(RespClient):
    """A client of a primary before two nodes. ``quick``: compiled code gets what arrives first, on both sides."""

    def __init__(self, *, quick: bool, capacity: int = CAPACITY, tier: bool = False) -> None:
        self.primary = Primary(quick=quick, capacity=capacity, tier=tier)
        self._methods = primary_methods(self.primary)
        cores = self.primary.cores
        super().__init__(self._methods, cores.resp, goes_ahead=cores.resp_goes_ahead)
        self.clients: list[RespClient] = [self]

    @property
    def peers(self) -> list[FakePeer]:
        """The nodes."""
        return self.primary.peers

    def new_client(self) -> RespClient:
        """Another client."""
        self.clients.append(RespClient(self._methods, self.core, goes_ahead=self.goes_ahead))
        return self.clients[-1]

    def carry(self, cuts: Iterable[int] = ()) -> None:
        """The end of a turn: what was collected goes to the nodes, and their answers to the clients."""
        self.primary.carry(cuts)
        for client in self.clients:
            client.served(b"")

    def end(self) -> None:
        """So many turns that all is answered."""
        for _ in range(MOST_TURNS):
            if not any(client.session.in_flight for client in self.clients):
                return
            self.carry()
        raise AssertionError("something is not answered")


def primary_methods(primary: Primary) -> RespMethods:
    """The commands of a primary, at a time that stands still."""
    return for_node(LIMITS, lambda: 0.0, keys_max=1000, next_turn=lambda do: do())(primary.table)


def resp_methods(store: Records, placing: Placing | None = None, hot: HotKeys | None = None) -> RespMethods:
    """The commands of a secondary over a store, at a time that stands still."""
    made = for_node(LIMITS, lambda: 0.0, placing=placing, keys_max=1000, next_turn=lambda do: do())
    return made({**record_handlers(store, LIMITS.max_value_bytes, hot), "PING": pong})


def request(*arguments: bytes | str) -> bytes:
    """A request as clients send it."""
    parts = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def requests(sent: Iterable[Iterable[bytes | str]]) -> bytes:
    """Several, one after the other."""
    return b"".join(request(*arguments) for arguments in sent)
