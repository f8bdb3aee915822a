"""A client in a process that is forked: the child and the parent each have their own answers, whatever was going on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from ckv import Client
from ckv.client.endpoint import Endpoint
from tests.support.fakenode import Connection, FakeNode, store
from tests.support.nodes import ROOT, Node, Nodes
from tests.support.wire import pack

CHILD_SECONDS = 30
"""After which a child that hangs is ended, by an alarm of its own."""


class Child:
    """A forked process that runs ``work``; the text of what it returned or raised is :meth:`result`."""

    def __init__(self, work: Callable[..., object], *arguments: object) -> None:
        self._reader, writer = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(writer)
            return
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(CHILD_SECONDS)
            try:
                text = str(work(*arguments))
            except BaseException as error:  # noqa: BLE001 - told to the parent
                text = repr(error)
            os.write(writer, text.encode())
        finally:
            os._exit(0)

    def result(self) -> str:
        with open(self._reader) as reader:
            text = reader.read()
        _, status = os.waitpid(self._pid, 0)
        return text if os.waitstatus_to_exitcode(status) == 0 else f"ended by {os.waitstatus_to_exitcode(status)}"


@pytest.fixture
def node(nodes: Nodes) -> Node:
    return nodes.start_secondary()


@pytest.fixture
def client(node: Node) -> Iterator[Client]:
    with Client("127.0.0.1", node.port, timeout=10) as client:
        yield client


KEYS = [f"key {number}" for number in range(4)]


def fill(client: Client) -> None:
    for key in KEYS:
        client.put(key, f"value of {key}")


def read(client: Client, key: str, times: int = 1) -> str:
    """What the client finds under the key: "right" if it is always the key's own value."""
    found = {client.get(key) for _ in range(times)}
    return "right" if found == {f"value of {key}"} else str(found)


def never_called(client: Client) -> None:
    with Client(client.host, client.port) as other:
        fill(other)


def called(client: Client) -> None:
    fill(client)


def closed(client: Client) -> None:
    fill(client)
    client.close()


def several_connections(client: Client) -> None:
    fill(client)
    threads = [threading.Thread(target=read, args=(client, key, 50)) for key in KEYS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def together(go: int, going: int, client: Client, key: str, times: int) -> str:
    os.close(going)
    os.read(go, 1)  # ends when the parent closes: all of them begin at once
    return read(client, key, times)


@pytest.mark.parametrize("before", [never_called, called, closed, several_connections])
@pytest.mark.parametrize("times", [1, 50])
def test_parent_and_children_read_their_own_keys(client: Client, before: Callable[[Client], None], times: int) -> None:
    for _ in range(10):
        before(client)
        go, going = os.pipe()

        children = [Child(together, go, going, client, key, times) for key in KEYS[1:]]
        os.close(go)
        os.close(going)
        assert read(client, KEYS[0], times) == "right"
        assert [child.result() for child in children] == ["right"] * 3


def write(client: Client, key: str) -> str:
    for number in range(100):
        client.put(key, f"{key} {number}")
    return "written"


def test_what_children_write_is_stored_where_they_say(client: Client) -> None:
    fill(client)
    children = [Child(write, client, key) for key in KEYS]
    assert [child.result() for child in children] == ["written"] * 4
    assert [client.get(key) for key in KEYS] == [f"{key} 99" for key in KEYS]


def test_a_fork_of_a_fork(client: Client) -> None:
    fill(client)

    def child() -> str:
        grandchild = Child(read, client, KEYS[1], 50)
        return f"{read(client, KEYS[2], 50)} {grandchild.result()}"

    forked = Child(child)
    assert read(client, KEYS[0], 50) == "right"
    assert forked.result() == "right right"


def test_threads_in_the_child(client: Client) -> None:
    fill(client)

    def child() -> list[str]:
        found: list[str] = []
        threads = [threading.Thread(target=lambda: found.append(read(client, KEYS[1], 50))) for _ in KEYS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    assert Child(child).result() == str(["right"] * 4)


preloaded: Client


def _work(key: str) -> str:
    return read(preloaded, key, 20)


def test_workers_of_multiprocessing(client: Client) -> None:
    global preloaded
    preloaded = client
    fill(client)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(_work, KEYS * 5) == ["right"] * 20
    assert read(client, KEYS[0]) == "right"


def test_a_pipeline_that_was_collected_before_the_fork(client: Client) -> None:
    fill(client)
    batch = client.pipeline()
    for key in KEYS:
        batch.get(key)
    forked = Child(lambda: batch.execute() == [f"value of {key}" for key in KEYS])
    assert batch.execute() == [f"value of {key}" for key in KEYS]
    assert forked.result() == "True"


# --- the parent's connection ----------------------------------------------------------------------------------------


def leave(client: Client) -> None:
    with client:
        client.get("key")


@pytest.mark.parametrize("work", [Client.close, Client.ping, leave, Client.__repr__], ids=lambda work: work.__name__)
def test_the_parent_keeps_its_connection(work: Callable[[Client], object]) -> None:
    with FakeNode(store()) as node, Client("127.0.0.1", node.port) as client:
        client.put("key", "value")
        Child(work, client).result()
        before = node.connections
        assert client.get("key") == "value"
        assert node.connections == before, "the parent had to connect again"
        assert repr(client) == f"<Client 127.0.0.1:{node.port}: 1 of 32 connections, 0 in use>"


def hold(wait: int, end: int) -> None:
    os.close(end)
    os.read(wait, 1)


def test_a_child_does_not_hold_what_the_parent_closes() -> None:
    gone = threading.Event()

    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, "PONG")
        connection.wait_closed()
        gone.set()

    with FakeNode(script, store()) as node, Client("127.0.0.1", node.port) as client:
        client.ping()
        wait, end = os.pipe()
        child = Child(hold, wait, end)
        os.close(wait)
        client.close()
        assert gone.wait(10), "the child still has the connection"
        os.close(end)
        child.result()


# --- in the middle of a call of another thread ----------------------------------------------------------------------


class Slow:
    """A node that lets its first connection wait in the middle of something, until it is told to go on."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def first(self, connection: Connection) -> None:
        if self.state == "half a request":
            connection.socket.recv(1000)
            self.reached.set()
            self.go_on.wait()
            connection.socket.recv(100)  # shows that it is still open
            # What follows is of no interest: the request is 64 MiB long.
            rest = 64 * 2**20
            while rest > 0 and (data := connection.socket.recv(2**20)):
                rest -= len(data)
                if data.endswith(b"end"):
                    break
            connection.send(pack([1, 1, None, [True, "slow"]]))
            connection.wait_closed()
            return
        _, msgid, _, _ = connection.request()
        answer = pack([1, msgid, None, [True, "slow"]])
        half = len(answer) // 2 if self.state == "half an answer" else 0
        connection.send(answer[:half])
        self.reached.set()
        self.go_on.wait()
        connection.send(answer[half:])
        self.others(connection)

    def others(self, connection: Connection) -> None:
        while True:
            _, msgid, _, _ = connection.request()
            connection.respond(msgid, [True, "fast"])


@pytest.mark.parametrize("state", ["no answer yet", "half an answer", "half a request"])
@pytest.mark.parametrize("connections", [1, 32])
def test_in_the_middle_of_a_call_of_another_thread(state: str, connections: int) -> None:
    slow = Slow(state)
    with (
        FakeNode(slow.first, slow.others) as node,
        Client("127.0.0.1", node.port, timeout=30, max_connections=connections) as client,
    ):
        answers: list[object] = []
        size = 64 * 2**20 if state == "half a request" else 1
        thread = threading.Thread(target=lambda: answers.append(client.call("GET", b"x" * size + b"end")))
        thread.start()
        assert slow.reached.wait(30)
        child = Child(lambda: [client.get("key") for _ in range(3)])
        try:
            assert child.result() == str(["fast"] * 3)
        finally:
            slow.go_on.set()
            thread.join()
        assert answers == [[True, "slow"]], "the parent's call was disturbed"


def test_while_another_thread_waits_for_a_connection() -> None:
    slow = Slow("no answer yet")
    with (
        FakeNode(slow.first, slow.others) as node,
        Client("127.0.0.1", node.port, timeout=30, max_connections=1) as client,
    ):
        answers: list[object] = []
        threads = [threading.Thread(target=lambda: answers.append(client.get("key"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert slow.reached.wait(30)
        child = Child(client.get, "key")
        try:
            assert child.result() == "fast"
        finally:
            slow.go_on.set()
            for thread in threads:
                thread.join()
        assert sorted(map(str, answers)) == ["fast", "fast", "slow"]


def test_a_lock_that_was_held(client: Client) -> None:
    # By a thread that is not there in the child. The lock is held for so short a time that only this makes it certain.
    fill(client)
    assert isinstance(client._way, Endpoint)
    with client._way._pool._lock:
        child = Child(read, client, KEYS[1])
    assert child.result() == "right"


def test_in_a_handler_of_a_signal_that_interrupts_a_call() -> None:
    # Here the copy of the interrupted call goes on in the child, when the handler returns.
    children: list[int] = []
    forked = threading.Event()
    reader, writer = os.pipe()

    def handler(number: int, frame: object) -> None:
        children.append(os.fork())
        if children != [0]:
            forked.set()

    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        os.kill(os.getpid(), signal.SIGUSR1)
        forked.wait()
        connection.respond(msgid, [True, "of the parent"])
        connection.wait_closed()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with FakeNode(script, store()) as node, Client("127.0.0.1", node.port, retries=3) as client:
            try:
                found: object = client.get("key")
            except Exception as error:  # noqa: BLE001 - told to the parent
                found = type(error).__name__
            if children == [0]:
                os.write(writer, f"{found!r} {client.get('key')!r}".encode())
                os._exit(0)
            os.waitpid(children[0], 0)
            assert found == "of the parent"
            assert os.read(reader, 100) == b"'NodeLost' None"
    finally:
        signal.signal(signal.SIGUSR1, before)
        if children == [0]:
            os._exit(1)
        os.close(reader)
        os.close(writer)


# --- gevent ---------------------------------------------------------------------------------------------------------

GREENLETS = """
from gevent import monkey
monkey.patch_all()
import os, sys
import gevent
from ckv import Client
client = Client("127.0.0.1", int(sys.argv[1]), timeout=20)
def of(name):
    try:
        return client.call("SLOW" if name == "slow" else "ECHO", name)
    except Exception as error:
        return type(error).__name__
slow = gevent.spawn(of, "slow")
while of("ready?") != "yes":
    gevent.sleep(0.01)
child = os.fork()
who = "parent" if child else "child"
calls = [gevent.spawn(of, f"{who} {number}") for number in range(3)]
gevent.joinall(calls)
found = [call.value for call in calls]
if not child:
    gevent.joinall([slow])
    print("child", found, slow.value, flush=True)
    os._exit(0)
os.waitpid(child, 0)
of("go on")
gevent.joinall([slow])
print("parent", found, slow.value, flush=True)
"""


def test_greenlets() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        while True:
            _, msgid, method, (name,) = connection.request()
            if method == "SLOW":
                asked.set()
                go_on.wait()
            elif name == "go on":
                go_on.set()
            connection.respond(msgid, ("yes" if asked.is_set() else "no") if name == "ready?" else name)

    with FakeNode(script) as node:
        done = subprocess.run(
            [sys.executable, "-c", GREENLETS, str(node.port)], capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        go_on.set()
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "child ['child 0', 'child 1', 'child 2'] NodeLost",
        "parent ['parent 0', 'parent 1', 'parent 2'] slow",
    ]
