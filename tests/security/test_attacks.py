"""What somebody tries who has no login, or one that is not enough. docs/security.md has the table of these."""

from __future__ import annotations

from typing import Any, Final

import pytest

from ckv.cluster.directory import DIRECT
from ckv.cluster.messages import BEAT, DRAIN, EPOCH, FENCE, FOLLOW, FREEZE, JOIN, LEAVE, MAP, PREPARE, REBALANCE, TABLE
from ckv.commands import COMMANDS, Command
from ckv.protocol.greeting import HELLO
from ckv.protocol.steps import packed_requests
from ckv.redis.permits import BEFORE_LOGIN
from ckv.redis.row import Row
from ckv.redis.table import ROWS, had_by
from ckv.security.rights import FREE, LEVELS
from tests.security.guarded import LEVELS as USER_OF
from tests.security.guarded import Resp, rpc, secret_of
from tests.support.nodes import Node
from tests.support.wire import RemoteError

OF_NODES: Final = (JOIN, BEAT, LEAVE, FOLLOW, MAP, EPOCH, PREPARE, FREEZE, FENCE, HELLO, "COPY")
OF_OPERATORS: Final = (TABLE, DRAIN, REBALANCE)

FOREIGN: Final = "invoices:1"
OWN: Final = "orders:1"

COMMANDS_OF_REDIS: Final = [row for row in had_by(COMMANDS).values() if row.name not in BEFORE_LOGIN]


def arguments(command: Command, key: str = FOREIGN) -> list[Any]:
    """As many as it takes."""
    return [key if name == "key" else "1" for name in command.arguments]


def request_of(row: Row, key: str = FOREIGN) -> tuple[str, ...]:
    """A request with as many parts as it should have, and this key where keys are."""
    first, last, step = row.keys
    count = max(abs(row.arity), first + 1, row.key_count + 1 + row.key_step if row.key_count else 0)
    parts = [row.name, *["1"] * (count - 1)]
    if row.key_count:
        parts[row.key_count + 1] = key
    for place in range(first, len(parts) if last < 0 else last + 1, step) if first else ():
        parts[place] = key
    return tuple(parts)


def error_of(client: Any, method: str, *params: Any) -> str:
    with pytest.raises(RemoteError) as caught:
        client.call(method, *params)
    return str(caught.value.args[0])


def in_a_batch(node: Node, name: str, *requests: Any) -> Any:
    """What is answered to a BATCH, over a connection of its own: it takes numbers for what is answered later."""
    with rpc(node, name) as client:
        return client.call("BATCH", *requests)


# --- no login --------------------------------------------------------------------------------------------------------


def test_nobody_may_call_any_method(node: Node) -> None:
    with rpc(node) as client:
        for command in COMMANDS.values():
            assert error_of(client, command.name, *arguments(command)).startswith("LoginNeeded: "), command.name
        for method in (*OF_NODES, *OF_OPERATORS, DIRECT):
            assert error_of(client, method).startswith(("LoginNeeded: ", "UnknownMethod: ")), method
        assert error_of(client, HELLO).startswith("LoginNeeded: ")


def test_nobody_may_in_a_batch_or_by_a_notification(node: Node) -> None:
    with rpc(node) as client, rpc(node, "writer") as writer:
        answers = client.call("BATCH", "PUT", ["a", "1"], "GET", ["a"], "AUTH", ["writer", secret_of("writer")])
        assert [answer[0].partition(":")[0] for answer in answers] == ["LoginNeeded", "LoginNeeded", "UnknownMethod"]
        client.notify("PUT", "notified", "1")
        client.notify("AUTH", "writer", secret_of("writer"))
        assert error_of(client, "PING").startswith("LoginNeeded: ")
        assert writer.call("GET", "notified") == [False, ""]


def test_nobody_may_call_any_command_of_redis(node: Node) -> None:
    with Resp(node) as client:
        for row in COMMANDS_OF_REDIS:
            assert client.call(*request_of(row)) == "-NOAUTH Authentication required.", row.name
        assert client.call("HELLO", "3").startswith(
            "-NOAUTH HELLO must be called with the client already authenticated"
        )
        assert client.call("MULTI") == "-NOAUTH Authentication required."
        assert client.call("gEt", "a") == "-NOAUTH Authentication required."
        assert client.call("RESET") == b"RESET"
        assert client.call("QUIT") == b"OK"


# --- a wrong login ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("writer", "wrong"),
        ("writer", ""),
        ("writer", secret_of("boss")),
        ("writer", "x" * 5000),
        ("nobody", secret_of("writer")),
        ("", ""),
        ("default", ""),
        ("Writer", secret_of("writer")),
        ("writer\0", secret_of("writer")),
        ("w" * 5000, "x"),
    ],
    ids=range(10),
)
def test_a_wrong_login_lets_nobody_in_and_tells_nothing(node: Node, name: str, secret: str) -> None:
    with rpc(node) as client, Resp(node) as other:
        assert error_of(client, "AUTH", name, secret) == "LoginFailed: there is no user of this name with this secret"
        assert error_of(client, "GET", "a").startswith("LoginNeeded: ")
        wrong = "-WRONGPASS invalid username-password pair or user is disabled."
        assert other.call("AUTH", name, secret) == wrong
        assert other.call("HELLO", "3", "AUTH", name, secret) == wrong
        assert other.call("GET", "a") == "-NOAUTH Authentication required."
        assert client.call("AUTH", "writer", secret_of("writer")) is True


@pytest.mark.parametrize(
    "params", [[], ["writer"], ["writer", 1], ["writer", None], ["writer", "a", "b"], [["writer"], "a"]]
)
def test_an_auth_that_is_none(node: Node, params: list[Any]) -> None:
    with rpc(node) as client:
        assert error_of(client, "AUTH", *params).startswith("BadArguments: ")


def test_a_wrong_login_leaves_the_one_before(node: Node) -> None:
    with rpc(node, "writer") as client, Resp(node, "writer") as other:
        assert error_of(client, "AUTH", "boss", "wrong").startswith("LoginFailed: ")
        assert client.call("PUT", "a", "1") is True
        assert other.call("AUTH", "boss", "wrong").startswith("-WRONGPASS ")
        assert other.call("SET", "a", "1") == b"OK"


# --- more than the class allows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["read", "write", "admin"])
def test_no_class_may_call_what_is_not_for_it(node: Node, level: str) -> None:
    allowed = LEVELS[level]  # type: ignore[index]
    refused = [command for command in COMMANDS.values() if command.access not in allowed and command.name not in FREE]
    with rpc(node, USER_OF[level]) as client:  # type: ignore[index]
        for command in refused:
            if command.name != "EXEC":  # each part of it is looked at
                assert error_of(client, command.name, *arguments(command)).startswith("NotAllowed: "), command.name
        for method in OF_NODES if level == "admin" else (*OF_NODES, *OF_OPERATORS):
            assert error_of(client, method).startswith(("NotAllowed: ", "UnknownMethod: ")), method
        assert error_of(client, HELLO).startswith("NotAllowed: ")
        if level == "read":
            assert in_a_batch(node, "reader", "PUT", ["a", "1"], "GET", ["none"])[0][0].startswith("NotAllowed: ")
            step = packed_requests([("GET", ("a",)), ("PUT", ("a", "1"))])
            assert error_of(client, "EXEC", step).startswith("NotAllowed: PUT ")
            assert client.call("EXEC", packed_requests([("GET", ("a",))]))[0] is True
        client.notify("FLUSH", 0)
        assert client.call("PING") == "PONG"


@pytest.mark.parametrize("level", ["read", "write"])
def test_no_class_may_call_commands_of_redis_that_are_not_for_it(node: Node, level: str) -> None:
    allowed = LEVELS[level]  # type: ignore[index]
    refused = [row for row in COMMANDS_OF_REDIS if row.access not in allowed and row.name.upper() not in FREE]
    assert refused
    with Resp(node, USER_OF[level]) as client:  # type: ignore[index]
        for row in refused:
            told = f"-NOPERM this user has no permissions to run the '{row.name}' command"
            assert client.call(*request_of(row)) == told
            assert client.call(row.name.title(), *request_of(row)[1:]) == told
            assert client.call("MULTI") == b"OK"
            assert client.call(*request_of(row)) == told
            assert client.call("EXEC").startswith("-EXECABORT ")
        for words in (("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", "1")):
            assert client.call(*words).startswith("-NOPERM this user has no permissions to run the 'client|")
        assert client.call("INFO").startswith(b"# Server")


def test_a_class_may_call_what_is_for_it(node: Node) -> None:
    with Resp(node, "writer") as writer, Resp(node, "reader") as reader, Resp(node, "boss") as boss:
        assert writer.call("SET", "for all", "1") == b"OK"
        assert reader.call("GET", "for all") == b"1"
        assert reader.call("SCAN", "0")[0] is not None
        assert b"user=reader" in boss.call("CLIENT", "LIST")
        assert boss.call("CONFIG", "GET", "save") == [b"save", b""]
        assert boss.call("CLIENT", "KILL", "USER", "viewer") == 0


# --- keys of others --------------------------------------------------------------------------------------------------


def test_no_method_takes_the_key_of_another_one(node: Node) -> None:
    with rpc(node, "orders") as client:
        for command in COMMANDS.values():
            if command.has_owner and command.access in LEVELS["write"]:
                assert error_of(client, command.name, *arguments(command)).startswith("NotAllowed: "), command.name
                key = bytes(FOREIGN, "ascii")
                params = [key if param == FOREIGN else param for param in arguments(command)]
                assert error_of(client, command.name, *params).startswith("NotAllowed: "), command.name
        answers = in_a_batch(node, "orders", "PUT", [FOREIGN, "1"], "PUT", [OWN, "1"])
        assert answers[0][0].startswith("NotAllowed: ")
        for requests in ([("GET", (OWN,)), ("PUT", (FOREIGN, "1"))], [("WATCHED", (FOREIGN, b"x")), ("GET", (OWN,))]):
            assert error_of(client, "EXEC", packed_requests(requests)).startswith("NotAllowed: ")
        bad: list[Any] = [[], [["GET", [FOREIGN]]], [[[], []]], [[1, 2]], [1], {}, 1, None, b"\xc1", b"\x90", FOREIGN]
        for step in bad:
            assert error_of(client, "EXEC", step).startswith(("BadArguments: ", "NotAllowed: ")), step
        for pattern in ("*", "o*", "[o]rders:*", "?rders:*", b"*", "", None, 1):
            assert error_of(client, "SCAN", 0, pattern, 10).startswith("NotAllowed: "), pattern
        assert error_of(client, "DBSIZE").startswith("NotAllowed: ")


def test_no_command_of_redis_takes_the_key_of_another_one(node: Node) -> None:
    told = "-NOPERM this user has no permissions to access one of the keys used as arguments"
    with Resp(node, "orders") as client:
        for row in COMMANDS_OF_REDIS:
            if (row.keys[0] or row.key_count) and row.access in LEVELS["write"]:
                assert client.call(*request_of(row)) == told, row.name
                assert client.call("MULTI") == b"OK"
                assert client.call(*request_of(row)) == told, row.name
                assert client.call("EXEC").startswith("-EXECABORT "), row.name
        assert client.call("MGET", OWN, FOREIGN) == told
        assert client.call("MSET", OWN, "1", FOREIGN, "1") == told
        assert client.call("MSETEX", "2", OWN, "1", FOREIGN, "1") == told
        script = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
        assert client.call("EVAL", script, "1", FOREIGN, "1") == told
        digest = client.call("SCRIPT", "LOAD", script)
        assert client.call("EVALSHA", digest, "1", FOREIGN, "1") == told
        for pattern in ("*", "o*", "[o]rders:*", "\\orders:*"):
            assert client.call("KEYS", pattern).startswith("-NOPERM "), pattern
            assert client.call("SCAN", "0", "MATCH", pattern).startswith("-NOPERM "), pattern
        assert client.call("SCAN", "0").startswith("-NOPERM ")
        assert client.call("DBSIZE").startswith("-NOPERM ")
        assert client.call("WATCH", OWN) == b"OK"
        for request in (("GET", FOREIGN), ("MGET", OWN, FOREIGN), ("GETEX", FOREIGN), ("WATCH", FOREIGN)):
            assert client.call(*request) == told, request


def test_no_cursor_of_another_one_tells_its_keys(node: Node) -> None:
    foreign = [f"invoices:{number}" for number in range(50)]
    with rpc(node, "writer") as writer, rpc(node, "orders") as client, Resp(node, "orders") as resp:
        for key in foreign:
            assert writer.call("PUT", key, "1") is True
        cursor, _ = writer.call("SCAN", 0, "*", 5)
        assert cursor
        for pattern in ("*", "invoices:*"):
            assert error_of(client, "SCAN", cursor, pattern, 1000).startswith("NotAllowed: ")
            assert resp.call("SCAN", str(cursor), "MATCH", pattern).startswith("-NOPERM ")
        while cursor:
            cursor, keys = client.call("SCAN", cursor, "stock:*", 1000)
            assert keys == []
        for key in foreign:
            assert writer.call("DEL", key) is True


def test_own_keys_are_served(node: Node) -> None:
    with Resp(node, "orders") as client, rpc(node, "viewer") as viewer:
        assert client.call("MSET", OWN, "1", "stock:1", "2") == b"OK"
        assert client.call("MGET", OWN, "stock:1") == [b"1", b"2"]
        assert client.call("INCR", OWN) == 2
        assert client.call("KEYS", "orders:*") == [OWN.encode()]
        client.send(("MULTI",), ("GET", OWN), ("DEL", "stock:1"), ("EXEC",))
        assert [client.read() for _ in range(4)][-1] == [b"2", 1]
        assert viewer.call("GET", OWN) == [True, b"2"]
        assert error_of(viewer, "GET", "stock:1").startswith("NotAllowed: ")
        assert error_of(viewer, "DEL", OWN).startswith("NotAllowed: ")


def test_channels_of_others_are_not_heard_and_not_spoken_on(node: Node) -> None:
    told = "-NOPERM this user has no permissions to access one of the channels used as arguments"
    with Resp(node, "orders") as client, Resp(node, "viewer") as viewer:
        assert client.call("SUBSCRIBE", OWN, FOREIGN) == told
        assert client.call("PSUBSCRIBE", "*") == told
        assert client.call("PSUBSCRIBE", "orders:*", "[o]rders:*") == told
        assert client.call("PUBLISH", FOREIGN, "1") == told
        assert client.call("PUBSUB", "CHANNELS") == told
        assert viewer.call("PSUBSCRIBE", "orders:*")[0] == b"psubscribe"
        assert client.call("PUBLISH", OWN, "1") == 1
        assert viewer.read() == [b"pmessage", b"orders:*", OWN.encode(), b"1"]
        assert viewer.call("PUBLISH", OWN, "1").startswith("-ERR Can't execute 'publish'")
    with Resp(node, "viewer") as viewer:
        assert viewer.call("PUBLISH", OWN, "1") == "-NOPERM this user has no permissions to run the 'publish' command"


# --- another user over the same connection ---------------------------------------------------------------------------


def test_what_is_sent_behind_a_login_is_served_as_that_user_and_what_is_before_is_not(node: Node) -> None:
    with Resp(node) as client:
        login = ("AUTH", "writer", secret_of("writer"))
        client.send(("SET", "a", "1"), login, ("SET", "a", "2"), ("GET", "a"), ("AUTH", "viewer", secret_of("viewer")),
                    ("GET", "a"), ("RESET",), ("GET", "a"))  # fmt: skip
        answers = [client.read() for _ in range(8)]
    assert answers[:5] == ["-NOAUTH Authentication required.", b"OK", b"OK", b"2", b"OK"]
    assert answers[5] == "-NOPERM this user has no permissions to access one of the keys used as arguments"
    assert answers[6:] == [b"RESET", "-NOAUTH Authentication required."]
    with rpc(node) as other:
        sent = [other.request("GET", "a"), other.request("AUTH", "writer", secret_of("writer"))]
        sent += [
            other.request("GET", "a"),
            other.request("AUTH", "viewer", secret_of("viewer")),
            other.request("GET", "a"),
        ]
        told = [other.wait_for(msgid) for msgid in sent]
    assert [answer.error and answer.error.partition(":")[0] for answer in told] == [
        "LoginNeeded", None, None, None, "NotAllowed",
    ]  # fmt: skip


def test_nothing_of_one_user_goes_on_as_another_one(node: Node) -> None:
    with Resp(node, "writer") as client:
        assert client.call("HELLO", "3", "AUTH", "writer", secret_of("writer"))[b"proto"] == 3
        assert client.call("SUBSCRIBE", FOREIGN)[0] == b"subscribe"
        assert client.call("WATCH", FOREIGN) == b"OK"
        assert client.call("AUTH", "viewer", secret_of("viewer")) == b"OK"
        with Resp(node, "writer") as other:
            assert other.call("PUBLISH", FOREIGN, "1") == 0
        assert client.call("MULTI") == b"OK"
        for login in (("AUTH", "boss", secret_of("boss")), ("HELLO", "3", "AUTH", "boss", secret_of("boss"))):
            assert client.call(*login) == "-ERR Command not allowed inside a transaction"
        assert client.call("EXEC").startswith("-EXECABORT ")


def test_every_row_of_redis_says_what_it_is_about() -> None:
    """A command that names something else than keys has to say so, or a prefix would not bind it."""
    about_no_key = {row.name for row in ROWS.values() if not (row.keys[0] or row.key_count or row.channels)}
    assert about_no_key == {
        *("asking", "auth", "client", "cluster", "command", "config", "dbsize", "discard", "echo", "exec", "flushall"),
        *("flushdb", "hello", "info", "keys", "lastsave", "latency", "module", "multi", "ping", "punsubscribe"),
        *("quit", "readonly", "readwrite", "reset", "scan", "script", "select", "slowlog", "time", "unsubscribe"),
        "unwatch",
    }
