"""The command table: what a client may call, in one place.

Dispatch, the primary's routing, how a BATCH carries results, who may call what when a node is full, the shell's help
and completion, and ``docs/commands.md`` are all made from it; docs/architecture.md says what else a new one needs.
"""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Final, Literal

from ckv.errors import BadArguments

Access = Literal["anyone", "reader", "writer", "operator", "node"]
"""Who may call a command. No command of this table is for nodes alone; what they ask each other beside is."""

Reply = Literal["ok", "flag", "value", "number", "text", "table"]
"""What a command answers: true, true or false, ``[found, value]``, a number, a text, or a structure of its own."""

SMALL_REPLIES: Final[frozenset[Reply]] = frozenset({"ok", "flag", "number"})
"""Those that are small whatever the command is asked, so that a BATCH carries them without a look."""


@dataclass(frozen=True, slots=True)
class Command:
    """One method of the wire protocol."""

    usage: str
    """The command as a person types it: ``PUT key value``. All arguments have to be there."""

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
    def has_owner(self) -> bool:
        """Whether the owner of its key answers it; any other one is answered by whichever node is asked."""
        return "key" in self.arguments

    def wrong_count(self, params: Sized) -> BadArguments:
        """The error for another number of arguments."""
        return BadArguments(f"{len(params)} arguments; it is {self.usage}")


COMMANDS: Final[dict[str, Command]] = {
    command.name: command
    for command in (
        Command("PUT key value", "writer", "ok", "`true`",
            "Store a value under a key, replacing what was there."),
        Command("GET key", "reader", "value", '`[true, value]`, or `[false, ""]` when there is none',
            "Read the value of a key."),
        Command("DEL key", "writer", "flag", "`true` if there was one, else `false`",
            "Delete a key and its value."),
        Command("SET key value expires condition expected want", "writer", "table",
            '`[written, found, old]`: `found` and `old` with a condition or `GET`, else `false` and `""`',
            "PUT that asks or tells: condition is NX, XX, IFEQ or empty, want is GET or empty; expires -1 keeps it."),
        Command("GETDEL key", "writer", "value", '`[true, value]`, or `[false, ""]` when there was none',
            "Read the value of a key and delete it."),
        Command("GETEX key expires", "writer", "value", '`[true, value]`, or `[false, ""]` when there is none',
            "Read the value of a key and set when it expires: milliseconds since 1970, 0 for never."),
        Command("DELIFEQ key expected", "writer", "flag", "`true` if it was deleted, else `false`",
            "Delete a key if its value is the expected one."),
        Command("EXTEND key expected milliseconds since", "writer", "flag", "`true` if it was put off, else `false`",
            "Have a record that expires, if it has this value, do so so long after since; 0 for after it would."),
        Command("INCRBY key amount", "writer", "number", "the sum",
            "Add an integer to the one under a key, 0 if there is none; both have 64 bits and a sign."),
        Command("COUNT key amount condition expires", "writer", "table", "`[counted, sum]`",
            "INCRBY that asks first: condition is XX or empty; expires holds where the sum is the amount, -1 for not."),
        Command("INCRBYFLOAT key amount", "writer", "text", "the sum, in digits",
            "Add a decimal number to the one under a key, 0 if there is none."),
        Command("APPEND key value", "writer", "number", "the length in bytes that it has now",
            "Add to the end of a value, or store one where there is none."),
        Command("EXISTS key", "reader", "flag", "`true` if there is one, else `false`",
            "Tell whether there is a value under a key."),
        Command("STRLEN key", "reader", "number", "the length in bytes, 0 when there is no value",
            "Tell how long the value of a key is."),
        Command("PUTEX key value expires", "writer", "ok", "`true`",
            "Store a value that expires: milliseconds since 1970, 0 for never."),
        Command("EXPIRE key expires condition", "writer", "number", "1 if it did, 0 if not",
            'Set when a record expires, 0 for never, if the condition holds: NX, XX, GT, LT, XXLT as in Redis, or "".'),
        Command("EXPIRETIME key", "reader", "number", "milliseconds since 1970, -1 for never, -2 for no record",
            "Say when a record expires."),
        Command("SCAN cursor match count", "reader", "table", "`[cursor, [key, ...]]`",
            "List keys that match a pattern (* for all) of about count that are looked at; cursor 0 begins and ends."),
        Command("DBSIZE", "reader", "number", "the number, about",
            "Say how many records there are in all tiers, about."),
        Command("FLUSH cursor", "operator", "table", "`[cursor, number]`",
            "Delete all records, some of them; cursor 0 begins and ends; refused unless a node has --allow-flush."),
        Command("SAVE ticket", "operator", "table", "`[ticket, saved, left, refused]`",
            "Write all that the database lacks; ticket 0 begins, the one that it answers asks on until none are left."),
        Command("DIGEST key", "reader", "text", "a bin, empty when there is no record",
            "Tell one record of a key from another, for EXEC: a digest of its value and its expiry."),
        Command("EXEC requests", "writer", "table", "`[done, answers]`: a flag, and a bin of all answers",
            "Carry out several requests as one step of each node that owns keys of theirs."),
        Command("OWNERS", "reader", "table", "`[basis, version, [[host, port, process, name], ...], owners]`",
            "Tell who owns which keys, for clients that go there by themselves; a secondary refuses it."),
        Command("PING", "anyone", "text", '`"PONG"`',
            "Ask the node itself whether it answers."),
        Command("INFO", "operator", "table", "a map of figure to number or text",
            "Show the figures of the node itself."),
        Command("NODES", "operator", "table",
            "`[[address, error, [[figure, value], ...]], ...]`; the address of the node itself is empty",
            "Show the figures of the node itself, and at a primary those of all secondaries, as far as they answer."),
        Command("SLOWLOG count", "operator", "table",
            "`[[number, time, microseconds, [word, ...], address, name], ...]`, times in seconds since 1970",
            "List the latest requests that took longer than --slow-time, up to 128; 0 forgets them."),
        Command("CLIENTS count", "operator", "table",
            "`[[address, error, [seconds, [clients, new, calls, in, out], [client, ...]]], ...]`",
            "List the clients that ask most now, up to 100; a primary asks all secondaries, too."),
        Command("HOT count", "operator", "table",
            "`[[address, error, [seconds, calls, [[key, calls, error], ...]]], ...]`, calls in one second",
            "List the keys that were asked for most often lately, up to 100; a primary asks all secondaries."),
        Command("BIG count", "operator", "table", "`[[address, error, [[bytes, key], ...]], ...]`",
            "List the records in memory with the largest values, up to 100; a primary asks all secondaries."),
        Command("RETRY", "operator", "number", "the number of rows",
            "Queue the rows again that the database refused and this secondary parked; a primary refuses it."),
        Command("PEEK key", "operator", "table", "`[where, digest]`",
            "Say where a record is, without using or moving it."),
        Command("AUDIT cursor count", "operator", "table", "`[cursor, [[key, where, digest], ...]]`",
            "List what a secondary knows, up to 1000 keys at a time; cursor 0 begins and ends; a primary refuses it."),
    )
}  # fmt: skip

STEP_METHODS: Final = frozenset(
    name for name, command in COMMANDS.items() if command.has_owner and command.access != "operator"
)
"""What EXEC may be asked to carry out: all that is about one record, whose key is their first argument."""
