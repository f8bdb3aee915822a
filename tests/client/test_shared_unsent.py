"""What is still to be sent over the connection that greenlets share, when those who asked for it are gone."""

from __future__ import annotations

import threading

import pytest

from tests.support.fakenode import Connection, FakeNode, Script
from tests.support.greenlets import first, run

# The socket of the shared connection takes no more bytes than there is room for, until ``widen`` is called.
NARROW = """
class Narrow:
    def __init__(self, room):
        self.shared = client._way._shared
        self.socket, self.room = self.shared._socket, room
        self.shared._socket = self
    def send(self, data):
        if not self.room:
            raise BlockingIOError
        count = self.socket.send(data[:self.room])
        self.room -= count
        return count
    def widen(self):
        self.room = 2**30
    def __getattr__(self, name):
        return getattr(self.socket, name)
def counts():
    try:
        return client.incr("counter")
    except errors.CkvError as error:
        return type(error).__name__, error.written
def expired():
    client.timeout = 0.2
    told = counts()
    client.timeout = 20
    return told
def killed():
    caller = gevent.spawn(counts)
    gevent.sleep(0.05)
    caller.kill()
    return "killed"
def interrupted():
    with gevent.Timeout(0.05, False):
        return counts()
    return "interrupted"
"""

ENDS = [("expired", "('Unreachable', 'no')"), ("killed", "killed"), ("interrupted", "interrupted")]


def counts_too(seen: list[str]) -> Script:
    """Echoes, and counts: what it was asked for comes into ``seen``."""

    def script(connection: Connection) -> None:
        while True:
            _, msgid, method, params = connection.request()
            seen.append(method)
            connection.respond(msgid, seen.count("INCRBY") if method == "INCRBY" else params[0])

    return script


@pytest.mark.parametrize(("end", "told"), ENDS)
def test_a_call_that_has_not_left_when_its_caller_goes_never_leaves(end: str, told: str) -> None:
    seen: list[str] = []
    code = f"""
narrow = Narrow(0)
before = gevent.spawn(outcome, "ECHO", "before")
gevent.sleep(0)
told = {end}()
narrow.widen()
print(told, before.get(), counts())
"""
    with FakeNode(counts_too(seen)) as node:
        assert run(node, NARROW + code) == f"{told} before 1"
    assert seen.count("INCRBY") == 1


@pytest.mark.parametrize(
    ("end", "told"), [("expired", "('CallTimeout', 'unknown')"), *ENDS[1:]], ids=[end for end, _ in ENDS]
)
def test_of_a_call_that_has_left_in_part_the_rest_follows(end: str, told: str) -> None:
    seen: list[str] = []
    code = f"""
narrow = Narrow(5)
told = gevent.spawn({end})
while narrow.room:
    gevent.sleep(0)
client.timeout = 20
others = [gevent.spawn(outcome, "ECHO", n) for n in range(2)]
told.join()
narrow.widen()
print(told.value, [other.get() for other in others], counts())
"""
    with FakeNode(counts_too(seen)) as node:
        # Its outcome was unknown, and it was carried out.
        assert run(node, NARROW + code) == f"{told} [0, 1] 2"


def test_one_that_broke_carried_out_no_call_that_had_left_in_part() -> None:
    def breaks(connection: Connection) -> None:
        first(connection)
        connection.socket.recv(5)

    seen: list[str] = []
    with FakeNode(breaks, counts_too(seen)) as node:
        # Made again over another connection, in the same call.
        assert run(node, NARROW + "narrow = Narrow(5)\nprint(counts())") == "1"


def test_nothing_is_waited_for_when_nothing_is_left_to_send() -> None:
    code = """
shared = client._way._shared
under_way = gevent.spawn(outcome, "ECHO", 1)
gevent.sleep(0.05)
narrow = Narrow(0)
caller = gevent.spawn(counts)
while not shared._writes.active:
    gevent.sleep(0.01)
caller.kill()
while shared._writes.active:  # which would take all of a processor
    gevent.sleep(0.01)
print(shared._connection.connected, len(shared._waiting))
under_way.kill()
"""

    def silent(connection: Connection) -> None:
        first(connection)
        connection.wait_closed()

    with FakeNode(silent) as node:
        assert run(node, NARROW + code) == "True 1"


def test_who_was_told_that_a_call_was_not_sent_was_told_the_truth() -> None:
    """Over a real connection, whose buffers are full."""
    go_on = threading.Event()
    seen: list[int] = []

    def slow_reader(connection: Connection) -> None:
        first(connection)
        go_on.wait(30)
        while True:
            _, msgid, _, (value, *_) = connection.request()
            seen.append(value)
            connection.respond(msgid, value)

    def releases(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        go_on.set()
        connection.respond(msgid, 1)
        connection.wait_closed()

    code = """
client.timeout = 1
started = [gevent.spawn(outcome, "ECHO", n, b"x" * 16_000) for n in range(1000)]
gevent.sleep(0)
client.timeout = 20
last = gevent.spawn(outcome, "ECHO", 1000)
gevent.joinall(started)
Client("127.0.0.1", int(sys.argv[1])).call("GO ON", 1)
told = [each.value for each in started]
print(last.get(), told.count("CallTimeout"), told.count("Unreachable"))
"""
    with FakeNode(slow_reader, releases) as node:
        last, unknown, unsent = map(int, run(node, code).split())
    assert last == 1000
    assert unknown + unsent == 1000
    assert unknown > 0 < unsent
    assert seen == [*range(unknown), 1000]
