"""PSUBSCRIBE: who hears what of channels whose names match, and what bounds there are."""

from __future__ import annotations

import hiredis
import pytest

from ckv.redis import subscribers
from tests.protocol.resp.test_parsing import packed
from tests.redis.test_channels import Client
from tests.redis.test_commands import Node
from tests.redis.test_transactions import answers, send
from tests.support.line import served


def test_messages_of_channels_that_match() -> None:
    node = Node()
    old, new = Client(node), Client(node, 3)
    assert old.ask("PSUBSCRIBE", "news.*", "h[ae]llo", "news.*") == [
        *([b"psubscribe", b"news.*", 1], [b"psubscribe", b"h[ae]llo", 2], [b"psubscribe", b"news.*", 2]),
    ]  # fmt: skip
    got = served(new.session, new.line, packed([b"PSUBSCRIBE", b"*"]))
    assert got == b">3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n"
    assert node.ask("PUBLISH", "news.art", "\r\n") == 2
    assert old.heard() == b"*4\r\n$8\r\npmessage\r\n$6\r\nnews.*\r\n$8\r\nnews.art\r\n$2\r\n\r\n\r\n"
    assert new.heard() == b">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$8\r\nnews.art\r\n$2\r\n\r\n\r\n"
    assert node.ask("PUBLISH", "hullo", "x") == 1
    assert old.heard() == b""
    assert node.ask("PUBLISH", b"hello", "x") == 2
    assert answers(old.heard()) == [[b"pmessage", b"h[ae]llo", b"hello", b"x"]]


def test_names_are_bytes() -> None:
    node = Node()
    client = Client(node)
    served(client.session, client.line, packed([b"PSUBSCRIBE", b"\xff?\n"]))
    assert node.ask("PUBLISH", b"\xff\x00\n", b"\xfe") == 1
    assert answers(client.heard()) == [[b"pmessage", b"\xff?\n", b"\xff\x00\n", b"\xfe"]]


def test_by_name_and_by_patterns_it_comes_once_for_each() -> None:
    node = Node()
    client, other = Client(node), Client(node)
    client.ask("PSUBSCRIBE", "n*", "*s")
    assert client.ask("SUBSCRIBE", "news") == [[b"subscribe", b"news", 3]], "both count"
    other.ask("PSUBSCRIBE", "n*")
    assert node.ask("PUBLISH", "news", "x") == 4
    assert answers(client.heard()) == [
        *([b"message", b"news", b"x"], [b"pmessage", b"n*", b"news", b"x"], [b"pmessage", b"*s", b"news", b"x"]),
    ]  # fmt: skip
    assert client.ask("UNSUBSCRIBE") == [[b"unsubscribe", b"news", 2]]
    assert client.ask("UNSUBSCRIBE") == [[b"unsubscribe", None, 2]]
    assert node.ask("PUBLISH", "news", "x") == 3
    client.heard()
    assert client.ask("PUNSUBSCRIBE", "n*", "none") == [[b"punsubscribe", b"n*", 1], [b"punsubscribe", b"none", 1]]
    assert client.ask("PUNSUBSCRIBE") == [[b"punsubscribe", b"*s", 0]]
    assert client.ask("PUNSUBSCRIBE") == [[b"punsubscribe", None, 0]]
    assert node.ask("PUBLISH", "news", "x") == 1


def test_what_pubsub_tells() -> None:
    node = Node()
    one, two = Client(node), Client(node)
    assert node.ask("PUBSUB", "NUMPAT") == 0
    one.ask("PSUBSCRIBE", "a*", "b*")
    two.ask("PSUBSCRIBE", "a*")
    two.ask("SUBSCRIBE", "alpha", "beta")
    assert node.ask("PUBSUB", "NUMPAT") == 2, "each counts once"
    assert node.ask("PUBSUB", "CHANNELS") == [b"alpha", b"beta"]
    assert node.ask("PUBSUB", "CHANNELS", "a*") == [b"alpha"]
    assert node.ask("PUBSUB", "CHANNELS", "x" * 4097) == "ERR a pattern has at most 4096 bytes"
    assert node.ask("PUBSUB", "CHANNELS", "a", "b").startswith("ERR wrong number of arguments")
    assert node.ask("PUBSUB", "NUMSUB", "alpha", "a*") == [b"alpha", 1, b"a*", 0]
    line = node.ask("CLIENT", "LIST").decode().splitlines()[1]
    assert " flags=P " in line
    assert " sub=0 psub=2 " in line
    assert node.ask("CLIENT", "LIST", "TYPE", "pubsub").count(b"\n") == 2
    one.session.close()
    assert node.ask("PUBSUB", "NUMPAT") == 1
    assert two.ask("RESET") == [b"RESET"]
    assert node.ask("PUBSUB", "NUMPAT") == 0
    assert node.ask("PUBSUB", "CHANNELS") == []


def test_a_client_of_version_2_may_ask_little_meanwhile() -> None:
    node = Node()
    client = Client(node)
    client.ask("PSUBSCRIBE", "n*")
    assert not client.session.is_between, "compiled code would answer"
    assert client.ask("GET", "a")[0].startswith("ERR Can't execute 'get'")
    assert client.ask("PING") == [[b"pong", b""]]
    client.ask("SUBSCRIBE", "news")
    client.ask("PUNSUBSCRIBE")
    assert client.ask("PING") == [[b"pong", b""]], "it has still subscribed to a channel"
    client.ask("UNSUBSCRIBE")
    assert client.ask("PING") == [b"PONG"]
    send(node, "MULTI")
    assert node.ask("PSUBSCRIBE", "n*") == "ERR Command not allowed inside a transaction"


def test_what_a_client_publishes_itself_comes_behind_the_answer() -> None:
    node = Node()
    client = Client(node, 3)
    client.ask("PSUBSCRIBE", "n*")
    client.ask("SUBSCRIBE", "news")
    got = served(client.session, client.line, packed([b"PUBLISH", b"news", b"x"])) + client.heard()
    assert got == (
        b":2\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
        b">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\nx\r\n"
    )
    reader = hiredis.Reader()
    reader.feed(got)
    assert [reader.gets(), list(reader.gets()), list(reader.gets())] == [
        *(2, [b"message", b"news", b"x"], [b"pmessage", b"n*", b"news", b"x"]),
    ]  # fmt: skip


def test_who_does_not_read_is_cut_off_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckv.protocol.resp.ordering.MAX_UNREAD_PUSHES", 1000)
    node = Node()
    slow, other = Client(node), Client(node)
    for client in (slow, other):
        client.ask("PSUBSCRIBE", "n*", "ne*", "new*")
        client.ask("SUBSCRIBE", "news")
    slow.line.unsent_bytes = 850
    assert node.ask("PUBLISH", "news", "x" * 50) == 5, "one comes through"
    assert slow.session.failed
    assert not slow.session.is_subscribed
    assert node.ask("PUBSUB", "NUMPAT") == 3
    other.session.close()
    assert node.ask("PUBSUB", "NUMPAT") == 0


def test_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "MAX_PATTERNS_BYTES", 3 * (1 + subscribers.PATTERN_BYTES))
    node = Node()
    client = Client(node)
    assert len(client.ask("PSUBSCRIBE", "a", "b", "c")) == 3
    (refused,) = client.ask("PSUBSCRIBE", "d")
    assert refused == "ERR the patterns of one client, each with 64 bytes more, come to at most 195 bytes"
    assert client.ask("PSUBSCRIBE", "a") == [[b"psubscribe", b"a", 3]]
    assert Client(node).ask("PSUBSCRIBE", "x" * 1025) == ["ERR a pattern of channels has at most 1024 bytes"]


def test_the_patterns_of_all_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "MAX_PATTERNS_BYTES_OF_ALL", 3 * (10 + subscribers.PATTERN_BYTES))
    node = Node()
    one, two, three = Client(node), Client(node), Client(node)
    assert len(one.ask("PSUBSCRIBE", "a" * 10, "b" * 10)) == 2
    assert len(two.ask("PSUBSCRIBE", "a" * 10, "b" * 10, "c" * 10)) == 3, "those of others cost nothing again"
    refused = three.ask("PSUBSCRIBE", "a" * 10, "d")
    assert refused[0].startswith("ERR the patterns of all clients of a node")
    assert not three.session.is_subscribed
    two.session.close()
    assert three.ask("PSUBSCRIBE", "d" * 10) == [[b"psubscribe", b"d" * 10, 1]]
    one.ask("PUNSUBSCRIBE", "a" * 10)
    assert three.ask("PSUBSCRIBE", "e" * 10) == [[b"psubscribe", b"e" * 10, 2]]
    assert three.ask("PSUBSCRIBE", "f") == refused
