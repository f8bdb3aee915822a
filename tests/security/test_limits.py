"""Limits of one user: it waits, and gets no error, and nobody else waits."""

from __future__ import annotations

import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ckv.net import metering
from ckv.net.metering import LOOK_EVERY, Meter
from ckv.protocol.limits import RECV_BYTES, Limits
from ckv.protocol.steps import packed_requests
from ckv.redis.table import for_node
from ckv.security.quota import Bucket, Quota
from ckv.security.rights import Rights
from tests.security.guarded import RIGHTS, Guarded, Resp, line_of, rpc, secret_of, write_users
from tests.security.test_user_role import asked, refused
from tests.support.eventually import eventually
from tests.support.nodes import Node
from tests.support.wire import pack

RATE = 50
"""Requests a second."""
LARGE = 256 * 1024
"""Bytes in flight."""


@pytest.fixture
def node(guarded: Guarded) -> Node:
    """Has the users of all tests, of whom two have limits."""
    limits = {"reader": "", "writer": f" rate={RATE}", "orders": f" bytes={LARGE}", "boss": ""}
    lines = [line_of(name, RIGHTS[name], secret_of(name)) + limit for name, limit in limits.items()]
    write_users(guarded.file, *lines)
    return guarded.secondary()


def slowed(node: Node) -> int:
    with rpc(node, "boss") as boss:
        return int(boss.call("INFO")["users_slowed"])


def has_arrived(connected: socket.socket) -> bool:
    return bool(select.select([connected], [], [], 0)[0])


@contextmanager
def modest(node: Node) -> Iterator[Iterator[int]]:
    """Somebody without limits calls all the time; how often, up to now, is what is next."""
    calls = count()
    ended = threading.Event()

    def call() -> None:
        with rpc(node, "reader") as client:
            while not ended.is_set() and client.call("PING") == "PONG":
                next(calls)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield calls
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("form", ["alone", "batch", "step"])
def test_a_user_over_its_rate_waits_and_nobody_else_does(node: Node, form: str) -> None:
    with rpc(node, "writer") as first, Resp(node, "writer") as second, rpc(node, "writer") as third:
        started = time.monotonic()
        if form == "batch":
            first.send(pack([0, 0, "BATCH", ["PUT", ["a", "1"]] * 2 * RATE]))
        elif form == "step":
            first.send(pack([0, 0, "EXEC", [packed_requests([("PUT", ("a", "1"))] * 2 * RATE)]]))
        else:
            first.send(b"".join(pack([0, number, "PUT", ["a", "1"]]) for number in range(2 * RATE)))
        second.send(*[("SET", "a", "2")] * (2 * RATE))
        with modest(node) as calls:
            began = next(calls)
            assert [second.read() for _ in range(2 * RATE)] == [b"OK"] * (2 * RATE)
            for _ in range(2 * RATE if form == "alone" else 1):
                assert first.recv_response().error is None
            third.call("PING")
            # Both together take three seconds, beyond the first; a call takes a fraction of a millisecond.
            assert next(calls) - began > 4 * RATE
            assert time.monotonic() - started > 2.5
    assert slowed(node) > 0


SEVERAL: dict[str, list[tuple[str, ...]]] = {
    **{name: [(name, *["a"] * 4 * RATE)] for name in ("MGET", "DEL", "UNLINK", "EXISTS", "TOUCH", "WATCH")},
    **{name: [(name, *["a", "1"] * 4 * RATE)] for name in ("MSET", "MSETNX")},
    "MSETEX": [("MSETEX", str(4 * RATE), *["a", "1"] * 4 * RATE)],
    "queued": [("MULTI",), ("MGET", *["a"] * 4 * RATE)],
    "wrong": [("MGET", *["a"] * 4 * RATE, "k" * 2000)],
}
"""Requests that name more keys than may be named in three seconds."""


@pytest.fixture
def writers(guarded: Guarded) -> list[str]:
    """Users with a limit, one for each of them, and one who may name some keys alone."""
    rights = dict.fromkeys(SEVERAL, RIGHTS["writer"]) | {"bound": Rights("write", ("a",))}
    lines = [line_of(name, right, secret_of(name)) + f" rate={RATE}" for name, right in rights.items()]
    operators = [line_of(name, RIGHTS[name], secret_of(name)) for name in ("boss", "node")]
    write_users(guarded.file, *lines, *operators)
    return list(rights)


def check_that_keys_count(node: Node, name: str, *requests: tuple[str, ...]) -> None:
    """What comes behind the requests of this user is not read at once."""
    before = slowed(node)
    with Resp(node, name) as client:
        for request in requests:
            client.call(*request)
        client.send(("PING",))
        eventually(lambda: slowed(node) > before, what=f"{name} is not read")


def test_each_key_counts(guarded: Guarded, writers: list[str]) -> None:
    node = guarded.secondary()
    for name, requests in SEVERAL.items():
        check_that_keys_count(node, name, *requests)
    check_that_keys_count(node, "bound", *SEVERAL["MGET"])


def test_each_key_counts_through_a_primary(guarded: Guarded, writers: list[str]) -> None:
    primary = guarded.cluster().primary
    for name in ("MGET", "DEL", "queued"):
        check_that_keys_count(primary, name, *SEVERAL[name])


def test_one_key_of_each_request_is_the_request_itself() -> None:
    methods = for_node(Limits(), keys_max=1, next_turn=lambda do: do())({}, counts_keys=True)
    requests = ["GET a", "mget a b", "MSET a 1 b 2", "MSETEX 2 a 1 b 2 NX", "SET a b EX 3", "PING a b", "NO a b", "DEL"]
    methods.count([words.encode().split() for words in requests])
    assert (methods.requests, methods.more_keys) == (len(requests), 3)


def test_a_user_with_too_much_in_flight_waits_and_nobody_else_does(node: Node) -> None:
    value, times = b"x" * 4 * LARGE, 40
    with Resp(node, "orders") as greedy, Resp(node, "orders") as other:
        assert greedy.call("SET", "orders:1", value) == b"OK"
        greedy.send(*[("GET", "orders:1")] * times)
        eventually(lambda: has_arrived(greedy.socket))
        other.send(("GET", "orders:1"))
        eventually(lambda: slowed(node), what="a connection that is not read")
        with rpc(node, "reader") as another:
            assert another.call("GET", "orders:1") == [True, value]
        assert not has_arrived(other.socket)
        assert [greedy.read() for _ in range(times)] == [value] * times
        assert other.read() == value


def test_who_has_no_limits_is_read_as_ever(node: Node) -> None:
    with rpc(node, "reader") as client:
        numbers = [client.request("PING") for _ in range(20 * RATE)]
        assert all(client.wait_for(number).result == "PONG" for number in numbers)
    assert slowed(node) == 0


def test_another_limit_is_one_from_the_next_login_on(guarded: Guarded, node: Node) -> None:
    with rpc(node, "reader") as before:
        assert before.call("PING") == "PONG"
        line = f"{line_of('reader', Rights('read'), secret_of('reader'))} rate=1"
        write_users(guarded.file, line, line_of("boss", RIGHTS["boss"], secret_of("boss")))
        node.signal(signal.SIGHUP)
        before.wait_closed()
    with rpc(node, "reader") as after:
        assert [after.call("PING") for _ in range(5)] == ["PONG"] * 5
    assert slowed(node) > 0


def test_a_bucket_fills_up_to_the_requests_of_a_second_and_may_be_overdrawn() -> None:
    bucket = Bucket(10, now=0.0)
    assert bucket.level(5.0) == 10
    bucket.take(30)
    assert [bucket.level(now) for now in (5.0, 6.0, 7.0, 9.0)] == [-20, -10, 0, 10]


class Clock:
    """A loop and a time, which pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tick: Any = None

    def timer(self, _after: float, _repeat: float) -> Any:
        return SimpleNamespace(start=lambda tick: setattr(self, "tick", tick), stop=lambda: setattr(self, "tick", None))

    def passes(self, seconds: float) -> None:
        self.now += seconds
        if self.tick is not None:
            self.tick()


class Line:
    """A connection that always has something to be read."""

    def __init__(self, meter: Meter) -> None:
        self.held: set[object] = set()
        self.session = SimpleNamespace(large=False)
        self.in_flight = self.unsent_bytes = 0
        self.agains = 0
        self.hold, self.release = self.held.add, self.held.discard
        line: Any = self
        self.reads = meter.reading(line, lambda _fd, count: b"x" * count)

    def read_again(self) -> None:
        self.agains += 1

    def read(self, count: int) -> bool:
        """Whether it may."""
        try:
            return len(self.reads(0, count)) > 0
        except BlockingIOError:
            return False


def test_connections_of_a_user_have_their_turns_one_after_the_other() -> None:
    clock = Clock()
    meter = Meter(Quota(rate=1), clock, clock=lambda: clock.now)
    lines = [Line(meter) for _ in range(3)]
    turns = []
    for _ in range(6):
        for number, line in enumerate(lines):
            if not line.held and line.read(1):
                turns.append(number)
        meter.served(1)
        clock.passes(1.0)
    assert turns == [0, 1, 2, 0, 1, 2]


def test_no_second_connection_is_read_before_what_the_first_brought_is_counted() -> None:
    clock = Clock()
    meter = Meter(Quota(rate=10), clock, clock=lambda: clock.now)
    assert [Line(meter).read(RECV_BYTES) for _ in range(3)] == [True, False, False]
    meter.served(5)
    clock.passes(LOOK_EVERY)
    assert Line(meter).read(1)


def test_many_connections_reach_the_rate_together() -> None:
    """Also when they were over it once."""
    rate = 1000
    clock = Clock()
    meter = Meter(Quota(rate=rate), clock, clock=lambda: clock.now)
    lines = [Line(meter) for _ in range(100)]
    meter.served(rate + 1)
    requests = 0
    while clock.now < 2.0:
        read = sum(not line.held and line.read(1) for line in lines)
        meter.served(read)
        requests += read
        clock.passes(LOOK_EVERY)
    assert abs(requests - 2 * rate) < 0.05 * rate


@pytest.mark.parametrize("size", [60, RECV_BYTES])
def test_as_many_are_read_again_as_there_is_room_for_bytes(size: int) -> None:
    clock = Clock()
    meter = Meter(Quota(bytes_in_flight=LARGE), clock, clock=lambda: clock.now)
    first, *lines = (Line(meter) for _ in range(50))
    assert first.read(RECV_BYTES)
    first.in_flight, first.unsent_bytes = 1, LARGE
    meter.served(1)
    assert not any(line.read(size) for line in lines)
    first.in_flight = first.unsent_bytes = 0
    clock.passes(LOOK_EVERY)
    read = sum(not line.held and line.read(size) for line in lines)
    assert read == min(len(lines), LARGE // size)


def test_more_than_one_read_of_the_usual_size_has_its_turn_later() -> None:
    line = Line(Meter(Quota(rate=10**6), Clock()))
    assert len(line.reads(0, 4 * RECV_BYTES)) == RECV_BYTES
    assert line.agains == 1


def test_a_message_that_is_larger_than_the_limit_goes_on_where_nothing_is_in_flight() -> None:
    meter = Meter(Quota(bytes_in_flight=1024), Clock())
    line = Line(meter)
    line.session.large = True
    for _ in range(5):
        assert line.read(RECV_BYTES)
        meter.served(0)
    line.in_flight = 1
    assert not line.read(1)


def test_nothing_is_kept_of_a_connection_that_is_closed() -> None:
    clock = Clock()
    meter = Meter(Quota(rate=1, bytes_in_flight=1024), clock, clock=lambda: clock.now)
    lines: list[Any] = [Line(meter) for _ in range(3)]
    for line in lines:
        line.read(2048)
    for line in lines:
        meter.forget(line)
    assert (meter._came, meter._held, meter._let, meter._total) == ({}, {}, set(), 0)
    clock.passes(metering.LOOK_EVERY)
    assert clock.tick is None


def test_a_file_with_limits_is_kept_as_it_is(tmp_path: Path) -> None:

    path = str(tmp_path / "users")
    asked("add", path, "bob", "--rate=1k", "--bytes-in-flight=16MiB", "--connections=100", "--keys=~a=*")
    asked("rotate", path, "bob")
    assert asked("list", path) == "bob write 2 secrets ~a=* rate=1000 bytes=16MiB connections=100\n"
    for limit in ("--rate", "--bytes-in-flight", "--connections"):
        assert refused("add", path, "ann", "--class=node", f"{limit}=1").startswith(f"{limit}: node with limits")
