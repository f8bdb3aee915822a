"""Clients of Redis that send nonsense, too much, too slowly, or never read: real nodes over real sockets.

As :mod:`tests.protocol.test_bad_bytes` does for msgpack-RPC: another client must be served in time meanwhile, and the
memory of the node is looked at.
"""

from __future__ import annotations

import socket
from types import TracebackType

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv.protocol.limits import Limits
from ckv.protocol.resp.parsing import MAX_ARGUMENTS, MAX_INLINE_BYTES
from tests.net.watch import MIB, Watch
from tests.protocol.attacks import MESSAGE, UNREAD
from tests.protocol.resp.test_parsing import packed
from tests.support.nodes import Node, Nodes

LIMITS = Limits()
"""The nodes run with the default limits, whatever these are."""

ON_THE_WAY = 16 * MIB
"""Bytes that the buffers of the system take of what a node does not read."""


class Client:
    """A socket, and hiredis for what comes back."""

    def __init__(self, node: Node) -> None:
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=10)
        self._reader = hiredis.Reader()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def answer(self) -> object:
        """The next one; an error is its text. ConnectionError where the node has closed the connection."""
        while (answer := self._reader.gets()) is False:
            data = self.socket.recv(256 * 1024)
            if not data:
                raise ConnectionResetError("the node closed the connection")
            self._reader.feed(data)
        return str(answer) if isinstance(answer, hiredis.ReplyError) else answer

    def closed(self) -> None:
        """Nothing more comes."""
        with pytest.raises(ConnectionError):
            print(self.answer())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


# --- lengths that are wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [b"*400000000", b"*%d" % (MAX_ARGUMENTS + 1), b"*2147483647", b"*9223372036854775807", b"*18446744073709551617"],
)
def test_a_huge_number_of_arguments(node: Node, watch: Watch, head: bytes) -> None:
    with Client(node) as client:
        client.send(packed([b"PING"]), head, b"\r\n")
        assert client.answer() == b"PONG"
        assert client.answer() == "ERR Protocol error: invalid multibulk length"
        client.closed()


@pytest.mark.parametrize("where", [b"*1\r\n", b"*2\r\n$3\r\nGET\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"])
@pytest.mark.parametrize(
    "size", [b"-1", b"-2", b"01", b"+1", b"1x", b"", b"%d" % (LIMITS.max_message_bytes + 1), b"4294967297", b"9" * 30]
)
def test_a_length_that_is_none(node: Node, watch: Watch, where: bytes, size: bytes) -> None:
    with Client(node) as client:
        client.send(where, b"$", size, b"\r\n")
        assert client.answer() == "ERR Protocol error: invalid bulk length"
        client.closed()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"*2\r\n$3\r\nGET\r\n$1\r\nkkk\r\n", "no CRLF behind an argument"),
        (b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n*1\r\n", "no CRLF behind an argument"),
        (b"*3\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        (b"*2\r\n$3\r\nGET\r\n:1\r\n", "expected '$', got ':'"),
    ],
    ids=["too long", "the next request", "an argument too few", "a number"],
)
def test_a_length_that_lies(node: Node, watch: Watch, data: bytes, told: str) -> None:
    with Client(node) as client:
        client.send(packed([b"PING"]), data)
        assert client.answer() == b"PONG"
        assert client.answer() == f"ERR Protocol error: {told}"
        client.closed()


def test_an_argument_that_stays_unfinished(node: Node, watch: Watch) -> None:
    """Nothing is kept for bytes that were only announced, and nobody waits for them but who sent them."""
    head = b"*3\r\n$3\r\nSET\r\n$10\r\nunfinished\r\n$%d\r\n" % MIB
    clients = [Client(node) for _ in range(100)]
    for client in clients:
        client.send(head, b"x")
    watch.served(20)
    clients[0].send(b"x" * (MIB - 1), b"\r\n", packed([b"STRLEN", b"unfinished"]))
    assert [clients[0].answer(), clients[0].answer()] == [b"OK", MIB]
    for client in clients:
        client.socket.close()


# --- too much --------------------------------------------------------------------------------------------------------


def send_until_closed(client: Client, data: bytes, most: int) -> None:
    """Sends it over and over, until the node closes the connection; fails when that took more than ``most`` bytes."""
    sent = 0
    with pytest.raises(ConnectionError):
        while sent < most:
            client.send(data)
            sent += len(data)
        client.answer()


GIBIBYTE = 1024 * MIB


def test_a_line_of_a_gibibyte(node: Node, watch: Watch) -> None:
    with Client(node) as client:
        client.send(b"x" * MAX_INLINE_BYTES)
        assert client.answer() == "ERR Protocol error: too big inline request"
        client.closed()
    for begin in (b"SET k ", b"\t", b"*", b'GET "'):
        with Client(node) as client:
            client.send(begin)
            send_until_closed(client, b"x" * 64 * 1024, min(GIBIBYTE, MAX_INLINE_BYTES + ON_THE_WAY))


def test_a_request_of_a_gibibyte(fresh: Node) -> None:
    """Of arguments each of which is allowed, large or small."""
    with Watch(fresh) as watch:
        for argument in (b"$%d\r\n%b\r\n" % (MIB, b"x" * MIB), b"$100\r\n%b\r\n" % (b"x" * 100) * 1000):
            with Client(fresh) as client:
                client.send(b"*%d\r\n$4\r\nMSET\r\n" % MAX_ARGUMENTS)
                send_until_closed(client, argument, LIMITS.max_message_bytes + ON_THE_WAY)
        watch.served()
    assert watch.growth() < MESSAGE, f"{watch.growth() / MIB:.0f} MiB more"


def test_the_most_arguments_of_many_clients(fresh: Node) -> None:
    """None of the requests is ever whole."""
    with Watch(fresh) as watch:
        clients = [Client(fresh) for _ in range(3)]
        for client in clients:
            client.send(b"*%d\r\n" % MAX_ARGUMENTS, b"$2\r\nab\r\n" * (MAX_ARGUMENTS - 1))
        watch.served(50)
        assert watch.growth() < MESSAGE, f"{watch.growth() / MIB:.0f} MiB more"
        for client in clients:
            client.send(b"$2\r\nab\r\n", packed([b"PING"]))
            assert str(client.answer()).startswith("ERR unknown command 'ab'")
            assert client.answer() == b"PONG"
            client.socket.close()


def test_a_transaction_without_an_end(fresh: Node) -> None:
    with Watch(fresh) as watch, Client(fresh) as client:
        client.send(packed([b"MULTI"]))
        assert client.answer() == b"OK"
        queued = 0
        while (answer := ask(client, packed([b"SET", b"k", b"x" * MIB]))) == b"QUEUED":
            queued += 1
            assert queued < 100
        assert queued > 4
        assert str(answer).startswith("ERR the commands of a transaction take at most ")
        for _ in range(100):
            assert ask(client, packed([b"SET", b"k", b"x" * MIB])) == b"QUEUED"  # as Redis says, and it is not kept
        assert str(ask(client, packed([b"EXEC"]))).startswith("EXECABORT ")
        assert ask(client, packed([b"EXISTS", b"k"])) == 0
        watch.served()
    assert watch.growth() < MESSAGE, f"{watch.growth() / MIB:.0f} MiB more"


def ask(client: Client, request: bytes) -> object:
    client.send(request)
    return client.answer()


# --- what is no request ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n",
        b"post / HTTP/1.1\r\n\r\n",
        b"Host: 127.0.0.1\r\n",
        packed([b"PING"]) + b"POST /\r\n",
        packed([b"POST", b"/"]),
    ],
)
def test_what_a_browser_sends_is_not_carried_out(node: Node, watch: Watch, begin: bytes) -> None:
    since = len(node.log)
    with Client(node) as client:
        client.send(begin, packed([b"SET", b"browser", b"1"]), b"SET browser 2\r\n")
        if begin.startswith(b"*1"):
            assert client.answer() == b"PONG"
        client.closed()
    node.wait_for_log("HTTP in the place of RESP", since=since)
    with Client(node) as client:
        assert ask(client, packed([b"EXISTS", b"browser"])) == 0


VALID = b"".join(
    (
        packed([b"SET", b"random", b"1"]),
        b"INCR random\r\n",
        packed([b"MGET", b"random", b"other"]),
        packed([b"MULTI"]),
        packed([b"DEL", b"random"]),
        packed([b"EXEC"]),
        b'SET random "\\x00 b"\r\n',
        packed([b"HELLO", b"3"]),
    )
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Valid requests with a few bytes changed, removed or added."""
    data = bytearray(VALID)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=2) | st.sampled_from([b"\r\n", b"*", b"$", b'"'])
        )
    return bytes(data)


def test_random_bytes(node: Node, watch: Watch) -> None:
    """Whatever comes, all that is said is what RESP is, and in the end the connection is closed."""

    @settings(max_examples=100, deadline=None)
    @given(st.builds(bytes.__add__, st.sampled_from([b"*", b"+", b"\n", b"G"]), st.binary(max_size=200)) | spoilt())
    def attack(data: bytes) -> None:
        with Client(node) as client:
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionError):
                while True:
                    client.answer()

    attack()


# --- slowly ----------------------------------------------------------------------------------------------------------


def test_a_byte_at_a_time(node: Node, watch: Watch) -> None:
    with Client(node) as client:
        for byte in packed([b"SET", b"slow", b"a\r\nb"]) + b"GET slow\r\n":
            client.send(bytes([byte]))
            watch.served(1)
        assert [client.answer(), client.answer()] == [b"OK", b"a\r\nb"]


@pytest.mark.parametrize(
    "requests",
    [packed([b"GET", b"large"]) * 1000, packed([b"MGET", *[b"large"] * 50]) * 100, b"GET large\r\n" * 1000],
    ids=["GET", "MGET", "a line"],
)
def test_a_client_that_never_reads(fresh: Node, requests: bytes) -> None:
    with Watch(fresh) as watch, Client(fresh) as client:
        assert ask(client, packed([b"SET", b"large", b"x" * MIB])) == b"OK"
        client.socket.settimeout(1)
        # The node stops reading, so the buffers on the way fill up; or it closes the connection.
        with pytest.raises((TimeoutError, ConnectionError)):
            while True:
                client.send(requests)
        watch.served(50)
    assert watch.growth() < UNREAD, f"{watch.growth() / MIB:.0f} MiB more"


def test_a_client_that_asks_for_all_keys_again_and_again(nodes: Nodes) -> None:
    """And reads nothing: the node keeps one answer for it."""
    node = nodes.start_secondary(capacity=20_000)
    names = [b"%d " % number + b"k" * 500 for number in range(10_000)]
    with Watch(node) as watch, Client(node) as client:
        client.send(*(packed([b"SET", name, b""]) for name in names))
        assert {client.answer() for _ in names} == {b"OK"}
        client.send(packed([b"KEYS", b"*k"]) * 50)
        watch.served(100)
        for _ in range(50):
            keys = client.answer()
            assert isinstance(keys, list)
            assert sorted(keys) == sorted(names)
    assert watch.growth() < UNREAD, f"{watch.growth() / MIB:.0f} MiB more"


def test_a_client_that_reads_slowly(fresh: Node) -> None:
    """It gets all answers in their order, and makes the node hold no more than one that does not read."""
    values = [b"%d" % number * 100_000 for number in range(10, 20)]
    with Watch(fresh) as watch, Client(fresh) as client:
        for number, value in enumerate(values):
            assert ask(client, packed([b"SET", b"%d" % number, value])) == b"OK"
        requests = b"".join(packed([b"GET", b"%d" % (number % 10)]) for number in range(500))
        client.send(requests)
        watch.served(20)
        for number in range(500):
            assert client.answer() == values[number % 10]
        watch.served()
    assert watch.growth() < UNREAD, f"{watch.growth() / MIB:.0f} MiB more"
