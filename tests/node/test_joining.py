"""A secondary's part in a cluster, where its name is not known yet."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import gevent
import msgpack
import pytest
from gevent.server import StreamServer

from ckv.address import Address
from ckv.cluster.duties import Tell
from ckv.cluster.map import NOBODY, Map
from ckv.cluster.messages import Again, Elsewhere, Static
from ckv.cluster.slots import SLOTS
from ckv.node import guard
from ckv.node.joining import TICK, Joining
from ckv.protocol.limits import Limits
from tests.net.conftest import until
from tests.node.callers import Told


@pytest.fixture
def joining() -> Joining:
    """That of a node whose database is away, so that it has not got its name."""
    settings: Any = SimpleNamespace(
        bind="127.0.0.1",
        drain_timeout=1.0,
        write_mode="evict",
        primaries=(Address("127.0.0.1", 1),),
        warm_rate=0,
        name="n",
    )
    nameless: Any = SimpleNamespace(name="n", incarnation=0)
    store: Any = cast(Any, SimpleNamespace(move=None))
    return Joining(gevent.get_hub().loop, settings, Limits(), store, nameless, "the tier")


@pytest.mark.parametrize(("others", "gives_up"), [((), 3.0), ((Address("127.0.0.1", 3),), 8.0)])
def test_a_node_that_leaves_waits_for_an_election_where_there_are_several_primaries(
    joining: Joining, monkeypatch: pytest.MonkeyPatch, others: tuple[Address, ...], gives_up: float
) -> None:
    began = now = time.monotonic() + 100
    joining.drain_timeout = 120.0
    joining.member.joined = True
    joining.member.primaries = others
    monkeypatch.setattr("ckv.node.joining.time", SimpleNamespace(monotonic=lambda: now))

    def wait(condition: Callable[[], bool]) -> bool:
        nonlocal now
        while not condition():
            now += 0.1
        return True

    joining.leave(wait)
    assert now - began == pytest.approx(gives_up, abs=0.2)


def test_a_node_that_leaves_waits_for_what_becomes_of_its_question(joining: Joining) -> None:
    joining.drain_timeout = 120.0
    joining.member.tick(0.0)
    (tell,) = joining.member.take()
    assert isinstance(tell, Tell)
    waited: list[bool] = []

    def wait(condition: Callable[[], bool]) -> bool:
        waited.append(condition())
        joining.member.answered(tell.message, Again(), 0.0, 0.1)
        waited.append(condition())
        return True

    joining.leave(wait)
    assert waited[:2] == [False, True]
    waited.clear()
    joining.leave(wait)  # there is none under way
    assert not waited


def test_a_node_that_leaves_goes_when_all_who_route_here_have_the_map(joining: Joining) -> None:
    joining.drain_timeout = 120.0
    told = Told()
    joining.guard.epoch(told, 1, ((1, 1),))
    member = joining.member
    member.joined = True
    waited: list[bool] = []

    def wait(condition: Callable[[], bool]) -> bool:
        if waited:  # the map arrives a moment after the word that it can go
            member._owned, member.map = frozenset(), Map((1, 2), [], array("H", [NOBODY]) * SLOTS)
        waited.append(condition())
        member._let_go = True
        return True

    for version in (1, 1), (1, 2):
        waited.clear()
        joining.guard.epoch(told, 1, (version,))
        member._owned, member._let_go = frozenset({1}), False
        joining.leave(wait)
        # It can go, has the map, has told all, and its map is known.
        assert waited == [False, True, True, version == (1, 2)]


def test_whoever_routes_by_a_later_map_does_not_wait_for_ever(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PATIENCE", 0.01)
    told = Told()
    joining.guard.epoch(told, 1, ((1, 2),))
    assert told.held
    joining.begin(Address("127.0.0.1", 2))
    try:
        until(lambda: told.answers)
    finally:
        joining.end()
    ((number, error, _),) = told.answers
    assert (number, str(error)[:8]) == (1, "Moving: ")
    assert not told.held


class Primary:
    """Answers whatever comes with one answer."""

    def __init__(self, answer: list[object]) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.address = Address("127.0.0.1", int(self._server.address[1]))

    def _serve(self, sock: Any, _address: object) -> None:
        unpacker = msgpack.Unpacker()
        while data := sock.recv(1 << 16):
            unpacker.feed(data)
            for request in unpacker:
                self.asked.append(request[2])
                sock.sendall(msgpack.packb([1, request[1], None, self._answer]))

    def stop(self) -> None:
        self._server.stop()


@pytest.mark.parametrize(
    ("answer", "is_placed"),
    [(Again(), False), (Elsewhere("127.0.0.1", 1), False), (Static(), True)],
    ids=["of a cluster", "one that does not lead", "with a list"],
)
def test_a_node_that_cannot_join_asks_whether_there_is_a_cluster(
    joining: Joining, answer: Again | Elsewhere | Static, is_placed: bool
) -> None:
    primary = Primary(answer.pack())
    joining._membership._primaries = (primary.address,)
    joining._names_itself = lambda: False  # type: ignore[method-assign]
    placed: list[bool] = []
    joining.when_placed = lambda: placed.append(True)
    joining.begin(Address("127.0.0.1", 2))
    try:
        until(lambda: joining.has_heard)
        gevent.sleep(2 * TICK)  # one more look at what is due
        assert bool(placed) == is_placed
        assert [method for method in primary.asked if method in ("JOIN", "BEAT")] == ["BEAT"]
    finally:
        joining.end()
        primary.stop()


def test_a_node_that_cannot_join_is_on_its_own_where_no_primary_is(joining: Joining) -> None:
    joining._names_itself = lambda: False  # type: ignore[method-assign]
    placed: list[bool] = []
    joining.when_placed = lambda: placed.append(True)
    joining.begin(Address("127.0.0.1", 2))
    try:
        until(lambda: placed)
    finally:
        joining.end()
