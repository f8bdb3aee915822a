"""A node that looks at requests, in the process of the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ckv.address import Address
from ckv.cluster.slots import SLOTS, slot_of
from ckv.net.server import Server
from ckv.node.guard import Guard, between_turns
from ckv.node.handlers import pong
from ckv.node.scanning import Scans
from ckv.node.secondary import record_handlers, serve_loops
from ckv.protocol.handler import Caller, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.steps import packed_requests
from ckv.redis.table import for_node
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from tests.net.conftest import Asker, World

LIMITS = Limits()
LARGE = b"v" * 300_000


class Known:
    """What the node knows of the cluster."""

    def __init__(self) -> None:
        self.joined = True
        self.static = False
        self.serves = bytearray([1]) * SLOTS
        self.plain_from = (1, 1)
        self.version = (1, 1)
        self.is_leased = True
        self.is_settled = True
        self.forgetting: set[int] = set()
        self.behind = 0

    def leased(self, _now: float) -> bool:
        return self.is_leased

    def is_forgetting(self, slot: int) -> bool:
        return slot in self.forgetting

    def is_behind(self, declared: tuple[int, int], _now: float) -> bool:
        self.behind += declared > self.version
        return declared > self.version


class Rig:
    """A node with a guard, over real sockets."""

    def __init__(self, world: World) -> None:
        self.known = Known()
        self.now = 0.0
        self.guard = Guard(self.known, lambda: self.now)
        self.store = MemoryStore(POLICIES["lru"](1000))
        scans = Scans(self.store, None, lambda: None, lambda: self.now)
        all_keys = {name: self.guard.when_settled(handler) for name, handler in scans.handlers.items()}
        self.at_ping: Callable[[], None] = lambda: None
        """Is called in the middle of what is served: at a PING or DBSIZE."""
        asked = {"PING": self._at_ping(pong), "DBSIZE": self._at_ping(all_keys["DBSIZE"])}
        table = {**record_handlers(self.store, LIMITS.max_value_bytes), **all_keys, **asked}
        cores = serve_loops(self.store, LIMITS.max_value_bytes)
        others = {"EPOCH": between_turns(self.guard.epoch)}
        resp = for_node(LIMITS, keys_max=1000, next_turn=lambda do: do())
        self.server = Server(world.poller, table, LIMITS, 0, cores, others, resp, self.guard.guarded)
        world.also(self.server)
        self.address = self.server.listen(Address("127.0.0.1", 0))
        self.guard.opens(self.server, world.poller)
        self._world = world
        self.store.put("k", "v")

    def _at_ping(self, handler: Handler) -> Handler:
        def pinged(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            self.at_ping()
            return handler(caller, msgid, params)

        return pinged

    def lose_lease(self) -> None:
        self.known.is_leased = False

    def connect(self) -> Asker:
        return self._world.ask(self.address)

    def declare(self, asker: Asker, *version: int, heard: int = 0) -> int:
        """Says by which map the asker routes; how many of its requests were turned away."""
        error, turned_away = ask(asker, "EPOCH", list(version), heard)
        assert error is None
        assert isinstance(turned_away, int)
        return turned_away

    def lose(self, key: str, *version: int) -> None:
        """A map by which the slot of this key is another node's."""
        self.known.serves[slot_of(key)] = 0
        self.known.version = self.known.plain_from = version  # type: ignore[assignment]
        self.guard.look_again()


def ask(asker: Asker, method: str, *params: object) -> tuple[Any, Any]:
    asker.send([0, 1, method, list(params)])
    number, error, result = asker.answer()
    assert number == 1
    return error, result


def is_turned_away(answer: tuple[Any, Any], version: str = "1.1") -> bool:
    error, result = answer
    return result is None and str(error).startswith(f"NotOwner: {version} is the map here, ")


def of_step(*requests: tuple[str, tuple[object, ...]]) -> bytes:
    return packed_requests(requests)


def wait_for(rig: Rig, key: str) -> None:
    """The slot of this key is about to be served."""
    rig.known.serves[slot_of(key)] = 0
    rig.known.forgetting.add(slot_of(key))


def serve(rig: Rig, key: str) -> None:
    """Now it is."""
    rig.known.forgetting.discard(slot_of(key))
    rig.known.serves[slot_of(key)] = 1
    rig.guard.look_again()
