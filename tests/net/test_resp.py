"""Clients of Redis beside those of msgpack-RPC, over real sockets: who is chosen, in which order answers leave."""

from __future__ import annotations

import os
import select
import socket as plain_socket
from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
import pytest

from ckv import errors
from ckv.address import Address
from ckv.net.poller import FEW_SOCKETS
from ckv.net.server import Server
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import Limits
from ckv.protocol.resp.ordering import MAX_UNREAD_PUSHES
from ckv.protocol.resp.session import RespSession
from ckv.redis.table import for_node
from ckv.values import checked_key
from tests.net.conftest import LONGEST, Lines, World, until
from tests.protocol.resp.test_parsing import packed

Serve = Callable[..., tuple[Server, "Talker", Address]]


class Talker:
    """A client that sends bytes and reads bytes."""

    def __init__(self, address: Address, receive_buffer: int | None = None) -> None:
        self.socket = gevent.socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((address.host, address.port))

    def send(self, *requests: list[bytes]) -> None:
        self.socket.sendall(b"".join(map(packed, requests)))

    def read(self, count: int) -> bytes:
        """So many bytes; fewer when the node closes the connection before."""
        data = b""
        with gevent.Timeout(LONGEST, AssertionError(f"only {len(data)} bytes")):
            while len(data) < count and (more := self.socket.recv(count - len(data))):
                data += more
        return data

    def rest(self) -> bytes:
        """All until the connection is closed."""
        return self.read(2**30)

    def says(self, answer: bytes) -> None:
        """Whether that is what comes next."""
        assert self.read(len(answer)) == answer


class Keys:
    """A store of the test: GET, PUT and DEL; what is in ``waits`` is answered when the test says so."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.waits: set[str] = set()
        self.asked: list[tuple[Caller, int, str]] = []
        self.when_asked: dict[str, Callable[[], None]] = {}

    def get(self, caller: Caller, msgid: int, params: tuple[Any, ...]) -> object:
        key = checked_key(params[0])
        if key in self.when_asked:
            self.when_asked[key]()
        if key in self.waits:
            self.asked.append((caller, msgid, key))
            return LATER
        return (key in self.values, self.values.get(key, ""))

    def put(self, _caller: Caller, _msgid: int, params: tuple[Any, ...]) -> object:
        key, value = params
        self.values[key] = value
        return True

    def delete(self, _caller: Caller, _msgid: int, params: tuple[Any, ...]) -> object:
        return self.values.pop(params[0], None) is not None

    def exec(self, _caller: Caller, _msgid: int, _params: tuple[Any, ...]) -> object:
        raise AssertionError("nobody here asks for several at once")

    def answer(self, index: int = 0) -> None:
        caller, msgid, key = self.asked.pop(index)
        caller.respond(msgid, None, (key in self.values, self.values.get(key, "")))


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def serve(world: World, keys: Keys) -> Serve:
    def make(limits: Limits | None = None, receive_buffer: int | None = None) -> tuple[Server, Talker, Address]:
        limits = limits or Limits()
        table = {
            "GET": keys.get,
            "PUT": keys.put,
            "DEL": keys.delete,
            "EXEC": keys.exec,
            "PING": lambda _caller, _msgid, _params: "PONG",
            "INFO": lambda _caller, _msgid, _params: {"connected_clients": 1},
        }
        server = Server(
            world.poller, table, limits, resp=for_node(limits, keys_max=1000, next_turn=world.poller.loop.run_callback)
        )
        world.also(server)
        address = server.listen(Address("127.0.0.1", 0))
        return server, Talker(address, receive_buffer), address

    return make


def test_the_first_byte_chooses_the_protocol(world: World, serve: Serve, keys: Keys) -> None:
    _, talker, address = serve()
    asker = world.ask(address)
    asker.send([0, 1, "PUT", ["a", "from msgpack"]])
    assert asker.answer() == [1, None, True]
    talker.send([b"GET", b"a"], [b"SET", b"b", b"\xff\x00"])
    talker.says(b"$12\r\nfrom msgpack\r\n+OK\r\n")
    asker.send([0, 2, "GET", ["b"]], [0, 3, "GET", [b"a"]])
    assert asker.answers(2) == [[2, None, [True, b"\xff\x00"]], [3, None, [True, "from msgpack"]]]
    inline = Talker(address)
    inline.socket.sendall(b"get a\r\n")
    inline.says(b"$12\r\nfrom msgpack\r\n")


def test_without_it_nothing_has_changed(world: World, log: Lines) -> None:
    server, address = world.serve()
    talker = Talker(address)
    talker.send([b"PING"])
    assert talker.rest() == b""
    until(lambda: server.connections == 0)
    assert log.having("neither a request nor a notification")


def test_tls_and_rubbish_are_told_apart_from_both(serve: Serve, log: Lines) -> None:
    _, _, address = serve()
    tls = Talker(address)
    tls.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    assert tls.rest().startswith(b"-ERR Protocol error: a TLS handshake")
    rubbish = Talker(address)
    rubbish.socket.sendall(b"\xc1")
    assert rubbish.rest() == b""
    assert len(log.having("closed: a TLS handshake")) == 1
    assert len(log.having("closed: not msgpack")) == 1


def test_answers_keep_their_order_over_many_turns(serve: Serve, keys: Keys) -> None:
    _, talker, _ = serve()
    keys.waits = {"slow", "slower"}
    keys.values = {"slow": b"1", "slower": b"2", "quick": b"3", "large": b"x" * 300_000}
    large = b"$300000\r\n%b\r\n" % keys.values["large"]
    talker.send([b"GET", b"quick"], [b"GET", b"slow"], [b"GET", b"large"])
    talker.says(b"$1\r\n3\r\n")
    until(lambda: len(keys.asked) == 1)
    talker.send([b"GET", b"slower"], [b"GET", b"quick"])
    until(lambda: len(keys.asked) == 2)
    keys.answer(1)
    talker.send([b"PING"])
    until(lambda: keys.asked)
    keys.answer()
    talker.says(b"$1\r\n1\r\n" + large + b"$1\r\n2\r\n$1\r\n3\r\n+PONG\r\n")
    talker.send(*[[b"GET", b"large"]] * 20, [b"GET", b"quick"])
    talker.says(large * 20 + b"$1\r\n3\r\n")


@pytest.mark.parametrize(
    ("first", "then", "answers"),
    [
        ([b"PING"], packed([b"GET", b"large"]), b"+PONG\r\n$-1\r\n$100000\r\n%b\r\n" % (b"x" * 100_000)),
        ([b"PING"], packed([b"SET", b"a", b"y" * 100_000]), b"+PONG\r\n$-1\r\n+OK\r\n"),
    ],
    ids=["a large answer", "the rest of a large value"],
)
def test_answers_keep_their_order_within_a_turn(
    serve: Serve, keys: Keys, first: list[bytes], then: bytes, answers: bytes
) -> None:
    """While the first requests are carried out further bytes arrive, and some answers leave at once."""
    server, talker, address = serve()
    keys.values = {"large": b"x" * 100_000}
    until(lambda: server.connections == 1)
    (talked_to,) = server._connections
    others = [Talker(address) for _ in range(FEW_SOCKETS)]
    for other in (talker, *others):
        other.send([b"PING"])
        other.says(b"+PONG\r\n")
    begin = 0 if then.startswith(b"*2") else 50

    def poke() -> None:
        assert os.write(talker.socket.fileno(), then[begin:]) == len(then) - begin
        assert select.select([talked_to.fd], [], [], LONGEST)[0], "it has arrived"

    keys.when_asked["poke"] = poke
    talker.socket.sendall(packed(first) + packed([b"GET", b"poke"]) + then[:begin])
    for other in others:
        other.send([b"PING"])
    talker.says(answers)


def test_a_client_that_reads_slowly_gets_all_in_order(serve: Serve, keys: Keys) -> None:
    _, talker, _ = serve(receive_buffer=4096)
    keys.values = {f"{number}": b"%d" % number * 10_000 for number in range(10)}
    expected = b"".join(b"$%d\r\n%b\r\n" % (len(value), value) for value in keys.values.values())
    requests = [[b"GET", b"%d" % number] for number in range(10)]
    sending = gevent.spawn(talker.send, *requests * 30)
    got = b""
    while len(got) < 30 * len(expected):
        gevent.sleep(0)
        got += talker.socket.recv(100_000)
    assert got == expected * 30
    sending.get()


def test_what_a_client_does_not_read_is_bounded(serve: Serve, keys: Keys) -> None:
    limits = Limits(max_value_bytes=100_000)
    server, talker, _ = serve(limits, 4096)
    keys.values = {"large": b"x" * 100_000}
    sending = gevent.spawn(talker.send, *[[b"GET", b"large"]] * 1000)
    until(lambda: any(one.held for one in server._connections))
    (connection,) = server._connections
    for _ in range(20):
        gevent.sleep(0)
    assert connection.unsent_bytes < limits.soft_unsent_bytes + 20 * 100_000
    sending.kill()


@pytest.mark.parametrize("asked", [[], [[b"GET", b"slow"]]])
def test_quit_answers_everything_first(serve: Serve, keys: Keys, log: Lines, asked: list[list[bytes]]) -> None:
    server, talker, _ = serve()
    keys.waits = {"slow"}
    talker.send([b"PING"], *asked, [b"QUIT"], [b"SET", b"too", b"late"])
    if asked:
        until(lambda: keys.asked)
        keys.answer()
    assert talker.rest() == b"+PONG\r\n" + b"$-1\r\n" * len(asked) + b"+OK\r\n"
    until(lambda: server.connections == 0)
    assert not keys.values
    assert not log.having("closed:"), "it is an ordinary end"


def test_a_client_may_close_its_sending_side(serve: Serve, keys: Keys) -> None:
    _, talker, _ = serve()
    keys.waits = {"slow"}
    talker.send([b"GET", b"slow"], [b"PING"])
    talker.socket.shutdown(plain_socket.SHUT_WR)
    until(lambda: keys.asked)
    keys.answer()
    assert talker.rest() == b"$-1\r\n+PONG\r\n"


def test_a_request_of_a_browser_is_not_carried_out(serve: Serve, keys: Keys, log: Lines) -> None:
    _, talker, _ = serve()
    talker.socket.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET a 1\r\n")
    assert talker.rest().startswith(b"-ERR wrong number of arguments for 'get' command\r\n")
    assert not keys.values
    assert log.having("closed: HTTP in the place of RESP")


def test_a_value_that_comes_in_pieces(serve: Serve, keys: Keys) -> None:
    _, talker, _ = serve()
    value = bytes(range(256)) * 4096
    data = packed([b"SET", b"k", value]) + packed([b"GET", b"k"])
    for at in range(0, len(data), 40_000):
        talker.socket.sendall(data[at : at + 40_000])
        gevent.sleep(0)
    talker.says(b"+OK\r\n$%d\r\n%b\r\n" % (len(value), value))


def test_one_that_is_silent_in_the_middle_of_a_request_is_cut_off(serve: Serve, log: Lines) -> None:
    server, talker, address = serve(Limits(unfinished_seconds=0.2))
    between = Talker(address)
    between.send([b"PING"])
    between.says(b"+PONG\r\n")
    talker.socket.sendall(b"*2\r\n$3\r\nGET\r\n")
    assert talker.rest() == b""
    assert log.having("nothing came of the rest of a message")
    between.send([b"PING"])
    between.says(b"+PONG\r\n")
    assert server.connections == 1


def test_guests_may_ask_what_operators_ask(serve: Serve, keys: Keys) -> None:
    server, talker, address = serve(Limits(max_connections=1))
    talker.send([b"PING"])
    talker.says(b"+PONG\r\n")
    guest = Talker(address)
    guest.send([b"HELLO", b"3"], [b"CLIENT", b"ID"], [b"PING"])
    assert guest.read(1) == b"%"
    until(lambda: server.rejected == 1)
    guest.send([b"GET", b"a"], [b"MGET", b"a", b"b"], [b"PING"])
    got = b""
    while got.count(b"+PONG\r\n") < 2:
        got += guest.socket.recv(10_000)
    assert got.count(b"-TRYAGAIN Overloaded: all 1 places of clients are taken") == 2
    talker.socket.close()
    until(lambda: server.connections == 1)
    guest.send([b"MGET", b"a", b"b"], [b"SET", b"a", b"1"])
    guest.says(b"*2\r\n_\r\n_\r\n+OK\r\n")
    (connection,) = server._connections
    assert isinstance(connection.session, RespSession)
    assert connection.session._shared is server._clients._resp, "it is not asked any more whether it is a guest"


def test_while_it_starts_and_while_it_drains(serve: Serve, keys: Keys) -> None:
    server, talker, _ = serve()
    server.refuse(errors.Starting("wait"), ("PING", "INFO"))
    talker.send([b"PING"], [b"GET", b"a"], [b"CLIENT", b"SETNAME", b"x"], [b"MSET", b"a", b"1"])
    talker.says(b"+PONG\r\n-LOADING Starting: wait\r\n+OK\r\n-LOADING Starting: wait\r\n")
    server.admit()
    talker.send([b"GET", b"a"])
    talker.says(b"$-1\r\n")
    server.drain(errors.Draining("bye"), ("PING", "INFO"))
    talker.send([b"SET", b"a", b"1"], [b"PING"])
    talker.says(b"-TRYAGAIN Draining: bye\r\n+PONG\r\n")
    assert not keys.values


def test_a_subscriber_that_does_not_read_is_cut_off(world: World, serve: Serve, log: Lines) -> None:
    """And nobody else: neither who reads, nor the publisher."""
    server, publisher, address = serve()
    slow, quick = Talker(address, receive_buffer=4096), Talker(address)
    told = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    for talker in (slow, quick):
        talker.send([b"SUBSCRIBE", b"c"])
        talker.says(told)
    text = b"x" * 1_000_000
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1000000\r\n%b\r\n" % text
    # What the kernel takes for the slow one comes on top.
    for _ in range(2 * MAX_UNREAD_PUSHES // len(text)):
        publisher.send([b"PUBLISH", b"c", text])
        answer = publisher.read(4)
        quick.says(message)
        if answer == b":1\r\n":
            break
    else:
        raise AssertionError("nobody was cut off")
    until(lambda: server.connections == 2)
    assert len(log.having(f"closed: more than {MAX_UNREAD_PUSHES} bytes are unread of what it has subscribed to")) == 1
    publisher.send([b"PUBLISH", b"c", b"y"])
    publisher.says(b":1\r\n")


def test_a_client_is_killed(world: World, serve: Serve, log: Lines) -> None:
    server, one, address = serve()
    other = Talker(address)
    other.send([b"CLIENT", b"ID"])
    other.says(b":1\r\n")
    one.send([b"CLIENT", b"KILL", b"ID", b"1"])
    one.says(b":1\r\n")
    assert other.rest() == b""
    until(lambda: server.connections == 1)
    assert log.having("closed: somebody has sent CLIENT KILL")
    one.send([b"CLIENT", b"KILL", b"ID", b"2", b"SKIPME", b"no"])
    assert one.rest() == b":1\r\n"
