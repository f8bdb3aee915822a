"""The command line: the docopt pages and the dispatch to a role.

The main page is :data:`MAIN_PAGE`. Each role has its own, whose arguments and options are made from the table of
settings, so that a page cannot differ from what is parsed.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final

import docopt

from ckv import about, logs, settings, streams, variables
from ckv.errors import BadSetting
from ckv.roles import Exit
from ckv.settings import PrimarySettings, Role, SecondarySettings, Setting
from ckv.spelling import nearest

log = logging.getLogger(__name__)

EXIT_CODES: Final = """\
Exit codes:
  0    Done. A node was told to stop, and every record is where it belongs.
  1    Arguments are missing and this page was shown; or a command of the shell, or the demo, failed; or status or
       ping got no answer, or verify found a difference; or what was printed could not be written: a full disk, or
       a reader that went away (nothing is said of that).
  2    A bad argument, option or environment variable: one line on stderr names it. Nothing was started.
  3    The node did not finish within --drain-timeout; the log says how many records were left.
  4    The node could not start, for instance because its port is in use; or verify could not ask node or database.
  130  Ctrl-C. At the prompt of the shell it drops the line, or the call, and no more.
"""

MAIN_PAGE: Final = f"""\
ckv, a distributed key-value store: hot records in memory, everything else in MySQL.

Usage:
  ckv primary   [options] <port> [<secondary>...]
  ckv secondary [options] <primary> <port> [<persistent-node> [<capacity> [<eviction-policy> [<thread-pool-size>]]]]
  ckv shell     [options] [<host> [<port>]] [<command>...]
  ckv status    [options] <host> <port>
  ckv ping      [options] <host> <port>
  ckv verify    [options] <host> <port> <persistent-node>
  ckv demo      [<host> <port>]
  ckv (-h | --help)
  ckv --version

Roles:
  primary    Takes the requests of all clients and passes each one to the secondary that owns its key.
  secondary  Keeps a share of the records: the hot ones in memory, the others in the persistent node.
  shell      A prompt for people; with piped input, or with a command, for scripts.
  status     Shows the figures of a node: records, hits, what waits for the database, connections.
  ping       Tells by its exit code whether a node answers: for probes.
  verify     Audits a secondary against its database, while both go on working.
  demo       Starts a whole cluster for a moment and shows what it does; with an address, uses that cluster.

  "ckv secondary --help" explains every argument and option of a role; so does a role without the arguments it needs.
  An option with a value has an environment twin: CKV_WRITE_MODE for --write-mode. The option beats it, and it beats
  the default. A variable whose name begins with CKV_ and that nobody reads is named at start.

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

_ABOUT: Final[dict[Role, tuple[str, str]]] = {
    "primary": (
        "[options] <port> [<secondary>...]",
        "ckv primary, the node that clients talk to: it passes each request to the secondary that owns its key.",
    ),
    "secondary": (
        "[options] <primary> <port> [<persistent-node> [<capacity> [<eviction-policy> [<thread-pool-size>]]]]",
        "ckv secondary, a node that keeps a share of the records: the hot ones in memory, the others in MySQL.",
    ),
    "shell": (
        "[options] [<host> [<port>]] [<command>...]",
        r"""ckv shell, a prompt for a node: PUT key value, GET key, DEL key, PING, HELP [command], EXIT.

With <command> it runs that one, with its arguments as they are: "ckv shell localhost 8080 PUT bob -5". Options stand
before the command. With piped input there is no prompt, and each line is a command. GET prints the bytes of the value,
PUT prints OK, DEL prints 1 if there was one, else 0, and PING prints PONG, each with a line end. An error goes to
stderr, with the number of its line, and the next line is run. A GET that finds nothing prints no line (with --json it
prints null), and counts as an error. The exit status is 1 if there was an error.

Words are split as redis-cli does it: 'it\'s' and "two\nlines"; in double quotes there are \n \r \t \b \a \\ \" and
\xHH, one byte. b"\x00" is a binary value (msgpack bin), any other word a str. docs/shell.md has it all.""",
    ),
    "status": (
        "[options] <host> <port>",
        """\
ckv status, which shows the figures of a node as "name value" lines, in groups. docs/info.md says what each one means.

Without an answer from the node it prints one line on stderr, and the exit status is 1.""",
    ),
    "ping": (
        "[options] <host> <port>",
        """\
ckv ping, which asks a node whether it answers, for probes and scripts: exit status 0 if it does, else 1 and one line on
stderr. The node answers for itself and asks no other node and no database.""",
    ),
    "verify": (
        "[options] <host> <port> <persistent-node>",
        """\
ckv verify, which audits a secondary against its database: what memory holds as clean must be a row with the same value
and type, and what is known not to exist must be no row. Whatever else the node knows is on its way and is counted only.

Clients may go on: what seems to differ is looked at several times before it is reported, one line each. The last line
is the summary. Nothing is written, and no record counts as used. The exit status is 1 if there are differences, and 4
with one line on stderr if the node or the database did not answer.""",
    ),
    "demo": (
        "[(<host> <port>)]",
        """\
ckv demo, which shows put, get, delete, an eviction and the way back, and says what it does as it goes.

Without an address it starts a cluster of its own on free ports of this machine, with an embedded persistent node in a
temporary folder, and removes it all in the end. With one it works on that cluster, with keys that nobody else has.""",
    ),
}

_NEED_NOTHING: Final = ("shell", "demo")
"""Roles that do something without any argument; the others show their page."""

_LOG: Final = ("primary", "secondary")
"""Roles that have a log, for what the others print on stderr."""

_NUMBER: Final = re.compile("[+-]?[0-9]+")

_WIDTH = 118


def page(role: Role) -> str:
    """The usage page of a role, in docopt's language."""
    usage, about = _ABOUT[role]
    known = settings.settings_of(role)
    arguments = "\n".join(_entry(setting) for setting in known if not setting.is_option)
    options = "".join(_entry(setting) + "\n" for setting in known if setting.is_option)
    return f"""\
{about}

Usage:
  ckv {role} {usage}
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
    role = words[0]
    if role not in _RUN:
        return _main_page(words)
    command: list[str] = []
    if role == "shell":
        words, command = _without_command(words)
    if words == [role] and role not in _NEED_NOTHING:
        print(page(role), end="")
        return Exit.FAILED
    try:
        arguments: dict[str, Any] = docopt.docopt(page(role), words)
    except docopt.DocoptExit as error:
        missing = _missing(role, words, error)
        print(page(role), end="")
        print(f"ckv: {missing}: missing", file=sys.stderr)
        return Exit.FAILED
    if command:
        arguments["<command>"] = command
    if role not in _LOG:
        _warn_of_variables(lambda line: print(f"ckv: {line}", file=sys.stderr))
    return _RUN[role](arguments)


def _warn_of_variables(warn: Callable[[str], None]) -> None:
    line = variables.warning(os.environ)
    if line is not None:
        warn(line)


def _without_command(words: list[str]) -> tuple[list[str], list[str]]:
    """The words of ``ckv shell`` up to its command, and the command with its arguments, which may look like options.

    The first word that is no option is the host, unless it is the name of a command; a number alone is a port at the
    default host. A number behind the host is the port, and whatever is left begins the command.
    """
    from ckv.shell.commands import NAMES, is_command

    valued = [setting.name for setting in settings.settings_of("shell") if setting.is_option and not setting.is_flag]
    head, places, at, options = words[:1], list[str](), 1, True
    for_option = False
    while at < len(words):
        word = words[at]
        if for_option:
            head.append(word)
            for_option = False
        elif options and word == "--":
            options = False
        elif options and _is_option(word):
            head.append(word)
            for_option = "=" not in word and word.startswith("--") and any(name.startswith(word) for name in valued)
        elif _NUMBER.fullmatch(word) and len(places) < 2:
            places = [*(places or [settings.DEFAULT_HOST]), word]
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


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _NUMBER.fullmatch(word)


def _main_page(words: list[str]) -> int:
    """``--help``, ``--version``, or a complaint about the first word."""
    try:
        docopt.docopt(MAIN_PAGE, words[:1], version=about.line() if words[0] == "--version" else None)
    except docopt.DocoptExit:
        pass
    what = "unknown option" if words[0].startswith("-") else "no such role"
    near = nearest(words[0], _RUN)
    allowed = f"allowed is {', '.join(_RUN)}, --help or --version, and options after a role"
    raise BadSetting(f"{words[0]}: {what}: {_meant(near)}{allowed}")


def _missing(role: Role, words: list[str], error: docopt.DocoptExit) -> str:
    """The argument that is missing; raises BadSetting if something else is wrong with the words.

    docopt says that the words do not fit the page. A person wants to know which word.
    """
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
            allowed = ", ".join(long)
            raise BadSetting(
                f"{option.name}: unknown option: {_meant(nearest(str(option.name), long))}allowed is {allowed}"
            )
        if option.name in seen:
            raise BadSetting(f"{option.name}: given twice: allowed is once")
        seen.add(option.name)
    values = [str(word.value) for word in given if isinstance(word, docopt.Argument)][1:]
    arguments = [setting for setting in settings.settings_of(role) if not setting.is_option]
    if len(values) > len(arguments):
        raise BadSetting(f"{values[len(arguments)]}: unexpected argument: allowed is ckv {role} {_ABOUT[role][0]}")
    return arguments[len(values)].name


def _meant(near: str | None) -> str:
    return f"did you mean {near}? " if near else ""


def _entry(setting: Setting) -> str:
    """One argument or option as the page explains it."""
    notes = [] if setting.default is None else [f"default {setting.default}"]
    if setting.environment:
        notes.append(f"environment {setting.environment}")
    text = setting.help + (f" ({', '.join(notes)})" if notes else "")
    lines = textwrap.wrap(text, _WIDTH - 6, break_on_hyphens=False, break_long_words=False)
    return "\n".join([f"  {setting.title}", *(f"      {line}" for line in lines)])


# A role's module is imported only when the role is run: the demo needs no database driver, a node no prompt.


def _start_log(chosen: PrimarySettings | SecondarySettings) -> None:
    logs.configure(chosen.log_level, chosen.log_format)
    _warn_of_variables(log.warning)


def _primary(arguments: dict[str, Any]) -> int:
    if not arguments["<secondary>"]:
        raise BadSetting("<secondary>: none is given: allowed is one address or more, such as localhost:8081")
    chosen = settings.primary_settings(arguments)
    _start_log(chosen)
    from ckv.roles import primary

    return primary.run(chosen)


def _secondary(arguments: dict[str, Any]) -> int:
    chosen = settings.secondary_settings(arguments)
    _start_log(chosen)
    from ckv.roles import secondary

    return secondary.run(chosen)


def _shell(arguments: dict[str, Any]) -> int:
    chosen = settings.shell_settings(arguments)
    from ckv.roles import shell

    return shell.run(chosen)


def _status(arguments: dict[str, Any]) -> int:
    chosen = settings.status_settings(arguments)
    from ckv.roles import status

    return status.run(chosen)


def _ping(arguments: dict[str, Any]) -> int:
    chosen = settings.ping_settings(arguments)
    from ckv.roles import ping

    return ping.run(chosen)


def _verify(arguments: dict[str, Any]) -> int:
    chosen = settings.verify_settings(arguments)
    from ckv.roles import verify

    return verify.run(chosen)


def _demo(arguments: dict[str, Any]) -> int:
    chosen = settings.demo_settings(arguments)
    from ckv.roles import demo

    return demo.run(chosen)


_RUN: Final[dict[Role, Callable[[dict[str, Any]], int]]] = {
    "primary": _primary,
    "secondary": _secondary,
    "shell": _shell,
    "status": _status,
    "ping": _ping,
    "verify": _verify,
    "demo": _demo,
}
