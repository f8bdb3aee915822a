"""A user has so many connections at a time, and nobody else is kept out."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import pytest

from tests.security.guarded import RIGHTS, Guarded, Resp, line_of, rpc, secret_of, write_users
from tests.security.test_attacks import error_of
from tests.support.eventually import eventually
from tests.support.nodes import Node
from tests.support.wire import RawClient

MOST = 3
FULL = f"the user has all of its {MOST} connections; close one first"


def write(guarded: Guarded, most: int) -> None:
    """Two users have limits of as many connections, and one has none."""
    limited = [f"{line_of(name, RIGHTS[name], secret_of(name))} connections={most}" for name in ("writer", "orders")]
    write_users(guarded.file, *limited, line_of("boss", RIGHTS["boss"], secret_of("boss")))


@pytest.fixture
def node(guarded: Guarded) -> Node:
    write(guarded, MOST)
    return guarded.secondary()


def login(client: RawClient | Resp, name: str) -> str:
    """Logs in; why not, or nothing."""
    if isinstance(client, Resp):
        answer = client.call("AUTH", name, secret_of(name))
        return "" if answer == b"OK" else answer
    return str(client.wait_for(client.request("AUTH", name, secret_of(name))).error or "")


def logs_in(client: RawClient | Resp, name: str) -> None:
    """Waits until it can."""
    eventually(lambda: not login(client, name), what=f"{name} is let in")


def test_the_next_one_is_refused_in_both_protocols_and_nobody_else_is(node: Node) -> None:
    with ExitStack() as opened:
        of_redis = opened.enter_context(Resp(node, "writer"))
        others = [opened.enter_context(rpc(node, "writer")) for _ in range(MOST - 1)]
        late, late_of_redis = opened.enter_context(rpc(node)), opened.enter_context(Resp(node))
        assert login(late, "writer") == f"Overloaded: {FULL}"
        assert login(late_of_redis, "writer") == f"-TRYAGAIN Overloaded: {FULL}"
        assert (
            late_of_redis.call("HELLO", "3", "AUTH", "writer", secret_of("writer")) == f"-TRYAGAIN Overloaded: {FULL}"
        )
        assert error_of(late, "GET", "a").startswith("LoginNeeded: ")
        node.wait_for_log(f"login of writer from {late.socket.getsockname()[0]}")
        for name in ("orders", "boss", "boss"):
            opened.enter_context(rpc(node, name))
        assert of_redis.call("PING") == b"PONG"
        assert [client.call("PING") for client in others] == ["PONG"] * (MOST - 1)
        of_redis.close()
        logs_in(late, "writer")
        others[0].close()
        logs_in(late_of_redis, "writer")


def test_a_wrong_secret_is_told_first(node: Node) -> None:
    with ExitStack() as opened:
        for _ in range(MOST):
            opened.enter_context(rpc(node, "writer"))
        assert error_of(opened.enter_context(rpc(node)), "AUTH", "writer", "wrong").startswith("LoginFailed: ")


def test_another_login_over_a_connection_is_no_other_connection(node: Node) -> None:
    with ExitStack() as opened:
        first, *_ = [opened.enter_context(Resp(node, "writer")) for _ in range(MOST)]
        late = opened.enter_context(Resp(node))
        assert login(first, "writer") == ""
        assert login(first, "orders") == ""
        assert login(late, "writer") == ""
        assert login(first, "writer").startswith("-TRYAGAIN ")
        assert first.call("SET", "orders:1", "v") == b"OK"
        assert first.call("SET", "a", "v").startswith("-NOPERM "), "it is who it was before"
        late.call("RESET")
        assert login(first, "writer") == ""
        assert first.call("SET", "a", "v") == b"OK"


def test_another_limit_holds_from_sighup_on(guarded: Guarded, node: Node) -> None:
    with ExitStack() as opened:
        before = [opened.enter_context(rpc(node, "writer")) for _ in range(MOST)]
        write(guarded, 1)
        node.signal(signal.SIGHUP)
        for client in before:
            client.wait_closed()
        opened.enter_context(rpc(node, "writer"))
        assert login(opened.enter_context(rpc(node)), "writer").startswith("Overloaded: the user has all of its 1 ")
