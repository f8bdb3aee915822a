"""The command table: well formed, and served by everything that is made from it."""

from __future__ import annotations

import pytest

from ckv.address import Address
from ckv.commands import COMMANDS, Command
from ckv.node.handlers import complete, pong
from ckv.node.node import Node
from ckv.protocol.limits import Limits
from ckv.tools.shell.commands import ENDS, HELP, NAMES, help_text
from tests.support.nodes import Nodes
from tests.support.wire import RawClient, RemoteError


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_is_well_formed(command: Command) -> None:
    assert COMMANDS[command.name] is command
    assert command.name.isupper()
    assert command.has_owner == (command.arguments[:1] == ("key",))
    assert command.help.endswith(".")
    assert "\n" not in command.help


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_every_role_serves_every_command(nodes: Nodes, role: str) -> None:
    """And nothing else: a node has as many methods as the command table, and names the first of them."""
    cluster = nodes.start_cluster(1)
    node = cluster.primary if role == "primary" else cluster.secondaries[0]
    with RawClient(node.address) as client:
        for command in COMMANDS.values():
            response = client.wait_for(client.request(command.name, *command.arguments))
            assert response.error is None or not response.error.startswith("UnknownMethod: "), command.name
        with pytest.raises(RemoteError, match=r"^UnknownMethod: no method 'FLY'; there are ") as caught:
            client.call("FLY")
    named, _, others = str(caught.value).partition("; there are ")[2].partition(" and ")
    first = named.split(", ")
    assert first == list(COMMANDS)[: len(first)]
    assert others == f"{len(COMMANDS) - len(first)} others"


@pytest.mark.parametrize(("change", "named"), [("without", "no handler for DEL"), ("with", "no command FLY")])
def test_a_role_that_lacks_a_handler_does_not_start(change: str, named: str) -> None:
    table = dict.fromkeys(COMMANDS)
    if change == "without":
        del table["DEL"]
    else:
        table["FLY"] = None
    node = Node("secondary", Limits(), drain_timeout=1, files=0, keys_max=1000, slow_time=1)
    here = Address("127.0.0.1", 0)
    with pytest.raises(LookupError, match=named):
        node.serve(here, table, "", lambda _wait: 0, figures=dict, checks={}, picture=dict)  # type: ignore[arg-type]


def test_handlers_are_in_the_order_of_the_table() -> None:
    assert list(complete(dict.fromkeys(reversed(COMMANDS), pong))) == list(COMMANDS)


def test_the_commands_of_the_protocol() -> None:
    assert {name: command.arguments for name, command in COMMANDS.items()} == {
        "PUT": ("key", "value"),
        "GET": ("key",),
        "DEL": ("key",),
        "SET": ("key", "value", "expires", "condition", "expected", "want"),
        "GETDEL": ("key",),
        "GETEX": ("key", "expires"),
        "DELIFEQ": ("key", "expected"),
        "EXTEND": ("key", "expected", "milliseconds", "since"),
        "INCRBY": ("key", "amount"),
        "COUNT": ("key", "amount", "condition", "expires"),
        "INCRBYFLOAT": ("key", "amount"),
        "APPEND": ("key", "value"),
        "EXISTS": ("key",),
        "STRLEN": ("key",),
        "PUTEX": ("key", "value", "expires"),
        "EXPIRE": ("key", "expires", "condition"),
        "EXPIRETIME": ("key",),
        "SCAN": ("cursor", "match", "count"),
        "DBSIZE": (),
        "FLUSH": ("cursor",),
        "SAVE": ("ticket",),
        "DIGEST": ("key",),
        "EXEC": ("requests",),
        "OWNERS": (),
        "PING": (),
        "INFO": (),
        "NODES": (),
        "SLOWLOG": ("count",),
        "CLIENTS": ("count",),
        "HOT": ("count",),
        "BIG": ("count",),
        "RETRY": (),
        "PEEK": ("key",),
        "AUDIT": ("cursor", "count"),
    }


def test_the_help_of_the_shell_has_them_all() -> None:
    lines = help_text().splitlines()
    for command in COMMANDS.values():
        assert any(line.startswith(command.usage + " ") and command.help in line for line in lines)


def test_the_shells_own_words_are_no_commands() -> None:
    own = {HELP, *ENDS}
    assert not own & set(COMMANDS)
    assert set(NAMES) == own | set(COMMANDS)
