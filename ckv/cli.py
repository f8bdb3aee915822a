"""The command line: the docopt pages and the dispatch to a role.

The pages are made from the table of the roles (:mod:`ckv.roles`) and that of the settings (:mod:`ckv.settings.table`),
so that a page cannot differ from what is run and parsed.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, NoReturn

import docopt

from ckv import events, logs, streams
from ckv.errors import BadSetting
from ckv.exits import EXIT_CODES, Exit
from ckv.masking import masked
from ckv.roles import ROLES, RoleName
from ckv.settings import roles as settings
from ckv.settings import variables
from ckv.settings.exposed import exposed
from ckv.settings.table import DEFAULT_HOST, Setting, settings_of
from ckv.spelling import nearest

log = logging.getLogger(__name__)

_USAGES = "\n".join(f"  ckv {role.name:<9} {role.usage}" for role in ROLES.values())
_SUMMARIES = "\n".join(f"  {role.name:<9}  {role.summary}" for role in ROLES.values())

MAIN_PAGE: Final = f"""\
ckv, a distributed key-value store: hot records in memory, everything else in MySQL.

Usage:
{_USAGES}
  ckv (-h | --help)
  ckv --version

Roles:
{_SUMMARIES}

  "ckv secondary --help" explains every argument and option of a role; so does a role without the arguments it needs.
  An option with a value has an environment twin: CKV_WRITE_MODE for --write-mode. The option beats it, and it beats
  the file of --config, which beats the default. A variable whose name begins with CKV_ and that nobody reads is named
  at start.

Options:
  -h, --help  Show this page.
  --version   Show the version, the commit, the Python, and whether the program is compiled.

Examples:
  ckv secondary localhost:8080 8081 localhost:3306 5
  ckv secondary localhost:8080 8082 localhost:3306 5
  ckv primary 8080 localhost:8081 localhost:8082
  ckv shell localhost 8080
  ckv shell localhost 8080 GET bob

{EXIT_CODES}"""

_NUMBER: Final = re.compile("[+-]?[0-9]+")


def page(role: RoleName) -> str:
    """The usage page of a role, in docopt's language."""
    known = settings_of(role)
    arguments = "\n".join(_entry(setting) for setting in known if not setting.is_option)
    options = "".join(_entry(setting) + "\n" for setting in known if setting.is_option)
    return f"""\
{ROLES[role].about}

Usage:
  ckv {role} {ROLES[role].usage}
  ckv {role} (-h | --help)

Arguments:
{arguments}

Options:
{options}  -h, --help
      Show this page.

{EXIT_CODES}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code. ``argv`` is without the program's name."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _dispatch(words)
        finally:
            sys.stdout.flush()  # here, where a failure can still be told
    except streams.OutputLost as error:
        streams.give_up_stdout()
        if not error.quiet:
            print(f"ckv: {error}", file=sys.stderr)
        return Exit.FAILED
    except BadSetting as error:
        print(f"ckv: {error}", file=sys.stderr)
        return Exit.BAD_SETTING
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _dispatch(words: list[str]) -> int:
    if not words:
        print(MAIN_PAGE, end="")
        return Exit.FAILED
    row = ROLES.get(words[0])
    if row is None:
        _main_page(words)
    role = row.name
    command: list[str] = []
    if role == "shell":
        words, command = _without_command(words)
    try:
        arguments: dict[str, Any] = docopt.docopt(page(role), words)
    except docopt.DocoptExit:
        missing = _missing(role, words)
        print(page(role), end="")
        if words != [role]:
            print(f"ckv: {missing}: missing", file=sys.stderr)
        return Exit.FAILED
    if command:
        arguments["<command>"] = command
    warning = variables.warning(os.environ)
    if warning and not row.is_node:
        print(f"ckv: {warning}", file=sys.stderr)
    chosen = settings.read(role, arguments, os.environ)
    seen = exposed(chosen, os.environ)
    if row.is_node:
        logs.configure(chosen.log_level, chosen.log_format)
        if warning:
            log.warning(events.VARIABLE_UNKNOWN, warning)
        for path, mode in seen:
            log.warning(events.SECRET_EXPOSED, path, mode)
    else:
        for one in seen:
            print(f"ckv: {events.SECRET_EXPOSED % one}", file=sys.stderr)
    return int(import_module(row.module).run(chosen))


def _without_command(words: list[str]) -> tuple[list[str], list[str]]:
    """The words of ``ckv shell`` up to its command, and the command with its arguments, which may look like options.

    docs/shell.md has the rules.
    """
    from ckv.tools.shell.commands import NAMES, is_command

    valued = [setting.name for setting in settings_of("shell") if setting.unit]
    head, places, at, options = words[:1], list[str](), 1, True
    while at < len(words):
        word = words[at]
        if options and word == "--":
            options = False
        elif options and word.startswith("-") and word != "-" and not _NUMBER.fullmatch(word):
            head.append(word)
            if word.startswith("--") and "=" not in word and any(name.startswith(word) for name in valued):
                at += 1
                head += words[at : at + 1]
        elif _NUMBER.fullmatch(word) and len(places) < 2:
            places = [*(places or [DEFAULT_HOST]), word]
        elif not places and not is_command(word):
            places = [word]
        else:
            break
        at += 1
    command = words[at:]
    if len(places) == 1 and command and not is_command(command[0]):
        near = nearest(places[0], NAMES)
        if near is not None:
            raise BadSetting(f"{places[0]!r} is no command: did you mean {near}?")
    return head + places, command


def _main_page(words: list[str]) -> NoReturn:
    """``--help`` and ``--version``, which raise SystemExit, or a complaint about the first word."""
    from ckv.tools import about

    with suppress(docopt.DocoptExit):
        docopt.docopt(MAIN_PAGE, words[:1], version=about.line() if words[0] == "--version" else None)
    what = "unknown option" if words[0].startswith("-") else "no such role"
    allowed = f"{', '.join(ROLES)}, --help or --version, and options after a role"
    raise BadSetting(f"{masked(words[0])}: {what}: {_meant(words[0], ROLES)}allowed is {allowed}")


def _missing(role: RoleName, words: list[str]) -> str:
    """The argument that is missing, for docopt does not say which; raises BadSetting if something else is wrong."""
    options = docopt.parse_options(page(role))
    names = {name for option in options for name in (option.longer, option.short) if name}
    try:
        given = docopt.parse_argv(docopt.Tokens(words), list(options))
    except docopt.DocoptExit as unfit:  # an option without its value, or with one that it does not take
        name, _, rest = str(unfit).splitlines()[0].partition(" ")
        raise BadSetting(f"{name}: {rest}") from None
    seen: set[str | None] = set()
    for option in (word for word in given if isinstance(word, docopt.Option)):
        if option.name not in names:
            long = sorted(name for name in names if name.startswith("--"))
            meant = _meant(str(option.name), long)
            raise BadSetting(f"{option.name}: unknown option: {meant}allowed is {', '.join(long)}")
        if option.name in seen:
            raise BadSetting(f"{option.name}: given twice: allowed is once")
        seen.add(option.name)
    values = [str(word.value) for word in given if isinstance(word, docopt.Argument)][1:]
    arguments = [setting for setting in settings_of(role) if not setting.is_option]
    if len(values) > len(arguments):
        unexpected = masked(values[len(arguments)])
        raise BadSetting(f"{unexpected}: unexpected argument: allowed is ckv {role} {ROLES[role].usage}")
    return arguments[len(values)].name


def _meant(word: str, known: Iterable[str]) -> str:
    near = nearest(word, known)
    return f"did you mean {near}? " if near else ""


def _entry(setting: Setting) -> str:
    """One argument or option as the page explains it."""
    notes = [] if setting.default is None else [f"default {setting.default}"]
    if setting.environment:
        notes.append(f"environment {setting.environment}")
    text = setting.help + (f" ({', '.join(notes)})" if notes else "")
    lines = textwrap.wrap(text, 112, break_on_hyphens=False, break_long_words=False)
    return "\n      ".join([f"  {setting.title}", *lines])
