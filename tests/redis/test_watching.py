"""WATCH: EXEC carries nothing out when a record is another one by then, or when the client has seen another one."""

from __future__ import annotations

import pytest

from ckv import errors
from ckv.redis import watching
from tests.redis.test_commands import WAIT, Node, read
from tests.redis.test_transactions import send


def watching_node() -> Node:
    node = Node("DIGEST", "EXISTS")
    node.results |= {"PUT": True, "GET": (True, b"1")}
    node.digests = {"a": b"A", "b": b""}
    return node


def test_exec_compares_what_was_watched() -> None:
    node = watching_node()
    assert send(node, "WATCH a b", "MULTI", "SET a 2", "EXEC") == b"+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"
    assert node.session.is_between
    for key in ("a", "b"):
        node.asked.clear()
        assert send(node, "WATCH a", "WATCH b b", "MULTI", "SET c 2").endswith(b"+QUEUED\r\n")
        before, node.digests[key] = node.digests[key], b"B"
        assert send(node, "EXEC") == b"*-1\r\n"
        assert node.asked == []
        assert node.ask("EXEC") == "ERR EXEC without MULTI"
        assert node.session.is_between
        node.digests[key] = before
    node.ask("HELLO", "3")
    send(node, "WATCH a", "MULTI", "PING")
    node.digests["a"] = b"B"
    assert send(node, "EXEC") == b"_\r\n", "also if it asks for no key"


@pytest.mark.parametrize("end", ["UNWATCH", "RESET", "DISCARD", "EXEC"])
def test_nothing_is_watched_any_more(end: str) -> None:
    node = watching_node()
    node.ask("WATCH", "a")
    assert not node.session.is_between, "compiled code does not know what is watched"
    if end in ("DISCARD", "EXEC"):
        node.ask("MULTI")
    node.send(end)
    assert (node.session.is_between, node.session.taker) == (True, None)
    node.digests["a"] = b"B"
    assert send(node, "MULTI", "SET a 2", "EXEC").endswith(b"*1\r\n+OK\r\n")


def test_the_first_digest_counts() -> None:
    node = watching_node()
    node.ask("WATCH", "a")
    node.digests["a"] = b"B"
    assert node.ask("WATCH", "a") == b"OK"
    assert send(node, "MULTI", "SET a 2", "EXEC").endswith(b"*-1\r\n")


def test_watch_that_is_refused_or_wrong() -> None:
    node = watching_node()
    assert send(node, "MULTI", "WATCH a", "SET a 1", "EXEC") == (
        b"+OK\r\n-ERR WATCH inside MULTI is not allowed\r\n+QUEUED\r\n*1\r\n+OK\r\n"
    )
    assert node.ask("WATCH") == "ERR wrong number of arguments for 'watch' command"
    assert node.ask("WATCH", "k" * 1025).startswith("ERR KeyTooLong")
    node.step = errors.NodeDown("away")
    assert node.ask("WATCH", "a") == "CLUSTERDOWN NodeDown: away"
    assert node.session.is_between, "nothing is watched then"
    node.step = None
    many = [str(number) for number in range(watching.MAX_WATCHED)]
    assert node.ask("WATCH", *many) == b"OK"
    assert node.ask("WATCH", "0") == b"OK"
    assert node.ask("WATCH", "one more").startswith("ERR a client watches at most")


def test_what_comes_behind_watch_waits_for_it() -> None:
    """Else EXEC would know nothing to compare."""
    node = watching_node()
    node.step = WAIT
    assert send(node, "WATCH a", "MULTI", "SET a 2", "EXEC") == b""
    assert len(node.line.holds) == 1
    assert len(node.steps) == 1
    node.steps.pop()()
    node.step = None
    assert len(node.line.holds) == 0
    node.digests["a"] = b"B"
    got = node.taken()
    while node.session.attention and not node.line.held:
        got += node.session.more()
    assert got == b"+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n"


def test_watch_that_fails_later() -> None:
    node = watching_node()
    node.step = WAIT
    send(node, "WATCH a")
    node.steps.clear()
    node.session.close()
    other = watching_node()
    other.step = WAIT
    send(other, "WATCH a")
    other.step = None
    other.digests["a"] = b"A"
    other.steps.pop()()
    assert other.taken() == b"+OK\r\n"
    assert other.session.watched == {"a": b"A"}


@pytest.mark.parametrize("request_", ["GET a", "MGET b a", "EXISTS a b", "STRLEN a", "TYPE a"])
def test_a_value_that_was_another_in_between_counts_if_it_was_seen(request_: str) -> None:
    """The record was A, the client read B, and it is A again: what it makes of B must not be written."""
    node = watching_node()
    node.results["EXISTS"] = True
    send(node, "WATCH a")
    node.digests["a"] = b"B"
    seen = send(node, request_)
    assert seen == send(a_node_like(node), request_)
    node.digests["a"] = b"A"
    assert send(node, "MULTI", "SET a 2", "EXEC").endswith(b"*-1\r\n")


def a_node_like(node: Node) -> Node:
    other = watching_node()
    other.results = node.results
    return other


def test_what_is_read_as_it_was_watched_changes_nothing() -> None:
    node = watching_node()
    send(node, "WATCH a")
    assert node.ask("GET", "a") == b"1"
    node.digests["c"] = b"C"
    assert node.ask("GET", "c") == b"1"
    assert node.ask("GET", "a", "b") == "ERR wrong number of arguments for 'get' command"
    assert node.ask("PING") == b"PONG"
    assert send(node, "MULTI", "SET a 2", "EXEC").endswith(b"*1\r\n+OK\r\n")


def test_errors_of_what_is_read() -> None:
    node = watching_node()
    send(node, "WATCH a")
    node.results["GET"] = errors.TierUnavailable("away")
    assert node.ask("GET", "a") == "TRYAGAIN TierUnavailable: away"
    node.step = errors.NodeDown("away")
    assert node.ask("GET", "a") == "CLUSTERDOWN NodeDown: away"


def test_a_client_that_is_refused_reads_nothing() -> None:
    node = watching_node()
    send(node, "WATCH a")
    node.methods.refuse_everything(errors.Draining("it ends"))
    assert read(send(node, "GET a")) == "TRYAGAIN Draining: it ends"


def test_what_getex_reads_counts_as_what_get_reads() -> None:
    node = Node("DIGEST", "GETEX")
    node.results |= {"PUT": True, "GET": (True, b"2")}
    node.digests = {"a": b"A"}
    node.ask("WATCH", "a")
    node.digests["a"] = b"B"
    assert node.ask("GETEX", "a") == b"2"
    node.digests["a"] = b"A"
    assert send(node, "MULTI", "SET a 2", "EXEC").endswith(b"*-1\r\n")


def test_whoever_subscribes_may_have_seen_another_one() -> None:
    node = watching_node()
    send(node, "WATCH a", "SUBSCRIBE news", "UNSUBSCRIBE news")
    assert send(node, "MULTI", "SET a 2", "EXEC").endswith(b"*-1\r\n")
