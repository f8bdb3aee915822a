"""The command table: well formed, and served by everything that is made from it."""

from __future__ import annotations

import pytest

from ckv.commands import COMMANDS, Command
from ckv.roles import shell


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_is_well_formed(command: Command) -> None:
    assert COMMANDS[command.name] is command
    assert command.name.isupper()
    assert command.key is None or command.arguments[command.key] == "key"
    assert command.usage.split() == [command.name, *command.arguments]
    assert command.help.endswith(".")
    assert "\n" not in command.help


def test_the_commands_of_the_protocol() -> None:
    assert {name: command.arguments for name, command in COMMANDS.items()} == {
        "PUT": ("key", "value"),
        "GET": ("key",),
        "DEL": ("key",),
        "PING": (),
        "INFO": (),
        "RETRY": (),
        "PEEK": ("key",),
        "SCAN": ("cursor", "count"),
    }


def test_the_help_of_the_shell_has_them_all() -> None:
    help_text = shell.help_text()
    for command in COMMANDS.values():
        assert any(line.startswith(command.usage + " ") and command.help in line for line in help_text.splitlines())


def test_the_shells_own_words_are_no_commands() -> None:
    assert not {shell.HELP, *shell.ENDS} & set(COMMANDS)
