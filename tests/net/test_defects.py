"""What an error that nobody has thought of costs: the connections that it is about, and no other."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import gevent
import pytest

from ckv.net.connection import Connection
from ckv.net.inbox import Inbox
from ckv.net.transport import Transport
from ckv.protocol.batch import Batch
from ckv.protocol.calling import CallingSession
from ckv.protocol.handler import Cores, Outcome, RespLoop
from ckv.protocol.limits import BULKY_BYTES, Limits
from ckv.protocol.msgpackrpc import RpcMethods
from ckv.protocol.packing import new_packer
from ckv.protocol.quick import QuickSession
from ckv.protocol.resp.quick import QuickRespSession
from ckv.redis.table import for_node
from tests.net.calling import Asking, call, connected
from tests.net.conftest import Lines, World, echo, interpreted, until

PING = b"*1\r\n$4\r\nPING\r\n"
ECHO = new_packer().pack((0, 1, "ECHO", ("x",)))
ECHOED = new_packer().pack((1, 1, None, ["x"]))


class Clients:
    """Connections whose other ends send nothing: what arrives is put into the inbox."""

    def __init__(self, world: World, core: RespLoop) -> None:
        limits = Limits()
        resp = for_node(limits, keys_max=1000, next_turn=lambda do: do())({})
        self.inbox = Inbox(RpcMethods({"ECHO": echo}, limits), Cores(None, core, False), resp)
        self._world = world
        self._limits = limits
        self._theirs: list[socket.socket] = []
        self.reasons: dict[Connection, str] = {}
        """Why connections were closed."""

    def connect(self, data: bytes) -> Connection:
        """A new one, from which this has arrived."""
        ours, theirs = socket.socketpair()
        self._theirs.append(theirs)
        connection = Connection(
            self._world.poller, Transport(ours), "a client", self._limits, self.inbox, self.reasons.__setitem__
        )
        self.inbox.inbox.append((connection, data))
        return connection


class Failing:
    """Compiled code that asks Python for something, which raises."""

    requests = more_keys = 0

    def __init__(self, error: Exception) -> None:
        self._error = error

    def count_calls(self, counts: bool, /) -> None:
        """Nobody asks."""

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
        raise self._error


class Repeating:
    """Compiled code that answers what it was sent."""

    requests = more_keys = 0

    def count_calls(self, counts: bool, /) -> None:
        """Nobody asks."""

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
        return [data for _, data in inbox]


@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("a defect"), "unexpected error"), (MemoryError(), "out of memory")]
)
def test_those_whom_compiled_code_has_served_are_closed_and_all_others_served(
    world: World, log: Lines, error: Exception, reason: str
) -> None:
    clients = Clients(world, Failing(error))
    before, first, second, behind = (clients.connect(data) for data in (ECHO, PING, PING, ECHO))
    answered = clients.inbox.receive_all()
    assert answered == [(before, ECHOED), (behind, ECHOED)]
    assert clients.reasons == {first: reason, second: reason}
    assert len(log.having("unexpected error while serving 2 connections")) == 1


@interpreted
@pytest.mark.parametrize("name", ["with_kept", "go_on"])
def test_a_session_that_cannot_be_asked_costs_the_others_nothing(
    world: World, log: Lines, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leaving(Repeating):
        def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
            return [(data, len(data) - 1, 0) if number == 1 else data for number, (_, data) in enumerate(inbox)]

    clients = Clients(world, Leaving() if name == "go_on" else Repeating())
    connections = [clients.connect(PING + b"%d" % number) for number in range(3)]
    of_class = getattr(QuickRespSession, name)

    def but_one(session: QuickRespSession, *arguments: Any) -> Any:
        if session is connections[1].session:
            raise ValueError("a defect")
        return of_class(session, *arguments)

    monkeypatch.setattr(QuickRespSession, name, but_one)
    answered = clients.inbox.receive_all()
    assert answered == [(connections[0], PING + b"0"), (connections[2], PING + b"2")]
    assert clients.reasons == {connections[1]: "unexpected error"}
    assert len(log.having("unexpected error while serving a client")) == 1


@interpreted
def test_answers_that_cannot_be_passed_on_cost_the_connection_to_the_node(
    world: World, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = world.serve()
    peer = connected(world, address)
    caller = Asking()

    def failing(_data: bytes) -> bytes:
        raise ValueError("a defect")

    monkeypatch.setattr(peer.session, "received", failing)
    call(peer, caller, 1, "ECHO", "x")
    assert caller.error(1) == "NodeLost"
    assert log.having("unexpected error while serving")
    until(lambda: peer.connected, "the peer is connected again")
    call(peer, caller, 2, "ECHO", "y")
    assert caller.result(2) == ("y",)


@interpreted
def test_calls_for_which_there_is_no_memory_leave_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, address = world.serve()
    peer = connected(world, address)
    caller = Asking()
    for msgid in range(2):
        call(peer, caller, msgid, "ECHO", str(msgid))

    def failing(_message: tuple[object, ...]) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(peer.session, "_packed", failing)
        peer.takes_calls()
    assert [caller.result(msgid) for msgid in range(2)] == [("0",), ("1",)]


@interpreted
def test_requests_that_cannot_be_packed_cost_their_connection_and_no_other(
    world: World, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the calls to other nodes that leave in the same turn, nor what is read in the next ones."""
    _, address = world.serve()
    first, second = (connected(world, address) for _ in range(2))
    asker = world.ask(address)
    asker.send([0, 1, "ECHO", []])
    assert asker.answer() == [1, None, []]

    def failing() -> None:
        raise MemoryError

    callers = [Asking(), Asking()]
    with monkeypatch.context() as patched:
        patched.setattr(first.session, "pack_new", failing)
        for peer, caller in zip((first, second), callers, strict=True):
            call(peer, caller, 1, "ECHO", "x")
        world.poller.turn()
    assert callers[0].error(1) == "NodeLost"
    assert callers[1].result(1) == ("x",)
    assert log.having("unexpected error while serving")
    until(lambda: first.connected, "the peer is connected again")
    call(first, callers[0], 2, "ECHO", "y")
    assert callers[0].result(2) == ("y",)
    asker.send([0, 2, "ECHO", []])
    assert asker.answer() == [2, None, []]


@interpreted
def test_a_large_request_that_cannot_be_packed_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it waits for others to be read; and it holds its caller no more."""
    _, address = world.serve()
    peer = connected(world, address, limits=Limits(soft_unsent_bytes=2 * BULKY_BYTES))
    caller = Asking()
    large = "x" * (2 * BULKY_BYTES)
    count = 0
    while not caller.holds:
        count += 1
        call(peer, caller, count, "LATER", large)
    assert peer.session is not None
    pack_alone = CallingSession.pack_alone

    def failing(session: CallingSession, batch: Batch) -> int:
        if batch in caller.holds:
            raise MemoryError
        return pack_alone(session, batch)

    monkeypatch.setattr(CallingSession, "pack_alone", failing)
    assert caller.error(count) == "NodeDown"
    assert not caller.holds
    assert [caller.error(msgid) for msgid in range(1, count)] == ["NodeLost"] * (count - 1)


@interpreted
@pytest.mark.parametrize("waits", [False, True])
def test_answers_that_cannot_be_sent_cost_their_connection_and_no_other(
    world: World, log: Lines, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``waits``: they leave at the end of the turn, and not at once with those of other nodes."""
    _, address = world.serve()
    askers = [world.ask(address) for _ in range(2)]
    for asker in askers:
        asker.send(*([0, msgid, "LATER", []] for msgid in range(1 + waits)))
    until(lambda: world.later.has(2 + 2 * waits))
    sessions: list[Any] = [caller for caller, msgid, _ in world.later.asked if msgid == 0]

    take = QuickSession.take

    def failing(session: QuickSession) -> bytes:
        if session is sessions[0]:
            raise MemoryError
        return take(session)

    monkeypatch.setattr(QuickSession, "take", failing)
    for _ in range(2):
        world.later.answer(next(n for n, (_, msgid, _) in enumerate(world.later.asked) if msgid == 0))
    world.poller.answer()
    assert sessions[0].is_open == waits
    ours, others = (asker.answer() for asker in askers)
    assert sorted([ours, others]) == [[], [0, None, []]]
    assert len(log.having("unexpected error while serving")) == 1


def test_sockets_are_read_though_a_turn_has_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent stops the watcher of a file when what it calls raises."""
    _, address = world.serve()
    asker = world.ask(address)
    raised: list[object] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda _context, _kind, value, _trace: raised.append(value))
    defect = ValueError("a defect")

    def failing() -> None:
        world.poller.look = None
        raise defect

    world.poller.look = failing
    asker.send([0, 1, "ECHO", []])
    assert asker.answer() == [1, None, []]
    assert raised == [defect]
