"""Each login, each refused one and each command of operators is a line of the log, with the user and the address."""

from __future__ import annotations

from typing import Final

from ckv.commands import COMMANDS
from ckv.security.rights import FREE
from tests.security.guarded import Resp, rpc, secret_of
from tests.security.test_attacks import COMMANDS_OF_REDIS, OF_OPERATORS, arguments, error_of, request_of
from tests.support.nodes import Node
from tests.support.wire import RawClient, RemoteError

# By the tables, so that one that comes to them is looked at.
METHODS: Final = [
    *((command.name, arguments(command)) for command in COMMANDS.values() if command.access == "operator"),
    *((name, []) for name in OF_OPERATORS),
]
OF_REDIS: Final = [
    *(request_of(row) for row in COMMANDS_OF_REDIS if row.access == "operator"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "ID", "0"),
]


def place(client: RawClient | Resp) -> str:
    """Where a client comes from, as a node tells it."""
    host, port = client.socket.getsockname()
    return f"{host}:{port}"


def told_of(node: Node, client: RawClient | Resp, end: str) -> list[str]:
    """What the log tells of a client, once it has the line that holds ``end``."""
    node.wait_for_log(end)
    return [line for line in node.log if place(client) in line]


def test_each_method_of_operators(node: Node) -> None:
    called = []
    with rpc(node, "boss") as client:
        at = place(client)
        for name, params in METHODS:
            try:
                client.call(name, *params)
            except RemoteError as error:
                if str(error.args[0]).startswith("UnknownMethod: "):
                    continue  # of the other role
            if name not in FREE:
                called.append(name)
        assert error_of(client, "AUTH", "boss", "wrong").startswith("LoginFailed: ")
        login, *commands, refused = told_of(node, client, f"login as boss from {at} refused")
    assert len(called) > 6
    assert f"login of boss (admin) from {at}" in login
    for line, name in zip(commands, called, strict=True):
        assert f" {name} by boss from {at}" in line
    assert "refused" in refused


def test_those_in_a_batch_and_by_a_notification(node: Node) -> None:
    with rpc(node, "boss") as client:
        client.call("BATCH", "SLOWLOG", [1], "GET", ["a"])
        client.notify("HOT", 1)
        told = told_of(node, client, f" HOT by boss from {place(client)}")
    assert [line.partition(" by boss ")[0].split()[-1] for line in told[1:]] == ["SLOWLOG", "HOT"]


def test_each_command_of_operators_of_redis(node: Node) -> None:
    called = []
    with Resp(node, "boss") as client:
        for request in OF_REDIS:
            client.call(*request)
            if request[0].upper() not in FREE:
                called.append(request[0].lower())
        client.call("MULTI")
        client.call("CLIENT", "LIST")
        client.call("EXEC")
        client.call("GET", "a")
        assert client.call("AUTH", "boss", "wrong").startswith("-WRONGPASS ")
        _login, *commands, _refused = told_of(node, client, f"login as boss from {place(client)} refused")
    assert len(called) > 6
    expected = [*called, "client"]
    assert [line.partition(" by boss ")[0].split()[-1].partition("|")[0] for line in commands] == expected


def test_what_others_call_is_no_line(node: Node) -> None:
    with rpc(node, "writer") as client:
        client.call("PUT", "a", "1")
        client.call("GET", "a")
        client.call("INFO")
        assert error_of(client, "SLOWLOG", 1).startswith("NotAllowed: ")
        assert error_of(client, "AUTH", "writer", secret_of("boss")).startswith("LoginFailed: ")
        told = told_of(node, client, f"login as writer from {place(client)} refused")
    assert len(told) == 2
