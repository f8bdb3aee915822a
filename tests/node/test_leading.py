"""A primary that secondaries join: what its leader decides is carried out, and what it waits for is told."""

from __future__ import annotations

import socket
from array import array
from collections.abc import Iterator
from typing import Any

import gevent
import msgpack
import pytest
from gevent.server import StreamServer

from ckv.address import Address
from ckv.cluster.dealing import Plan
from ckv.cluster.gathering import PATIENCE
from ckv.cluster.map import Map, Node
from ckv.cluster.messages import BEAT, JOIN, Beat, FenceOff, Join, Sight
from ckv.cluster.moving import Move
from ckv.cluster.roster import CONFLICT
from ckv.cluster.slots import SLOTS
from ckv.node.leading import Leading
from ckv.node.problems import STUCK_SECONDS
from tests.net.conftest import World, until
from tests.node.callers import Told
from tests.node.routed import Rig


class Clock:
    """What a primary takes for the module ``time``."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_000.0


class Cluster(Rig):
    """A primary, two nodes that could join it, and a place where nobody listens."""

    def __init__(self, world: World, clock: Clock) -> None:
        super().__init__(world)
        self.leading = Leading(self.routing)
        self._clock = clock
        self.in_conflict = 0
        """Whether those who have joined say that they follow another map."""
        self._joined: dict[str, Join] = {}
        self.sights: tuple[Sight, ...] = ()
        """What is seen in the database, beside those who have joined."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.nowhere = Address(*unused.getsockname())

    def join(self, name: str, address: Address) -> None:
        said = self._joined[name] = Join(name, 1, 1, address.host, address.port, 100, "evict", "mysql:db", None)
        self._say(JOIN, said.pack())

    def wait(self, seconds: float) -> None:
        """So much time passes, in which those who have joined say that they live."""
        end = self._clock.now + seconds
        while self._clock.now < end:
            self._clock.now += 0.5
            beat = int(self._clock.now)
            sights = (*(Sight(name, 1, beat, active=True) for name in self._joined), *self.sights)
            for name in self._joined:
                figures = {CONFLICT: self.in_conflict}
                self._say(BEAT, Beat(name, 1, 1, self.routing.router.version, figures, sights).pack())
            self.leading.tick()
            gevent.sleep(0)

    def end(self, name: str) -> None:
        """The process of a node ends, and is not heard any more."""
        said = self._joined.pop(name)
        self.sights = (*self.sights, Sight(name, said.incarnation, 0, active=False))

    def until_connected(self) -> None:
        """Until there is a way to one of them."""
        until(lambda: any(peer.connected for peer in self.routing.peers.values()))

    def _say(self, method: str, params: list[object]) -> None:
        self.leading.handlers[method](Told(), 1, tuple(params))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    clock = Clock()
    monkeypatch.setattr("ckv.node.leading.time", clock)
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        cluster = Cluster(world, clock)
        yield cluster
        cluster.routing.close()


def owner_names(cluster: Cluster) -> set[str]:
    nodes = cluster.routing.router.map.nodes
    owners = {nodes[number] for number in set(cluster.routing.router.map.owners) if number < len(nodes)}
    return {node.name for node in owners if node is not None}


def test_slots_go_to_the_nodes_that_it_is_connected_to(cluster: Cluster) -> None:
    cluster.join("a", cluster.nodes[0].address)
    cluster.join("z", cluster.nowhere)
    cluster.wait(3.0)
    cluster.until_connected()
    cluster.wait(2.0)
    assert owner_names(cluster) == {"a"}
    assert [row[3] for row in cluster.leading.leader.table(5.0)] == ["up", "up, not connected"]


def test_what_it_waits_for_is_logged_once_and_shown(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.join("a", cluster.nodes[0].address)
    for beat in range(2 * int(PATIENCE)):
        cluster.sights = (Sight("b", 7, beat, active=True),)
        cluster.wait(1.0)
    assert str(cluster.leading.figures()["cluster_waits_for"]).startswith("b (incarnation 7), which writes ")
    assert caplog.text.count("this primary waits for b (incarnation 7), ") == 1
    cluster.sights = (Sight("b", 7, 99, active=False),)
    cluster.wait(1.0)
    assert cluster.leading.figures()["cluster_waits_for"] == "-"
    cluster.until_connected()
    cluster.wait(2.0)
    assert owner_names(cluster) == {"a"}


def test_who_comes_and_who_is_given_up_is_logged_and_shown(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ckv")
    cluster.join("a", cluster.nodes[0].address)
    cluster.wait(3.0)
    cluster.until_connected()
    cluster.wait(2.0)
    cluster.join("b", cluster.nodes[1].address)
    cluster.wait(1.0)
    assert f"b has joined, at {cluster.nodes[1].address}" in caplog.text
    assert cluster.leading.figures()["cluster_away"] == "-"
    cluster.end("b")
    cluster.wait(10.0)
    assert caplog.text.count("b is given up, as it gave no sign of life") == 1
    assert cluster.leading.figures()["cluster_away"] == "b"


def test_a_move_that_stands_still_is_shown_and_its_end_is_logged(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ckv")
    leader = cluster.leading.leader
    assert cluster.leading.figures()["cluster_move_seconds"] == 0
    world = Map((1, 1), [Node("a", 1, "h", 1, 100), Node("b", 1, "h", 2, 100)], array("H", [0]) * SLOTS)
    leader.move = Move.begin(1, Plan(0, 1, (7,)), world, 0.0)
    cluster.wait(2.0)
    shown = cluster.leading.figures()
    assert shown["cluster_move_seconds"] == 2.0
    assert shown["cluster_move"] == "the move of 1 slots from a to b: they are served meanwhile"
    cluster.wait(STUCK_SECONDS)
    assert caplog.text.count("the move of 1 slots from a to b has not got on for 5 s") == 1
    assert "no move of slots stands still" not in caplog.text
    leader.moved.call_off(leader.move, "a does not get on")
    leader.move = None
    cluster.wait(2.0)
    assert caplog.text.count("no move of slots stands still any more") == 1
    assert cluster.leading.figures()["cluster_move_seconds"] == 0
    assert (
        caplog.text.count("slots stay where they are: the move of 1 slots from a to b was called off: a does not") == 1
    )


def test_a_node_that_is_in_no_map_is_asked_to_fence_by_its_address(cluster: Cluster) -> None:
    asked: list[object] = []
    orders = FenceOff("b", 1, 5, 3)

    def serve(sock: Any, _address: object) -> None:
        unpacker = msgpack.Unpacker()
        while data := sock.recv(1 << 16):
            unpacker.feed(data)
            for _, number, method, params in unpacker:
                asked.append((method, params))
                sock.sendall(msgpack.packb([1, number, None, ["fenced", True] if method == "FENCE" else "PONG"]))

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    told: list[object] = []
    cluster.leading.leader.answered = lambda order, result, _now: told.append((order, result))  # type: ignore[assignment,method-assign]
    for port in (int(server.address[1]), cluster.nowhere.port):
        cluster.leading._ask(Node("a", 2, "127.0.0.1", port, 100), orders)
        until(lambda: told)
        assert told == [(orders, ("fenced", True) if port != cluster.nowhere.port else None)]
        told.clear()
    server.stop()
    assert ("FENCE", ["b", 1, 5, 3]) in asked


def test_who_follows_another_map_is_logged_once_each_time(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.join("a", cluster.nowhere)
    for times in (1, 2):
        cluster.in_conflict = 1
        cluster.wait(2.0)
        assert caplog.text.count("their files are of another map, so these serve nothing: a") == times
        cluster.in_conflict = 0
        cluster.wait(1.0)
