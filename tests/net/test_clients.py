"""Who asks a server most: what is counted when, and who comes first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ckv.errors import BadArguments
from ckv.net.clients import MAX_ROWS, UNASKED, Clients, Totals
from ckv.protocol.handler import Cores
from ckv.protocol.limits import Limits
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.protocol.session import Session
from tests.net.conftest import World, until
from tests.support.line import Nowhere


@dataclass(eq=False)
class Client:
    """A connection, as it is looked at."""

    peer: str
    session: Session | None = field(default_factory=lambda: RpcSession(Nowhere(), RpcMethods({}, Limits())))
    since: float = 0.0
    in_flight: int = 0
    carried: tuple[int, int] = (0, 0)

    def asks(self, calls: int, came: int, went: int) -> None:
        assert self.session is not None
        self.session.calls += calls
        self.carried = (self.carried[0] + came, self.carried[1] + went)


class Core:
    """Compiled code."""

    requests = more_keys = 0

    def __init__(self) -> None:
        self.counts = False

    def count_calls(self, counts: bool, /) -> None:
        self.counts = counts

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> list[bytes]:
        return []

    def arrived(self, arriving: object, /) -> None:
        """Nothing does."""


class Rig:
    """Clients at a time that a test sets."""

    def __init__(self, *clients: Client) -> None:
        self.now = 100.0
        self.accepted = self.requests = 0
        self.open = set(clients)
        self.nodes: set[Client] = set()
        self._cores = (Core(), Core())
        self.clients = Clients(
            *(self.open, self.nodes, Cores(*self._cores)),
            lambda: Totals(self.accepted, self.requests),
            lambda session: "boss" if session.calls else "",
            lambda: self.now,
        )

    @property
    def counts(self) -> list[bool]:
        """Whether compiled code counts."""
        return [core.counts for core in self._cores]

    def told(self, count: int = MAX_ROWS) -> Any:
        return self.clients.told(count)


def test_nothing_is_counted_until_somebody_asks_and_some_time_after() -> None:
    rig = Rig()
    rig.clients.tick()
    assert rig.counts == [False, False]
    rig.told()
    assert rig.counts == [True, True]
    rig.now += UNASKED
    rig.clients.tick()
    assert rig.counts == [True, True]
    rig.now += 0.1
    rig.clients.tick()
    assert rig.counts == [False, False]


def test_the_first_answer_is_about_no_time() -> None:
    client = Client("a:1", since=70.0, in_flight=3)
    client.asks(10, 20, 30)
    assert Rig(client).told() == [0.0, [1, 0, 0, 0, 0], [["a:1", "boss", "msgpack-RPC", 30.0, 3, 0, 0, 0]]]


def test_what_is_told_is_of_the_last_one_or_two_seconds() -> None:
    client = Client("a:1")
    rig = Rig(client)
    rig.told()
    for second in range(1, 4):
        rig.now += 1
        client.asks(second, 10 * second, 100 * second)
        rig.requests += second
        rig.clients.tick()
    seconds, totals, ((*_, calls, came, went),) = rig.told()
    assert (seconds, calls, came, went) == (1.0, 3, 30, 300)
    assert totals == [1, 0, 3, 30, 300]
    rig.now += 0.5
    client.asks(1, 0, 0)
    assert (rig.told()[0], rig.told()[2][0][5]) == (1.5, 4)


def test_of_a_new_client_everything_is_told_and_of_one_that_is_gone_its_calls() -> None:
    gone, new, silent = Client("a:1"), Client("b:2"), Client("c:3", session=None)
    rig = Rig(gone)
    rig.told()
    rig.open.remove(gone)
    rig.open |= {new, silent}
    new.asks(5, 50, 500)
    rig.accepted, rig.requests = 2, 12
    rig.now += 1
    seconds, totals, rows = rig.told()
    assert (seconds, totals) == (1.0, [2, 2, 12, 50, 500])
    assert [row[0] for row in rows] == ["b:2", "c:3"]
    assert rows[1][1:3] == ["", "-"]


def test_what_other_nodes_ask_is_left_out() -> None:
    client, node = Client("a:1"), Client("b:2")
    rig = Rig(client, node)
    rig.nodes.add(node)
    rig.told()
    client.asks(1, 10, 100)
    node.asks(1000, 1000, 1000)
    rig.requests = 1001
    rig.now += 1
    _, totals, rows = rig.told()
    assert totals == [1, 0, 1, 10, 100]
    assert [row[0] for row in rows] == ["a:1"]


def test_first_comes_the_largest_part_of_calls_or_of_bytes() -> None:
    calls, came, went = Client("calls:1"), Client("in:1"), Client("out:1")
    others = [Client(f"quiet:{number}") for number in range(200)]
    rig = Rig(*others, went, came, calls)
    rig.told()
    calls.asks(10_000, 10_000, 10_000)
    came.asks(2, 500_000, 10)
    went.asks(2, 100, 400_000)
    for other in others:
        other.asks(20, 1000, 1000)
    rig.requests = 14_004
    rig.now += 1
    assert [row[0] for row in rig.told(3)[2]] == ["calls:1", "in:1", "out:1"]
    assert len(rig.told()[2]) == MAX_ROWS


@pytest.mark.parametrize("count", [0, MAX_ROWS + 1, "10", None])
def test_other_counts_are_refused_and_begin_nothing(count: object) -> None:
    rig = Rig()
    with pytest.raises(BadArguments):
        rig.clients.told(count)
    assert rig.counts == [False, False]


def test_a_server_takes_its_notes_each_second_and_forgets_who_is_gone(world: World) -> None:
    server, address = world.serve()
    server.clients.told(1)
    stays, goes = world.ask(address), world.ask(address)
    for number, client in enumerate((stays, goes)):
        client.send(*([0, 1, "ECHO", []] for _ in range(10 + number)))
        client.answers(10 + number)
    until(lambda: server.connections == 2)
    assert [row[5] for row in cast(Any, server.clients.told(10))[2]] == [11, 10]
    goes.close()
    until(lambda: server.connections == 1)
    _, (clients, new, calls, *_), rows = cast(Any, server.clients.told(10))
    assert (clients, new, calls, [row[5] for row in rows]) == (1, 2, 21, [10])
    until(lambda: cast(Any, server.clients.told(10))[1][2] == 0, "these calls are of long ago")
