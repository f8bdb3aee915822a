"""The methods of the Python client about all keys."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import Client
from ckv.errors import NodeDown, ProtocolError
from tests.support.fakenode import Connection, FakeNode, Script


def answers(*results: Any) -> tuple[Script, list[Any]]:
    """A script with these answers, an error as its text, and what it will have been asked."""
    asked: list[Any] = []

    def script(connection: Connection) -> None:
        for result in results:
            _, msgid, *request = connection.request()
            asked.append(request)
            if isinstance(result, str):
                connection.respond(msgid, None, result)
            else:
                connection.respond(msgid, result)
        connection.wait_closed()

    return script, asked


def test_a_scan_is_as_many_calls_as_it_takes() -> None:
    script, asked = answers([7, ["a", "\udcff"]], [9, []], [0, ["b", "a"]])
    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        scan = client.scan("[ab]*", count=5)
        assert asked == []
        assert list(scan) == ["a", "\udcff", "b", "a"]
    assert asked == [["SCAN", [cursor, "[ab]*", 5]] for cursor in (0, 7, 9)]


def test_it_asks_for_no_more_than_is_wanted() -> None:
    script, asked = answers([7, ["a", "b"]])
    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        assert next(client.scan()) == "a"
    assert asked == [["SCAN", [0, "*", 1000]]]


def test_a_call_of_it_is_repeated() -> None:
    script, asked = answers([7, ["a"]], "NodeDown: it is down", [0, ["b"]])
    with FakeNode(script) as node, Client("127.0.0.1", node.port, retries=3) as client:
        assert list(client.scan()) == ["a", "b"]
    assert [request[1][0] for request in asked] == [0, 7, 7]
    script, _ = answers("NodeDown: it is down")
    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client, pytest.raises(NodeDown):
        next(client.scan())


@pytest.mark.parametrize("result", [5, [0], [0, 5], ["0", []], [0, [b"a"]], [0, [5]], None])
def test_another_answer_is_a_protocol_error(result: object) -> None:
    script, _ = answers(result)
    with (
        FakeNode(script) as node,
        Client("127.0.0.1", node.port) as client,
        pytest.raises(ProtocolError, match="a SCAN was answered with"),
    ):
        list(client.scan())


def test_count() -> None:
    script, asked = answers(12)
    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client:
        assert client.count() == 12
    assert asked == [["DBSIZE", []]]
    script, _ = answers([5])
    with FakeNode(script) as node, Client("127.0.0.1", node.port) as client, pytest.raises(ProtocolError):
        client.count()
