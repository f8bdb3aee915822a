"""What can be typed: the commands of the table, and HELP, EXIT and QUIT. One line or list of words, run on a client."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from typing import Final

from ckv.client import Client
from ckv.client.calls import found
from ckv.commands import COMMANDS
from ckv.spelling import nearest, shown
from ckv.tools.shell.words import BadLine, split
from ckv.values import Value, to_bytes, to_text

HELP: Final = "HELP"
ENDS: Final = ("EXIT", "QUIT")

NAMES: Final[dict[str, tuple[str, str]]] = {
    **{name: (command.usage, command.help) for name, command in COMMANDS.items()},
    HELP: ("HELP [command]", "Show all commands, or what one of them takes, does and answers; ? is short for it."),
    **{name: (name, "Leave the shell, as Ctrl-D does.") for name in ENDS},
}
"""Everything that can be typed: how it is used, and what it does."""

READS: Final = frozenset(
    {"GET", "EXPIRETIME", "EXISTS", "STRLEN", "DIGEST", "SCAN", "DBSIZE", "OWNERS", "PING", "INFO", "NODES"}
    | {"CLIENTS", "HOT", "BIG", "PEEK", "AUDIT"}
)
"""Commands that change nothing, whatever becomes of them."""

_CALLS: Final[dict[str, Callable[[Client, list[Value]], object]]] = {
    "PUT": lambda client, arguments: client.put(*arguments),
    "GET": lambda client, arguments: client.get(*arguments),
    "DEL": lambda client, arguments: client.delete(*arguments),
    "GETDEL": lambda client, arguments: client.pop(*arguments),
    "GETEX": lambda client, arguments: found(client.call("GETEX", arguments[0], _number(arguments[1])), None),
    "PUTEX": lambda client, arguments: client.call("PUTEX", *arguments[:2], _number(arguments[2])),
    "EXPIRE": lambda client, arguments: client.call("EXPIRE", arguments[0], _number(arguments[1]), arguments[2]),
    "SCAN": lambda client, arguments: client.call("SCAN", _number(arguments[0]), arguments[1], _number(arguments[2])),
    "FLUSH": lambda client, arguments: client.call("FLUSH", _number(arguments[0])),
    "CLIENTS": lambda client, arguments: client.call("CLIENTS", _number(arguments[0])),
    "HOT": lambda client, arguments: client.call("HOT", _number(arguments[0])),
    "BIG": lambda client, arguments: client.call("BIG", _number(arguments[0])),
    "AUDIT": lambda client, arguments: client.call("AUDIT", *map(_number, arguments)),
}
"""The commands whose result the client reads; that of any other one is shown as it came."""

_ABOUT_WORDS: Final = (
    r"""Names in upper or lower case. Words in '...' or "..." may have spaces; in "..." there are \n \r \t \b \a \\ """
    r"""\" and \xHH, one byte. b"..." is a binary value."""
)

_USUAL: Final = 24
"""Columns that most commands take with their arguments."""

_NARROW: Final = 30
"""Columns beside the names of the commands that a text needs; where there are fewer, it stands below."""


class End(Exception):
    """EXIT or QUIT."""


class Interrupted(Exception):
    """Ctrl-C during a call; the text says what is known of its outcome."""


def run_line(client: Client, line: Value | list[Value], width: int = sys.maxsize) -> tuple[str, object]:
    """The name of the command on the line, or of its words, and its result; an empty name for an empty line.

    HELP is wrapped to the width, in columns. Raises :class:`BadLine`, :class:`End`, :class:`Interrupted`, or what the
    client raises.
    """
    words = line if isinstance(line, list) else split(line)
    if not words:
        return "", None
    name, arguments = name_of(words[0]), words[1:]
    if name in ENDS:
        raise End
    if name == HELP:
        return HELP, help_text(width, *map(name_of, arguments))
    count = len(COMMANDS[name].arguments)
    # The shell of the original program took three words always: GET bob "".
    if len(arguments) < count or any(arguments[count:]):
        raise BadLine(f"expected {COMMANDS[name].usage}")
    arguments = arguments[:count]
    try:
        return name, _CALLS[name](client, arguments) if name in _CALLS else client.call(name, *arguments)
    except KeyboardInterrupt:
        outcome = "changed nothing" if name in READS else "may or may not have happened"
        raise Interrupted(f"interrupted: the {name} {outcome}") from None


def is_command(word: str) -> bool:
    """Whether it names one, in whatever case."""
    return word == "?" or word.upper() in NAMES


def name_of(word: Value) -> str:
    """The command that a word names, in upper case. Raises :class:`BadLine`."""
    text = to_text(to_bytes(word))
    name = HELP if text == "?" else text.upper()
    if name in NAMES:
        return name
    near = nearest(text, NAMES)
    hint = f"did you mean {near}?" if near else f"allowed is {', '.join(NAMES)}"
    raise BadLine(f"{shown(text)} is no command: {hint}")


def help_text(width: int = sys.maxsize, *names: str) -> str:
    """All commands, or those named, with what they take and do; lines of at most that many columns."""
    if names:
        return "\n".join(_wrapped(line, width, 0) for name in names for line in _help_of(name))
    # The few that take more begin their text further to the right.
    column = max(len(usage) for usage, _ in NAMES.values() if len(usage) <= _USUAL) + 2
    lines = []
    for usage, text in NAMES.values():
        if width < column + _NARROW:
            lines += [_wrapped(usage, width, 2), _wrapped("  " + text, width, 2)]
        else:
            lines.append(_wrapped(f"{usage + '  ':<{column}}{text}", width, column))
    return "\n".join([*lines, _wrapped(_ABOUT_WORDS, width, 0)])


def _help_of(name: str) -> list[str]:
    answers = [f"Answers {COMMANDS[name].result.replace('`', '')}."] if name in COMMANDS else []
    return [*NAMES[name], *answers]


def _wrapped(text: str, width: int, indent: int) -> str:
    # One column stays free: a terminal may go to the next line by itself after the last one.
    return textwrap.fill(
        text, max(width - 1, indent + 1), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _number(word: Value) -> int:
    text = to_text(to_bytes(word))
    if not (text.isascii() and text.isdigit()):
        raise BadLine(f"{shown(text)} is not a whole number")
    return int(text)
