"""The connections of a client that many threads share."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import pytest

from ckv import CallTimeout, CkvError, Client, PoolExhausted, Unreachable
from ckv.client.endpoint import Endpoint
from ckv.client.pool import Pool
from ckv.client.sockets import is_stale
from tests.support.eventually import eventually
from tests.support.fakenode import Connection, FakeNode, store
from tests.support.nodes import ROOT, Nodes


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """What ``work`` returned or raised in each of that many threads."""
    results: list[object] = [None] * count

    def run(number: int) -> None:
        try:
            results[number] = work(number)
        except CkvError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Meeting:
    """A node that answers when as many requests as that wait for their answers, each on its own connection."""

    def __init__(self, count: int) -> None:
        self._together = threading.Barrier(count, timeout=30)

    def script(self, connection: Connection) -> None:
        while True:
            _, msgid, _, params = connection.request()
            self._together.wait()
            connection.respond(msgid, params[0])


class Held:
    """A node that does not answer before it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()

    def script(self, connection: Connection) -> None:
        while True:
            _, msgid, _, _ = connection.request()
            self.asked.release()
            self.go_on.wait()
            connection.respond(msgid, [True, "value"])


def test_no_thread_waits_for_the_call_of_another_one() -> None:
    with FakeNode(Meeting(10).script) as node, Client("127.0.0.1", node.port) as client:
        assert in_threads(10, lambda number: client.call("ECHO", number)) == list(range(10))
        assert node.connections == 10


def test_no_thread_waits_for_the_time_out_of_another_one(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with Client("127.0.0.1", node.port, timeout=1) as client:
        client.ping()
        node.pause()
        began = time.monotonic()
        results = in_threads(20, lambda number: client.get("key"))
        assert [type(result) for result in results] == [CallTimeout] * 20
        assert time.monotonic() - began < 10, "one after the other it would take 20 s"
        node.resume()
        client.put("key", "value")
        assert client.get("key") == "value"


def test_a_pipeline_takes_one_connection() -> None:
    with FakeNode(Meeting(2).script) as node, Client("127.0.0.1", node.port) as client:

        def work(number: int) -> list[object]:
            batch = client.pipeline()
            for _ in range(50):
                batch.call("ECHO", number)
            return batch.execute()

        assert in_threads(2, work) == [[0] * 50, [1] * 50]
        assert node.connections == 2


def test_one_thread_has_one_connection() -> None:
    with FakeNode(store()) as node, Client("127.0.0.1", node.port) as client:
        for number in range(100):
            client.put(f"{number}", "value")
            with client.pipeline() as batch:
                batch.get(f"{number}")
        assert node.connections == 1


def test_the_connection_that_was_used_last_is_used_next() -> None:
    meeting = Meeting(3)
    asked: list[Connection] = []

    def script(connection: Connection) -> None:
        _, msgid, _, params = connection.request()
        meeting._together.wait()
        connection.respond(msgid, params[0])
        while True:
            _, msgid, _, params = connection.request()
            asked.append(connection)
            connection.respond(msgid, params[0])

    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        in_threads(3, lambda number: client.call("ECHO", number))
        for number in range(10):
            client.call("ECHO", number)
        assert node.connections == 3
        assert len(asked) == 10
        assert len(set(map(id, asked))) == 1


# --- more callers than connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
def test_more_threads_than_connections_all_get_their_turn(connections: int) -> None:
    with FakeNode(store()) as node, Client("127.0.0.1", node.port, max_connections=connections) as client:

        def work(number: int) -> bool:
            for count in range(50):
                client.put(f"{number}", f"{count}")
                if client.get(f"{number}") != f"{count}":
                    return False
            return True

        assert in_threads(12, work) == [True] * 12
        assert node.connections == connections


def test_the_wait_for_a_connection_counts() -> None:
    held = Held()
    with FakeNode(held.script) as node, Client("127.0.0.1", node.port, timeout=60, max_connections=2) as client:
        holders = [threading.Thread(target=client.get, args=("key",)) for _ in range(2)]
        for thread in holders:
            thread.start()
            held.asked.acquire()
        client.timeout = 0.2
        with pytest.raises(PoolExhausted, match="all 2 connections to 127") as caught:
            client.put("key", "value")
        assert caught.value.written == "no"
        assert isinstance(caught.value, Unreachable)
        batch = client.pipeline()
        batch.put("key", "value")
        with pytest.raises(PoolExhausted):
            batch.execute(raise_on_error=False)
        held.go_on.set()
        for thread in holders:
            thread.join()
        assert client.get("key") == "value"
        assert node.connections == 2


def test_a_connection_that_broke_makes_room() -> None:
    # Each of them is broken by its call, and those that wait need new ones.
    def script(connection: Connection) -> None:
        connection.request()

    with FakeNode(script) as node, Client("127.0.0.1", node.port, max_connections=2) as client:
        results = in_threads(8, lambda number: client.get("key"))
        assert {type(result).__name__ for result in results} == {"NodeLost"}
        assert node.connections == 8


# --- idle, closed ---------------------------------------------------------------------------------------------------


def test_idle_connections_that_the_node_closed_are_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.client.connection.STALE_AFTER", 0.0)
    meeting = Meeting(4)

    def once(connection: Connection) -> None:
        _, msgid, _, params = connection.request()
        meeting._together.wait()
        connection.respond(msgid, params[0])

    with FakeNode(once, once, once, once, Meeting(4).script) as node, Client("127.0.0.1", node.port) as client:
        assert in_threads(4, lambda number: client.call("ECHO", number)) == list(range(4))
        assert isinstance(client._way, Endpoint)
        idle = client._way._pool._idle
        eventually(lambda: len(idle) == 4 and all(each.socket is not None and is_stale(each.socket) for each in idle))
        assert in_threads(4, lambda number: client.call("ECHO", number)) == list(range(4))
        assert node.connections == 8


def test_close_closes_those_that_are_idle_and_spares_a_call() -> None:
    held = Held()
    closed = threading.Event()

    def idle(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, "PONG")
        connection.wait_closed()
        closed.set()

    with FakeNode(held.script, idle, store()) as node, Client("127.0.0.1", node.port) as client:
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(client.get("key")))
        thread.start()
        held.asked.acquire()
        client.ping()
        assert repr(client) == f"<Client 127.0.0.1:{node.port}: 2 of 32 connections, 1 in use>"
        client.close()
        assert closed.wait(10)
        held.go_on.set()
        thread.join()
        assert found == ["value"]
        assert repr(client) == f"<Client 127.0.0.1:{node.port}: not connected>"
        client.put("key", "value")
        assert node.connections == 3


def test_a_repr_shows_no_values() -> None:
    with FakeNode(store()) as node, Client("127.0.0.1", node.port, max_connections=5) as client:
        assert repr(client) == f"<Client 127.0.0.1:{node.port}: not connected>"
        client.put("secret", "secret")
        assert repr(client) == f"<Client 127.0.0.1:{node.port}: 1 of 5 connections, 0 in use>"
        batch = client.pipeline()
        batch.put("secret", "secret")
        assert repr(batch) == "<Pipeline of 1 calls>"


# --- gevent ---------------------------------------------------------------------------------------------------------


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv import Client
with Client("127.0.0.1", int(sys.argv[1])) as client:
    calls = [gevent.spawn(client.call, "ECHO", number) for number in range(10)]
    gevent.joinall(calls, raise_error=True)
    print([call.value for call in calls])
"""


def test_greenlets_may_share_a_client() -> None:
    with FakeNode(Meeting(10).script) as node:
        assert run_python(GREENLETS, str(node.port)) == f"{list(range(10))}\n"


def test_a_lost_connection_leaves_its_place_to_who_waits() -> None:
    pool, later = Pool("127.0.0.1", 1, 1), time.monotonic() + 3
    lost = pool.take(later)
    taken: list[object] = []
    waiting = threading.Thread(target=lambda: taken.append(pool.take(later)))
    waiting.start()
    eventually(lambda: len(pool._waiters) == 1, what="somebody waits")
    pool.give_back(lost)  # it was never made, which is the same
    waiting.join()
    assert taken != [lost]
    assert repr(pool) == "1 of 1 connections, 1 in use"


IMPATIENT = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from ckv import Client
with Client("127.0.0.1", int(sys.argv[1]), max_connections=1, timeout=30) as client:
    first = gevent.spawn(client.call, "HOLD")
    while first.started and "1 in use" not in repr(client):
        gevent.sleep(0.01)
    for _ in range(5):
        with gevent.Timeout(0.05, False):
            client.call("ECHO")
            print("answered out of turn")
    waiting = [gevent.spawn(client.call, "ECHO") for _ in range(3)]
    gevent.sleep(0)
    waiting[1].kill()
    with Client("127.0.0.1", int(sys.argv[1])) as other:
        other.call("GO ON")
    gevent.joinall([first, waiting[0], waiting[2]], raise_error=True)
    print(client.call("ECHO"), client._way._pool)

    # Killed between the moment when it was given a connection and that when it runs.
    pool, later = client._way._pool, time.monotonic() + 3
    connection = pool.take(later)
    waiting = gevent.spawn(pool.take, later)
    gevent.sleep(0)
    waiting.kill(block=False)
    pool.give_back(connection)
    gevent.joinall([waiting])
    print(pool)
"""


def test_who_gives_up_waiting_takes_no_connection_away() -> None:
    go_on = threading.Event()

    def script(connection: Connection) -> None:
        while True:
            _, msgid, method, _ = connection.request()
            if method == "HOLD":
                go_on.wait()
            elif method == "GO ON":
                go_on.set()
            connection.respond(msgid, method)

    free = "1 of 1 connections, 0 in use"
    with FakeNode(script) as node:
        assert run_python(IMPATIENT, str(node.port)) == f"ECHO {free}\n{free}\n"


def test_whoever_takes_gives_back_and_nobody_waits_in_vain() -> None:
    """Threads are switched as often as can be, so that they meet between any two steps."""
    pool = Pool("127.0.0.1", 1, 1)
    used: Counter[int] = Counter()
    ends, other = socket.socketpair()

    def work(number: int) -> int:
        for _ in range(500):
            connection = pool.take(time.monotonic() + 30)
            connection.socket = ends  # so that it counts as connected
            used[id(connection)] += 1
            assert used[id(connection)] == 1, "it is lent twice"
            time.sleep(0)
            used[id(connection)] -= 1
            pool.give_back(connection)
        return number

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert in_threads(8, work) == list(range(8))
    finally:
        sys.setswitchinterval(interval)
    assert repr(pool) == "1 of 1 connections, 0 in use"
    pool.close()
    assert repr(pool) == "not connected"
    other.close()


def test_what_comes_back_right_before_somebody_queues_up_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool("127.0.0.1", 1, 1)
    ends, other = socket.socketpair()
    lent = pool.take(time.monotonic() + 10)
    lent.socket = ends

    class Meanwhile(deque[object]):
        def append(self, waiter: object) -> None:
            pool.give_back(lent)  # by another thread, which sees nobody wait
            super().append(waiter)

    monkeypatch.setattr(pool, "_waiters", Meanwhile())
    assert pool.take(time.monotonic() + 1) is lent
    ends.close()
    other.close()
