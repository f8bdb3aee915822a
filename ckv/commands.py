"""The command table: what a client may call, in one place.

Dispatch, the primary's routing, how a BATCH carries results, who may call what when a node is full, the shell's help
and completion, and ``docs/commands.md`` are all made from it. So a new command is one new row here and one handler in
``ckv/node/secondary.py``. A primary forwards those whose arguments are a key, or a key and a value; others need a new
shape in ``ckv/node/primary.py``. A role that lacks a handler does not start (:func:`complete`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

Flag = Literal["read", "write", "admin", "keyless", "blocking"]
"""``read``, ``write``: of records. ``admin``: for whoever looks after a node. ``keyless``: a node answers it by itself.
``blocking``: it may wait for what somebody else does.
"""

Access = Literal["anyone", "reader", "writer", "operator"]
"""Who may call a command."""

Reply = Literal["ok", "flag", "value", "number", "text", "table"]
"""What a command answers: true, true or false, ``[found, value]``, a number, a text, or a structure of its own."""

SMALL_REPLIES: Final[frozenset[Reply]] = frozenset({"ok", "flag", "number"})
"""Those that are small whatever the command is asked, so that a BATCH carries them without a look."""


@dataclass(frozen=True, slots=True)
class Command:
    """One method of the wire protocol."""

    usage: str
    """The command as a person types it: ``PUT key value``. All arguments have to be there."""

    flags: tuple[Flag, ...]
    access: Access
    reply: Reply

    result: str
    """What it answers, in msgpack's terms, for the docs."""

    help: str
    """One sentence for the shell and for the docs."""

    @property
    def name(self) -> str:
        """The method name as it travels, upper case."""
        return self.usage.split()[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of its arguments, in order."""
        return tuple(self.usage.split()[1:])

    @property
    def arity(self) -> int:
        """How many arguments it has."""
        return len(self.arguments)

    @property
    def keys(self) -> tuple[int, ...]:
        """The positions of the keys among the arguments; none for a command that any node answers by itself."""
        return tuple(index for index, name in enumerate(self.arguments) if name == "key")


COMMANDS: Final[dict[str, Command]] = {
    command.name: command
    for command in (
        Command("PUT key value", ("write",), "writer", "ok", "`true`",
            "Store a value under a key, replacing what was there."),
        Command("GET key", ("read",), "reader", "value", '`[true, value]`, or `[false, ""]` when there is none',
            "Read the value of a key."),
        Command("DEL key", ("write",), "writer", "flag", "`true` if there was one, else `false`",
            "Delete a key and its value."),
        Command("PING", ("keyless",), "anyone", "text", '`"PONG"`',
            "Ask the node itself whether it answers."),
        Command("INFO", ("admin", "keyless"), "operator", "table", "a map of figure to number or text",
            "Show the figures of the node itself."),
        Command("RETRY", ("admin", "keyless"), "operator", "number", "the number of rows",
            "Queue the rows again that the database refused and this secondary parked; a primary refuses it."),
        Command("PEEK key", ("admin", "read"), "operator", "table", "`[where, digest]`",
            "Say where a record is, without using or moving it."),
        Command("SCAN cursor count", ("admin", "read", "keyless"), "operator", "table",
            "`[cursor, [[key, where, digest], ...]]`",
            "List what a secondary knows, up to 1000 keys at a time; cursor 0 begins and ends; a primary refuses it."),
    )
}  # fmt: skip

T = TypeVar("T")


def complete(handlers: Mapping[str, T]) -> dict[str, T]:
    """The handlers in the order of the table. Raises LookupError unless there is one for each command, and no other."""
    if missing := COMMANDS.keys() - handlers.keys():
        raise LookupError(f"no handler for {', '.join(sorted(missing))}")
    if unknown := handlers.keys() - COMMANDS.keys():
        raise LookupError(f"no command {', '.join(sorted(unknown))}")
    return {name: handlers[name] for name in COMMANDS}
