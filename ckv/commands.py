"""The command table: what a client may call, in one place.

Dispatch, the primary's routing, the shell's help and completion, and ``docs/commands.md`` are all made from it, so a
new command is one new row here and one handler in each role that serves it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One method of the wire protocol."""

    name: str
    """The method name as it travels, upper case."""

    arguments: tuple[str, ...]
    """The names of its arguments, in order. The protocol has no optional ones."""

    key: int | None
    """The position of the key among the arguments; ``None`` for a command that any node answers by itself."""

    result: str
    """What it answers, in msgpack's terms."""

    help: str
    """One sentence for the shell and for the docs."""

    @property
    def usage(self) -> str:
        """The command as a person types it: ``PUT key value``."""
        return " ".join((self.name, *self.arguments))


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("PUT", ("key", "value"), 0, "`true`", "Store a value under a key, replacing what was there."),
        Command("GET", ("key",), 0, '`[true, value]`, or `[false, ""]` when there is none', "Read the value of a key."),
        Command("DEL", ("key",), 0, "`true` if there was one, else `false`", "Delete a key and its value."),
        Command("PING", (), None, '`"PONG"`', "Ask the node itself whether it answers."),
        Command("INFO", (), None, "a map of figure to number or text", "Show the figures of the node itself."),
        Command(
            "RETRY",
            (),
            None,
            "the number of rows",
            "Queue the rows again that the database refused and this secondary parked; a primary refuses it.",
        ),
        Command("PEEK", ("key",), 0, "`[where, digest]`", "Say where a record is, without using or moving it."),
        Command(
            "SCAN",
            ("cursor", "count"),
            None,
            "`[cursor, [[key, where, digest], ...]]`",
            "List what a secondary knows, up to 1000 keys at a time; cursor 0 begins and ends; a primary refuses it.",
        ),
    )
}
