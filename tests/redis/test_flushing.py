"""FLUSHDB and FLUSHALL over a method that the test has."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import errors
from tests.redis.test_commands import WAIT, Node, read


class Flushed(Node):
    """A node whose FLUSH has these answers, in their order."""

    def __init__(self, *answers: Any) -> None:
        super().__init__("FLUSH")
        self.answers = list(answers)
        self.next()

    def next(self) -> None:
        self.results["FLUSH"] = self.answers.pop(0) if self.answers else None

    def turn(self) -> None:
        """Another turn of the loop."""
        self.next()
        self.later.pop(0)()


@pytest.mark.parametrize("words", ["FLUSHDB", "flushall", "FLUSHDB ASYNC", "FLUSHALL sync"])
def test_at_once(words: str) -> None:
    node = Flushed([0, 3])
    assert node.ask(*words.split()) == b"OK"
    assert node.asked == [("FLUSH", 0)]


@pytest.mark.parametrize("words", ["FLUSHDB NOW", "FLUSHALL SYNC ASYNC"])
def test_wrong_words(words: str) -> None:
    node = Flushed([0, 3])
    assert node.ask(*words.split()) == "ERR syntax error"
    assert node.asked == []


def test_it_is_not_allowed() -> None:
    node = Flushed(errors.Refused("FLUSH deletes everything: this node was started without --allow-flush"))
    assert node.ask("FLUSHDB").startswith("ERR Refused: FLUSH deletes everything: this node was started without")


def test_piece_by_piece() -> None:
    node = Flushed([7, 3], WAIT, [0, 1])
    assert node.send("FLUSHDB") == b""
    assert node.send("PING") == b""
    node.turn()
    node.answer([8, 2])
    node.turn()
    assert node.taken() == b"+OK\r\n+PONG\r\n"
    assert [asked for asked in node.asked if asked[0] == "FLUSH"] == [("FLUSH", cursor) for cursor in (0, 7, 8)]
    assert node.session.is_between


def test_an_error_ends_it() -> None:
    node = Flushed([7, 3], WAIT)
    node.send("FLUSHDB")
    node.turn()
    node.answer(None, "TierUnavailable: it is away")
    assert read(node.taken()) == "TRYAGAIN TierUnavailable: it is away"
    assert not node.later


def test_it_goes_on_when_the_client_goes_away() -> None:
    node = Flushed([7, 3], WAIT, [9, 1], [0, 1])
    node.send("FLUSHDB")
    node.session.close()
    node.turn()
    node.answer([8, 2])
    node.turn()
    node.turn()
    assert [asked for asked in node.asked if asked[0] == "FLUSH"] == [("FLUSH", cursor) for cursor in (0, 7, 8, 9)]
    assert not node.later


def test_it_ends_when_the_node_stops() -> None:
    node = Flushed([7, 3])
    node.send("FLUSHDB")
    node.methods.refuse_everything(errors.Draining("the node is stopping"))
    node.turn()
    assert read(node.taken()) == "TRYAGAIN Draining: the node is stopping"


def test_it_is_not_in_a_transaction() -> None:
    node = Flushed([0, 7])
    node.send("MULTI")
    for name in ("FLUSHDB", "FLUSHALL"):
        assert node.ask(name) == "ERR Command not allowed inside a transaction"
    assert node.ask("EXEC").startswith("EXECABORT ")


@pytest.mark.parametrize("later", [False, True])
def test_one_that_cannot_go_on_ends_its_connection_and_no_other(later: bool, caplog: pytest.LogCaptureFixture) -> None:
    node = Flushed([7, 3], WAIT if later else ValueError("a defect"))
    node.send("FLUSHDB")
    node.turn()
    if later:
        node.answer("no cursor")
    assert node.line.closed == "nobody knows which of its requests were answered"
    assert caplog.text.count("unexpected error while answering") == 1
    assert not node.later
