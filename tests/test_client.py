"""The Python client against nodes that behave and nodes that do not."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ckv
from ckv import Client, errors
from ckv.client.connection import MAX_ANSWER_BYTES
from ckv.errors import (
    BadSetting,
    CallTimeout,
    CkvError,
    KeyTooLong,
    NodeDown,
    NodeLost,
    ProtocolError,
    ServerError,
    Unreachable,
)
from ckv.settings.table import SETTINGS
from tests.support.fakenode import Connection, FakeNode, Script, store
from tests.support.ports import free_port
from tests.support.wire import pack

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with FakeNode(store()) as node:
        yield node


@pytest.fixture
def client(node: FakeNode) -> Iterator[Client]:
    with Client("127.0.0.1", node.port) as client:
        yield client


def answer_all(connection: Connection) -> None:
    """Answers every request with its params."""
    while True:
        _, msgid, _, params = connection.request()
        connection.respond(msgid, params)


def sends(data: bytes) -> Script:
    """A script that answers the first request with these bytes, and then waits for the client to go."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(data)
        connection.wait_closed()

    return script


# --- calls and values ------------------------------------------------------------------------------------------------


def test_put_get_delete(client: Client) -> None:
    assert client.get("bob") is None
    assert client.get("bob", "nobody") == "nobody"
    client.put("bob", "bob@gmail.com")
    assert client.get("bob") == "bob@gmail.com"
    assert client.get("bob", "nobody") == "bob@gmail.com"
    assert client.delete("bob") is True
    assert client.delete("bob") is False
    assert client.get("bob") is None


def test_ping(client: Client) -> None:
    client.ping()


@pytest.mark.parametrize("value", ["", b"", "ü", "a\udcff", b"\x00\xff", "x" * 2**20, b"x" * 2**20])
def test_a_value_keeps_its_type_and_its_bytes(client: Client, value: str | bytes) -> None:
    client.put("key", value)
    got = client.get("key")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(("one", "other"), [("a", b"a"), ("ü", "ü".encode()), ("a\udcff", b"a\xff"), ("", b"")])
def test_str_and_bytes_are_the_same_key(client: Client, one: str, other: bytes) -> None:
    client.put(one, "value")
    assert client.get(other) == "value"
    assert client.delete(other) is True
    assert client.get(one) is None


def test_call_gives_the_result_as_it_came() -> None:
    with FakeNode(answer_all) as node, Client("127.0.0.1", node.port) as client:
        assert client.call("ANYTHING", 1, None, {"a": [True]}) == [1, None, {"a": [True]}]


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("get", True), ("get", [True, 1]), ("get", [True]), ("get", None), ("get", ["x", "y"]), ("get", [1, "x"]),
        ("delete", 1), ("delete", None), ("put", 1), ("put", "true"), ("put", False), ("ping", "pong"),
    ],
)  # fmt: skip
def test_a_result_of_the_wrong_shape_is_a_protocol_error(method: str, result: object) -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, result)
        connection.wait_closed()

    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        arguments = {"get": ["key"], "delete": ["key"], "put": ["key", "value"], "ping": []}[method]
        with pytest.raises(ProtocolError):
            getattr(client, method)(*arguments)


def test_what_cannot_be_packed_leaves_no_trace(node: FakeNode, client: Client) -> None:
    client.put("a", "1")
    with pytest.raises(TypeError):
        client.put("a", object())  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        client.call("GET", 2**70)
    assert client.get("a") == "1"
    assert node.connections == 1


def test_it_can_take_the_longest_value_that_a_node_may_allow() -> None:
    setting = next(setting for setting in SETTINGS if setting.name == "--max-value-bytes")
    longest = setting.parse("64MiB")
    with pytest.raises(BadSetting):
        setting.parse(str(longest + 1))
    assert longest < MAX_ANSWER_BYTES

    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, [True, b"x" * longest])

    with FakeNode(script) as node, Client("127.0.0.1", node.port, timeout=60) as client:
        assert client.get("key") == b"x" * longest


@pytest.mark.parametrize("name", ["timeout", "connect_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_time_out_is_above_zero(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Client("127.0.0.1", 1, **{name: seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 0), ("port", 65536), ("port", -1), ("max_connections", 0), ("retries", -1),
        ("retry_unknown", ("DEL",)), ("retry_unknown", ("GET", "get")), ("retry_unknown", "GET"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named(name: str, value: object) -> None:
    arguments: dict[str, Any] = {"port": 1, name: value}
    with pytest.raises(ValueError, match=f"^{name}="):
        Client("127.0.0.1", **arguments)


# --- errors that the node answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "text", "written"),
    [
        ("KeyTooLong: the key has 2000 bytes", KeyTooLong, "the key has 2000 bytes", "no"),
        ("NodeDown: 127.0.0.1:8081", NodeDown, "127.0.0.1:8081", "no"),
        ("NodeLost: 127.0.0.1:8081", NodeLost, "127.0.0.1:8081", "unknown"),
        ("Bananas: all gone", ServerError, "Bananas: all gone", "unknown"),
        ({"code": 3}, ServerError, "{'code': 3}", "unknown"),
    ],
)
def test_an_error_answer_is_raised_and_the_connection_lives_on(
    answer: object, kind: type[CkvError], text: str, written: str
) -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, None, answer)
        answer_all(connection)

    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        with pytest.raises(CkvError) as caught:
            client.put("key", "value")
        assert type(caught.value) is kind
        assert str(caught.value) == text
        assert caught.value.written == written
        assert client.call("again", 1) == [1]
        assert node.connections == 1


# --- answers: late, in pieces, out of order, garbage -----------------------------------------------------------------


def test_an_answer_in_pieces() -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        for byte in pack([1, msgid, None, [True, "bob@gmail.com"]]):
            connection.send(bytes([byte]))
        connection.wait_closed()

    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        assert client.get("bob") == "bob@gmail.com"


def test_a_notification_is_not_an_answer() -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.send(pack([2, "NEWS", ["of the day"]]))
        connection.respond(msgid, [True, "value"])

    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        assert client.get("key") == "value"


def test_a_late_answer_is_never_taken_for_another_calls() -> None:
    timed_out = threading.Event()

    def late(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        timed_out.wait()
        connection.respond(msgid, [True, "late"])
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, [True, "on the old connection"])

    def fine(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, [True, "in time"])
        connection.wait_closed()

    with FakeNode(late, fine) as node, Client("127.0.0.1", node.port, timeout=0.2) as client:
        with pytest.raises(CallTimeout, match=r"did not answer within 0\.2 s") as caught:
            client.get("slow")
        assert caught.value.written == "unknown"
        client.timeout = 10
        timed_out.set()
        assert client.get("fast") == "in time"
        assert node.connections == 2


def test_drops_of_an_answer_do_not_stretch_the_time_out() -> None:
    gone = threading.Event()

    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        answer = pack([1, msgid, None, [True, "x" * 1000]])
        for at in range(len(answer)):
            connection.send(answer[at : at + 1])
            if gone.wait(0.05):
                return

    with FakeNode(script) as node, Client("127.0.0.1", node.port, timeout=0.3) as client:
        with pytest.raises(CallTimeout):
            client.get("key")
        gone.set()


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",  # a byte that msgpack never uses
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xdd\xff\xff\xff\xff",  # an array of four billion elements
        b"\xdc\x04\x01",  # an array of 1,025 elements
        b"\x91" * 10_000,
        pack([1, 99, None, True]),  # a call that nobody made
        pack([0, 1, "GET", ["key"]]),
        pack([1, 1, None]),
        pack([1, "1", None, True]),
        pack([3, 1, None, True]),
        pack({"a": 1}),
        pack(7),
    ],
)
def test_garbage_is_a_protocol_error_and_the_next_call_is_fine(data: bytes) -> None:
    with FakeNode(sends(data), store()) as node, Client("127.0.0.1", node.port) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ProtocolError) as caught:
            client.get("key")
        assert caught.value.written == "unknown"
        client.put("key", "value")
        assert client.get("key") == "value"
        assert node.connections == 2
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 100 * 1024, f"{grown} KiB for {len(data)} bytes"


def test_an_answer_without_an_end_is_a_protocol_error() -> None:
    sent = []

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(b"\xdb\xff\xff\xff\xff")  # a string of four gigabytes
        while True:
            connection.send(bytes(2**20))
            sent.append(2**20)

    with (
        FakeNode(script) as node,
        Client("127.0.0.1", node.port, timeout=60) as client,
        pytest.raises(ProtocolError),
    ):
        client.get("key")
    assert sum(sent) < MAX_ANSWER_BYTES + 32 * 2**20, "more than it may hold, and the buffers of the connection"


# --- connections that come and go ------------------------------------------------------------------------------------


def test_nothing_listens() -> None:
    port = free_port()
    client = Client("127.0.0.1", port)
    for _ in range(2):
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port} cannot be reached") as caught:
            client.put("key", "value")
        assert caught.value.written == "no"
    with FakeNode(store(), port=port), client:
        client.put("key", "value")
        assert client.get("key") == "value"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, "a..b"])
def test_a_host_that_does_not_exist(host: str) -> None:
    with pytest.raises(Unreachable):
        Client(host, 8080).ping()


def test_a_node_that_takes_no_connection() -> None:
    # The queue of a listener that accepts nothing is full after two, and further connections wait.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        with pytest.raises(Unreachable, match="timed out"):
            Client("127.0.0.1", port, connect_timeout=0.2).ping()
        for sock in waiting:
            sock.close()


def test_a_connection_that_closes_instead_of_an_answer() -> None:
    def script(connection: Connection) -> None:
        connection.request()

    with FakeNode(script, store()) as node, Client("127.0.0.1", node.port) as client:
        with pytest.raises(NodeLost) as caught:
            client.put("key", "value")
        assert caught.value.written == "unknown"
        client.put("key", "value")
        assert node.connections == 2


def test_a_connection_that_closes_in_the_middle_of_an_answer() -> None:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.send(pack([1, msgid, None, [True, "x" * 1000]])[:-1])

    # The half that came must not be the beginning of the next answer.
    with FakeNode(script, store()) as node, Client("127.0.0.1", node.port) as client:
        with pytest.raises(NodeLost):
            client.get("key")
        client.put("key", "value")
        assert client.get("key") == "value"


def test_a_connection_that_broke_while_idle_is_replaced_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.client.connection.STALE_AFTER", 0.0)
    closed = threading.Event()
    shared = store()

    def once(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, True)
        connection.socket.close()
        closed.set()

    with FakeNode(once, shared) as node, Client("127.0.0.1", node.port) as client:
        client.put("key", "value")
        closed.wait()
        client.put("key", "value")
        assert client.get("key") == "value"
        assert node.connections == 2


def test_bytes_that_came_while_idle_are_nobodys_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.client.connection.STALE_AFTER", 0.0)
    sent = threading.Event()

    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, [True, "first"])
        connection.respond(msgid + 1, [True, "before it was asked"])
        sent.set()
        connection.wait_closed()

    with FakeNode(script, store()) as node, Client("127.0.0.1", node.port) as client:
        assert client.get("key") == "first"
        sent.wait()
        assert client.get("key") is None
        assert node.connections == 2


def test_a_closed_client_connects_again(node: FakeNode, client: Client) -> None:
    client.put("key", "value")
    client.close()
    client.close()
    assert client.get("key") == "value"
    assert node.connections == 2


def test_it_connects_at_the_first_call(node: FakeNode) -> None:
    with Client("127.0.0.1", node.port) as client:
        assert node.connections == 0
        client.ping()
        assert node.connections == 1


def test_an_exception_from_outside_drops_the_connection() -> None:
    interrupted = threading.Event()

    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        os.kill(os.getpid(), signal.SIGINT)
        interrupted.wait()
        connection.respond(msgid, [True, "late"])
        connection.wait_closed()

    with FakeNode(script, store()) as node, Client("127.0.0.1", node.port) as client:
        with pytest.raises(KeyboardInterrupt):
            client.get("key")
        interrupted.set()
        assert client.get("key") is None
        assert node.connections == 2


# --- pipelines -------------------------------------------------------------------------------------------------------


def test_a_pipeline(client: Client) -> None:
    with client.pipeline() as batch:
        batch.put("a", "1")
        batch.get("a")
        batch.get("b")
        batch.get("b", "nothing")
        batch.delete("a")
        batch.delete("a")
        batch.call("PING")
        assert len(batch) == 7
        assert batch.execute() == [None, "1", None, "nothing", True, False, "PONG"]
        assert len(batch) == 0
        assert batch.execute() == []


def test_the_end_of_the_block_executes_what_is_left(client: Client) -> None:
    with client.pipeline() as batch:
        batch.put("a", "1")
    assert client.get("a") == "1"


def test_an_exception_in_the_block_executes_nothing(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), client.pipeline() as batch:
        batch.put("a", "1")
        raise ZeroDivisionError
    assert client.get("a") is None


def test_answers_in_another_order_are_paired_by_their_ids() -> None:
    def script(connection: Connection) -> None:
        requests = [connection.request() for _ in range(100)]
        for _, msgid, _, params in reversed(requests):
            connection.respond(msgid, [True, f"value of {params[0]}"])
        connection.wait_closed()

    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        batch = client.pipeline()
        for number in range(100):
            batch.get(f"{number}")
        assert batch.execute() == [f"value of {number}" for number in range(100)]


def one_bad(connection: Connection) -> None:
    while True:
        _, msgid, _, params = connection.request()
        connection.respond(msgid, True, "KeyTooLong: far too long" if params[0] == "bad" else None)


def test_an_error_in_a_pipeline_is_raised_after_all_answers_came() -> None:
    with FakeNode(one_bad) as node, Client("127.0.0.1", node.port) as client:
        batch = client.pipeline()
        for key in ("a", "bad", "b"):
            batch.put(key, "value")
        with pytest.raises(KeyTooLong):
            batch.execute()
        client.put("c", "value")
        assert node.connections == 1


def test_an_error_in_a_pipeline_can_stand_in_the_place_of_its_result() -> None:
    with FakeNode(one_bad) as node, Client("127.0.0.1", node.port) as client:
        batch = client.pipeline()
        for key in ("a", "bad", "b"):
            batch.put(key, "value")
        first, second, third = batch.execute(raise_on_error=False)
        assert (first, type(second), third) == (None, KeyTooLong, None)


def test_the_answers_before_a_loss_are_kept() -> None:
    def script(connection: Connection) -> None:
        requests = [connection.request() for _ in range(4)]
        for _, msgid, _, _ in (requests[2], requests[0]):
            connection.respond(msgid, [True, str(msgid)])

    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        batch = client.pipeline()
        for _ in range(4):
            batch.get("key")
        first, second, third, fourth = batch.execute(raise_on_error=False)
        assert (first, third) == ("1", "3")
        assert type(second) is type(fourth) is NodeLost
        assert second is not fourth


def test_an_unreachable_node_is_raised_either_way() -> None:
    batch = Client("127.0.0.1", free_port()).pipeline()
    batch.get("key")
    with pytest.raises(Unreachable):
        batch.execute(raise_on_error=False)


def test_the_time_out_of_a_pipeline_starts_anew_with_each_answer() -> None:
    pause = threading.Event()

    def script(connection: Connection) -> None:
        requests = [connection.request() for _ in range(10)]
        for _, msgid, _, _ in requests:
            pause.wait(0.2)
            connection.respond(msgid, [True, "value"])
        connection.wait_closed()

    with FakeNode(script) as node, Client("127.0.0.1", node.port, timeout=1.5) as client:
        batch = client.pipeline()
        for _ in range(10):
            batch.get("key")
        assert batch.execute() == ["value"] * 10


SIZE = 2**20
COUNT = 32
"""Together far more than the buffers of a connection."""


def echo(connection: Connection) -> None:
    """A node that reads the next request only when its last answer is on its way, as one with bounded buffers does."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**18)
    for _ in range(COUNT):
        _, msgid, _, params = connection.request()
        connection.respond(msgid, params[0])
    connection.wait_closed()


def test_a_pipeline_that_fills_the_buffers_of_both_sides() -> None:
    with FakeNode(echo) as node, Client("127.0.0.1", node.port, timeout=10) as client:
        batch = client.pipeline()
        for number in range(COUNT):
            batch.call("ECHO", bytes([number]) * SIZE)
        assert batch.execute() == [bytes([number]) * SIZE for number in range(COUNT)]


# --- threads, gevent, imports ----------------------------------------------------------------------------------------


def test_threads_may_share_a_client(node: FakeNode, client: Client) -> None:
    failures: list[object] = []

    def work(name: str) -> None:
        for number in range(200):
            client.put(name, f"{name} {number}")
            got = client.get(name)
            if got != f"{name} {number}":
                failures.append(got)

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert node.connections <= 4


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_does_not_need_gevent() -> None:
    code = "import sys, ckv; from ckv import Client; Client('localhost', 1); assert 'gevent' not in sys.modules"
    run_python(code)


def test_importing_the_package_loads_nothing_that_gevent_must_patch_first() -> None:
    run_python("import sys, ckv; assert not {'socket', 'selectors', 'ckv.client'} & set(sys.modules)")


def test_the_errors_are_in_the_package_too() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, CkvError)}
    # What the command line raises, and what stays between the tiers or nodes, reaches nobody who imports the package.
    kinds -= {"BadSetting", "Fenced", "Forbidden", "SessionLost", "WriteFailed", "WrongNode"}
    assert kinds == set(ckv.__all__) - {"Client", "Pipeline", "Tls", "__version__"}
    for name in kinds:
        assert getattr(ckv, name) is getattr(errors, name)
        assert name in dir(ckv)
    run_python("from ckv import *; NodeDown, Client, CkvError")


def test_an_unknown_name_in_the_package() -> None:
    with pytest.raises(ImportError):
        from ckv import Server  # noqa: F401


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv import Client
with Client("127.0.0.1", int(sys.argv[1])) as one, Client("127.0.0.1", int(sys.argv[1])) as other:
    calls = [gevent.spawn(client.call, "MEET", name) for client, name in ((one, "one"), (other, "other"))]
    gevent.joinall(calls, raise_error=True)
    print([call.value for call in calls])
"""


def test_under_gevent_a_call_lets_other_greenlets_run() -> None:
    both = threading.Barrier(2, timeout=30)

    def meet(connection: Connection) -> None:
        _, msgid, _, params = connection.request()
        both.wait()  # A client that blocks the process would never let the other one send its request.
        connection.respond(msgid, params[0])
        connection.wait_closed()

    with FakeNode(meet) as node:
        assert run_python(GREENLETS, str(node.port)) == "['one', 'other']\n"


LARGE = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv import Client
ticks = []
def tick():
    while True:
        gevent.sleep(0)
        ticks.append(1)
ticking = gevent.spawn(tick)
with Client("127.0.0.1", int(sys.argv[1]), timeout=10) as client:
    batch = client.pipeline()
    for number in range(int(sys.argv[2])):
        batch.call("ECHO", bytes([number]) * int(sys.argv[3]))
    results = batch.execute()
    print([len(result) for result in results] == [int(sys.argv[3])] * int(sys.argv[2]), len(ticks) > 1)
ticking.kill()
"""


def test_under_gevent_a_pipeline_that_fills_the_buffers_of_both_sides() -> None:
    with FakeNode(echo) as node:
        assert run_python(LARGE, str(node.port), str(COUNT), str(SIZE)) == "True True\n"
