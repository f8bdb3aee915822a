"""A secondary of a registered cluster takes maps and hands slots over: what it serves meanwhile, and what it keeps."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from ckv import core
from ckv.address import Address
from ckv.cluster.identity import Identity
from ckv.cluster.map import NOBODY, Map, Node, Version, pack_slots
from ckv.cluster.member import Member
from ckv.cluster.messages import Join, Joined
from ckv.cluster.slots import SLOTS, slot_of
from ckv.net.server import Server
from ckv.node.copying import Copying
from ckv.node.guard import Guard
from ckv.node.handlers import pong
from ckv.node.moves import Moves
from ckv.node.secondary import record_handlers, serve_loops
from ckv.node.warming import Warming
from ckv.protocol.greeting import HELLO
from ckv.protocol.handler import NO_CORES, Handler
from ckv.protocol.limits import Limits
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from ckv.values import Value
from tests.net.conftest import World, until

LIMITS = Limits()
WARM_RATE = 1 << 30
"""Bytes a second: nobody waits for it."""
FIRST, SECOND, THIRD = (1, 1), (1, 2), (1, 3)

needs_core = pytest.mark.skipif(not core.COMPILED, reason="without the compiled modules")


class Rig:
    """A node over real sockets, with a persistent tier in a dict."""

    def __init__(
        self,
        world: World,
        *,
        has_core: bool = False,
        name: str = "me",
        capacity: int = 100_000,
        in_memory: bool = False,
    ) -> None:
        """``in_memory``: without the persistent tier."""
        self.member = Member(Identity(name, 1, "127.0.0.1", 1, tier="" if in_memory else "db", incarnation=1))
        self.tier: dict[str, Value] = {}
        self.takes = True
        """Whether the persistent tier takes rows."""
        environment = Environment(clock=time.monotonic, load_timeout=5.0, pending_wait=1.0, linger=0.0)
        memory = POLICIES["lru"](capacity)
        self.guard = Guard(self.member, time.monotonic)
        self.said: list[Any] = []
        self.store: Any
        if in_memory:
            self.store = MemoryStore(memory)
            copying = Copying(self.member, self.store, LIMITS, 0)
            self.moves = Moves(self.member, self.store, self.guard, self.said.append, copying)
        else:
            self.store = MODES["evict"](memory, Pending(100_000, 1 << 40), environment)
            self.warming = Warming(self.member, self.guard, self.store, LIMITS, WARM_RATE)
            self.moves = Moves(self.member, self.store, self.guard, self.said.append, self.warming)
        table = {**record_handlers(self.store, LIMITS.max_value_bytes), "PING": pong}
        cores = serve_loops(self.store, LIMITS.max_value_bytes) if has_core else NO_CORES
        self.server = Server(world.poller, table, LIMITS, 0, cores, self.handlers, None, self.guard.guarded)
        world.also(self.server)
        self.address = self.server.listen(Address("127.0.0.1", 0))
        self.guard.opens(self.server, world.poller)
        self.primary = world.ask(self.address)
        self._worker = gevent.spawn(self._work if not in_memory else lambda: None)

    @property
    def handlers(self) -> dict[str, Handler]:
        return {**self.moves.handlers, HELLO: lambda *_: ["BATCH"]}

    def close(self) -> None:
        self._worker.kill()
        self.moves.end()

    def _work(self) -> None:
        """What the workers of a node do."""
        store = self.store
        while True:
            if (query := store.load_begin()) is not None:
                store.load_end(query, {load.key: self.tier[load.key] for load in query.loads if load.key in self.tier})
            if self.takes and (batch := store.flush_begin()):
                for write in batch:
                    if write.value is None:
                        self.tier.pop(write.key, None)
                    else:
                        self.tier[write.key] = write.value
                store.flush_end(batch)
            store.admit()
            gevent.sleep(0.0005)

    def join(self, world: Map) -> None:
        """A primary has taken it in."""
        self.member.tick(0.0)
        self.moves.carry_out()
        (join,) = self.said
        assert isinstance(join, Join)
        self.member.answered(join, Joined(1, 0.0, world), 0.0, 0.0)
        self.moves.carry_out()

    def settle(self) -> None:
        """Until it has dropped what it was to drop."""
        until(lambda: self.member.is_settled, "the copies are dropped")

    def tell(self, *messages: tuple[str, list[Any]]) -> dict[int, tuple[Any, Any]]:
        """Sends requests in one piece, with the numbers 100, 200 and so on; what was answered under each number, also
        to what a BATCH has left for later."""
        self.primary.send(*([0, 100 * place, *message] for place, message in enumerate(messages, 1)))
        answers: dict[int, tuple[Any, Any]] = {}
        missing = {100 * place for place in range(1, len(messages) + 1)}
        while missing:
            number, error, result = self.primary.answer()
            answers[number] = (error, result)
            if messages[number // 100 - 1][0] == "BATCH" and number % 100 == 0:
                missing |= {number + place for place, each in enumerate(result, 1) if each is None}
            missing -= answers.keys()
        return answers


def by(version: Version, *others: str, nobody: bool = False) -> Map:
    """The map in which all slots are this node's, but those of the keys of others; or nobody's."""
    owners = array("H", [NOBODY if nobody else 0]) * SLOTS
    for key in others:
        owners[slot_of(key)] = 1
    return Map(version, [Node("me", 1, "127.0.0.1", 1, 100), Node("other", 1, "127.0.0.1", 2, 100)], owners)


def pushed(*args: Any, **kwargs: Any) -> tuple[str, list[Any]]:
    """The message with such a map."""
    return ("MAP", [by(*args, **kwargs).pack()])


def declared(version: Version) -> tuple[str, list[Any]]:
    return ("EPOCH", [list(version)])


def prepare(*keys: str, version: Version = FIRST) -> tuple[str, list[Any]]:
    return ("PREPARE", [7, list(version), pack_slots([slot_of(key) for key in keys]), "other"])


def freeze(version: Version = FIRST) -> tuple[str, list[Any]]:
    return ("FREEZE", [7, list(version)])


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        yield world


@pytest.fixture(params=[False, pytest.param(True, marks=needs_core)], ids=["sessions", "core"])
def rig(world: World, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """With and without compiled code that answers first."""
    rig = Rig(world, has_core=request.param)
    yield rig
    rig.close()


# --- what there was before the node joined --------------------------------------------------------------------------


def test_what_was_written_before_it_joined_is_saved_whatever_maps_come_meanwhile(rig: Rig) -> None:
    early = {f"early:{number}": f"{number}" for number in range(3000)}
    for key, value in early.items():
        rig.store.put(key, value)
    rig.takes = False
    rig.join(by(FIRST, nobody=True))
    until(lambda: rig.store.move)
    rig.tell(pushed(SECOND))
    until(lambda: len(rig.moves._forgetters) == 1, "no more is dropped")
    assert not any(rig.member.serves)
    rig.tell(pushed(THIRD, "other"))
    for keys in (("early:1",), ()):
        assert rig.tell(prepare(*keys, version=THIRD))[100][0].startswith("Refused: ")
    rig.takes = True
    rig.settle()
    assert rig.tier == early
    # From here on it serves its own, and drops nothing of it.
    assert rig.tell(declared(THIRD), ("PUT", ["early:1", "late"]))[200] == (None, True)
    assert rig.tell(("GET", ["early:1"]), ("GET", ["early:2"])) == {
        100: (None, [True, "late"]),
        200: (None, [True, "2"]),
    }
    assert not rig.moves._forgetters


def test_a_node_that_has_not_joined_takes_no_map(rig: Rig) -> None:
    """One of a list would drop what it serves."""
    rig.store.put("k", "v")
    for static in (False, True):
        rig.member.static = static
        assert rig.tell(pushed(FIRST, "k"))[100][0].startswith("Refused: ")
    assert rig.member.version == (0, 0)
    assert rig.tell(("GET", ["k"])) == {100: (None, [True, "v"])}


@pytest.mark.parametrize("is_batch", [False, True])
def test_whoever_means_another_node_is_served_nothing(world: World, rig: Rig, is_batch: bool) -> None:
    """One that listened at this address, and has slots by that map."""
    rig.join(by(FIRST))
    rig.settle()
    rig.tell(pushed(SECOND, "theirs"))
    rig.settle()
    stranger = world.ask(rig.address)
    behind: list[Any] = [["PUT", ["theirs", "v"]], ["GET", ["theirs"]]]
    requests = [["BATCH", [part for request in behind for part in request]]] if is_batch else behind
    told = [["MAP", [by(SECOND, "theirs").pack(), "other"]], ["EPOCH", [list(SECOND)]], *requests]
    stranger.send(*([0, number, *each] for number, each in enumerate(told)))
    number, error, _ = stranger.answer()
    assert (number, error) == (0, "WrongNode: this is me")
    assert stranger.answer() == []
    assert rig.store.memory.peek("theirs") is None
    assert rig.tell(("MAP", [by(SECOND, "theirs").pack(), "me"]))[100] == (None, list(SECOND))


# --- what stands behind a map ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_batch", [False, True])
def test_what_stands_behind_a_map_in_one_read_is_looked_at(rig: Rig, as_batch: bool) -> None:
    """The slot was another node's for a moment, and the copy of then is not dropped yet."""
    rig.join(by(FIRST))
    rig.settle()
    assert rig.tell(declared(FIRST), ("PUT", ["k", "old"]))[200] == (None, True)
    rig.tier["k"] = "theirs"
    behind: list[tuple[str, list[Any]]] = [("GET", ["k"]), ("PUT", ["k", "new"])]
    if as_batch:
        behind = [("BATCH", [part for request in behind for part in request])]
    answers = rig.tell(pushed(SECOND, "k"), pushed(THIRD), declared(THIRD), *behind)
    found, stored = (401, 402) if as_batch else (400, 500)
    assert answers[found] == (None, [True, "theirs"])
    assert answers[stored] == (None, True)
    rig.settle()
    assert rig.tell(("GET", ["k"])) == {100: (None, [True, "new"])}


def test_what_stands_behind_a_map_by_which_it_is_another_ones_is_turned_away(rig: Rig) -> None:
    rig.join(by(FIRST))
    rig.settle()
    rig.tell(declared(FIRST), ("PUT", ["k", "old"]))
    answers = rig.tell(pushed(SECOND, "k"), ("PUT", ["k", "new"]), ("PUT", ["l", "new"]))
    assert answers[200][0].startswith("NotOwner: 1.2 ")
    assert answers[300] == (None, True)


def test_what_stands_behind_a_freeze_is_turned_away(rig: Rig) -> None:
    rig.join(by(FIRST))
    rig.settle()
    rig.tell(declared(FIRST), ("PUT", ["k", "old"]))
    assert rig.tell(prepare("k"))[100][1][0] == "prepared"
    answers = rig.tell(freeze(), ("PUT", ["k", "new"]), ("GET", ["l"]))
    assert answers[100][1][0] == "released"
    assert answers[200][0].startswith("NotOwner: 1.1 ")
    assert answers[300] == (None, [False, ""])
    assert rig.tier["k"] == "old"


# --- who is answered ------------------------------------------------------------------------------------------------


def test_what_is_asked_again_is_answered_each_time(rig: Rig) -> None:
    rig.join(by(FIRST))
    rig.settle()
    rig.tell(declared(FIRST), ("PUT", ["k", "v"]))
    rig.takes = False
    rig.primary.send([0, 1, *prepare("k")])
    until(lambda: rig.store.move)
    rig.primary.send([0, 2, *prepare("k")])
    number, error, _ = rig.primary.answer()
    assert (number, error[:8]) == (1, "Refused:")
    rig.takes = True
    number, error, result = rig.primary.answer()
    assert (number, error, result[0]) == (2, None, "prepared")
    rig.takes = False
    rig.tell(("PUT", ["k", "w"]))
    rig.primary.send([0, 3, *freeze()], [0, 4, *freeze()])
    number, error, _ = rig.primary.answer()
    assert (number, error[:8]) == (3, "Refused:")
    rig.takes = True
    number, error, result = rig.primary.answer()
    assert (number, error, result[0]) == (4, None, "released")
    assert not rig.server.in_flight
