"""Each login, each refused one, each command of operators and each call that is not allowed is a line of the log, with
the user and the address."""

from __future__ import annotations

from typing import Any, Final

from ckv.commands import COMMANDS
from ckv.logs import MOST_A_MINUTE
from ckv.protocol.steps import packed_requests
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


def test_what_is_not_allowed(node: Node) -> None:
    step = packed_requests([("GET", ("orders:1",)), ("PUT", ("b", "1"))])
    calls: list[tuple[str, list[Any]]] = [
        ("SLOWLOG", [1]),
        ("GET", ["a"]),
        ("DBSIZE", []),
        ("SCAN", [0, "a*", 10]),
        ("BATCH", ["GET", ["orders:1"], "GET", ["b"]]),
        ("EXEC", [step]),
    ]
    with rpc(node, "orders") as client:
        at = place(client)
        for name, params in calls:
            client.wait_for(client.request(name, *params))
        client.notify("DEL", "a")
        assert error_of(client, "AUTH", "orders", "wrong").startswith("LoginFailed: ")
        _login, *denied, _refused = told_of(node, client, f"login as orders from {at} refused")
    expected = ["SLOWLOG", "GET", "DBSIZE", "SCAN", "GET", "EXEC", "DEL"]
    assert [line.partition(" denied: ")[2].split()[0] for line in denied] == expected
    for line in denied:
        assert line.endswith(f" by orders from {at} refused: it may not do that"), "no key, which may be a secret"
    with rpc(node, "boss") as boss:
        assert boss.call("INFO")["calls_denied"] == len(expected)


def test_what_is_not_allowed_of_redis(node: Node) -> None:
    requests = [
        *(("SLOWLOG", "GET"), ("GET", "a"), ("MSET", "orders:1", "1", "b", "1"), ("CLIENT", "LIST")),
        *(
            ("SCAN", "0"),
            ("SUBSCRIBE", "b"),
            ("WATCH", "orders:1"),
            ("GET", "b"),
            ("MULTI",),
            ("SET", "a", "1"),
            ("EXEC",),
        ),
    ]
    with Resp(node, "orders") as client:
        answers = [client.call(*request) for request in requests]
        assert client.call("AUTH", "orders", "wrong").startswith("-WRONGPASS ")
        _login, *denied, _refused = told_of(node, client, f"login as orders from {place(client)} refused")
    called = [request[0].lower() for request, answer in zip(requests, answers, strict=True) if "NOPERM" in str(answer)]
    assert len(called) == 8
    # SCAN is looked at by its method, which has another spelling.
    assert [line.partition(" denied: ")[2].split()[0].partition("|")[0].lower() for line in denied] == called


def test_what_one_user_may_not_hides_nothing_of_others(node: Node) -> None:
    with rpc(node, "viewer", source="127.9.9.9") as client:
        for _ in range(MOST_A_MINUTE + 20):
            client.notify("PUT", "a", "1")
        assert client.call("PING") == "PONG"
    with rpc(node, "reader", source="127.9.9.9") as client:
        client.notify("PUT", "a", "1")
        told = told_of(node, client, f" PUT by reader from {place(client)} refused")
    assert len(told) == 2
    assert sum(" PUT by viewer " in line for line in node.log) == MOST_A_MINUTE


def test_what_others_call_is_no_line(node: Node) -> None:
    with rpc(node, "writer") as client:
        client.call("PUT", "a", "1")
        client.call("GET", "a")
        client.call("INFO")
        assert error_of(client, "AUTH", "writer", secret_of("boss")).startswith("LoginFailed: ")
        told = told_of(node, client, f"login as writer from {place(client)} refused")
    assert len(told) == 2
