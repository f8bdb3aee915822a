"""The connection that greenlets share: in a process that gevent has patched, against a node that does as told."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.support.fakenode import Connection, FakeNode, Script, store
from tests.support.greenlets import first, run
from tests.support.nodes import ROOT
from tests.support.wire import pack


def echo(connection: Connection) -> None:
    while True:
        _, msgid, _, (value, *_) = connection.request()
        connection.respond(msgid, value)


def collected(connection: Connection, count: int) -> list[tuple[int, object]]:
    """So many requests, of which none is answered: msgid and first argument."""
    return [(request[1], request[3][0]) for request in (connection.request() for _ in range(count))]


def held_until_another_comes(count: int) -> tuple[Script, Script]:
    """The first connection's calls, so many, are answered when there is a second one, whose calls are at once."""
    go_on = threading.Event()

    def held(connection: Connection) -> None:
        first(connection)
        calls = collected(connection, count)
        go_on.wait(30)
        for msgid, value in calls:
            connection.respond(msgid, value)
        connection.wait_closed()

    def releases(connection: Connection) -> None:
        go_on.set()
        echo(connection)

    return held, releases


def test_calls_share_it_and_are_answered_in_any_order() -> None:
    def backwards(connection: Connection) -> None:
        first(connection)
        for msgid, value in reversed(collected(connection, 100)):
            connection.respond(msgid, value)
        connection.wait_closed()

    with FakeNode(backwards) as node:
        assert run(
            node, "print(together(*[('ECHO', n) for n in range(100)]) == list(range(100)), client._way._pool)"
        ) == ("True 1 of 32 connections, 1 in use")
        assert node.connections == 1


def test_the_methods_of_the_client() -> None:
    def once(connection: Connection) -> None:
        first(connection)
        store()(connection)

    code = "client.put('a', b'1'); client.ping(); print(client.get('a'), client.get('b', 'no'), client.delete('a'))"
    with FakeNode(once) as node:
        assert run(node, code) == "b'1' no True"
        assert node.connections == 1


def test_what_arrives_in_pieces() -> None:
    def crumbs(connection: Connection) -> None:
        first(connection)
        answers = b"".join(pack([1, msgid, None, value]) for msgid, value in collected(connection, 5))
        for at in range(len(answers)):
            connection.send(answers[at : at + 1])
        connection.wait_closed()

    with FakeNode(crumbs) as node:
        assert run(node, "print(together(*[('ECHO', 'x' * n) for n in range(5)]))") == "['', 'x', 'xx', 'xxx', 'xxxx']"


def test_one_call_that_takes_too_long_keeps_the_others_company() -> None:
    def late(connection: Connection) -> None:
        first(connection)
        slow = None
        while True:
            _, msgid, method, (value,) = connection.request()
            if method == "SLOW":
                slow = msgid
                continue
            if value == "last" and slow is not None:
                connection.respond(slow, "late")  # to nobody
            connection.respond(msgid, value)

    code = """
client.timeout = 0.3
slow = gevent.spawn(outcome, "SLOW", 1)
count = 0
while not slow.ready():
    count += outcome("ECHO", 1)
client.timeout = 20
print(slow.value, count > 10, together(("ECHO", "last"), ("ECHO", "after")))
"""
    with FakeNode(late) as node:
        assert run(node, code) == "CallTimeout True ['last', 'after']"
        assert node.connections == 1


def test_a_shorter_time_out_than_that_of_a_call_under_way() -> None:
    def silent(connection: Connection) -> None:
        first(connection)
        connection.wait_closed()

    code = """
import time
long = gevent.spawn(outcome, "ECHO", 1)
gevent.sleep(0.05)
client.timeout, began = 0.2, time.monotonic()
print(outcome("ECHO", 2), time.monotonic() - began < 10)
long.kill()
"""
    with FakeNode(silent) as node:
        assert run(node, code) == "CallTimeout True"


@pytest.mark.parametrize(
    ("wait", "wanted"),
    [
        ("client.timeout = 0.2; print(outcome('ECHO', 1)); client.timeout = 20", "CallTimeout"),
        ("with gevent.Timeout(0.2, False):\n    print(outcome('ECHO', 1))\nprint('gave up')", "gave up"),
    ],
)
def test_a_connection_over_which_nothing_comes_is_left(wait: str, wanted: str) -> None:
    def silent(connection: Connection) -> None:
        first(connection)
        connection.wait_closed()

    with FakeNode(silent, echo) as node:
        assert run(node, wait + "\nprint(together(('ECHO', 1), ('ECHO', 2)))\n") == f"{wanted}\n[1, 2]"


def test_a_killed_caller_takes_nothing_with_it() -> None:
    code = """
calls = [gevent.spawn(outcome, "ECHO", n) for n in range(3)]
gevent.sleep(0.05)
calls[1].kill()
print(outcome("ECHO", 3), [call.get() for call in (calls[0], calls[2])])
"""
    with FakeNode(*held_until_another_comes(3)) as node:
        # As nothing had come since, the next call takes another connection.
        assert run(node, code) == "3 [0, 2]"


def test_calls_under_way_are_lost_with_it_and_the_next_ones_are_not() -> None:
    def breaks(connection: Connection) -> None:
        first(connection)
        (msgid, value), *_ = collected(connection, 3)
        connection.respond(msgid, value)

    with FakeNode(breaks, echo) as node:
        printed = run(node, "for _ in range(2): print(together(('ECHO', 1), ('ECHO', 2), ('ECHO', 3)))")
        assert printed == "[1, 'NodeLost', 'NodeLost']\n[1, 2, 3]"


@pytest.mark.parametrize("pause", ["gevent.sleep(0.1)", "import time; monkey.get_original('time', 'sleep')(0.1)"])
def test_one_that_broke_while_it_was_idle_costs_no_call(pause: str) -> None:
    with FakeNode(first, echo) as node:
        # The second pause is one in which the loop does not run, and so nothing is noticed.
        assert run(node, pause + "; print(together(('ECHO', 1), ('ECHO', 2)))") == "[1, 2]"
        assert node.connections >= 2


def test_bytes_that_are_no_answer_end_it() -> None:
    def garbage(connection: Connection) -> None:
        first(connection)
        collected(connection, 2)
        connection.send(b"\xc1")
        connection.wait_closed()

    with FakeNode(garbage, echo) as node:
        printed = run(node, "for _ in range(2): print(together(('ECHO', 1), ('ECHO', 2)))")
        assert printed == "['ProtocolError', 'ProtocolError']\n[1, 2]"


def test_what_was_answered_before_such_bytes_is_answered() -> None:
    def half(connection: Connection) -> None:
        first(connection)
        (one, value), _ = collected(connection, 2)
        connection.send(pack([1, one, None, value]) + pack([1, 987654, None, "nobody's"]))
        connection.wait_closed()

    with FakeNode(half, echo) as node:
        assert run(node, "print(together(('ECHO', 1), ('ECHO', 2)))") == "[1, 'ProtocolError']"


def test_a_node_that_stops_is_left_when_all_is_answered() -> None:
    def stopping(connection: Connection) -> None:
        first(connection)
        (one, _), (other, value) = collected(connection, 2)
        connection.respond(one, None, "Draining: the node is stopping")
        connection.respond(other, value)
        connection.wait_closed()

    with FakeNode(stopping, echo) as node:
        printed = run(node, "for _ in range(2): print(together(('ECHO', 1), ('ECHO', 2)))")
        assert printed == "['Draining', 2]\n[1, 2]"
        assert node.connections >= 2


def test_large_calls_and_pipelines_take_others() -> None:
    def refuses_large(connection: Connection) -> None:
        first(connection)
        while True:
            _, msgid, method, (value,) = connection.request()
            connection.respond(msgid, value if method == "ECHO" and len(str(value)) < 20_000 else "in the wrong way")

    code = """
batch = client.pipeline()
batch.call("BATCHED", 1)
batch.call("BATCHED", 2)
print(batch.execute(), len(outcome("ECHO", "x" * 30_000)), together(("ECHO", 1), ("ECHO", 2)))
"""
    with FakeNode(refuses_large, echo) as node:
        assert run(node, code) == "[1, 2] 30000 [1, 2]"


def test_more_than_the_buffers_take() -> None:
    go_on = threading.Event()

    def slow_reader(connection: Connection) -> None:
        first(connection)
        go_on.wait(30)
        echo(connection)

    code = """
calls = [("ECHO", bytes([n % 256]) * 16_000) for n in range(1000)]
started = [gevent.spawn(outcome, *call) for call in calls]
gevent.sleep(0.2)
print(client._way._shared._writes.active)
other = Client("127.0.0.1", int(sys.argv[1]))
other.call("GO ON", 1)
gevent.joinall(started)
print([each.value for each in started] == [value for _, value in calls])
"""

    def releases(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        go_on.set()
        connection.respond(msgid, 1)
        connection.wait_closed()

    with FakeNode(slow_reader, releases, echo) as node:
        assert run(node, code) == "True\nTrue"


@pytest.mark.parametrize("end", ["client.close()", "del client; import gc; gc.collect()", "pass"])
def test_it_holds_up_no_end(end: str) -> None:
    with FakeNode(echo) as node:
        # Sooner than the call's time is over, which nobody waits for any more.
        assert run(node, f"print(together(('ECHO', 1)))\n{end}\nprint(gevent.wait(timeout=10))") == "[1]\nTrue"


def test_closing_leaves_the_calls_under_way_alone() -> None:
    code = """
started = [gevent.spawn(outcome, "ECHO", n) for n in range(2)]
gevent.sleep(0.05)
client.close()
print(outcome("ECHO", 9))
gevent.joinall(started)
print([each.value for each in started])
"""
    with FakeNode(*held_until_another_comes(2)) as node:
        assert run(node, code) == "9\n[0, 1]"


def test_a_fork_leaves_it_to_the_parent() -> None:
    go_on = threading.Event()

    def held(connection: Connection) -> None:
        first(connection)
        ((msgid, value),) = collected(connection, 1)
        go_on.wait(30)
        connection.respond(msgid, value)
        connection.wait_closed()

    def releases(connection: Connection) -> None:
        while True:
            _, msgid, method, (value,) = connection.request()
            if method == "GO ON":
                go_on.set()
            connection.respond(msgid, value)

    code = """
import os
under_way = gevent.spawn(outcome, "ECHO", "held")
gevent.sleep(0.05)
if child := os.fork():
    os.waitpid(child, 0)
    print(Client("127.0.0.1", int(sys.argv[1])).call("GO ON", 1), under_way.get())
else:
    print(together(("ECHO", 2), ("ECHO", 3)), under_way.get(), flush=True)
    os._exit(0)
"""
    with FakeNode(held, releases) as node:
        assert run(node, code) == "[2, 3] NodeLost\n1 held"


def test_real_threads_have_connections_of_their_own() -> None:
    code = "print(gevent.get_hub().threadpool.apply(outcome, ('ECHO', 1)), together(('ECHO', 2)))"
    with FakeNode(echo) as node:
        assert run(node, code) == "1 [2]"
        assert node.connections == 2


def test_one_connection_is_not_shared() -> None:
    code = 'client = Client("127.0.0.1", int(sys.argv[1]), max_connections=1)\n'
    with FakeNode(echo) as node:
        assert run(node, code + "print(together(('ECHO', 1), ('ECHO', 2)), client._way._shared)") == "[1, 2] None"


def test_without_gevent_nothing_is_shared() -> None:
    code = "from ckv import Client; c = Client('127.0.0.1', {}); c.ping(); print(c._way._shared)"
    with FakeNode(store()) as node:
        done = subprocess.run(
            [sys.executable, "-c", code.format(node.port)], capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        assert done.stdout == "None\n"
