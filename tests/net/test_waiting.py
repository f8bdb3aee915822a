"""Calls that wait for a node: at the start, after a loss, and while it is stopped and started again."""

from __future__ import annotations

import gevent
import pytest
from gevent import monkey

from ckv import errors
from ckv.address import Address
from ckv.net.peer import Peer
from ckv.net.server import Server
from ckv.net.waiting import WaitingCalls, WaitingRoom
from ckv.protocol.batch import Batch
from ckv.protocol.limits import BULKY_BYTES, MIB, WAITING_BYTES, WAITING_REQUESTS, Limits
from tests.net.calling import Asking, call, hello
from tests.net.conftest import Lines, World, until
from tests.support import fakenode
from tests.support.fakenode import FakeNode
from tests.support.ports import free_port

LONG = 15.0
"""Seconds that no test comes to wait."""

SHORT = 0.3
"""Seconds for those that do."""


class Waiting:
    """A world whose peers have callers that wait."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.port = free_port()
        self.kept: list[str] = []

    def peer(self, node_wait: float = LONG, room: WaitingRoom | None = None, port: int | None = None) -> Peer:
        address = Address("127.0.0.1", port or self.port)
        peer = Peer(self.world.poller, address, Limits(), 10.0, node_wait, room)
        self.world.also(peer)
        peer.start()
        return peer

    def serve(self) -> Server:
        """A node at the port that keeps what it is told in the order in which it came."""

        def keep(_caller: object, _msgid: int, params: tuple[object, ...]) -> object:
            self.kept.append(str(params[0])[:9])
            return True

        return self.world.serve(port=self.port, KEEP=keep)[0]


@pytest.fixture
def waiting(world: World) -> Waiting:
    return Waiting(world)


def test_calls_wait_from_the_start_and_leave_in_their_order(waiting: Waiting) -> None:
    peer = waiting.peer()
    caller = Asking()
    sizes = [1, 1, BULKY_BYTES + 1, 1, 2 * BULKY_BYTES, 1, 1]
    for msgid, size in enumerate(sizes):
        call(peer, caller, msgid, "KEEP", f"{msgid:<9}".ljust(size))
    assert peer.waiting == len(sizes)
    assert not caller.answers
    waiting.serve()
    until(lambda: len(caller.answers) == len(sizes))
    assert set(caller.answers.values()) == {(None, True)}
    assert [int(kept) for kept in waiting.kept] == list(range(len(sizes)))
    assert not peer.waiting
    assert not peer.in_flight


def test_calls_wait_after_a_loss_each_time(waiting: Waiting) -> None:
    peer = waiting.peer()
    caller = Asking()
    for msgid in range(3):
        server = waiting.serve()
        until(lambda: peer.connected and not peer.in_flight)
        server.close()
        until(lambda: not peer.connected)
        call(peer, caller, msgid, "KEEP", "x")
        assert peer.waiting == 1
    waiting.serve()
    until(lambda: len(caller.answers) == 3)
    assert set(caller.answers.values()) == {(None, True)}


def test_the_wait_has_an_end_and_whoever_comes_later_does_not_wait(waiting: Waiting) -> None:
    peer = waiting.peer(SHORT)
    caller = Asking()
    call(peer, caller, 1, "KEEP", "x")
    gevent.sleep(SHORT / 2)
    call(peer, caller, 2, "KEEP", "x")
    assert not caller.answers
    assert [caller.error(1), caller.error(2)] == ["NodeDown"] * 2
    for _ in range(2):
        with pytest.raises(errors.NodeDown):
            call(peer, caller, 3, "KEEP", "x")

    server = waiting.serve()
    until(lambda: peer.connected)
    assert not waiting.kept, "who was told that it was not sent must be right"
    server.close()
    until(lambda: not peer.connected)
    # The second time is as long as the first: a timer that was used before would end at once.
    call(peer, caller, 4, "KEEP", "x")
    for _ in range(5):
        gevent.sleep(0)
    assert peer.waiting == 1
    assert caller.error(4) == "NodeDown"


def test_no_wait(waiting: Waiting) -> None:
    peer = waiting.peer(0)
    with pytest.raises(errors.NodeDown):
        call(peer, Asking(), 1, "KEEP", "x")


@pytest.mark.parametrize(
    "room", [WaitingRoom(free_requests=10), WaitingRoom(free_memory=10_000)], ids=["requests", "bytes"]
)
def test_the_room_is_bounded_and_shared(waiting: Waiting, room: WaitingRoom) -> None:
    first, second = waiting.peer(room=room), waiting.peer(room=room, port=free_port())
    free = (room.free_requests, room.free_memory)
    caller = Asking()
    count = 0

    def fill() -> None:
        nonlocal count
        for _ in range(100):
            call((first, second)[count % 2], caller, count, "KEEP", "x" * 500)
            count += 1

    for _ in range(2):
        with pytest.raises(errors.NodeDown):
            fill()
    assert 5 < count <= 10
    second.close()
    assert [caller.error(msgid) for msgid in range(1, count, 2)] == ["NodeDown"] * (count // 2)
    assert first.waiting == count - count // 2
    call(first, caller, 1000, "KEEP", "x")  # There is room again.
    waiting.serve()
    until(lambda: len(caller.answers) == count + 1)
    assert not first.waiting
    assert (room.free_requests, room.free_memory) == free


def test_the_memory_that_is_counted_is_what_is_taken() -> None:
    for value in ("x" * 1000, "\U0001f600" * 1000, b"x" * 1000):
        room = WaitingRoom()
        calls = WaitingCalls(room)
        assert calls.add(Batch(["PUT", ("key", value)], [(Asking(), 1)]))
        taken = WAITING_BYTES - room.free_memory
        width = 4 if value[:1] == "\U0001f600" else 1
        assert width * 1000 < taken < width * 1000 + 1000
        assert room.free_requests == WAITING_REQUESTS - 1
    calls = WaitingCalls(WaitingRoom(free_memory=MIB))
    assert not calls.add(Batch(["PUT", ("key", "x" * MIB)], [(Asking(), 1)]))


def test_a_client_that_has_gone_meanwhile(waiting: Waiting) -> None:
    """Nobody would hear of the answer, and what it asked for may have been asked again elsewhere."""
    peer = waiting.peer()
    gone, caller = Asking(), Asking()
    call(peer, gone, 1, "KEEP", "gone")
    call(peer, caller, 1, "KEEP", "here")
    gone.is_open = False
    waiting.serve()
    assert caller.result(1) is True
    assert waiting.kept == ["here"]
    assert gone.settled == 1


def test_a_peer_that_is_closed_tells_whoever_waits(waiting: Waiting, log: Lines) -> None:
    peer = waiting.peer()
    caller = Asking()
    call(peer, caller, 1, "KEEP", "x")
    peer.close()
    assert caller.error(1) == "NodeDown"
    with pytest.raises(errors.NodeDown):
        call(peer, caller, 2, "KEEP", "x")


def test_an_end_of_our_own_is_not_logged_as_a_loss(waiting: Waiting, log: Lines) -> None:
    waiting.serve()
    peer = waiting.peer()
    until(lambda: peer.connected)
    peer.close()
    assert not [line for line in log.lines if line.startswith(("WARNING", "ERROR")) and "reached" not in line]


# --- a node that is stopping -----------------------------------------------------------------------------------------


def test_calls_of_a_node_that_is_restarted_are_made_again_in_their_order(waiting: Waiting, log: Lines) -> None:
    first = waiting.serve()
    peer = waiting.peer()
    until(lambda: peer.connected)
    first.drain(errors.Draining("bye"), ["PING"])
    caller = Asking()
    for msgid in range(10):
        # Alone in their turn, several in one, and after the first was refused.
        call(peer, caller, msgid, "KEEP", f"{msgid}")
        if msgid in (0, 3):
            until(lambda: peer.waiting)
    until(lambda: peer.waiting == 10)
    assert not peer.connected
    assert len(log.having("is stopping")) == 1
    first.close()
    waiting.serve()
    until(lambda: len(caller.answers) == 10)
    assert set(caller.answers.values()) == {(None, True)}
    assert waiting.kept == [f"{msgid}" for msgid in range(10)]


def test_several_are_refused_before_the_first_word_of_it(waiting: Waiting) -> None:
    """They are in flight together, alone and in a BATCH, and another one comes when only the first of them is back."""
    first_is_back = monkey.get_original("threading", "Event")()
    kept: list[object] = []

    def stopping(connection: fakenode.Connection) -> None:
        hello(connection)
        numbers = [connection.request()[1] for _ in range(3)]
        for msgid in numbers:
            connection.respond(msgid, None, "Draining: bye")
            first_is_back.wait()

    def started(connection: fakenode.Connection) -> None:
        hello(connection)
        while len(kept) < 5:
            _, msgid, method, params = connection.request()
            kept.extend(inner[0] for inner in (params[1::2] if method == "BATCH" else [params]))
            connection.respond(msgid, [True] * (len(params) // 2) if method == "BATCH" else True)
        connection.wait_closed()

    with FakeNode(stopping, started) as node:
        peer = waiting.peer(port=node.port)
        until(lambda: peer.connected)
        caller = Asking()
        for msgids in ([0], [1, 2], [3]):
            for msgid in msgids:
                call(peer, caller, msgid, "KEEP", f"{msgid}")
            peer.flush()
        until(lambda: not peer.connected)
        call(peer, caller, 4, "KEEP", "4")
        assert peer.waiting == 2
        first_is_back.set()
        until(lambda: len(caller.answers) == 5)
    assert set(caller.answers.values()) == {(None, True)}
    assert kept == ["0", "1", "2", "3", "4"]


def test_a_node_that_takes_too_long_to_stop(waiting: Waiting) -> None:
    server = waiting.serve()
    peer = waiting.peer(SHORT)
    until(lambda: peer.connected)
    server.drain(errors.Draining("bye"), ["PING"])
    caller = Asking()
    call(peer, caller, 1, "KEEP", "x")
    assert caller.error(1) == "Draining"
    with pytest.raises(errors.Draining):
        call(peer, caller, 2, "KEEP", "x")
    server.close()
    until(lambda: peer.waiting == 0 and not peer.connected)
    # When it is gone it may be back in a moment.
    until(lambda: not server.connections)
    waiting.serve()
    until(lambda: peer.connected)


def test_large_calls_are_not_kept_for_a_node_that_stops(waiting: Waiting) -> None:
    server = waiting.serve()
    peer = waiting.peer()
    until(lambda: peer.connected)
    server.drain(errors.Draining("bye"), ["PING"])
    caller = Asking()
    call(peer, caller, 1, "KEEP", "x" * (BULKY_BYTES + 1))
    assert caller.error(1) == "Draining"
    call(peer, caller, 2, "KEEP", "x" * (BULKY_BYTES + 1))
    assert peer.waiting == 1


def test_no_room_for_what_a_node_that_stops_has_refused() -> None:
    calls = WaitingCalls(WaitingRoom(free_requests=2))
    batch = Batch(["PUT", ("a", "1"), "PUT", ("b", "2")], [(Asking(), 1), (Asking(), 2)])
    assert calls.add(batch, bounced=True)
    assert not calls.add(batch, bounced=True)
    assert calls.take() == [batch]
    new, refused = Batch(["PUT", ("c", "3")], [(Asking(), 3)]), Batch(["PUT", ("d", "4")], [(Asking(), 4)])
    assert calls.add(new)
    assert calls.add(refused, bounced=True)
    assert calls.take() == [refused, new]
