"""The roles of the program: how each is called, explained and run, in one place.

The pages of ``--help`` and the dispatch are made from :data:`ROLES`. A new role is one new row here, its arguments in
:mod:`ckv.settings.table`, its settings in :mod:`ckv.settings.roles`, and a module with ``run(settings) -> int``. Here
is nothing but text: the program reads it before it has patched the sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

RoleName = Literal[
    "primary",
    "secondary",
    "shell",
    "status",
    "ping",
    "verify",
    "slots",
    "drain",
    "rebalance",
    "owner",
    "hot",
    "big",
    "flush",
    "export",
    "import",
    "top",
    "config",
    "user",
    "completion",
    "demo",
]


class Role(NamedTuple):
    """One thing that the program can be: the first word of its command line."""

    name: RoleName

    usage: str
    """The arguments behind the name, in docopt's language."""

    summary: str
    """What it is, in one line of the main page."""

    about: str
    """What it is, at the top of its own page."""

    module: str
    """The full name of the module whose ``run`` takes its settings and returns the exit code. It is imported when the
    role is run: the demo needs no database driver, a node no prompt."""

    is_node: bool = False
    """Whether it listens. Then stderr is its log, which must never keep it waiting."""

    on_gevent: bool = True
    """Whether its sockets are gevent's. Who asks a node one thing at a time does without: loading gevent would be most
    of what it costs, and Ctrl-C would have to go through its loop."""


ROLES: Final[Mapping[str, Role]] = {
    role.name: role
    for role in (
        Role("primary", "[options] <port> [<secondary>...]",
            "Takes the requests of all clients and passes each one to the secondary that owns its key.",
            "ckv primary, the node that clients talk to: it passes each request to the secondary that owns its key.",
            "ckv.node.primary", is_node=True),
        Role("secondary",
            "[options] <primary> <port> [<persistent-node> [<capacity> [<eviction-policy> [<thread-pool-size>]]]]",
            "Keeps a share of the records: the hot ones in memory, the others in the persistent node.",
            "ckv secondary, a node that keeps a share of the records: the hot ones in memory, the others in MySQL.",
            "ckv.node.secondary", is_node=True),
        Role("shell", "[options] [<host> [<port>]] [<command>...]",
            "A prompt for people; with piped input, or with a command, for scripts.",
            r"""ckv shell, a prompt for a node: PUT key value, GET key, DEL key, PING, HELP [command], EXIT.

With <command> it runs that one, with its arguments as they are: "ckv shell localhost 8080 PUT bob -5". Options stand
before the command. With piped input there is no prompt, and each line is a command. GET prints the bytes of the value,
PUT prints OK, DEL prints 1 if there was one, else 0, and PING prints PONG, each with a line end. An error goes to
stderr, with the number of its line, and the next line is run. A GET that finds nothing prints no line (with --json it
prints null), and counts as an error. The exit status is 1 if there was an error.

Words are split as redis-cli does it: 'it\'s' and "two\nlines"; in double quotes there are \n \r \t \b \a \\ \" and
\xHH, one byte. b"\x00" is a binary value (msgpack bin), any other word a str. docs/shell.md has it all.""",
            "ckv.tools.shell.shell", on_gevent=False),
        Role("status", "[options] <host> <port>",
            "Shows the figures of a node: records, hits, what waits for the database, connections.",
            """\
ckv status, which shows the figures of a node as "name value" lines, in groups. docs/info.md says what each one means.

Without an answer from the node it prints one line on stderr, and the exit status is 1.""",
            "ckv.tools.status", on_gevent=False),
        Role("ping", "[options] <host> <port>",
            "Tells by its exit code whether a node answers: for probes.",
            """\
ckv ping, which asks a node whether it answers, for probes and scripts: exit status 0 if it does, else 1 and one line on
stderr. The node answers for itself and asks no other node and no database. With --ready a node that cannot serve yet
has the exit status 1 too.""",
            "ckv.tools.ping", on_gevent=False),
        Role("verify", "[options] <host> <port> <persistent-node>",
            "Audits a secondary against its database, while both go on working.",
            """\
ckv verify, which audits a secondary against its database: what memory holds as clean must be a row with the same value
and type, and what is known not to exist must be no row. Whatever else the node knows is on its way and is counted only.

Clients may go on: what seems to differ is looked at several times before it is reported, one line each. The last line
is the summary. Nothing is written, and no record counts as used. The exit status is 1 if there are differences, and 4
with one line on stderr if the node or the database did not answer.""",
            "ckv.tools.verify"),
        Role("slots", "[options] <host> <port>",
            "Shows who owns how many slots of a cluster, and what moves.",
            """\
ckv slots, which shows the secondaries that have joined a primary: the slots that each one owns and should own, and how
the last moves went. The exit status is 1, with one line on stderr, if the primary does not answer.""",
            "ckv.tools.slots", on_gevent=False),
        Role("drain", "[options] <host> <port> <name>",
            "Moves all slots of a secondary to the others, so that it can be taken away.",
            """\
ckv drain, which has a secondary of a cluster give its slots to the others, while all of them go on serving, and returns
when it has none. The exit status is 1, with one line on stderr, if that cannot be.""",
            "ckv.tools.drain", on_gevent=False),
        Role("rebalance", "[options] <host> <port> <switch>",
            "Switches on or off that slots move by themselves when secondaries come and go.",
            """\
ckv rebalance, which says whether a primary levels the shares of its secondaries by itself. Who leaves or is drained
gives its slots away in any case.""",
            "ckv.tools.rebalance", on_gevent=False),
        Role("owner", "[options] <host> <port> <key>",
            "Shows which node owns a key, and where its record is.",
            """\
ckv owner, which asks a primary which secondary owns a key, and that one where the record is: in memory, on its way to
the database, or elsewhere, which is in the database or nowhere. It is not used by that, and not moved.

The exit status is 1, with one line on stderr, if nobody owns the key now, or a node does not answer.""",
            "ckv.tools.owner", on_gevent=False),
        Role("hot", "[options] <host> <port>",
            "Shows the keys that are asked for most often.",
            """\
ckv hot, which shows the keys that a secondary, or all secondaries of a primary, were asked for most often lately: calls
in a second, their share of all calls, how far off the calls may be, the node, and the key. A call counts half as much a
minute later. Only a few of many calls are looked at, so the numbers are estimates: 95 of 100 are as near as they say. A
key is not shown where chance alone may have brought it there; one with more than 1 % of the calls of a node is.

Below stands which nodes did not answer. The exit status is 1, with one line on stderr, if the node that is asked did
not.""",
            "ckv.tools.hot", on_gevent=False),
        Role("big", "[options] <host> <port>",
            "Shows the records in memory with the largest values.",
            """\
ckv big, which shows the records with the largest values that a secondary, or all secondaries of a primary, have in
memory: the bytes of the value, the node, and the key. No record counts as used. A node goes through all of its memory
for it, a piece at a time between what others ask.

Below stands which nodes did not answer. The exit status is 1, with one line on stderr, if the node that is asked did
not.""",
            "ckv.tools.big", on_gevent=False),
        Role("flush", "[options] <host> <port>",
            "Has everything written that the database lacks, as before a backup, while nodes go on.",
            """\
ckv flush, which has a secondary, or all secondaries of a primary, write what their database lacks, while they go on
serving. It returns when the database has every record that was accepted before it was called, in that version or a
later one. Nothing is deleted, and nothing leaves memory.

The exit status is 1, with one line on stderr, if the database refuses records or takes none for the --timeout, if a
node does not answer, or if slots have moved between nodes meanwhile: then run it again.""",
            "ckv.tools.flush", on_gevent=False),
        Role("export", "[options] <host> <port>",
            "Writes all records, of both tiers, as lines of JSON to stdout.",
            """\
ckv export, which writes all records to stdout, be they in memory or in the database: one line of JSON for each, with
key, value and, if it expires, expires in milliseconds since 1970. Bytes that are no text are in base64. A primary has
those of all secondaries. Others go on meanwhile: a record that is there all the while is written at least once, as it
is at some moment of the export; it may be written again. Each record is read once for it, which is a use.

The exit status is 1, with one line on stderr, if something fails. If that line names a --resume, the same export goes
on with it for ten minutes, while the nodes have the same slots: add its lines to what is there.""",
            "ckv.tools.exporting", on_gevent=False),
        Role("import", "[options] <host> <port>",
            "Stores records that come as lines of JSON from stdin.",
            """\
ckv import, which stores records from stdin, one line of JSON for each, as ckv export writes them. A record whose key is
there already stays as it is, for it may be newer; with --overwrite it is replaced. What has expired is left out. Run
twice, it does no more than once.

The exit status is 1, with one line on stderr, if something fails; that line names the --resume to go on with.""",
            "ckv.tools.importing", on_gevent=False),
        Role("top", "[options] <host> <port>",
            "Shows a whole cluster in the terminal, refreshed each second.",
            """\
ckv top, which shows a primary and all its secondaries, or a secondary alone, a line for each: its state, processor
time, calls a second, connections, records in memory and how full that is, reads that found a record, and that memory
had it for, what waits to be written, for how long the oldest, and what the database refuses. Below stands what is
wrong, in the words of the node. It is refreshed each second, until Ctrl-C. Other primaries are not in it.

With --clients it shows who asks these nodes, a line for each client: its part of all calls or bytes, whichever is
largest, its calls and bytes a second, its calls that wait for an answer, for how long it has been connected, what it
speaks, its user, and its address. The one that floods is the first. Of each node there are up to 100.

With --once, or where stdout is no terminal, it is printed once, after a second, for what is counted in it. The exit
status is 1, with one line on stderr, if the node does not answer.""",
            "ckv.tools.top", on_gevent=False),
        Role("config", "<action> [<file>]",
            "Checks a file of options, shows what comes of it, or prints a sample.",
            """\
ckv config, which helps with the file of --config. "check" reads it, and says nothing but that it is fine or, in one
line, what is wrong. "show" prints all options that nodes would be started with in this environment, and where each one
comes from. "sample" prints a file with all of them, explained and commented out.

What depends on the arguments of a node is checked when it is started. The exit status is 2 if something is wrong.""",
            "ckv.tools.config", on_gevent=False),
        Role("user", "[options] <action> <file> [<user>]",
            "Lists, adds and removes users in a file, and gives them new secrets.",
            """\
ckv user, which keeps a file of users. With add it makes a user and prints the secret, once: the file has no more than
a hash of it. With rotate it prints a new secret, and the one before it goes on being good until the next time; with
remove the user is taken out, and list prints names, classes and prefixes of keys.""",
            "ckv.tools.user", on_gevent=False),
        Role("completion", "<shell>",
            "Prints what has a shell complete roles and options.",
            """\
ckv completion, which prints a script for bash, zsh or fish that has it complete the roles of ckv and their options:

    eval "$(ckv completion bash)"       # in ~/.bashrc
    eval "$(ckv completion zsh)"        # in ~/.zshrc, after compinit
    ckv completion fish | source        # in config.fish""",
            "ckv.tools.completion", on_gevent=False),
        Role("demo", "[(<host> <port>)]",
            "Starts a whole cluster for a moment and shows what it does; with an address, uses that cluster.",
            """\
ckv demo, which shows put, get, delete, an eviction and the way back, and says what it does as it goes.

Without an address it starts a cluster of its own on free ports of this machine, with an embedded persistent node in a
temporary folder, and removes it all in the end. With one it works on that cluster, with keys that nobody else has.""",
            "ckv.tools.demo"),
    )
}  # fmt: skip
"""Name to role, in the order of the main page."""
