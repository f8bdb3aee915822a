"""The shell: a prompt for people; with piped input, a command for scripts; with a command, that one and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

from ckv import __version__
from ckv.client import Client
from ckv.commands import COMMANDS
from ckv.errors import CkvError, OutcomeUnknown, Unreachable, to_wire
from ckv.exits import Exit
from ckv.settings.roles import ShellSettings
from ckv.settings.table import LARGEST_VALUE
from ckv.tools.asking import client_of
from ckv.tools.shell.commands import End, Interrupted, name_of, run_line
from ckv.tools.shell.results import as_json, error_as_json, for_people, raw
from ckv.tools.shell.words import BadLine
from ckv.units import show_size
from ckv.values import Value

if TYPE_CHECKING:
    from ckv.tools.shell.prompt import Prompt

MAX_LINE_BYTES: Final = 5 * LARGEST_VALUE
"""The longest line: the longest value with four characters for each byte, and room for the rest."""

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to connect: nobody at a prompt waits longer."""

Run = tuple[str, Callable[[], tuple[str, object]]]
"""A label for the errors of a command, and what runs it, for its name and result."""


def run(settings: ShellSettings) -> int:
    """Runs the command, or what is typed or piped until it ends; the exit code."""
    with client_of(settings, connect_timeout=CONNECT_TIMEOUT) as client:
        if settings.command:
            return run_command(client, settings)
        if sys.stdin.isatty() and sys.stdout.isatty():
            from ckv.tools.shell.prompt import Prompt  # loading prompt_toolkit takes longer than a command

            prompt = Prompt(f"ckv {settings.address}> ", settings.history, sys.stdout)
            return interact(client, prompt, sys.stdout, json=settings.json)
        lines = _lines(sys.stdin.buffer)
        return run_lines(client, lines, sys.stdout.buffer, sys.stderr, json=settings.json)


def run_command(client: Client, settings: ShellSettings) -> int:
    """Runs the one command of the command line; the exit code. People get it as at the prompt, scripts as raw bytes."""

    def run() -> tuple[str, object]:
        name_of(settings.command[0])  # before anything is read or sent
        return run_line(client, [*settings.command, *([_value(sys.stdin.buffer)] if settings.stdin else [])])

    terminal = sys.stdout.encoding if sys.stdout.isatty() else None
    return _run([("", run)], sys.stdout.buffer, sys.stderr, settings.json, terminal)


def interact(client: Client, prompt: Prompt, out: TextIO, *, json: bool = False) -> int:
    """Prompts, runs and shows, until Ctrl-D or EXIT; no failure of a command ends it."""
    print(f"ckv {__version__} on {client.host}:{client.port}. HELP lists the commands, Ctrl-D ends.", file=out)
    away = False
    try:
        client.ping()
    except CkvError as error:
        away = True
        print(f"{to_wire(error)}. Each command tries again.", file=out)
    while True:
        try:
            away = _turn(client, prompt, out, json, away)
        except (EOFError, End):
            return Exit.FINE
        except (KeyboardInterrupt, Interrupted) as error:  # as in any shell: it drops the line, or the call
            if isinstance(error, Interrupted):
                print(error, file=out)
            if lines := prompt.forget_pasted():
                print(f"{lines} lines that were pasted behind it are not run", file=out)


def _turn(client: Client, prompt: Prompt, out: TextIO, json: bool, away: bool) -> bool:
    """Runs one line, and shows what came of it; ``away``, and the result: whether the node is out of reach."""
    line = prompt.line()
    try:
        name, result = run_line(client, line, prompt.columns())
    except (BadLine, CkvError) as error:
        away = away or isinstance(error, (Unreachable, OutcomeUnknown))
        shown = error_as_json(error) if json else prompt.error(_told(error))
    else:
        if away and name in COMMANDS:
            away = False
            print(f"Connected to {client.host}:{client.port} again.", file=out)
        shown = as_json(name, result) if json else for_people(name, result, out.encoding or "utf-8") if name else ""
    if shown:
        print(shown, file=out)
    return away


def run_lines(client: Client, lines: Iterable[bytes], out: BinaryIO, errors: TextIO, *, json: bool = False) -> int:
    """Runs the lines as a script: raw results, errors with the number of their line, 1 if any command failed."""
    runs = ((f"line {number}: ", partial(run_line, client, line)) for number, line in enumerate(lines, 1))
    return _run(runs, out, errors, json)


def _run(runs: Iterable[Run], out: BinaryIO, errors: TextIO, json: bool, terminal: str | None = None) -> int:
    """Runs one command after the other; the exit code. ``terminal``: the encoding of ``out``, if that is one."""
    code, label = Exit.FINE, ""
    try:
        for label, run in runs:
            try:
                name, result = run()
                if name in ("GET", "GETDEL", "GETEX") and result is None:
                    code = Exit.FAILED
                    if not json and terminal is None:
                        raise BadLine("no such key")
            except End:
                break
            except (BadLine, CkvError, OSError) as error:
                code = Exit.FAILED
                if not json:
                    print(f"ckv: {label}{_told(error)}", file=errors, flush=True)
                    continue
                shown = error_as_json(error).encode()
            else:
                if not name:
                    continue
                if json:
                    shown = as_json(name, result).encode()
                else:
                    shown = for_people(name, result, terminal).encode(terminal) if terminal else raw(name, result)
            out.write(shown + b"\n")
            out.flush()
    except Interrupted as error:
        print(f"ckv: {label}{error}", file=errors, flush=True)
        return Exit.INTERRUPTED
    except (BadLine, OSError) as error:
        print(f"ckv: {_told(error)}", file=errors, flush=True)
        return Exit.FAILED
    return code


def _lines(stdin: BinaryIO) -> Iterator[bytes]:
    """The lines; raises :class:`BadLine` for one that no node could take, so that it does not fill the memory."""
    while line := stdin.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise BadLine(f"a line of more than {show_size(MAX_LINE_BYTES)}")
        yield line


def _value(stdin: BinaryIO) -> Value:
    """All that stdin holds: a str where it is UTF-8, else a bin. Raises :class:`BadLine` for more than a node takes."""
    data = stdin.read(LARGEST_VALUE + 1)
    if len(data) > LARGEST_VALUE:
        raise BadLine(f"more than {show_size(LARGEST_VALUE)} on stdin, the longest value that a node can allow")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot read stdin: {error.strerror or error}"
    return to_wire(error) if isinstance(error, CkvError) else str(error)
