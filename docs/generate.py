"""Writes the pages and the dashboard that are made from the program's own tables, clients.md, which is made from tests,
and the figures of the README, which are some of the benchmark's.

python docs/generate.py          # writes them
python docs/generate.py --check  # exit code 1 when they are not up to date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
README = ROOT / "README.md"
sys.path.insert(0, str(ROOT))

from dashboard import dashboard  # noqa: E402 - beside this file
from redis_parts import (  # noqa: E402
    ALL_KEYS,
    CHANNELS,
    CLUSTER,
    EXEC,
    GROUPS,
    MOST_QUEUED,
)

from bench.readme import table  # noqa: E402 - the line above makes it importable
from bench.results import Results  # noqa: E402
from ckv.commands import COMMANDS  # noqa: E402
from ckv.event import FIELDS, Event  # noqa: E402
from ckv.events import EVENTS  # noqa: E402
from ckv.exits import EXIT_CODES  # noqa: E402
from ckv.net.clients import UNASKED  # noqa: E402
from ckv.node.auditing import DIGEST_BYTES, IDLE, MAX_AUDITS  # noqa: E402
from ckv.node.figures import FIGURES  # noqa: E402
from ckv.node.frequent import SLOTS, SURELY  # noqa: E402
from ckv.node.hotkeys import HALF_LIFE, MOST  # noqa: E402
from ckv.node.kinds import WILDCARDS, Figure  # noqa: E402
from ckv.node.saving import IDLE as SAVES_IDLE  # noqa: E402
from ckv.node.saving import MAX_PASSES  # noqa: E402
from ckv.node.scanning import MAX_COUNT, PLACES  # noqa: E402
from ckv.node.survey import WITHIN, WITHIN_OF_BIG  # noqa: E402
from ckv.protocol.resp.parsing import MAX_ARGUMENTS, MAX_INLINE_BYTES  # noqa: E402
from ckv.protocol.resp.replies import CODES, UNKNOWN  # noqa: E402
from ckv.redis.info import REDIS_VERSION  # noqa: E402
from ckv.redis.refused import REASONS  # noqa: E402
from ckv.redis.table import had_by  # noqa: E402
from ckv.settings.table import SETTINGS, Setting  # noqa: E402
from tests.clients.page import page  # noqa: E402
from tests.upstream.page import page as upstream  # noqa: E402

NOTE = "<!-- Made by docs/generate.py; do not edit. -->\n"


ANSWERED_BY = {"EXEC": "the owners of the keys", "HOT": "each secondary", "BIG": "each secondary"}
"""Who answers commands that have no key among their arguments."""


def commands() -> str:
    """The command table as a page."""
    rows = "\n".join(
        f"| `{command.usage}` | {command.help} | {command.result} | "
        f"{'the owner of the key' if command.has_owner else ANSWERED_BY.get(command.name, 'the node itself')} |"
        for command in COMMANDS.values()
    )
    return f"""\
{NOTE}
# Commands

How they travel says [protocol.md](protocol.md). They work at a primary and directly at a secondary, but for those of
which the table says otherwise.

| command | what it does | what it answers | who answers |
|---|---|---|---|
{rows}

`INFO` has a page of its own: [info.md](info.md); `EXEC` and `DIGEST` are told of in
[protocol.md](protocol.md#exec-several-requests-as-one-step).

## Commands that read before they write

`SET`, `GETDEL`, `GETEX`, `DELIFEQ`, `EXTEND`, `INCRBY`, `COUNT`, `INCRBYFLOAT` and `APPEND` are one step each: nothing
comes between what they read and what they write, whoever else writes the key. A value that only the database has is
loaded first, and what is asked of the key meanwhile comes after it ([guarantees.md](guarantees.md#order)). If it cannot
be loaded the answer is `ValueUnknown`, and nothing was written. None of them is to be sent again when its outcome is
unknown: it might be carried out twice.

`SET` has all of its arguments always; what is not wanted is empty, and `expires` is 0:

| argument | |
|---|---|
| `expires` | when the record expires: milliseconds since 1970, 0 for never, -1 for when it did before |
| `condition` | empty for any case, `NX` if there is no record, `XX` if there is one, `IFEQ` if its value is expected |
| `expected` | for `IFEQ`, else empty |
| `want` | `GET` to be told the value that was there before, else empty |

Of its answer `written` says whether the value was stored, `found` whether there was a record before, and `old` is its
value, with `GET` alone. Without a condition and `GET` it is a PUT, which does not look: `[true, false, ""]`.

`EXTEND` is for locks: a record that expires, and has the expected value, does so `milliseconds` after `since`, which is
a time in milliseconds since 1970, or 0 for when it would have expired.

Values are equal when their bytes are, be they a str or a bin. A sum, and what is appended to, has the type that the
record has; a new record has that of the argument, and is a str where the amount is a number of msgpack.

Integers are what Redis takes for one: digits, maybe with a `-`, without zeros or spaces before them, of 64 bits and a
sign. Floats are decimal digits, with a point and an exponent if need be; they are counted with the 64 bits of
mantissa that Redis has on x86, and written without an exponent, with 17 digits behind the point at most. `amount` is
a number of msgpack (`INCRBY` alone), a str or a bin. What is none is answered with `NotANumber`, and nothing is
written.

## SCAN, DBSIZE and FLUSH

`SCAN 0 match count` begins a scan of all keys, in memory and in the database; the answer has keys, and the cursor with
which to go on, until that is 0. What a scan promises, and what a pattern is, says [redis.md](redis.md#all-keys): it is
the SCAN of clients of Redis. `count` is 1 to {MAX_COUNT}; keys are str always. An answer has {MAX_COUNT} keys, or 56
KiB of them, at most. A cursor can be asked for again over any connection, as long as its node has not forgotten it: the
answers to the last {PLACES} of a scan. At a primary the scan goes through its nodes, one after the other; a secondary
that was asked by itself tells its own share, or all that the database has if no primary has told it which that is.

`FLUSH 0` begins to delete all records; the answer has the cursor with which to go on, until that is 0, and how many
were deleted. Each call is answered when its deletions are in the database. After an error the same cursor can be tried
again, or 0. [redis.md](redis.md#all-keys) has what it promises.

`DBSIZE` counts the records in memory and those on their way to the database, and adds what the database has beyond
them. [redis.md](redis.md#all-keys) says how far that is true.

## SAVE

`SAVE 0` has a secondary write all that its database lacks, be it in memory or on its way, while it goes on
(`ckv flush`). The answer has a ticket, how many records and deletions were written since, about how many are left, and
how many of them the database refuses; asked with that ticket, a str, `SAVE` tells how far it is. When nothing is left
the database has all that was accepted before `SAVE 0`, in that version or a later one, but for what it refuses. There
can be {MAX_PASSES} at a time, and another one ends that which was asked for longest ago. A ticket is refused after a
restart, {SAVES_IDLE:g} s after the last question, which ends it, and when the database was replaced meanwhile. A
primary asks all its secondaries at once, and refuses a ticket when one of them was started anew or is gone. `SAVE 0` is
answered `Moving` while slots are on their way to or from one of them, or go by another map than that of the primary. A
node without a database refuses it.

## CLIENTS, HOT and BIG

A secondary answers them for itself, in one row whose address is empty; a primary asks all its secondaries, and has a
row for each, with its address. `CLIENTS` it answers for itself, too, in the first row. A node that does not answer
within {WITHIN:g} s, or {WITHIN_OF_BIG:g} s for `BIG`, has an `error` instead, and keeps nobody from seeing the others.

`CLIENTS` tells what was counted in so many `seconds`, one or two while somebody asks each second: how many `clients`
are connected, how many connections are `new`, and the `calls` and the bytes `in` and `out` of all clients. A client is
`[address, user, protocol, age, in flight, calls, in, out]`: a connection, who has logged in over it (empty for nobody),
the seconds since it came, its calls that wait for an answer, and its part of the others. The first one has the largest
part of the calls, or of the bytes in or out. Each call of several that came as one is counted, and in `calls` of all
clients those of connections that are closed, too; bytes are as the kernel counts them, also those of TLS. What other
nodes pass on is left out: they have the clients that it is from. Calls are counted by connection only while somebody
asks, and for {UNASKED:g} s after: the first answer is about 0 seconds, and all that is counted is 0. For each thousand
connections a node is busy for some 5 ms with an answer.

`HOT` is about calls for single keys, each of several that came as one counted, whatever the tier and the eviction
policy. `seconds` is the time in which they came, `calls` how many came in one second for all keys; of a key it is the
same, and differs from the truth by no more than `error`, for 95 keys of 100. A call counts half when it is
{HALF_LIFE:g} s old, and half of that when it is twice as old; so do the seconds. While a node is called less than
{MOST} times a second all calls are counted, and `error` is 0; of more calls some are chosen by chance, and stand for
the others. {SLOTS} keys are counted at a time. A key that has more than {100 * SURELY:.1g} % of the calls of its node
is among these for certain, and is told unless chance alone may have brought it there.

`BIG` has the bytes of the value and the key of records that are in memory, as it was found when the node went through
it, a piece at a time between what others ask; what was stored meanwhile may be missing.

## PEEK and AUDIT

They are for audits (`ckv verify`), and read only: no record counts as used, and none moves between the tiers. `where`
says which tier answers for the key, and what that says about the database:

| where | means |
|---|---|
| `clean` | memory has the record, and the database has the same |
| `dirty` | memory has the record, and the database may have another one or none |
| `pending` | the record is on its way to the database, and no longer in memory |
| `parked` | the same, and the database refused it |
| `tombstone` | the record was deleted, or has expired, and the deletion is on its way |
| `absent` | the database is known to have no record, or one that has expired |
| `elsewhere` | only the database can tell; `AUDIT` leaves these out |

`digest` is a bin: the BLAKE2b ({DIGEST_BYTES} bytes) of the letter `s` or `b`, for a str or a bin, followed by the
bytes of the value; for a record that expires 8 more bytes follow, the milliseconds of the epoch, highest byte first. It
is empty where there is no value.

`AUDIT 0 count` begins an audit: the secondary makes a list of the keys that it knows at that moment. Each answer has
the cursor for the next one, and is true at the moment when it is made; requests are served in between. So every record
that is in memory or on its way to the database from the first answer to the last is told exactly once, and one that
comes or goes meanwhile once or not at all. An answer has at most `count` entries, and may have fewer, or none, before
the end; the cursor 0 is the end. There can be {MAX_AUDITS} audits at a time, and another one ends that which was used
longest ago. An audit that nobody went on with for {IDLE:g} s is forgotten, and its cursor is refused.
"""


def metric_of(figure: Figure) -> str:
    """A metric with its labels, as code; nothing for text."""
    if figure.kind == "label":
        return f"`ckv_info{{{figure.metric}}}`"
    name = WILDCARDS.get(figure.wildcard, "")
    if figure.kind == "histogram":
        return f"`{figure.metric}{{method=...}}`"
    pairs = ["state=..."] if figure.kind == "state" else [f"{label}={value}" for label, value in figure.labels]
    shown = ",".join(pairs + ([name] if name else []))
    return "" if figure.kind == "text" else f"`{figure.metric}{{{shown}}}`" if shown else f"`{figure.metric}`"


def info() -> str:
    """The figures as a page."""
    groups = dict.fromkeys(figure.group for figure in FIGURES)
    tables = "\n".join(
        f"## {group}\n\n| figure | roles | kind | metric | |\n|---|---|---|---|---|\n"
        + "".join(
            f"| `{figure.name}` | {', '.join(figure.roles)} | {figure.kind} | {metric_of(figure)} | {figure.help} |\n"
            for figure in FIGURES
            if figure.group == group
        )
        for group in groups
    )
    return f"""\
{NOTE}
# Figures

`ckv status host port` shows the figures of one node (`--format json` for programs), and so does `INFO` in the shell and
over the [protocol](commands.md). Names are those of Redis's INFO where the meaning is the same. What counts, counts
since the start of the process. What is true or false is 1 or 0.

`ckv top host port` shows a line for each node that a primary has, itself first, and below what is wrong, in the words
of the [status page](#the-status-page) and with the section of the [runbook](runbook.md); `ckv status` of any node ends
with the same lines. `cpu`, `calls/s`, `hits` (reads that found a record) and `from mem` (reads that
memory had it for) are those of the last second there. A node that does not answer within a second is `away`.

`ckv top host port --clients` shows who asks: the clients of all these nodes, and first the one that floods, with the
largest `share` of all calls, or of all bytes in or out. What the columns are says
[commands.md](commands.md#clients-hot-and-big). Where there are users it takes one of the class admin.

With `--http=HOST:PORT` a node tells them over HTTP as well. There is no login, and it listens on the loopback unless
the host says otherwise; 32 connections are served at a time, for 5 s each.

| page | |
|---|---|
| `/` | a [page](#the-status-page) for people |
| `/metrics` | the figures for Prometheus, as the column *metric* calls them; a *text* is left out |
| `/status.json` | the figures as INFO tells them, and beside them what the page shows |
| `/history.json` | some counters as they were each second of the last ten minutes |
| `/livez` | 200 while the node answers anything; for a liveness probe take `ckv ping` |
| `/readyz` | 200 when all checks pass, else 503 and which one fails and why; `?exclude=NAME` leaves one out |
| `/readyz/NAME` | one check, as `/readyz` calls it: `/readyz/database` |

A secondary is not ready before a primary has it in its list or has dealt it slots, nor while its database is away,
though it serves what it can then. A primary is ready while one secondary is connected: what only some of the keys lack
takes no primary out of service, and is seen in `ckv_peer_connected`. A primary whose secondaries join is not
ready before it knows a map of slots, whichever primary leads. One that cannot reach its coordinator, or the primary
that it follows, is ready with the map that it has, also if it led: while nobody can change the map all primaries are
like that. It is not ready once it has found that a secondary has a later map which it is not told within 2 s. `ready`
among the figures says the same as `/readyz`.

Have `ckv ping HOST PORT`, with the node's own port, say whether a node is to be killed, not `httpGet` of `/livez`:
connections that ask for nothing hold the places of this server, 200 of them for half a minute, and a secondary that is
killed for it loses what it has not saved.

[runbook.md](runbook.md) has alerts for Prometheus, and what to do at each.

A *histogram* is told to Prometheus alone. `ckv_call_seconds` is by `method`, that of msgpack-RPC also for
[commands of Redis](redis.md): a DECR is an INCRBY. SET and PUTEX count as PUT. A call is timed from when the node
begins to serve it to its answer; what it has waited in sockets, and for others in the loop, comes on top. Calls that
compiled code answers by itself are answered together with others that came at the same time, and each counts with the
time of all; so do those that a primary passes on in one message. Of others that are answered at once, some are timed,
chosen by chance, once there are more than {MOST} calls a second, and stand for the rest: their counts are estimates.
Those that wait, for the database, another node or another request, are timed each.
`histogram_quantile(0.99, sum by (le, method) (rate(ckv_call_seconds_bucket[5m])))` is what 99 of 100 do not exceed.

## The status page

`http://HOST:PORT/` of any node shows, in a browser, what that node knows, and asks it anew each second while somebody
looks. First comes what is wrong, in one sentence, with the section of the [runbook](runbook.md) that says what to do,
at a primary also what is wrong with its secondaries ([incidents.md](incidents.md) has examples); then the cluster, who
owns which slots and which are on their way, the tiers of a secondary, calls of the last ten minutes, and slow requests.
Of moves the primary that leads knows alone. A secondary that has joined knows the map, and one of a list knows of
itself.

It asks no other host, and works on a phone, in dark and light, by keyboard and with a screen reader. It has no record
and no key: of a slow request it tells the method, the time and the client, and SLOWLOG the key; `ckv hot` shows which
keys are asked for most often, to operators alone.

For it `/status.json` has, beside the figures, `problems` (the worst first, each with its `level`, `sentence` and
`section` of the runbook), `cluster` (`primaries`, `secondaries`, `slots` as rows of the first, the last and the number
of their owner, and the `move`), `slow_latest`, `timed_calls` and `timed_calls_seconds` (the sums of
`ckv_call_seconds`), and `now`, the seconds of the epoch by the clock of the node.
`/history.json` has `names`, and `samples` with the time and then the counter of each name, the oldest first. A node
keeps these with `--http` alone.

{tables}"""


def configuration() -> str:
    """Arguments and options as a page."""

    def row(setting: Setting) -> str:
        name = f"`{setting.title}`"
        required = "required" if setting.unit or not setting.is_option else ""
        default = required if setting.default is None else f"`{setting.default}`"
        twin = f"`{setting.environment}`" if setting.environment else ""
        changes = f" {'at SIGHUP' if setting.changes else ''} |" if setting.is_option else ""
        return f"| {name} | {', '.join(setting.roles)} | {default} | {twin} |{changes} {setting.help} |"

    arguments = "\n".join(row(setting) for setting in SETTINGS if not setting.is_option)
    options = "\n".join(row(setting) for setting in SETTINGS if setting.is_option)
    return f"""\
{NOTE}
# Configuration

A role without the arguments it needs prints its usage page. An option beats its environment variable, which beats the
[file of options](#a-file-of-options), and that beats the default. A bad value is refused at start with one line that
names it and says what is allowed; an empty variable is a value too. A variable whose name begins with `CKV_` and that
no role reads is named at start, with the one that may have been meant; one that another role reads is fine, and so are
those that Kubernetes makes for a Service.

Durations take `ms`, `s` and `m`; sizes take `k`, `M`, `G` (powers of 1000) and `KiB`, `MiB`, `GiB`.

## Arguments

| argument | roles | default | | |
|---|---|---|---|---|
{arguments}

## Options

| option | roles | default | environment | changes | |
|---|---|---|---|---|---|
{options}

`eval "$(ckv completion bash)"` has bash complete roles and options, the same with `zsh` does so there, and in fish
`ckv completion fish | source`.

## A file of options

`--config=ckv.toml`, or `CKV_CONFIG`, names a file in [TOML](https://toml.io) with options of nodes, without their
dashes in front. What stands before the first table is for both roles, as far as they have such an option; what stands
in `[primary]` or `[secondary]` is for that role, and beats it there:

```toml
log-format = "json"
max-value-bytes = "4MiB"

[secondary]
write-mode = "through"
load-timeout = "2s"
```

`ckv config sample` prints a file with all options, explained and commented out; `ckv config check ckv.toml` says in one
line what is wrong with one, and `ckv config show ckv.toml` what nodes would be started with in this environment, and
where each value comes from. A name that is no option of the role is refused, with the one that may have been meant. It
may have the password of a coordinator: where others may read it then, the log says so (`secret-exposed`).

At SIGHUP a node reads the file again. Options that are marked *at SIGHUP* in the table hold from then on: clients
beyond a lower `--max-connections` go when they have the answers that they wait for, or soon without; other nodes
stay, and what waits for the database already stays beyond a lower bound. The log
says which these are, and names others that are not those with which the node runs: they need a restart. If anything
is wrong with the file, the log says what, and all stay as they were.

## The database

The persistent node is MySQL 5.7 or 8, or MariaDB. ckv creates the database, if the user may, and the table
`CelonisData`; a table that the original C++ program left behind is upgraded in place. What the address does not say
comes from the environment:

| variable | default | |
|---|---|---|
| `CKV_MYSQL_USER` | `root` | |
| `CKV_MYSQL_PASSWORD` | `password` | |
| `CKV_MYSQL_PASSWORD_FILE` | | a file that holds the password, for instance a mounted secret |
| `CKV_MYSQL_DATABASE` | `celonis` | |
| `CKV_MYSQL_TLS` | `prefer` | what TLS has to be, as below; in an address `?tls=` |
| `CKV_MYSQL_TLS_CA` | `system` | a file with the certificates of authorities, in PEM; in an address `&tls-ca=` |

| TLS | MySQL calls it | |
|---|---|---|
| `prefer` | `PREFERRED` | where the server has it, with any certificate: against who reads along, and can do no more |
| `verify-ca` | `VERIFY_CA` | an authority that is trusted has signed the certificate, or there is no connection |
| `verify` | `VERIFY_IDENTITY` | and it has the host of the address, name or IP address |

With the last two, a server that has no TLS, or that somebody keeps from saying so, is not sent a login. They hold for
all connections: to the persistent node, to the `mysql://` of `--coordinator`, and of `ckv verify`. The authorities are
those that the system trusts (`system`; the image of ckv has none), or in a file, which is read anew for each
connection. An address says all of it as `mysql://ckv@db/celonis?tls=verify&tls-ca=/etc/ckv/ca.pem`, where `%`, `&` and
`@` in a path are percent-encoded. `verify-ca` is for certificates without the host, such as those that MySQL makes by
itself: `ca.pem` in its folder of data has signed them.

An account that the server does not let in is tried again after 5 s, 10 s, and so on up to 60 s, lest it be blocked; at
once when the password file has changed, or somebody calls RETRY.

All secondaries may share one database, for each key has one owner. Nobody else may write to the table while ckv runs:
what is in memory, and what is known not to exist, would not hear of it.

A file of SQLite is made once, at the start. While the node runs, a file or table that is gone is an outage until it is
put back or the node is started anew; after that, and when there is another file, what memory has is saved again.
Whoever replaces the file removes `-wal` and `-shm` beside it as well.

How the account may log in, that is, the plugin it was created with:

| plugin | |
|---|---|
| `mysql_native_password` (MariaDB, MySQL up to 8) | yes |
| `caching_sha2_password` (the default since MySQL 8) | yes, over TLS where the server has it, else with its RSA key |
| `sha256_password` (MySQL up to 8) | as the one before |
| `ed25519` (MariaDB) | from a checkout with `pip install PyNaCl` beside it; not in the native program |
| `parsec`, `gssapi`, `pam` (MariaDB), Kerberos, LDAP, WebAuthn (MySQL) | no |
| `unix_socket`, `auth_socket` | no: ckv connects over TCP |

Another account is the way out: `CREATE USER ckv IDENTIFIED VIA mysql_native_password USING PASSWORD('...')` on MariaDB,
`CREATE USER ckv IDENTIFIED BY '...'` on MySQL.

## Signals

No signal that can be caught costs a record.

| signal | what a node does |
|---|---|
| SIGTERM, SIGINT | saves what the database lacks, and ends ("drains"); at a second one it gives up what is left |
| SIGHUP, SIGQUIT, SIGABRT, SIGPWR, SIGXCPU | drains, however often they come |
| SIGHUP, with `--users`, `--tls-cert`, `--node-password-file` or `--config` | reads these again, and goes on |
| SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP | drains when somebody sends one; a real fault ends it |
| SIGPIPE, SIGXFSZ, SIGTTOU | nothing |
| SIGUSR1, SIGUSR2, SIGALRM, SIGIO, and all others that would end a process | logs it, and goes on |
| SIGTSTP, SIGSTOP, SIGTTIN, SIGCONT | what the system does always: the process stops, and goes on |

One that was ignored at start stays ignored, as `nohup` wants it for SIGHUP; not so SIGTERM and SIGINT, nor
SIGHUP where there is something to read again.

## Open files

A node raises its limit of open files as far as it may, and serves no more clients than that allows: of the limit it
keeps what it has open at start, 4 for each connection to the database (of which there may be twice
`<thread-pool-size>`, and 3), 2 for each secondary of a primary, 16 for whatever comes, and a quarter of the rest, but 4
to 128, for operators, and half of these for other nodes. If that leaves fewer than `--max-connections`, a line of
the log says how many; if it leaves none at start,
the node does not start (exit code 4). A limit that is lowered while the node runs (`prlimit`) closes as many
connections as it takes.

## Exit codes

```
{EXIT_CODES}```

No role ends with a traceback because of its streams. What cannot be written to stdout (a full disk, a closed one) is
one line on stderr and exit code 1; if its reader went away, as in `ckv status localhost 8081 | head -1`, it is the code
alone. What cannot be written to stderr is dropped. A character that the terminal lacks is shown as an escape.

## Logs

On stderr, one line per event (`--log-format`, `--log-level`). What clients can cause as often as they like is logged
once a minute for each kind, and the next line of the kind says how many were left out (`suppressed=N`); with
`--log-level=debug` nothing is. A log that nobody reads, or that cannot be written, holds up nobody: up to 1 MiB of it
waits, the oldest lines go first, and `log_lines_dropped` of [INFO](info.md) counts them. At the end a node gives
whoever reads one second for the last lines. A file is written to directly, so a disk that hangs is waited for.

[events.md](events.md) has the table of them: names that stay as they are, fields and their units, and for each one what
it means and what to do. A trouble that lasts is told when it begins, each minute, and at its end.
"""


def line_of(event: Event) -> str:
    """The text of a line, with the names of fields where their values are."""
    names = iter(event.fields)
    return re.sub(r"%[.\d]*[a-z]", lambda _: f"<{next(names)}>", event)


def events() -> str:
    """What the log tells as a page."""

    def row(event: Event) -> str:
        end = f"`{event.ends.name}`" if event.ends is not None else ""
        return f"| `{event.name}` | `{line_of(event)}` | {event.means} | {end} |\n"

    tables = "\n".join(
        f"## {title}\n\n| event | line | what it means, and what to do | ends with |\n|---|---|---|---|\n"
        + "".join(row(event) for event in EVENTS if event.level == level)
        for level, title in (("error", "Errors"), ("warning", "Warnings"), ("info", "What else happens"))
    )
    fields = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items())
    return f"""\
{NOTE}
# What the log tells

Each line at the levels info, warning and error is one of these events. Their names and fields stay as they are; the
texts may change. A line of text has the name of the event and the sentence, with the fields in it; one of JSON
(`--log-format=json`) has the name as `event`, the sentence as `message`, and each field by its name, besides `time`
(UTC), `level` and `logger`, the part of the program:

```
2026-11-22T18:00:00.123Z WARNING peer-lost: peer 10.0.0.5:8081 lost: closed by the peer
{{"time": "2026-11-22T18:00:00.123Z", "level": "WARNING", "logger": "ckv.net.peer", "message": "peer 10.0.0.5:8081
lost: closed by the peer", "event": "peer-lost", "peer": "10.0.0.5:8081", "reason": "closed by the peer"}}
```

**What lasts** is told when it begins, when there is another reason, and again when nothing was said of it for a minute;
those lines have the field `lasts`. At the end comes the event in the last column, with `lasted`. Two are told in a way
of their own: the database, of which `database-still` reminds, and the wait for a name or a share, of which there is a
line each 10 s.

A *defect* has a traceback, in the lines below it or in the field `exc_info`. The level debug adds lines that are for
whoever looks for a mistake in ckv: they have no name, and change. [configuration.md](configuration.md#logs) says what
is left out where much comes at once, and [runbook.md](runbook.md) what to do about what an alert tells.

{tables}
## Fields

| field | |
|---|---|
{fields}
"""


def redis() -> str:
    """The table of Redis commands as a page."""
    rows = had_by(COMMANDS).values()
    tables = "\n".join(
        f"### {title}\n\n| command | |\n|---|---|\n"
        + "".join(
            "| `{}` | {} |\n".format(row.usage.replace("|", "\\|"), row.help) for row in rows if row.group == group
        )
        for group, title in GROUPS.items()
    )
    refused = "\n".join(
        f"| {', '.join(f'`{name.upper()}`' for name in names.split())} | {reason} |"
        for reason, names in REASONS.items()
    )
    codes = "\n".join(f"| `{code}` | `{ours}` |" for ours, code in CODES.items())
    return f"""\
{NOTE}
# Clients of Redis

Any node, primary or secondary, speaks the protocol of Redis (RESP, versions 2 and 3) beside
[msgpack-RPC](protocol.md), on the same port: the first byte of a connection tells which one it is. So `redis-cli -p
8080` is a shell for ckv, and redis-py, ioredis and other clients work as they are, with what is in the tables below.

A key is the same key in both protocols. A value that was put by a client of Redis is a *bin* to a client of
msgpack-RPC; a *str* is answered to a client of Redis as its bytes.

## What is there

Where the table says nothing else, a command does what it does in Redis {REDIS_VERSION}.

{tables}
## What is different

- **Many keys are one step of each node** that owns some, where they are written: another client may see the part of
  one node of an MSET without that of another. If one fails the answer is an error, and the others' parts stand. MGET,
  EXISTS and TOUCH read one key after the other; if one cannot be read, the answer is an error.
- **An answer that has to wait holds up those behind it**, for answers have the order of the requests: on one connection
  a GET that needs the database delays the answers to what was sent after it, though that is carried out meanwhile. A
  client of msgpack-RPC does not have that. Requests of one connection for one key take effect in their order. HELLO and
  RESET, which change how answers look, are carried out when all before them is answered; so is an EXEC with a HELLO,
  and what comes behind that waits for its answer.
- **There is no Lua.** The scripts with which most libraries give a lock back, or keep it, are known by their text,
  whatever its spaces and quotes: "if the value is the first argument, delete the key", and the same with `PEXPIRE`. So
  are that of `Lock.extend` in redis-py, those with which django-redis adds to a counter, whether it is there or only if
  it is, and that with which limits adds to one that expires. Each is one step of the node that owns the key. All others
  are refused.
- **A transaction is one step of each node**, and WATCH compares digests: [see below](#what-exec-promises).
- **Messages stay at the node** where they are published: [see below](#channels-of-one-node).
- There is one database, number 0. Who may log in, and do what, is in [security.md](security.md).
- A key has at most 1,024 bytes, a value `--max-value-bytes` (1 MiB), and a record expires in the year 287396 at the
  latest.
- An outcome that is unknown is never answered with an error that a client takes for one to repeat: see below.
- `CONFIG GET` answers some names that clients look at, `CLIENT LIST` the clients of Redis of this node alone, and
  `INFO` the figures of this node, with [all of ckv's own](info.md) in the section `Ckv`. `db0` has the keys in memory
  and on their way to the database, and is not there at a primary, which would have to ask all nodes: `DBSIZE` does.
- `INFO commandstats` has the commands for single keys, by the method that carries them out (`set` for a `SETEX`,
  too), and their time from the request to the answer: that of a primary has the secondary's in it. Both are about
  right where a few calls stand for many. `errorstats` has Redis's codes of all errors, and the section `Ckv` those of
  ckv that are behind them.
- `SLOWLOG` has requests that had to wait for their answers, for the database or for another node, and how long that
  was; what memory decides takes some microseconds, and is not timed. What a primary passes on is in the log of the
  secondary that answers it. Of the arguments it keeps the first alone, which is never a value.
- **SCAN and KEYS read the database**, as far as what they match does not begin with what they can look for: [see
  below](#all-keys). DBSIZE is an estimate.
- `MEMORY USAGE` and `OBJECT` read the record, which is a use, and may load it from the database.

## What EXEC promises

{EXEC}
## All keys

{ALL_KEYS}
## Channels of one node

{CHANNELS}
## Clients in cluster mode

{CLUSTER}
## Errors

Behind the code of Redis stands the [code of ckv](protocol.md#errors) and its text: `-OOM NoRoom: ...`. What is not in
this table is `ERR`.

| code | when ckv says |
|---|---|
{codes}

With each of these nothing was written, but for a DEL with `TierUnavailable`; sending the command again is safe. After
`-{UNKNOWN} ...` (`NodeLost`, `CallTimeout`, `CommitTimeout`, `ServerError`) nobody knows whether it was carried out.

## What is refused

The error says why.

| command | why |
|---|---|
{refused}

## Limits

| what | limit | what happens beyond it |
|---|---|---|
| a request | 4 times `--max-value-bytes` + 64 KiB in all, and {MAX_ARGUMENTS:,} arguments | the connection is closed |
| an inline request | {MAX_INLINE_BYTES // 1024} KiB | the connection is closed |
| values in the answer to one MGET | 64 MiB + 16 times `--max-value-bytes` | an error |
| a transaction | {MOST_QUEUED} | the command is refused, and EXEC aborts |
| requests of one connection that wait, or whose answers do, each key counted | 78; see below | it is read no further |
| answers of one connection that the client has not read | 1 MiB | the same |
| a request that begins with `POST` or `Host:` | none | the connection is closed: somebody has sent a browser here |
| silence in the middle of a request | 60 s, or half of it | the connection is closed |

The 78 are 15 to 256 with another `--max-value-bytes`, as [protocol.md](protocol.md#limits) explains for a primary.
Before a connection is closed the client is told (`-ERR Protocol error: ...`), unless answers are still to come. TLS is
spoken where the node has a [certificate](security.md#tls).
"""


def clients() -> str:
    """The clients that were tried as a page."""
    return f"{NOTE}\n{page()}\n{upstream()}"


def readme() -> str:
    """The README as it is, but for its figures. Raises ValueError unless it has one place for them."""
    begin, end = "<!-- figures: made by docs/generate.py -->\n", "<!-- end -->"
    before, rest = README.read_text().split(begin)
    _, after = rest.split(end)
    figures = table(Results.load(DOCS / "benchmarks" / "results.json"))
    return f"{before}{begin}{figures}\n{end}{after}"


PAGES = {
    DOCS / "clients.md": clients,
    DOCS / "commands.md": commands,
    DOCS / "configuration.md": configuration,
    DOCS / "events.md": events,
    DOCS / "info.md": info,
    DOCS / "redis.md": redis,
    README: readme,
    ROOT / "deploy" / "monitoring" / "dashboard.json": dashboard,
}


def main(arguments: list[str]) -> int:
    """Writes or checks the pages; the exit code."""
    stale = [path for path, make in PAGES.items() if not _is(path, make())]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not up to date: run docs/generate.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(PAGES[path]())
        print(f"{path.relative_to(ROOT)} written")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
