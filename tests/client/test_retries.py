"""Calls that are sent again, and those that must not be."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest

from ckv import (
    CkvError,
    Client,
    Draining,
    KeyTooLong,
    NodeDown,
    NodeLost,
    NoRoom,
    Overloaded,
    RowsRefused,
    ServerError,
    TierUnavailable,
    Unreachable,
    ValueTooLarge,
    errors,
)
from ckv.client.calls import Call, as_it_is
from ckv.client.endpoint import Endpoint
from ckv.client.retries import FIRST_PAUSE, LONGEST_PAUSE, Retries
from tests.support.eventually import eventually
from tests.support.fakenode import Connection, FakeNode, Script, store
from tests.support.nodes import Nodes
from tests.support.ports import free_port


class Failing:
    """A node that answers its first requests with errors, on any connection, and the others as ``store()`` does."""

    def __init__(self, *answers: str | None) -> None:
        """Of an answer ``None`` the connection is closed instead."""
        self._answers = list(answers)
        self.requests: list[tuple[str, object]] = []

    def script(self, connection: Connection) -> None:
        while True:
            _, msgid, method, params = connection.request()
            self.requests.append((method, params))
            if not self._answers:
                connection.respond(msgid, {"GET": [True, "value"], "DEL": True, "PUT": True}.get(method, "PONG"))
                continue
            answer = self._answers.pop(0)
            if answer is None:
                return
            connection.respond(msgid, None, answer)


def call(client: Client, method: str) -> object:
    calls: dict[str, Callable[[], object]] = {
        "GET": lambda: client.get("key"),
        "PUT": lambda: client.put("key", "value"),
        "DEL": lambda: client.delete("key"),
        "PING": client.ping,
    }
    return calls[method]()


@pytest.mark.parametrize("kind", [Draining, NodeDown, NoRoom, Overloaded])
@pytest.mark.parametrize("method", ["GET", "PUT", "DEL"])
def test_a_call_that_was_refused_for_now_is_sent_again(kind: type[CkvError], method: str) -> None:
    failing = Failing(*[f"{kind.__name__}: not now"] * 3)
    with FakeNode(failing.script) as node, Client("127.0.0.1", node.port, retries=3) as client:
        call(client, method)
        assert [name for name, _ in failing.requests] == [method] * 4
        # A node that stops is about to close the connection, and what it did with a call then, nobody could tell.
        assert node.connections == (4 if kind is Draining else 1)


@pytest.mark.parametrize("kind", [KeyTooLong, ValueTooLarge, RowsRefused, ServerError, errors.UnknownMethod])
def test_a_call_that_can_never_work_is_sent_once(kind: type[CkvError]) -> None:
    failing = Failing(f"{kind.__name__}: never")
    with (
        FakeNode(failing.script) as node,
        Client("127.0.0.1", node.port, retries=3, retry_unknown=("GET", "PUT")) as client,
        pytest.raises(kind),
    ):
        client.put("key", "value")
    assert len(failing.requests) == 1


def test_without_being_asked_nothing_is_sent_again() -> None:
    failing = Failing("NodeDown: away")
    with FakeNode(failing.script) as node, Client("127.0.0.1", node.port) as client:
        with pytest.raises(NodeDown):
            client.put("key", "value")
        assert len(failing.requests) == 1


def test_it_is_sent_again_as_often_as_that() -> None:
    failing = Failing(*["NodeDown: away"] * 9)
    with FakeNode(failing.script) as node, Client("127.0.0.1", node.port, retries=3) as client:
        with pytest.raises(NodeDown):
            client.put("key", "value")
        assert len(failing.requests) == 4


def test_it_is_sent_again_as_long_as_the_time_out_says() -> None:
    failing = Failing(*["NodeDown: away"] * 10_000)
    with FakeNode(failing.script) as node, Client("127.0.0.1", node.port, retries=10_000, timeout=0.5) as client:
        with pytest.raises(NodeDown):
            client.put("key", "value")
        assert 1 < len(failing.requests) < 10_000


UNKNOWN = [None, "NodeLost: 127.0.0.1:8081", "CallTimeout: 127.0.0.1:8081", "TierUnavailable: away"]


@pytest.mark.parametrize("answer", UNKNOWN)
@pytest.mark.parametrize(
    ("method", "unknown", "again"),
    [
        ("GET", (), False), ("PUT", (), False), ("DEL", (), False),
        ("GET", ("GET",), True), ("PUT", ("GET",), False), ("DEL", ("GET", "PUT"), False),
        ("PUT", ("GET", "PUT"), True), ("PING", ["PING"], True),
    ],
)  # fmt: skip
def test_an_unknown_outcome_is_sent_again_only_when_that_was_asked_for(
    answer: str | None, method: str, unknown: tuple[str, ...], again: bool
) -> None:
    failing = Failing(answer)
    with FakeNode(failing.script) as node, Client("127.0.0.1", node.port, retries=3, retry_unknown=unknown) as client:
        if again:
            call(client, method)
        else:
            with pytest.raises((NodeLost, errors.CallTimeout, TierUnavailable)):
                call(client, method)
        assert [name for name, _ in failing.requests] == [method] * (2 if again else 1)


def test_a_call_without_an_answer_in_all_its_time_is_not_sent_again() -> None:
    asked: list[object] = []

    def silent(connection: Connection) -> None:
        while True:
            asked.append(connection.request())

    with FakeNode(silent) as node:
        client = Client("127.0.0.1", node.port, timeout=0.3, retries=5, retry_unknown=("GET",))
        with pytest.raises(errors.CallTimeout), client:
            client.get("key")
        assert len(asked) == 1


def test_a_node_that_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    waiting = threading.Event()
    real = time.sleep

    def sleep(seconds: float) -> None:
        waiting.set()
        real(seconds)

    monkeypatch.setattr("ckv.client.time.sleep", sleep)
    records: dict[bytes, object] = {}
    with Client("127.0.0.1", port, retries=1000, timeout=60) as client:
        thread = threading.Thread(target=client.put, args=("key", "value"))
        thread.start()
        assert waiting.wait(30)
        with FakeNode(store(records), port=port):
            thread.join()
            client.close()
        assert records == {b"key": "value"}


def test_a_node_that_never_comes() -> None:
    with pytest.raises(Unreachable) as caught:
        Client("127.0.0.1", free_port(), retries=2).put("key", "value")
    assert caught.value.written == "no"


def test_a_pause_is_random_and_bounded() -> None:
    for attempt, longest in [(0, FIRST_PAUSE), (1, 2 * FIRST_PAUSE), (3, 8 * FIRST_PAUSE), (9, LONGEST_PAUSE)]:
        pauses = [Retries.pause(attempt) for _ in range(200)]
        assert 0 <= min(pauses) < longest / 4
        assert longest / 4 * 3 < max(pauses) <= longest
    assert 0 <= Retries.pause(10**9) <= LONGEST_PAUSE


# --- pipelines ------------------------------------------------------------------------------------------------------


def test_of_a_pipeline_only_what_failed_is_sent_again() -> None:
    failing = Failing("NodeDown: away", "NodeDown: away", "KeyTooLong: far too long")
    with FakeNode(failing.script) as node, Client("127.0.0.1", node.port, retries=3) as client:
        batch = client.pipeline()
        for key in ("a", "b", "c", "d"):
            batch.get(key)
        first, second, third, fourth = batch.execute(raise_on_error=False)
        assert (first, second, type(third), fourth) == ("value", "value", KeyTooLong, "value")
        assert [params for _, params in failing.requests] == [["a"], ["b"], ["c"], ["d"], ["a"], ["b"]]


def test_a_call_never_overtakes_a_later_one_on_the_same_key() -> None:
    failing = Failing("NodeDown: away")
    with FakeNode(failing.script) as node, Client("127.0.0.1", node.port, retries=3) as client:
        batch = client.pipeline()
        batch.put("key", "older")
        batch.put(b"key", "newer")
        older, newer = batch.execute(raise_on_error=False)
        assert (type(older), newer) == (NodeDown, None)
        assert len(failing.requests) == 2


DOWN, LOST, BAD = NodeDown("away"), NodeLost("gone"), KeyTooLong("never")


@pytest.mark.parametrize(
    ("keys", "results", "again"),
    [
        ("ab", [DOWN, DOWN], [0, 1]),
        ("aa", [DOWN, DOWN], [0, 1]),
        ("aa", [DOWN, None], []),
        ("aa", [None, DOWN], [1]),
        ("aa", [DOWN, BAD], []),
        ("aa", [LOST, DOWN], [1]),
        ("aa", [DOWN, LOST], []),
        ("aba", [DOWN, DOWN, None], [1]),
        ("aaa", [DOWN, None, DOWN], [2]),
        ("-a-", [DOWN, DOWN, None], [0, 1]),
    ],
)
def test_which_calls_of_a_pipeline(keys: str, results: list[object], again: list[int]) -> None:
    calls = [Call("PUT", (), as_it_is) if key == "-" else Call("PUT", (key, "value"), as_it_is) for key in keys]
    assert Retries(3, ()).again(calls, results, range(len(calls))) == again


# --- what was not sent is known ---------------------------------------------------------------------------------------


def reset(connection: Connection) -> None:
    """Answers one request, and then resets the connection, so that the other end cannot even write."""
    _, msgid, _, _ = connection.request()
    connection.respond(msgid, True)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


def test_a_connection_that_cannot_be_written_to_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.client.connection.STALE_AFTER", 1e9)  # nobody looks
    with FakeNode(reset, store()) as node, Client("127.0.0.1", node.port) as client:
        client.put("key", "value")
        eventually(lambda: is_reset(client))
        client.put("key", "value")
        assert client.get("key") == "value"
        assert node.connections == 2


def is_reset(client: Client) -> bool:
    assert isinstance(client._way, Endpoint)
    (connection,) = client._way._pool._idle
    assert connection.socket is not None
    state = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == 7  # TCP_CLOSE


def gone_after(count: int) -> Script:
    """Reads that many requests, answers none and resets the connection."""

    def script(connection: Connection) -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        for _ in range(count):
            connection.request()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


def test_calls_that_were_not_sent_whole_are_known_not_to_be_written() -> None:
    with FakeNode(gone_after(1)) as node, Client("127.0.0.1", node.port) as client:
        batch = client.pipeline()
        for number in range(100):
            batch.put(f"{number}", b"x" * 2**20)
        results = batch.execute(raise_on_error=False)
        kinds = [type(result) for result in results]
        assert kinds[0] is NodeLost
        assert kinds[-1] is Unreachable
        assert kinds == sorted(kinds, key=[NodeLost, Unreachable].index), "first those sent, then those that were not"


def test_a_node_that_takes_nothing_more_in_time() -> None:
    hold = threading.Event()

    def script(connection: Connection) -> None:
        hold.wait()

    with FakeNode(script) as node, Client("127.0.0.1", node.port, timeout=0.5) as client:
        batch = client.pipeline()
        for number in range(2000):
            batch.put(f"{number}", b"x" * 50_000)
        results = batch.execute(raise_on_error=False)
        hold.set()
        assert type(results[0]) is errors.CallTimeout
        assert type(results[-1]) is Unreachable
        assert results[-1].written == "no"


def test_the_rest_of_a_pipeline_is_sent_again() -> None:
    shared: dict[bytes, object] = {}
    with FakeNode(gone_after(1), store(shared)) as node, Client("127.0.0.1", node.port, retries=5) as client:
        batch = client.pipeline()
        for number in range(100):
            batch.put(f"{number}", b"x" * 2**20)
        results = batch.execute(raise_on_error=False)
        assert {type(result) for result in results} == {NodeLost, type(None)}
        assert [number for number in range(100) if results[number] is None] == sorted(map(int, shared))


# --- a restart under load ---------------------------------------------------------------------------------------------


class Load:
    """Threads that write and read keys of their own, and what they met."""

    def __init__(self, client: Client, threads: int) -> None:
        self._client = client
        self._stop = threading.Event()
        self.failures: list[CkvError] = []
        self.wrong: list[object] = []
        self.counts = [0] * threads
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        while not self._stop.is_set():
            value = f"{number} {self.counts[number]}"
            try:
                self._client.put(f"{number}", value)
                found = self._client.get(f"{number}")
                if found != value:
                    self.wrong.append((value, found))
            except CkvError as error:
                self.failures.append(error)
            self.counts[number] += 1

    def goes_on(self) -> None:
        """Return when every thread has done some more rounds."""
        until = [count + 5 for count in self.counts]
        eventually(lambda: all(map(int.__ge__, self.counts, until)), timeout=60, what="every thread goes on")

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("unknown", [(), ("GET", "PUT")])
def test_a_primary_is_restarted_under_load(nodes: Nodes, unknown: tuple[str, ...]) -> None:
    cluster = nodes.start_cluster(2)
    port = cluster.primary.port
    with Client("127.0.0.1", port, timeout=60, retries=200, retry_unknown=unknown) as client:
        load = Load(client, 8)
        try:
            for _ in range(2):
                load.goes_on()
                assert cluster.primary.terminate() == 0
                cluster.primary.start()
                load.goes_on()
        finally:
            load.end()
        assert load.wrong == []
        # What the primary answered or nobody took is sent again; what was on its way when it left, only when asked for.
        assert [failure for failure in load.failures if unknown or failure.written == "no"] == []


def test_a_primary_that_is_killed_under_load(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    port = cluster.primary.port
    with Client("127.0.0.1", port, timeout=60, retries=200, retry_unknown=("GET", "PUT")) as client:
        load = Load(client, 8)
        try:
            load.goes_on()
            cluster.primary.restart()
            load.goes_on()
        finally:
            load.end()
        assert (load.wrong, load.failures) == ([], [])
