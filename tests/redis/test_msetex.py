"""MSETEX: what it asks of the nodes, and what it answers, as Valkey 9.1 does."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import errors
from ckv.protocol.steps import PRESENT
from ckv.store.change import KEEP
from tests.redis.test_commands import NOW, Node


def asked(node: Node) -> list[tuple[object, ...]]:
    found, node.asked = node.asked, []
    return found


@pytest.fixture
def node() -> Node:
    node = Node("PUTEX", "SET", "DIGEST")
    node.results |= {"PUT": True, "PUTEX": True, "SET": (True, False, "")}
    return node


@pytest.mark.parametrize(
    ("options", "writes"),
    [
        ("", ("PUT",)),
        ("EX 9", ("PUTEX", int(NOW + 9) * 1000)),
        ("px 9", ("PUTEX", int(NOW) * 1000 + 9)),
        ("EXAT 9", ("PUTEX", 9000)),
        ("PXAT 9", ("PUTEX", 9)),
        ("KEEPTTL", ("SET", KEEP, "", "", "")),
    ],
)
@pytest.mark.parametrize("condition", ["", "NX", "XX"])
def test_what_it_writes(node: Node, options: str, writes: tuple[Any, ...], condition: str) -> None:
    method, *further = writes
    if condition == "XX":
        node.digests |= {"a": b"some", "b": b"another"}
    expected = [(method, "a", b"1", *further), (method, "b", b"2", *further)]
    words = ("MSETEX", "2", "a", "1", "b", "2")
    assert node.ask(*words, *condition.split(), *options.split()) == 1
    assert asked(node) == expected
    assert node.ask(*words, *options.split(), *condition.split()) == 1, "in any order"
    assert asked(node) == expected


@pytest.mark.parametrize("condition", ["NX", "XX"])
def test_nothing_is_written_where_a_key_is_not_so(node: Node, condition: str) -> None:
    node.digests["a"] = b"there is one"
    assert node.ask("MSETEX", "2", "a", "1", "b", "2", condition, "EX", "9") == 0
    assert node.ask("MSETEX", "2", "b", "1", "a", "2", condition) == 0
    assert asked(node) == []
    assert node.session.is_between


@pytest.mark.parametrize("condition", ["NX", "XX"])
def test_a_key_may_come_twice(node: Node, condition: str) -> None:
    if condition == "XX":
        node.digests["a"] = b"there is one"
    assert node.ask("MSETEX", "2", "a", "1", "a", "2", condition) == 1
    assert asked(node) == [("PUT", "a", b"1"), ("PUT", "a", b"2")]


@pytest.mark.parametrize("count", ["0", "-1", "x", "01", "2147483648", "99999999999999999999"])
def test_what_is_no_number_of_keys(node: Node, count: str) -> None:
    assert node.ask("MSETEX", count, "a", "1") == "ERR invalid numkeys value or out of range"


@pytest.mark.parametrize(
    "words",
    [
        *("2 a 1", "2147483647 a 1", "1 a 1 b", "1 a 1 b 2", "1 a 1 EX", "1 a 1 KEEPTTL EX 9", "1 a 1 EX 9 PX 9"),
        *("1 a 1 NX XX", "1 a 1 GET", "1 a 1 IFEQ 1"),
    ],
)
def test_options_that_it_does_not_have(node: Node, words: str) -> None:
    assert node.ask("MSETEX", *words.split()) == "ERR syntax error"
    assert asked(node) == []


def test_times_that_are_none(node: Node) -> None:
    for amount in ("0", "-1", "99999999999999999"):
        assert node.ask("MSETEX", "1", "a", "1", "EX", amount) == "ERR invalid expire time in 'msetex' command"
    assert node.ask("MSETEX", "1", "a", "1", "EX", "x") == "ERR value is not an integer or out of range"
    assert node.ask("MSETEX", "1", "a") == "ERR wrong number of arguments for 'msetex' command"
    assert asked(node) == []


def test_all_are_looked_at_before_the_first_is_written(node: Node) -> None:
    long = "v" * 1001
    answer = node.ask("MSETEX", "2", "a", "1", "b", long)
    assert answer == "ERR ValueTooLarge: the value has 1001 bytes, 1000 are allowed"
    assert asked(node) == []


def test_one_that_fails_is_the_answer(node: Node) -> None:
    node.results["PUT"] = {"a": True, "b": errors.NoRoom("full")}
    assert node.ask("MSETEX", "2", "a", "1", "b", "2") == "OOM NoRoom: full"
    assert node.ask("MSETEX", "2", "a", "1", "b", "2", "NX") == "OOM NoRoom: full"


def test_in_a_transaction(node: Node) -> None:
    node.ask("MULTI")
    assert node.ask("MSETEX", "2", "a", "1", "b", "2", "EX", "9") == b"QUEUED"
    assert node.ask("EXEC") == [1]
    assert [request[:3] for request in asked(node)] == [("PUTEX", "a", b"1"), ("PUTEX", "b", b"2")]
    node.ask("MULTI")
    refused = "ERR MSETEX with NX or XX cannot be one of several commands of EXEC in ckv"
    assert node.ask("MSETEX", "1", "a", "1", "XX") == b"QUEUED"
    assert list(map(str, node.ask("EXEC"))) == [refused]
    assert asked(node) == []


def test_which_parts_are_keys(node: Node) -> None:
    assert node.ask("COMMAND", "GETKEYS", "MSETEX", "2", "a", "1", "b", "2", "EX", "9") == [b"a", b"b"]
    ((name, arity, flags, *positions, _, _, specs, _),) = node.ask("COMMAND", "INFO", "MSETEX")
    assert (name, arity, positions) == (b"msetex", -4, [0, 0, 0])
    assert b"movablekeys" in flags
    ((*_, keys),) = specs
    assert keys == [b"type", b"keynum", b"spec", [b"keynumidx", 0, b"firstkey", 1, b"keystep", 2]]


def test_a_record_that_is_there_has_no_such_digest(node: Node) -> None:
    """The digests of records are 16 bytes at least."""
    assert 0 < len(PRESENT) < 16
