"""The status page of real nodes, and what it asks them for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ckv import Client
from ckv.node.page import document
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes
from tests.system.registered import SETTLE, SLOTS
from tests.system.test_http import ask

NAME = "<img/src=x/onerror=alert(1)>"
"""A node may be called so."""


def status(node: Node) -> dict[str, Any]:
    found = json.loads(ask(node, "/status.json")[1])
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def joined() -> Iterator[tuple[Node, Node]]:
    """A primary, and a secondary that has joined it and owns all slots; nobody ends them."""
    with Nodes() as nodes:
        primary = nodes.start_primary(options=["--http=0", f"--settle={SETTLE}"])
        secondary = nodes.start_secondary(primary=primary.address, options=["--http=0", f"--name={NAME}"])
        eventually(lambda: status(primary)["ready"] == status(secondary)["ready"] == 1, 30.0, "slots")
        yield primary, secondary


def start_list(nodes: Nodes) -> tuple[Node, Node]:
    """A primary with a list of one, and that one."""
    secondary = nodes.start_secondary(options=["--http=0"])
    primary = nodes.start_primary(secondary, options=["--http=0"])
    eventually(lambda: status(primary)["ready"] == 1, what="the connection")
    return primary, secondary


def test_the_page_comes_with_its_policy(joined: tuple[Node, Node]) -> None:
    for node in joined:
        answer, text = ask(node, "/")
        assert (answer.status, text) == (200, document().text)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == document().policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert ask(node, "/", "POST")[0].status == 405


def test_both_nodes_tell_the_same_cluster(joined: tuple[Node, Node]) -> None:
    primary, secondary = map(status, joined)
    here = {"number": 0, "name": NAME, "address": joined[1].address, "state": "up", "slots": SLOTS}
    assert primary["cluster"]["secondaries"] == [{**here, "own": False}]
    assert secondary["cluster"]["secondaries"] == [{**here, "own": True}]
    assert primary["cluster"]["primaries"] == [{"address": joined[0].address, "own": True, "leads": True}]
    assert secondary["cluster"]["primaries"] == [{"address": joined[0].address, "own": False, "leads": False}]
    assert primary["cluster"]["slots"] == secondary["cluster"]["slots"] == [[0, SLOTS - 1, 0]]
    assert primary["problems"] == secondary["problems"] == []


def test_troubles_and_calls_are_told(nodes: Nodes) -> None:
    primary, secondary = start_list(nodes)
    with Client("127.0.0.1", primary.port) as client:
        client.put("a", "x")
        assert client.get("a") == "x"

    def counted() -> bool:
        history = json.loads(ask(secondary, "/history.json")[1])
        newest = dict(zip(history["names"], history["samples"][-1][1:], strict=True))
        return bool(newest["hits_memory"] == 1)

    eventually(counted, what="a sample with the read in it")
    secondary.kill()
    eventually(lambda: "CkvPeerNotConnected" in [found["section"] for found in status(primary)["problems"]], what="it")
    assert status(primary)["cluster"]["secondaries"][0]["state"] == "not connected"


def test_a_list(nodes: Nodes) -> None:
    secondary = nodes.start_secondary(options=["--http=0"])
    assert [found["section"] for found in status(secondary)["problems"]] == ["CkvNotReady"]
    primary = nodes.start_primary(secondary, "127.0.0.1:1", options=["--http=0"])
    eventually(lambda: status(secondary)["problems"] == [], what="a primary")
    half = [[0, SLOTS // 2 - 1, 0], [SLOTS // 2, SLOTS - 1, 1]]
    assert status(primary)["cluster"]["slots"] == half
    assert status(secondary)["cluster"]["slots"] == half[:1]
    eventually(lambda: status(primary)["cluster"]["secondaries"][0]["state"] == "up", what="the connection")
    assert status(primary)["cluster"]["secondaries"][1]["state"] == "not connected"
