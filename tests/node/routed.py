"""Two nodes that note what they are asked, and who routes to them by a map."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from ckv import errors
from ckv.address import Address
from ckv.cluster.map import NOBODY, Map, Node
from ckv.cluster.slots import SLOTS, slot_of
from ckv.net.server import Server
from ckv.node.handlers import pong
from ckv.node.parts import exec_at_owners
from ckv.node.routing import Routing
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.slow import NEVER
from ckv.protocol.steps import Asked, packed_answers, packed_requests, requests_of
from ckv.settings.roles import PrimarySettings
from tests.net.conftest import World, until
from tests.node.callers import Told

LIMITS = Limits()
KEYS = ("alice", "bob", "charles", "daniel")
LARGE = b"v" * 100_000


class FakeNode:
    """A secondary that notes what it is asked, in the order in which it is asked."""

    def __init__(self, world: World) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.version = "1.1"
        self.elsewhere: set[str] = set()
        self.clears = True
        """Whether it serves everything as soon as it hears that what it turned away is known."""
        self.stops_at: set[str] = set()
        """Keys of another one's, behind a request of which it reads no more until :meth:`go_on`."""
        self._stopped: list[Caller] = []
        self.slow: set[str] = set()
        """Keys of which requests are answered by :meth:`answer` alone."""
        self._unanswered: list[tuple[Caller, int]] = []
        records = {name: self._records(name) for name in ("PUT", "GET", "DEL")}
        records["PING"] = pong
        records["EXEC"] = self._step
        server = Server(world.poller, records, LIMITS, others={name: self._note(name) for name in ("MAP", "EPOCH")})
        world.also(server)
        self.address = server.listen(Address("127.0.0.1", 0))

    def _records(self, name: str) -> Handler:
        def handler(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            self.asked.append((name, params[0]))
            if params[0] in self.stops_at:
                self._stopped.append(caller)
                caller.hold(self)
                caller.respond(msgid, errors.to_wire(errors.NotOwner(f"{self.version} is the map here")), None)
                return LATER
            if params[0] in self.slow:
                self._unanswered.append((caller, msgid))
                return LATER
            if params[0] in self.elsewhere:
                raise errors.NotOwner(f"{self.version} is the map here")
            return name

        return handler

    def _step(self, _caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        requests = requests_of(params[0])
        keys = [key for _, (key, *_) in requests]
        self.asked.append(("EXEC", keys))
        if not self.elsewhere.isdisjoint(keys):
            raise errors.NotOwner(f"{self.version} is the map here")
        return [True, packed_answers((None, method) for method, _ in requests)]

    def _note(self, name: str) -> Handler:
        def handler(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
            packed, *heard = params
            assert isinstance(packed, tuple)
            self.asked.append((name, packed[:2], *heard))
            if name == "EPOCH" and heard and self.clears:
                self.elsewhere.clear()
            return 7

        return handler

    def go_on(self) -> None:
        """Reads on."""
        self.stops_at.clear()
        while self._stopped:
            self._stopped.pop().release(self)

    def answer(self, error: errors.CkvError) -> None:
        """Answers what is not answered yet."""
        unanswered, self._unanswered = self._unanswered, []
        for caller, msgid in unanswered:
            caller.respond(msgid, errors.to_wire(error), None)

    def took(self) -> list[tuple[object, ...]]:
        """What it was asked since the last call of this."""
        asked, self.asked = self.asked, []
        return asked


class Rig:
    """Two nodes, and who routes to them."""

    def __init__(self, world: World) -> None:
        self.nodes = [FakeNode(world), FakeNode(world)]
        settings = PrimarySettings(
            coordinator="-",
            advertise="",
            follow=None,
            port=0,
            bind="127.0.0.1",
            max_connections=10,
            max_value_bytes=LIMITS.max_value_bytes,
            keys_max=1000,
            slow_time=1.0,
            config=None,
            http=None,
            allow_flush=True,
            drain_timeout=1.0,
            log_level="info",
            log_format="text",
            secondaries=(),
            call_timeout=4.0,
            node_wait=5.0,
            cluster_clients=False,
            settle=0.0,
            move_slots=1024,
        )
        self.routing = Routing(world.poller, settings, LIMITS, NEVER)
        self.exec = self.routing.exec_again = exec_at_owners(self.routing.slots, LIMITS.max_message_bytes)
        self.told = Told()
        self._asked = 0
        self._epoch = 0

    def go_by(self, owners: dict[str, int], *, push: bool = True, term: int = 1) -> Map:
        """The next map, by which these keys are those of the nodes with these numbers, and nobody has the others."""
        self._epoch += 1
        table = array("H", [NOBODY]) * SLOTS
        for key, number in owners.items():
            table[slot_of(key)] = number
        nodes = [
            Node(f"n{number}", 1, each.address.host, each.address.port, 100) for number, each in enumerate(self.nodes)
        ]
        world = Map((term, self._epoch), nodes, table)
        self.routing.take(world, push=push)
        return world

    def ask(self, method: str, key: str, *params: object, large: bool = False) -> int:
        self._asked += 1
        callee = self.routing.slots.owner(key)
        callee.call(method, (key, *params), self.told, self._asked, large=large)
        return self._asked

    def ask_alone(self, method: str, key: str, *params: object) -> int:
        """In a message of its own."""
        number = self.ask(method, key, *params)
        for peer in self.routing.peers.values():
            peer.flush()
        return number

    def until_queued(self, key: str) -> int:
        """Asks so much of the first node that a large request is not sent yet; the number of that one, the last."""
        size = 0
        while not self.routing.peers[0]._queued:
            number = self.ask("PUT", key, LARGE, large=True)
            size += len(LARGE)
            assert size < 100 * LIMITS.soft_unsent_bytes
        return number

    def step(self, *requests: Asked) -> int:
        self._asked += 1
        result = self.exec(self.told, self._asked, (packed_requests(requests),))
        assert result is LATER
        return self._asked

    def until(self, condition: Callable[[], object]) -> None:
        """Lets time pass until the condition is true."""

        def is_true() -> bool:
            self.routing.tick()
            return bool(condition())

        until(is_true)

    def until_answered(self, *numbers: int) -> None:
        self.until(lambda: {each for each, _, _ in self.told.answers} >= set(numbers))
