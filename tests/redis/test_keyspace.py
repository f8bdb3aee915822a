"""SCAN, KEYS and DBSIZE over methods that the test has."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import errors
from tests.protocol.resp.test_parsing import packed
from tests.redis.test_commands import KEYS_MAX, WAIT, Node, read
from tests.support.line import served


class Scanned(Node):
    """A node whose SCAN has these answers, in their order."""

    def __init__(self, *answers: Any) -> None:
        super().__init__("SCAN", "DBSIZE")
        self.answers = list(answers)
        self.next()

    def next(self) -> None:
        self.results["SCAN"] = self.answers.pop(0) if self.answers else None

    def turn(self) -> None:
        """Another turn of the loop."""
        self.next()
        self.later.pop(0)()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("SCAN 0", (0, b"*", 10)),
        ("scan 7 match u* count 5", (7, b"u*", 5)),
        ("SCAN 18446744073709551615 COUNT 1001 MATCH ?", (2**64 - 1, b"?", 1000)),
        ("SCAN 0 TYPE string COUNT 1000", (0, b"*", 1000)),
        ("SCAN 0 TYPE STRING MATCH a MATCH b", (0, b"b", 10)),
    ],
)
def test_scan(words: str, asked: tuple[object, ...], later: bool) -> None:
    node = Scanned(WAIT if later else [5, ["a", "\udcff"]])
    got = node.send(*words.split())
    if later:
        assert got == b""
        node.answer([5, ("a", "\udcff")])
        got = node.taken()
    assert node.asked == [("SCAN", *asked)]
    assert read(got) == [b"5", [b"a", b"\xff"]]


def test_scan_of_another_type() -> None:
    node = Scanned()
    assert node.ask("SCAN", "0", "TYPE", "list") == [b"0", []]
    assert node.asked == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("SCAN", "ERR wrong number of arguments for 'scan' command"),
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN -1", "ERR invalid cursor"),
        ("SCAN 18446744073709551616", "ERR invalid cursor"),
        ("SCAN 0 COUNT", "ERR syntax error"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        ("SCAN 0 COUNT x", "ERR value is not an integer or out of range"),
        ("SCAN 0 NOVALUES 1", "ERR syntax error"),
        ("KEYS", "ERR wrong number of arguments for 'keys' command"),
        ("KEYS a b", "ERR wrong number of arguments for 'keys' command"),
        ("DBSIZE a", "ERR wrong number of arguments for 'dbsize' command"),
        ("KEYS " + "a" * 5000, "ERR a pattern has at most 4096 bytes"),
    ],
)
def test_wrong_requests(words: str, error: str) -> None:
    node = Scanned()
    assert node.ask(*words.split()) == error
    assert node.asked == []


def test_a_cursor_that_nobody_knows() -> None:
    node = Scanned(errors.Refused("there is no scan with the cursor 5: begin again with 0"))
    assert node.ask("SCAN", "5") == "ERR Refused: there is no scan with the cursor 5: begin again with 0"


def test_dbsize() -> None:
    node = Scanned()
    node.results["DBSIZE"] = 12
    assert node.ask("DBSIZE") == 12


# --- KEYS ------------------------------------------------------------------------------------------------------------


def test_keys_at_once() -> None:
    node = Scanned([0, ["a", "b", "a"]])
    assert node.ask("KEYS", "[ab]") == [b"a", b"b"]
    assert node.asked == [("SCAN", 0, b"[ab]", 1000)]
    assert not node.later


def test_keys_in_pieces() -> None:
    """Each in a turn of the loop, whether a node has to be asked or not; others are served meanwhile."""
    node = Scanned([7, ["a"]], WAIT, [9, ["c", "a"]], [0, ["d"]])
    node.results["GET"] = (True, b"v")
    assert node.send("KEYS", "*") == b""
    assert node.send("PING") == b""  # its answer comes behind
    node.turn()
    assert not node.later
    node.answer([8, ("b",)])
    node.turn()
    assert node.taken() == b""
    node.turn()
    assert node.taken() == b"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n" + b"+PONG\r\n"
    assert [asked for asked in node.asked if asked[0] == "SCAN"] == [
        ("SCAN", cursor, b"*", 1000) for cursor in (0, 7, 8, 9)
    ]
    assert node.session.is_between


@pytest.mark.parametrize("later", [False, True])
def test_too_many_keys(later: bool) -> None:
    keys = [f"{number}" for number in range(KEYS_MAX + 1)]
    node = Scanned([7, keys[:3]], [9, keys[3:]])
    assert node.send("KEYS", "*") == b""
    if later:
        node.answers = [WAIT]
    node.turn()
    if later:
        node.answer([9, tuple(keys[3:])])
    error = "ERR more than 5 keys match, the most for KEYS (--keys-max); SCAN tells any number"
    assert read(node.taken()) == error
    assert not node.later
    node = Scanned([0, keys])
    assert node.ask("KEYS", "*") == error
    node = Scanned([0, keys[1:]])
    assert len(node.ask("KEYS", "*")) == KEYS_MAX


def test_an_error_in_the_middle() -> None:
    node = Scanned([7, ["a"]], errors.TierUnavailable("it is away"))
    node.send("KEYS", "*")
    node.turn()
    assert read(node.taken()) == "TRYAGAIN TierUnavailable: it is away"
    node = Scanned([7, ["a"]], WAIT)
    node.send("KEYS", "*")
    node.turn()
    node.answer(None, "NodeDown: it is down")
    assert read(node.taken()) == "CLUSTERDOWN NodeDown: it is down"
    assert node.session.is_between


def test_one_at_a_time_of_a_connection() -> None:
    """However many a client asks for, the node keeps the keys of one."""
    node = Scanned([7, ["a"]], WAIT, [8, ["c"]], [0, ["d"]])
    assert served(node.session, node.line, packed([b"KEYS", b"*"]) * 2 + packed([b"PING"])) == b""
    assert len(node.asked) == 1
    node.turn()
    assert node.line.holds
    node.answer([0, ("b",)])
    assert not node.line.holds
    assert node.taken() == b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"
    assert len(node.asked) == 2
    node.next()
    assert served(node.session, node.line, b"") == b""
    assert node.line.holds
    node.turn()
    assert node.taken() + served(node.session, node.line, b"") == b"*2\r\n$1\r\nc\r\n$1\r\nd\r\n+PONG\r\n"
    assert not node.line.holds
    assert node.session.is_between


@pytest.mark.parametrize("ends", [errors.TierUnavailable("it is away"), [9, [f"{number}" for number in range(9)]]])
def test_what_comes_behind_keys_that_fails(ends: object) -> None:
    node = Scanned([7, ["a"]], ends)
    served(node.session, node.line, packed([b"KEYS", b"*"]) + packed([b"PING"]))
    assert node.line.holds
    node.turn()
    assert not node.line.holds
    assert (node.taken() + served(node.session, node.line, b"")).endswith(b"+PONG\r\n")


@pytest.mark.parametrize("later", [False, True])
def test_keys_that_cannot_go_on_end_their_connection_only(later: bool, caplog: pytest.LogCaptureFixture) -> None:
    """For whoever has the turn, or brings the answer, has others to go on with."""
    node = Scanned([7, ["a"]], WAIT if later else ValueError("a defect"))
    node.send("KEYS", "*")
    node.turn()
    if later:
        node.answer("no cursor")
    assert node.line.closed == "nobody knows which of its requests were answered"
    assert caplog.text.count("unexpected error while answering") == 1
    assert not node.later


def test_a_client_that_went_away() -> None:
    node = Scanned([7, ["a"]], [0, []])
    node.send("KEYS", "*")
    node.session.close()
    node.turn()
    assert len(node.asked) == 1


def test_keys_ends_when_the_node_stops() -> None:
    node = Scanned([7, ["a"]], [0, []])
    node.send("KEYS", "*")
    node.methods.refuse_everything(errors.Draining("the node is stopping"))
    node.turn()
    assert read(node.taken()) == "TRYAGAIN Draining: the node is stopping"


def test_keys_in_a_transaction() -> None:
    node = Scanned([7, ["a"]], [0, ["b"]])
    node.send("MULTI")
    for words in (("KEYS", "*"), ("SCAN", "0"), ("DBSIZE",)):
        assert node.ask(*words) == "ERR Command not allowed inside a transaction"
    assert node.ask("EXEC").startswith("EXECABORT ")
