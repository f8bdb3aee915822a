"""``ckv top --clients``, and CLIENTS: who asks a cluster, and how much."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from ckv import core
from ckv.core import SWITCH
from ckv.errors import ProtocolError
from ckv.net.clients import MAX_ROWS
from ckv.tools.clients import HEAD, shown
from ckv.tools.surveying import Said
from tests.support.eventually import eventually
from tests.support.nodes import Cluster, Node, Nodes, run_ckv
from tests.support.wire import RawClient, pack

SWITCHES = ["off"] + ([""] if core.COMPILED else [])


@pytest.fixture(scope="module", params=SWITCHES, ids=lambda switch: f"core {switch or 'on'}")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A primary and two secondaries, with compiled code and without."""
    with Nodes() as nodes:
        yield nodes.start_cluster(2, env={SWITCH: request.param})


@pytest.fixture(params=["primary", "secondary"])
def node(request: pytest.FixtureRequest, cluster: Cluster) -> Node:
    """One of them."""
    return cluster.primary if request.param == "primary" else cluster.secondaries[0]


class Line:
    """A client that counts the bytes of both directions."""

    def __init__(self, node: Node) -> None:
        self._socket = socket.create_connection(("127.0.0.1", node.port), 10)
        self.address = "{}:{}".format(*self._socket.getsockname())
        self.sent = self.taken = 0

    def say(self, request: bytes, answer: bytes) -> None:
        """Returns when so many bytes were answered."""
        self._socket.sendall(request)
        self.sent += len(request)
        until = self.taken + len(answer)
        while self.taken < until:
            assert self.take()

    def take(self) -> int:
        """Waits for bytes, and takes them; how many there were."""
        taken = len(self._socket.recv(2**16))
        self.taken += taken
        return taken

    def take_rest(self) -> None:
        """Takes what has come already."""
        while select.select([self._socket], [], [], 0)[0]:
            assert self.take()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class Told(NamedTuple):
    """What one node tells."""

    seconds: float
    clients: int
    new: int
    calls: int
    bytes_in: int
    bytes_out: int
    rows: dict[str, list[Any]]
    """By the addresses of clients."""


def told(operator: RawClient) -> Told:
    """What the node tells of itself."""
    (address, error, (seconds, totals, rows)), *_ = operator.call("CLIENTS", MAX_ROWS)
    assert (address, error) == ("", "")
    clients, new, calls, bytes_in, bytes_out = totals
    return Told(seconds, clients, new, calls, bytes_in, bytes_out, {row[0]: row for row in rows})


def put(number: int, value: str = "v") -> bytes:
    return pack([0, number, "PUT", ["key", value]])


def stored(number: int) -> bytes:
    return pack([1, number, None, True])


def words(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


SET = words("SET", "key", "v")
APART = [(put(number), stored(number)) for number in range(30)]
TOGETHER = (b"".join(request for request, _ in APART), b"".join(answer for _, answer in APART))
SAID: dict[str, tuple[str, list[tuple[bytes, bytes]], int]] = {
    "each by itself": ("msgpack-RPC", APART, 30),
    "in one write": ("msgpack-RPC", [TOGETHER] * 2, 60),
    "in a BATCH": (
        "msgpack-RPC",
        [(pack([0, 1, "BATCH", ["PUT", ["key", "v"]] * 50]), pack([1, 1, None, [True] * 50]))],
        50,
    ),
    "a large one": ("msgpack-RPC", [(put(1, "v" * 300_000), stored(1))], 1),
    "what only Python knows": (
        "msgpack-RPC",
        [(put(1) + pack([0, 2, "STRLEN", ["none"]]) + put(3), stored(1) + pack([1, 2, None, 0]) + stored(3))],
        3,
    ),
    "of Redis, each by itself": ("RESP2", [(SET, b"+OK\r\n")] * 30, 30),
    "of Redis, in one write": ("RESP2", [(SET * 100, b"+OK\r\n" * 100)], 100),
    "of Redis, of several keys": (
        "RESP2",
        [(SET, b"+OK\r\n"), (words("MGET", *["key"] * 20), b"*20\r\n" + b"$1\r\nv\r\n" * 20)],
        2,
    ),
    "of Redis, what only Python knows": (
        "RESP2",
        [(SET + words("STRLEN", "none") + SET, b"+OK\r\n:0\r\n+OK\r\n")],
        3,
    ),
}


@pytest.mark.parametrize("how", SAID)
def test_each_call_and_each_byte_is_counted(node: Node, how: str) -> None:
    protocol, said, calls = SAID[how]
    with RawClient(node.address) as operator, Line(node) as client:
        told(operator)
        for request, answer in said:
            client.say(request, answer)

        def row() -> list[Any]:
            found = told(operator).rows[client.address]
            client.take_rest()
            assert found[5:] == [calls, client.sent, client.taken]
            return found

        # The last bytes are acknowledged somewhat later. What was counted is told for a second at least.
        _, user, spoken, age, in_flight, *_ = eventually(row, 3, "all are counted")
        assert (user, spoken, in_flight) == ("", protocol, 0)
        assert 0 < age < 60


def test_whoever_is_gone_is_not_told_but_counted(node: Node) -> None:
    with RawClient(node.address) as operator:
        first = told(operator)
        for _ in range(20):
            with Line(node) as client:
                client.say(*TOGETHER)
            gone = client.address

        def closed() -> Told:
            found = told(operator)
            assert gone not in found.rows
            assert found.clients == first.clients
            return found

        found = eventually(closed, 3, "they are closed")
    assert found.calls >= 20 * 30
    assert found.new >= 20
    # Of those that are there: whoever asks, and who came before.
    assert sum(row[5] for row in found.rows.values()) < 20 * 30


def test_what_another_node_passes_on_is_left_out(cluster: Cluster) -> None:
    with RawClient(cluster.primary.address) as operator, Line(cluster.primary) as client:

        def left_out() -> bool:
            client.say(*TOGETHER)
            own, *others = operator.call("CLIENTS", MAX_ROWS)
            assert [row[0] for row in others] == [node.address for node in cluster.secondaries]
            assert client.address in [row[0] for row in own[2][2]]
            # What other tests have asked is over in a moment.
            assert [[error, *told] for _, error, (_, *told) in others] == [["", [0] * 5, []]] * 2
            return True

        eventually(left_out, what="nobody asks them by himself")


def test_a_thousand_clients_are_told_in_few_words(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with RawClient(node.address) as operator, ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(Line(node)).say(put(1), stored(1))
        first = told(operator)
        busy = stack.enter_context(Line(node))
        busy.say(*TOGETHER)
        found = told(operator)
        assert (first.clients, found.clients) == (1001, 1002)
        assert len(found.rows) == len(first.rows) == MAX_ROWS
        assert next(iter(found.rows)) == busy.address
        assert len(pack(operator.call("CLIENTS", MAX_ROWS))) < 100 * MAX_ROWS


# --- the tool --------------------------------------------------------------------------------------------------------


class Busy:
    """Clients that go on asking: a thread for some of them."""

    def __init__(self, *lines: tuple[Line, tuple[bytes, bytes]], every: float) -> None:
        """Each says its own again and again, with so many seconds between."""
        self._lines = lines
        self._every = every
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ends.wait(self._every):
            for line, said in self._lines:
                line.say(*said)

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()


FLOODS = {"msgpack-RPC": TOGETHER, "RESP2": (SET * 30, b"+OK\r\n" * 30)}


@pytest.mark.parametrize("protocol", FLOODS)
def test_the_one_that_floods_comes_first(cluster: Cluster, protocol: str) -> None:
    asked, owner = cluster.primary, cluster.secondaries[1]
    with ExitStack() as stack:
        quiet = [stack.enter_context(Line(node)) for node in (asked, owner) for _ in range(10)]
        flooding = stack.enter_context(Line(owner))
        stack.enter_context(Busy(*((line, APART[0]) for line in quiet), every=0.05))
        stack.enter_context(Busy((flooding, FLOODS[protocol]), every=0.001))
        done = run_ckv("top", "127.0.0.1", str(asked.port), "--clients", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    summary, head, first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"\d+ clients and [\d.]+ new ones/s: [\d,]+ calls/s, [\d,]+ B/s in, [\d,]+ B/s out", summary)
    assert re.split("  +", head.strip()) == list(HEAD)
    row = dict(zip(HEAD, first.split(), strict=True))
    assert (row["client"], row["node"], row["protocol"], row["user"]) == (
        flooding.address,
        owner.address,
        protocol,
        "-",
    )
    assert float(row["share"].rstrip("%")) > 50
    assert int(row["calls/s"].replace(",", "")) > 300
    assert {line.address for line in quiet} <= {line.split()[-1] for line in rest}


def test_a_node_that_does_not_answer_is_told_first(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    gone, stays = cluster.secondaries
    gone.kill()

    def told_first() -> list[str]:
        lines = run_ckv("top", "127.0.0.1", str(cluster.primary.port), "--clients", "--once").stdout.splitlines()
        assert lines[0].startswith(f"! {gone.address}: not connected")
        return lines

    with Line(stays) as client:
        client.say(*TOGETHER)
        assert eventually(told_first, what="it is away")[-1].endswith(client.address)


# --- its lines, without a node ---------------------------------------------------------------------------------------


def test_clients_of_several_nodes_are_judged_by_what_all_of_them_do() -> None:
    said = [
        Said("p:1", "", [2.0, [1, 4, 200, 2000, 20_000], [["c:1", "", "RESP3", 70.5, 2, 200, 2000, 20_000]]]),
        Said("s:1", "no answer within 1 s", []),
        Said("s:2", "", [1.0, [2, 0, 300, 3000, 90_000], [["c:2", "bob", "msgpack-RPC", 5, 0, 290, 3000, 90_000]]]),
        Said("s:3", "", [0.0, [1, 0, 0, 0, 0], [["c:3", "", "-", 0.5, 0, 0, 0, 0]]]),
    ]
    assert shown(said) == [
        "! s:1: no answer within 1 s",
        "4 clients and 2.0 new ones/s: 400 calls/s, 4,000 B/s in, 100,000 B/s out",
        "share  calls/s  in B/s  out B/s  in flight  age  protocol     user  node  client",
        "90.0%      290   3,000   90,000          0   5s  msgpack-RPC  bob   s:2   c:2",
        "25.0%      100   1,000   10,000          2   1m  RESP3        -     p:1   c:1",
        " 0.0%        0       0        0          0   0s  -            -     s:3   c:3",
    ]


@pytest.mark.parametrize(
    "found",
    [
        [],
        ["1", [0] * 5, []],
        [1.0, [0] * 4, []],
        [1.0, [0, 0, "1", 0, 0], []],
        [1.0, [0] * 5, ["a:1"]],
        [1.0, [0] * 5, [["a:1", "", "-", 0, 0, 0, 0]]],
        [1.0, [0] * 5, [["a:1", "", "-", 0, 0, 0, 0, None]]],
    ],
)
def test_another_answer_is_an_error(found: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        shown([Said("a:1", "", found)])
