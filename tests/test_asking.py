"""Tools that ask a primary about its cluster, and are sent to the one that leads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckv.address import Address
from ckv.client import Client
from ckv.cluster.messages import ASK_THE_LEADER
from ckv.exits import Exit
from ckv.settings.roles import ToolSettings
from ckv.tools.asking import HOPS, ask
from tests.support.fakenode import Connection, FakeNode, Script


def refusing(why: Callable[[], str]) -> Script:
    def script(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, None, why())
        connection.wait_closed()

    return script


def answering(connection: Connection) -> None:
    _, msgid, _, _ = connection.request()
    connection.respond(msgid, True)
    connection.wait_closed()


def rebalance(node: FakeNode) -> int:
    def talk(client: Client) -> None:
        assert client.call("REBALANCE", True) is True

    return ask(ToolSettings(Address("127.0.0.1", node.port), 5.0), talk)


def test_the_one_that_leads_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeNode(answering) as leader:
        with FakeNode(refusing(lambda: f"Refused: {ASK_THE_LEADER}127.0.0.1:{leader.port}")) as follower:
            assert rebalance(follower) == Exit.FINE
        assert (leader.connections, capsys.readouterr().err) == (1, "")


def test_one_that_names_itself_is_not_asked_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeNode(refusing(lambda: f"Refused: {ASK_THE_LEADER}127.0.0.1:{node.port}")) as node:
        assert rebalance(node) == Exit.FAILED
        assert node.connections == HOPS
    assert capsys.readouterr().err == f"ckv: Refused: {ASK_THE_LEADER}127.0.0.1:{node.port}\n"


@pytest.mark.parametrize("why", [f"Refused: {ASK_THE_LEADER}nowhere", "Refused: no"])
def test_nobody_else_is_asked_for_another_reason(why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeNode(refusing(lambda: why)) as node:
        assert rebalance(node) == Exit.FAILED
        assert node.connections == 1
    assert capsys.readouterr().err == f"ckv: {why}\n"
