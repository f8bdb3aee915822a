"""Requests of many keys whose nodes answer with something else than they should."""

from __future__ import annotations

import pytest

from tests.redis.test_commands import WAIT, Node


@pytest.mark.parametrize("result", [7, None, (True, 7), (True,), ()])
@pytest.mark.parametrize("command", ["MGET", "EXISTS"])
def test_a_result_that_is_none_is_an_error_and_not_waited_for(command: str, result: object) -> None:
    """Another node may be of another version."""
    node = Node()
    node.results["GET"] = WAIT
    assert node.send(command, "a", "b") == b""
    node.answer((True, "v"))
    node.answer(result)
    got = node.taken()
    assert got.startswith(b"-ERR UNKNOWN ServerError: ") or (command == "EXISTS" and result == (True, 7))
    assert node.session.in_flight == 0
    assert node.ask("PING") == b"PONG"
