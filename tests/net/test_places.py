"""Fewer places than connections, while a server runs: who has to go, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from ckv.protocol.limits import Limits
from tests.net.conftest import Asker, Lines, World, until


class Full:
    """A server with six places: another node has the first, and five clients have the others."""

    def __init__(self, world: World) -> None:
        self.limits = Limits(max_connections=6)
        self.server, address = world.serve(self.limits)
        self.connect: Callable[[], Asker] = lambda: world.ask(address)
        self.node = self.connect()
        assert ask(self.node, "HELLO")
        self.clients = [self.connect() for _ in range(5)]
        assert all(ask(client, "ECHO") for client in self.clients)

    def lower(self, places: int, ticks: int = 2) -> None:
        self.limits.max_connections = places
        for _ in range(ticks):
            self.server._tick()


@pytest.fixture
def full(world: World) -> Full:
    return Full(world)


def ask(asker: Asker, method: str) -> bool:
    """Whether it is answered."""
    asker.send([0, 1, method, []])
    answer = asker.answer()
    return bool(answer) and answer[1] is None


def wait_for_answers(world: World, *askers: Asker) -> None:
    """Has each of them wait for the answer to a request."""
    for number, asker in enumerate(askers):
        asker.send([0, number, "LATER", []])
        until(partial(world.later.has, number + 1))


def test_no_node_and_no_guest_goes_when_there_are_fewer_places(world: World, full: Full, log: Lines) -> None:
    """A primary stands for clients without number, and has connected before all others."""
    wait_for_answers(world, full.node)
    guest = full.connect()
    assert ask(guest, "PING")
    full.lower(3)
    assert full.server.connections == 3 + 1
    assert len(log.having("3 connections closed: only 3 clients are served at a time now")) == 1
    world.later.answer()
    assert full.node.answer() == [0, None, []]
    assert ask(full.node, "ECHO")
    assert ask(guest, "PING")


def test_nodes_stay_though_they_alone_are_too_many(full: Full, log: Lines) -> None:
    nodes = [full.node, *full.clients[:2]]
    assert all(ask(node, "HELLO") for node in nodes)
    full.lower(1)
    assert full.server.connections == 3
    assert all(ask(node, "ECHO") for node in nodes)
    assert len(log.having("connections closed")) == 1


def test_whoever_waits_for_no_answer_goes_first(world: World, full: Full) -> None:
    waiting, idle = full.clients[:2], full.clients[2:]
    wait_for_answers(world, *waiting)
    full.lower(3)
    assert [client.answer() for client in idle] == [[]] * 3
    world.later.answer()
    world.later.answer()
    assert [client.answer() for client in waiting] == [[0, None, []], [1, None, []]]
    assert all(ask(client, "ECHO") for client in waiting)


def test_whoever_waits_gets_the_answer_before_it_goes(world: World, full: Full, log: Lines) -> None:
    wait_for_answers(world, *full.clients)
    full.lower(5)
    assert full.server.connections == 6
    while world.later.asked:
        world.later.answer()
    answers = [client.answer() for client in full.clients]
    assert answers == [[number, None, []] for number in range(5)]
    until(lambda: full.server.connections == 5)
    assert [ask(client, "ECHO") for client in full.clients].count(True) == 4
    assert len(log.having("1 connections closed")) == 1


def test_who_gets_no_answer_goes_without(world: World, full: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.net.places.GRACE", 0.0)
    wait_for_answers(world, *full.clients)
    full.lower(5, ticks=1)
    assert full.server.connections == 6
    full.server._tick()
    assert full.server.connections == 5


def test_the_lowest_files_go_when_fewer_may_be_open(full: Full, log: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file gets the lowest number that is free, which has to be below the limit: it does not matter whose."""
    kept = full.server._places._files + 4
    monkeypatch.setattr("ckv.net.places.file_limit", lambda wanted: kept + 2)
    full.server._tick()
    assert full.server.connections == 2
    assert full.node.answer() == []
    assert log.having("4 connections closed: only 2 clients are served at a time now")
    assert [ask(client, "ECHO") for client in full.clients[-2:]] == [True, True]


def test_more_places_than_files_allow_are_told_each_time_there_are_others(
    full: Full, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = full.server._places._files + 4
    monkeypatch.setattr("ckv.net.places.file_limit", lambda wanted: kept + 8)
    for places, lines in ((7, 0), (100, 1), (100, 1), (200, 2), (8, 2)):
        full.lower(places)
        assert len(log.having("only 8 clients are served at a time, and not --max-connections=")) == lines
    assert full.server.connections == 6
