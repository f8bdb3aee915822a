"""What the tests of a Peer call it with."""

from __future__ import annotations

from ckv import errors
from ckv.address import Address
from ckv.net.peer import Peer
from ckv.protocol.handler import Caller
from ckv.protocol.limits import Limits
from ckv.protocol.messages import is_bulky
from tests.net.conftest import World, until
from tests.support import fakenode
from tests.support.fakenode import FakeNode


class Asking:
    """A caller that notes what it is told."""

    def __init__(self) -> None:
        self.answers: dict[int, tuple[object, object]] = {}
        self.settled = 0
        self.holds: set[object] = set()
        self.held = 0
        self.is_open = True

    def respond(self, msgid: int, error: object, result: object) -> None:
        assert msgid not in self.answers, "answered twice"
        self.answers[msgid] = (error, result)

    def has(self, count: int) -> bool:
        """Whether it was told so many answers."""
        return len(self.answers) == count

    def settle(self) -> None:
        self.settled += 1

    def hold(self, reason: object) -> None:
        self.holds.add(reason)
        self.held += 1

    def release(self, reason: object) -> None:
        self.holds.discard(reason)

    def error(self, msgid: int) -> str:
        """The code of the error that it was told."""
        until(lambda: msgid in self.answers, f"an answer to {msgid}")
        error, result = self.answers[msgid]
        assert result is None
        return type(errors.from_wire(error)).__name__

    def result(self, msgid: int) -> object:
        until(lambda: msgid in self.answers, f"an answer to {msgid}")
        error, result = self.answers[msgid]
        assert error is None
        return result


def call(peer: Peer, caller: Caller, msgid: int, method: str = "ECHO", *params: object) -> None:
    peer.call(method, params, caller, msgid, large=is_bulky(params))


def connected(world: World, address: Address, call_timeout: float = 10.0, limits: Limits | None = None) -> Peer:
    peer = world.peer(address, call_timeout, limits)
    until(lambda: peer.connected, "the peer is connected")
    return peer


def node_at(node: FakeNode) -> Address:
    return Address("127.0.0.1", node.port)


def hello(connection: fakenode.Connection) -> None:
    """Answers the greeting, as a node does that knows everything."""
    _, msgid, method, _ = connection.request()
    assert method == "PING"
    connection.respond(msgid, "PONG")
    _, msgid, method, _ = connection.request()
    assert method == "HELLO"
    connection.respond(msgid, ["9.9.9", ["BATCH", "a feature that comes later"]])
    _, msgid, method, _ = connection.request()
    assert method == "BATCH"
    connection.respond(msgid, [])
