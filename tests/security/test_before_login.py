"""What somebody may do who has not logged in, and for how long; and how often he may try."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from ckv.net.logins import LOGIN_TIMEOUT, MOST_BYTES
from ckv.protocol.limits import KIB
from ckv.security import slowing
from ckv.security.slowing import Slowing
from tests.security.guarded import Guarded, Resp, new_source, packed, rpc, secret_of
from tests.support.nodes import Node
from tests.support.wire import pack

BYTES_OF_A_STRANGER = 8 * KIB
"""Memory of a node for a connection over which nobody has logged in, at most."""

LOGIN = ("AUTH", "writer", secret_of("writer"))


@pytest.mark.parametrize(
    "data",
    [
        packed(("SET", "a", "x" * MOST_BYTES)),
        b"*10\r\n$16384\r\n" + b"x" * MOST_BYTES,
        b"*1000000\r\n" + b"$1\r\nx\r\n" * MOST_BYTES,
        b"x" * MOST_BYTES + b"x",
        packed(("PING",)) * MOST_BYTES,
        packed(("AUTH", "a" * MOST_BYTES, "b")),
        pack([0, 1, "PUT", ["a", "x" * MOST_BYTES]]),
        pack([0, 1, "PING", []]) * MOST_BYTES,
        pack([0, 1, "AUTH", ["writer", b"x" * MOST_BYTES]]),
        pack([0, 1, "BATCH", ["PING", []] * 500]) * 100,
    ],
    ids=range(10),
)
def test_much_that_comes_before_a_login_ends_the_connection(node: Node, data: bytes) -> None:
    with rpc(node) as client:
        with suppress(OSError):  # it may have ended already
            client.send(data)
        client.wait_closed()
    with rpc(node, "writer") as other:
        assert other.call("PING") == "PONG"


def test_what_comes_behind_a_login_may_be_large(node: Node) -> None:
    value = b"x" * 300_000
    with Resp(node) as client, rpc(node) as other:
        client.send(LOGIN, ("SET", "large", value), ("GET", "large"))
        assert [client.read() for _ in range(3)] == [b"OK", b"OK", value]
        sent = [other.request("AUTH", *LOGIN[1:]), other.request("PUT", "large", value), other.request("GET", "large")]
        assert [other.wait_for(msgid).result for msgid in sent] == [True, True, [True, value]]


def test_who_does_not_log_in_has_to_go(guarded: Guarded) -> None:
    node = guarded.secondary()
    with (
        Resp(node) as talking,
        rpc(node) as silent,
        rpc(node, "reader") as member,
        Resp(node, "writer") as left,
    ):
        assert left.call("RESET") == b"RESET"
        began = time.monotonic()
        silent.socket.settimeout(LOGIN_TIMEOUT / 2)
        with pytest.raises(TimeoutError):
            silent.socket.recv(1)
        assert talking.call("RESET") == b"RESET"
        for client in (talking, silent, left):
            client.socket.settimeout(LOGIN_TIMEOUT)
            assert client.socket.recv(1) == b""
        assert time.monotonic() - began < 1.4 * LOGIN_TIMEOUT
        assert member.call("PING") == "PONG"


def test_who_logs_out_without_a_login_may_send_no_more_than_others(node: Node) -> None:
    half = ("AUTH", "x" * (MOST_BYTES // 2), "")
    with Resp(node) as client:
        assert client.call(*half).startswith("-WRONGPASS ")
        assert client.call("RESET") == b"RESET"
        with pytest.raises(ConnectionError):
            client.call(*half)


def test_those_who_do_not_log_in_keep_nobody_out(guarded: Guarded) -> None:
    node = guarded.secondary("--max-connections=4")
    with ExitStack() as stack:
        strangers = [stack.enter_context(Resp(node)) for _ in range(8)]
        users = [stack.enter_context(Resp(node, "writer")) for _ in range(2)]
        users += [stack.enter_context(Resp(node)) for _ in range(2)]
        assert [user.call(*LOGIN) for user in users[2:]] == [b"OK", b"OK"]
        assert [user.call("SET", "a", "1") for user in users] == [b"OK"] * 4
        for stranger in strangers[:4]:
            assert stranger.socket.recv(1) == b""
        full = stack.enter_context(Resp(node))
        assert "all 4 places of clients are taken" in full.call(*LOGIN)
        assert [guest.call("PING") for guest in strangers[4:]] == ["-NOAUTH Authentication required."] * 4
        assert [user.call("GET", "a") for user in users] == [b"1"] * 4


@pytest.fixture
def many() -> Iterator[int]:
    """10,000 connections, or as many as this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10_000 + 500
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    count = allowed - 500
    print(f"{count} connections")
    yield count
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_that_never_log_in_cost_little_and_keep_nobody_out(guarded: Guarded, many: int) -> None:
    # Half of them stand before a node that has as many places, the others beyond these.
    node = guarded.secondary(f"--max-connections={many // 2}")
    before = node.rss_bytes()
    begun = packed(("AUTH", "writer", secret_of("writer")))[:-1]
    strangers = []
    with ExitStack() as stack:
        for number in range(many):
            strangers.append(stack.enter_context(socket.create_connection(("127.0.0.1", node.port), 30)))
            if number < many // 2:
                strangers[-1].sendall(begun)
        with Resp(node, "writer") as user:
            assert user.call("SET", "a", "1") == b"OK"
            connected = int(
                dict(line.split(b":", 1) for line in user.call("INFO").split() if b":" in line)[b"connected_clients"]
            )
        each = (node.rss_bytes() - before) / connected
        print(f"{connected} connected, {each:.0f} bytes of memory for each")
        assert connected > many // 4
        assert each < BYTES_OF_A_STRANGER


def test_who_tries_many_secrets_is_slowed_down_and_nobody_else_is(guarded: Guarded) -> None:
    node = guarded.secondary()
    source = new_source()
    with Resp(node, source=source) as client, Resp(node) as other:
        began = time.monotonic()
        for number in range(slowing.FREE + 2):
            assert client.call("AUTH", "writer", f"guess {number}").startswith("-WRONGPASS ")
        assert time.monotonic() - began >= slowing.PAUSE
        began = time.monotonic()
        assert other.call(*LOGIN) == b"OK"
        assert time.monotonic() - began < slowing.PAUSE
        many = [Resp(node, source=source) for _ in range(20)]
        for guess in many:
            guess.send(("AUTH", "writer", "guess"))
        answers = [guess.read() for guess in many]
        for guess in many:
            guess.close()
        looked_at = [answer for answer in answers if answer.startswith("-WRONGPASS ")]
        assert 0 < len(looked_at) <= slowing.LONGEST_WAIT / slowing.PAUSE + 1
        assert {answer.partition(":")[0] for answer in answers} - {looked_at[0]} == {"-TRYAGAIN Overloaded"}


def test_a_wrong_login_is_forgotten_after_a_while_and_a_right_one_changes_nothing() -> None:
    slow = Slowing()
    for _ in range(slowing.FREE):
        assert slow.wait("192.0.2.1", 0.0) == 0.0
        slow.failed("192.0.2.1", 0.0)
    assert [slow.wait("192.0.2.1", 1.0) for _ in range(3)] == [0.0, 1.0, 2.0]
    assert slow.wait("192.0.2.2", 1.0) == 0.0
    assert slow.wait("192.0.2.1", slowing.FORGOTTEN_AFTER) == 0.0


def test_one_network_of_version_6_is_one_address() -> None:
    slow = Slowing()
    for number in range(slowing.FREE):
        slow.failed(f"2001:db8::{number}", 0.0)
    slow.wait("2001:db8::1", 0.0)
    assert slow.wait("2001:db8::ffff", 0.0) > 0
    assert slow.wait("2001:db8:0:1::1", 0.0) == 0.0


def test_what_is_kept_of_addresses_is_bounded() -> None:
    slow = Slowing()
    for number in range(slowing.MOST + 100):
        slow.failed(f"host {number}", 0.0)
    assert len(slow._failures) == slowing.MOST
