"""The shell: a prompt for people; with piped input, a command for scripts.

What is typed is split as a POSIX shell splits words. What can be typed comes from the command table; a person also has
HELP, EXIT and QUIT.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from ckv import __version__, figures
from ckv.client import Client
from ckv.commands import COMMANDS
from ckv.errors import CkvError, to_wire
from ckv.roles import Exit
from ckv.settings import ShellSettings
from ckv.values import to_bytes, to_text

HELP: Final = "HELP"
ENDS: Final = ("EXIT", "QUIT")

NOTHING: Final = "(none)"
"""What a person sees in the place of a value when there is none."""

_OWN_HELP: Final = {HELP: "Show this list.", **dict.fromkeys(ENDS, "Leave the shell, as Ctrl-D does.")}

_CALLS: Final[dict[str, Callable[[Client, list[str]], object]]] = {
    "PUT": lambda client, arguments: client.put(*arguments),
    "GET": lambda client, arguments: client.get(*arguments),
    "DEL": lambda client, arguments: client.delete(*arguments),
    "SCAN": lambda client, arguments: client.call("SCAN", *map(_number, arguments)),
}
"""The commands whose result the client reads; that of any other one is shown as it came."""

COMPLETER: Final = WordCompleter(
    [*COMMANDS, *_OWN_HELP],
    ignore_case=True,
    sentence=True,  # the first word only: a key or a value is nothing to complete
    meta_dict={**{name: command.help for name, command in COMMANDS.items()}, **_OWN_HELP},
)


class BadLine(Exception):
    """A line that is no command; nothing was sent."""


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise BadLine(f"{word!r} is not a whole number")
    return int(word)


class _End(Exception):
    """EXIT or QUIT."""


def run(settings: ShellSettings) -> int:
    """Run the shell until its input ends; the exit code."""
    with Client(settings.address.host, settings.address.port, timeout=settings.timeout) as client:
        if sys.stdin.isatty():
            session: PromptSession[str] = PromptSession(
                f"ckv {settings.address}> ",
                history=history(settings.history),
                completer=COMPLETER,
            )
            return interact(client, session, sys.stdout)
        try:
            return run_lines(client, sys.stdin.buffer, sys.stdout.buffer, sys.stderr)
        except BrokenPipeError:
            # Whoever read the output has gone. Python would complain once more when it flushes at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.FAILED


def interact(client: Client, session: PromptSession[str], out: TextIO) -> int:
    """Prompt, run and show, until Ctrl-D or EXIT; no failure of a command ends it."""
    print(f"ckv {__version__} on {client.host}:{client.port}. HELP lists the commands, Ctrl-D ends.", file=out)
    try:
        client.ping()
    except CkvError as error:
        print(f"{to_wire(error)}. Each command tries again.", file=out)
    while True:
        try:
            line = session.prompt()
            name, result = run_line(client, line)
        except (EOFError, _End):
            return Exit.FINE
        except KeyboardInterrupt:  # as in any shell: it drops the line, or the call, and not the shell
            continue
        except BadLine as error:
            print(f"error: {error}", file=out)
        except CkvError as error:
            print(f"error: {to_wire(error)}", file=out)
        else:
            if name:
                print(for_people(name, result), file=out)


def run_lines(client: Client, lines: Iterable[bytes], out: BinaryIO, errors: TextIO) -> int:
    """Run the lines as a script: raw results, errors with the number of their line, 1 if any command failed."""
    code = Exit.FINE
    for number, line in enumerate(lines, 1):
        try:
            name, result = run_line(client, to_text(line))
            if name == "GET" and result is None:
                raise BadLine("no such key")
        except _End:
            break
        except (BadLine, CkvError) as error:
            what = to_wire(error) if isinstance(error, CkvError) else str(error)
            print(f"ckv: line {number}: {what}", file=errors, flush=True)
            code = Exit.FAILED
            continue
        if name:
            out.write(raw(name, result) + b"\n")
            out.flush()
    return code


def run_line(client: Client, line: str) -> tuple[str, object]:
    """The name of the command on the line and its result; an empty name for an empty line.

    Raises :class:`BadLine`, or what the client raises.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadLine(f"{error}: quote as in a shell, with '...' or \"...\"") from None
    if not words:
        return "", None
    name, arguments = words[0].upper(), words[1:]
    if name in ENDS:
        raise _End
    if name == HELP:
        return HELP, help_text()
    command = COMMANDS.get(name)
    if command is None:
        raise BadLine(f"{words[0]!r} is no command: allowed is {', '.join([*COMMANDS, *_OWN_HELP])}")
    count = len(command.arguments)
    # The shell of the original program took three words always: GET bob "".
    spare = arguments[count:]
    if len(arguments) < count or any(spare):
        raise BadLine(f"expected {command.usage}")
    call = _CALLS.get(name)
    arguments = arguments[:count]
    return name, call(client, arguments) if call else client.call(name, *arguments)


def help_text() -> str:
    """All commands, with what they take and do."""
    entries = [(command.usage, command.help) for command in COMMANDS.values()] + list(_OWN_HELP.items())
    width = max(len(usage) for usage, _ in entries)
    lines = [f"{usage:<{width}}  {text}" for usage, text in entries]
    return "\n".join([*lines, "Names in upper or lower case; words are quoted as in a shell: PUT motto 'carpe diem'."])


def for_people(name: str, result: object) -> str:
    """A result as the prompt shows it: a value in quotes, and nothing that could upset a terminal.

    >>> for_people("GET", "two words"), for_people("GET", b"\\x00"), for_people("GET", None), for_people("PUT", None)
    ('"two words"', 'b"\\\\x00"', '(none)', 'OK')
    """
    if name == "GET":
        return NOTHING if result is None else quoted(result) if isinstance(result, str | bytes) else repr(result)
    if name == "DEL":
        return "OK" if result else NOTHING
    match name, result:
        case "INFO", dict():
            return figures.for_people(result)
        case "PEEK", [where, bytes() as digest]:
            return f"{where} {digest.hex()}".rstrip()
        case "SCAN", [cursor, [*entries]]:
            return "\n".join([*map(_scanned, entries), f"next cursor {cursor}"])
    return "OK" if result is None else str(result)


def _scanned(entry: Any) -> str:
    key, where, digest = entry
    return f"{quoted(key)} {where} {digest.hex()}".rstrip()


def raw(name: str, result: object) -> bytes:
    """A result as a script gets it: the bytes of a value exactly, ``OK`` for a PUT, ``1`` or ``0`` for a DEL."""
    if isinstance(result, bool):
        return b"1" if result else b"0"
    if isinstance(result, str | bytes):
        return to_bytes(result)
    return to_bytes(for_people(name, result))


def quoted(value: str | bytes) -> str:
    """A value in double quotes, with escapes for what is not printable; bytes have a ``b`` before them.

    Bytes that are not UTF-8 are ``\\\\xNN``, in a text as well.
    """
    if isinstance(value, bytes):
        return 'b"' + "".join(_escaped(chr(byte)) if byte < 0x80 else f"\\x{byte:02x}" for byte in value) + '"'
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def history(path: Path) -> History:
    """What was typed, kept in this file; only in memory, with a word on stderr, where that cannot be."""
    try:
        # Values may be secrets, so the file is for its owner alone.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        print(f"ckv: no history is kept: {error}", file=sys.stderr)
        return InMemoryHistory()
    return FileHistory(path)
