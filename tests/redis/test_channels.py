"""SUBSCRIBE and PUBLISH: who hears what, in which form, and what becomes of those who do not read."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

from ckv.protocol.resp import ordering
from ckv.protocol.resp.quick import QuickRespSession
from ckv.redis import subscribers
from tests.protocol.resp.test_parsing import packed
from tests.redis.test_commands import WAIT, Node, read
from tests.redis.test_transactions import answers, send
from tests.support.line import Nowhere, served


class Client:
    """A further client of a node."""

    def __init__(self, node: Node, protocol: int = 2) -> None:
        self.line = Nowhere()
        self.session = QuickRespSession(self.line, node.methods)
        self.session.speak(protocol)

    def ask(self, *words: str) -> list[Any]:
        """All that comes back."""
        got = served(self.session, self.line, packed([word.encode() for word in words]))
        return answers(got + self.session.take() if self.session.waiting else got)

    def heard(self) -> bytes:
        return self.session.take() if self.session.waiting else b""


def test_messages_reach_those_who_have_subscribed() -> None:
    node = Node()
    old, new, other = Client(node), Client(node, 3), Client(node)
    assert node.ask("PUBLISH", "news", "x") == 0
    assert old.ask("SUBSCRIBE", "news", "more", "news") == [
        *([b"subscribe", b"news", 1], [b"subscribe", b"more", 2], [b"subscribe", b"news", 2]),
    ]  # fmt: skip
    got = served(new.session, new.line, packed([b"SUBSCRIBE", b"news"]))
    assert got == b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
    other.ask("SUBSCRIBE", "more")
    assert node.ask("PUBLISH", "news", "\r\n") == 2
    assert old.heard() == b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\n\r\n\r\n"
    assert new.heard() == b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\n\r\n\r\n"
    assert other.heard() == b""
    assert node.ask("PUBSUB", "CHANNELS") == [b"news", b"more"]
    numbers = [b"news", 2, b"none", 0, b"news", 2]
    assert node.ask("PUBSUB", "NUMSUB", "news", "none", "news") == numbers
    node.ask("HELLO", "3")
    assert node.ask("PUBSUB", "NUMSUB", "news", "none", "news") == numbers
    node.ask("HELLO", "2")
    assert node.ask("PUBSUB", "NUMPAT") == 0
    assert old.ask("UNSUBSCRIBE", "news", "none") == [[b"unsubscribe", b"news", 1], [b"unsubscribe", b"none", 1]]
    assert node.ask("PUBLISH", "news", "x") == 1
    assert old.heard() == b""
    assert old.ask("UNSUBSCRIBE") == [[b"unsubscribe", b"more", 0]]
    assert old.ask("UNSUBSCRIBE") == [[b"unsubscribe", None, 0]]
    assert node.ask("PUBSUB", "CHANNELS") == [b"news", b"more"]


def test_a_client_of_version_2_may_ask_little_meanwhile() -> None:
    node = Node()
    node.results["GET"] = (True, b"1")
    client = Client(node)
    client.ask("SUBSCRIBE", "news")
    assert not client.session.is_between, "compiled code would answer"
    assert client.ask("GET", "a") == [may_not("get")]
    assert client.ask("PING") == [[b"pong", b""]]
    assert client.ask("PING", "x") == [[b"pong", b"x"]]
    client.ask("UNSUBSCRIBE")
    assert client.ask("GET", "a") == [b"1"]
    assert client.ask("PING") == [b"PONG"]
    client.ask("SUBSCRIBE", "news")
    assert client.ask("RESET") == [b"RESET"]
    assert client.ask("GET", "a") == [b"1"]
    assert node.ask("PUBLISH", "news", "x") == 0
    client.ask("SUBSCRIBE", "news")
    assert client.ask("QUIT") == [b"OK"]


def test_a_client_of_version_3_may_ask_everything() -> None:
    node = Node()
    node.results["GET"] = (True, b"1")
    client = Client(node, 3)
    client.ask("SUBSCRIBE", "news")
    assert client.ask("GET", "a") == [b"1"]
    assert client.ask("PING") == [b"PONG"]


def may_not(name: str) -> str:
    """The answer to what a client of version 2 may not ask meanwhile."""
    return (
        f"ERR Can't execute '{name}': only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
        "context"
    )


def subscriber(node: Node) -> Client:
    """A client of version 3 that has subscribed."""
    node.results["GET"] = (True, b"1")
    client = Client(node, 3)
    client.ask("SUBSCRIBE", "news")
    return client


def test_a_subscriber_that_chooses_version_2_may_ask_little_from_then_on() -> None:
    node = Node()
    client = subscriber(node)
    (hello,) = client.ask("HELLO", "2")
    assert hello[hello.index(b"proto") + 1] == 2, "a list, as version 2 has it"
    assert not client.session.is_between, "compiled code would answer"
    for name in ("get", "hello", "auth", "client"):
        assert client.ask(name, "3") == [may_not(name)]
    assert client.ask("PING") == [[b"pong", b""]]
    assert node.ask("PUBLISH", "news", "x") == 1
    assert client.heard() == b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
    client.ask("UNSUBSCRIBE")
    assert client.ask("GET", "a") == [b"1"]


def test_a_subscriber_that_keeps_version_3_may_ask_everything() -> None:
    client = subscriber(Node())
    for request in (("HELLO",), ("HELLO", "3"), ("HELLO", "4"), ("HELLO", "2", "AUTH", "nobody")):
        client.ask(*request)
        assert client.ask("GET", "a") == [b"1"]


def test_a_subscriber_that_chooses_version_2_in_a_transaction() -> None:
    """What was queued is carried out."""
    node = Node()
    client = subscriber(node)
    for request in (("MULTI",), ("HELLO", "2"), ("GET", "a")):
        client.ask(*request)
    assert client.ask("EXEC")[0][1] == b"1"
    assert client.ask("GET", "a") == [may_not("get")]
    assert client.ask("RESET") == [b"RESET"]
    assert client.ask("GET", "a") == [b"1"]
    assert node.ask("PUBLISH", "news", "x") == 0


def test_a_subscriber_that_chooses_version_2_has_seen_what_it_watches() -> None:
    """What it reads when it may again is compared with nothing, and EXEC could miss it."""
    node = Node("DIGEST")
    client = subscriber(node)
    client.ask("WATCH", "a")
    client.ask("HELLO", "2")
    assert client.ask("GET", "a") == [may_not("get")]
    client.ask("UNSUBSCRIBE")
    client.ask("GET", "a")
    client.ask("MULTI")
    client.ask("GET", "a")
    assert client.ask("EXEC") == [None]


MESSAGE = b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"


def test_what_a_client_publishes_itself_comes_behind_the_answer() -> None:
    node = Node()
    client = Client(node, 3)
    client.ask("SUBSCRIBE", "news")
    publish, ping = packed([b"PUBLISH", b"news", b"x"]), packed([b"PING"])

    def hears(requests: bytes) -> bytes:
        return served(client.session, client.line, requests) + client.heard()

    assert hears(publish) == b":1\r\n" + MESSAGE
    assert hears(publish * 2 + ping) == (b":1\r\n" + MESSAGE) * 2 + b"+PONG\r\n"
    in_one = packed([b"MULTI"]) + publish + ping + packed([b"EXEC"])
    assert hears(in_one) == b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n+PONG\r\n" + MESSAGE
    node.results["GET"] = WAIT
    get = packed([b"GET", b"a"])
    assert hears(get + publish + ping) == b"", "all of it waits"
    client.session.respond(0, None, (False, ""))
    assert client.heard() == b"_\r\n:1\r\n" + MESSAGE + b"+PONG\r\n"
    assert client.session.in_flight == 0


def test_it_comes_behind_the_answers_to_what_was_asked_before() -> None:
    node = Node()
    node.results["GET"] = WAIT
    assert send(node, "GET a", "SUBSCRIBE news") == b""
    assert Client(node).ask("PUBLISH", "news", "x") == [1]
    assert node.taken() == b""
    node.answer((False, ""))
    assert answers(node.taken()) == [None, [b"subscribe", b"news", 1], [b"message", b"news", b"x"]]
    assert node.session.in_flight == 0


def test_who_is_gone_hears_nothing() -> None:
    node = Node()
    client = Client(node)
    client.ask("SUBSCRIBE", "news", "more")
    client.session.close()
    assert node.ask("PUBLISH", "news", "x") == 0
    assert node.ask("PUBSUB", "CHANNELS") == []


def test_what_a_client_publishes_to_itself_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MAX_UNREAD_PUSHES", 1000)
    node = Node()
    client = Client(node)
    client.ask("HELLO", "3")
    client.ask("PSUBSCRIBE", *(f"n{'*' * count}" for count in range(1, 20)))
    client.ask("PUBLISH", "news", "x" * 100)
    assert client.session.failed == "more than 1000 bytes are unread of what it has subscribed to"


def test_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MAX_UNREAD_PUSHES", 1000)
    node = Node()
    slow, other = Client(node), Client(node)
    for client in (slow, other):
        client.ask("SUBSCRIBE", "news")
    slow.line.unsent_bytes = 900
    assert node.ask("PUBLISH", "news", "x" * 100) == 1
    assert slow.session.failed == "more than 1000 bytes are unread of what it has subscribed to"
    assert slow.line.woken, "the connection hears of it, though nothing of the client comes"
    assert len(read(other.heard())[2]) == 100
    assert node.ask("PUBLISH", "news", "x") == 1
    assert len(other.session.channels) == 1
    assert slow.session.channels == {}
    for _ in range(9):
        node.ask("PUBLISH", "news", "x" * 100)
    assert other.session.failed, "what was pushed in one turn counts"


def test_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "MAX_CHANNELS", 3)
    node = Node()
    client = Client(node)
    assert len(client.ask("SUBSCRIBE", "a", "b", "c")) == 3
    assert client.ask("SUBSCRIBE", "d") == ["ERR a client subscribes to at most 3 channels"]
    assert client.ask("SUBSCRIBE", "a") == [[b"subscribe", b"a", 3]]
    assert Client(node).ask("SUBSCRIBE", "x" * 1025) == ["ERR the name of a channel has at most 1024 bytes"]
    assert node.ask("PUBLISH", "x" * 1025, "") == "ERR the name of a channel has at most 1024 bytes"
    assert node.ask("PUBLISH", "x" * 1024, "") == 0


@pytest.mark.parametrize("command", ["SUBSCRIBE", "PSUBSCRIBE"])
def test_a_request_that_is_refused_subscribes_to_nothing(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "MAX_CHANNELS", 3)
    monkeypatch.setattr(subscribers, "MAX_PATTERNS_BYTES", 3 * (1 + subscribers.PATTERN_BYTES))
    node = Node()
    client = Client(node)
    (refused,) = client.ask(command, "a", "x" * 1025)
    assert refused.endswith("has at most 1024 bytes")
    (refused,) = client.ask(command, "a", "b", "c", "d")
    assert "at most" in refused
    assert client.ask("PING") == [b"PONG"]
    assert node.ask("PUBLISH", "a", "x") == 0
    assert len(client.ask(command, "a", "b", "c", "a", "b")) == 5


@pytest.mark.parametrize("protocol", [2, 3])
def test_who_quits_hears_nothing_more(protocol: int) -> None:
    """Not even while answers that are still to come keep the connection open."""
    node = Node()
    node.results["GET"] = WAIT
    client = Client(node, protocol)
    together = packed([b"GET", b"a"]) + packed([b"SUBSCRIBE", b"news"]) + packed([b"QUIT"])
    assert served(client.session, client.line, together) == b""
    assert node.ask("PUBLISH", "news", "x") == 0
    node.answer((True, b"1"))
    assert answers(client.heard()) == [b"1", [b"subscribe", b"news", 1], b"OK"]


def test_in_a_transaction() -> None:
    """As Celery does it: a result, and word of it."""
    node = Node("PUTEX")
    node.results["PUTEX"] = True
    client = Client(node, 3)
    client.ask("SUBSCRIBE", "r")
    assert send(node, "MULTI", "SETEX r 9 x", "PUBLISH r x").count(b"QUEUED") == 2
    assert client.heard() == b""
    assert node.ask("EXEC") == [b"OK", 1]
    assert b"message" in client.heard()
    send(node, "MULTI")
    assert node.ask("SUBSCRIBE", "r") == "ERR Command not allowed inside a transaction"
    assert node.ask("EXEC").startswith("EXECABORT")


def test_clients_are_listed_with_it() -> None:
    node = Node()
    client = Client(node)
    client.ask("SUBSCRIBE", "a", "b")
    line = node.ask("CLIENT", "LIST").decode().splitlines()[1]
    assert " flags=P " in line
    assert " sub=2 " in line


def test_hiredis_reads_it() -> None:
    node = Node()
    client = Client(node, 3)
    client.ask("SUBSCRIBE", "a")
    node.ask("PUBLISH", "a", "x")
    reader = hiredis.Reader()
    reader.feed(client.heard())
    assert list(reader.gets()) == [b"message", b"a", b"x"]
