"""The one table of everything that can be set.

The pages of ``--help``, ``docs/configuration.md`` and the parsing (:mod:`ckv.settings.roles`) are made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_args

from ckv import logs
from ckv.address import parse_address, parse_addresses, parse_host, parse_port
from ckv.roles import RoleName
from ckv.security import quota
from ckv.security.rights import Level
from ckv.settings import parsers
from ckv.units import duration, size, whole
from ckv.values import MAX_RECORDS

DEFAULT_HOST: Final = "localhost"
"""Where the shell connects to when nobody says."""

LARGEST_VALUE: Final = 2**26
"""Bytes of the longest value that ``--max-value-bytes`` can allow."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One argument or option: how it is spelled, read and explained."""

    name: str
    """As on the command line: ``<port>`` for an argument, ``--bind`` for an option."""

    roles: tuple[RoleName, ...]
    parse: Callable[[str], Any]
    help: str
    """What it is, its unit and its range; what the page adds is the default and the environment twin."""

    default: str | None = None
    """The text that stands for it when it is not given; ``None`` if it must be given."""

    unit: str = ""
    """An option's value on the page: ``SECONDS`` in ``--drain-timeout=SECONDS``; empty for one that takes none."""

    short: str = ""
    """Its letter, as in ``-x``."""

    own_field: str = ""
    """The field of the role's settings, where that has another name."""

    changes: bool = False
    """Whether a node that runs takes it from its file of options again, at SIGHUP."""

    @property
    def field(self) -> str:
        """The field of the role's settings: ``log_level`` for ``--log-level``."""
        return self.own_field or self.name.strip("<>-").replace("-", "_")

    @property
    def is_option(self) -> bool:
        return self.name.startswith("--")

    @property
    def environment(self) -> str | None:
        """The environment twin: ``CKV_BIND`` for ``--bind``. Only options with a value have one."""
        return "CKV_" + self.name[2:].upper().replace("-", "_") if self.unit else None

    @property
    def title(self) -> str:
        """As a page shows it: ``<port>``, ``--bind=ADDRESS``, ``-x, --stdin``."""
        name = f"-{self.short}, {self.name}" if self.short else self.name
        return f"{name}={self.unit}" if self.unit else name


_NODES: Final[tuple[RoleName, ...]] = ("primary", "secondary")

_ASKING: Final[tuple[RoleName, ...]] = (
    *("shell", "status", "ping", "verify", "slots", "drain", "rebalance", "owner", "hot", "big", "flush", "export"),
    *("import", "top"),
)
"""Who asks a node."""

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("<primary>", ("secondary",), parse_addresses,
        "Address of the primary, host:port, or those of several with commas between them. This node asks to join it, "
        "or the one of them that leads. A primary with a list says that it has one, and connects to this node whatever "
        "stands here.", own_field="primaries"),
    Setting("<port>", _NODES, whole(0, 65535),
        "Port to listen on, 0 to 65535; 0 takes a free one, which the log then shows."),
    Setting("<secondary>", ("primary",), parse_address,
        "Addresses of the secondaries, host:port each. Their order decides which keys each one owns: give every "
        "primary the same list. Without any, the secondaries that name this primary join it, and are dealt keys.",
        own_field="secondaries"),
    Setting("<host>", ("status", "ping", "demo", "hot", "big", "flush", "export", "import", "top"), parse_host,
        "Host of a primary or a secondary."),
    Setting("<host>", ("shell",), parse_host,
        "Host of a primary or a secondary. A word that is the name of a command is none; a number alone is a port.",
        DEFAULT_HOST),
    Setting("<host>", ("verify",), parse_host, "Host of a secondary."),
    Setting("<host>", ("slots", "drain", "rebalance", "owner"), parse_host, "Host of the primary."),
    Setting("<port>", ("status", "ping", "verify", "demo", "slots", "drain", "rebalance", "owner", "hot", "big",
        "flush", "export", "import", "top"), parse_port, "Its port, 1 to 65535."),
    Setting("<name>", ("drain",), parsers.name, "Name of the secondary, as ckv slots shows it."),
    Setting("<key>", ("owner",), str, "The key."),
    Setting("<switch>", ("rebalance",), parsers.one_of("on", "off", what="a switch"), "on or off."),
    Setting("<port>", ("shell",), parse_port, "Its port, 1 to 65535.", "8080"),
    Setting("<action>", ("user",), parsers.one_of("list", "add", "remove", "rotate", what="an action"),
        "list, add, remove or rotate."),
    Setting("<file>", ("user",), parsers.path, "The file of users. With add it is made if there is none."),
    Setting("<user>", ("user",), parsers.user, "Name of the user; - for none.", parsers.NOBODY),
    Setting("<persistent-node>", ("secondary",), parsers.persistent,
        "Address of the MySQL server that keeps what memory gave up: host:port, or "
        "mysql://user:password@host:port/database, or sqlite:PATH (embedded, for one machine), or - for none. What "
        "the address does not say comes from CKV_MYSQL_USER, CKV_MYSQL_PASSWORD (or the file CKV_MYSQL_PASSWORD_FILE) "
        "and CKV_MYSQL_DATABASE, else it is root, password and celonis. With ?tls=verify&tls-ca=FILE behind the "
        "database (or CKV_MYSQL_TLS and CKV_MYSQL_TLS_CA) there is no connection without TLS and a right "
        "certificate.", parsers.NO_TIER, own_field="persistent"),
    Setting("<persistent-node>", ("verify",), parsers.audited,
        "Address of its persistent node, as the secondary was given it.", own_field="persistent"),
    Setting("<capacity>", ("secondary",), whole(1, MAX_RECORDS),
        f"Records that memory holds, 1 to {MAX_RECORDS}; k, M, G stand for thousand, million, billion.", "1000000"),
    Setting("--memory-max", ("secondary",), size(0, 2**40),
        "Bytes that the records in memory may take, with what it costs to keep them: up to 1024GiB, and room for the "
        "longest value (--max-value-bytes); 0 for no bound but <capacity>.", "0", "BYTES"),
    Setting("<eviction-policy>", ("secondary",), parsers.policy,
        "Which record memory gives up when it is full: 1 or lru, the least recently used; 2 or lfu, the least "
        "frequently used; 3 or fifo, the oldest; 4 or s3fifo, the oldest that was not used again. One pass over many "
        "keys empties lru and fifo of what is used often. lfu never forgets: use s3fifo where what is hot changes, "
        "which keeps what is used often, and lets it go when it no longer is.", "1", own_field="policy"),
    Setting("<thread-pool-size>", ("secondary",), whole(1, 1024),
        "Greenlets that write to the persistent node, 1 to 1024, and as many that read from it, each with its own "
        "connection; there may be one more while all reads are at a standstill. 4 where the database is what "
        "everybody waits for.", "1", own_field="pool_size"),
    Setting("--bind", _NODES, parse_host, "Address to listen on; 0.0.0.0 or :: for all.", "127.0.0.1", "ADDRESS"),
    Setting("--http", _NODES, parsers.listener,
        "Address for a status page, metrics and health checks over HTTP, host:port, or port alone for 127.0.0.1; 0 "
        "takes a free port, which the log then shows. There is no login, and it tells nothing of the records; - for "
        "none.",
        parsers.NOWHERE, "HOST:PORT"),
    Setting("--call-timeout", ("primary",), duration(0.01, 600),
        "How long a secondary may take to answer a request once it has got to it, 10ms to 10m. A call fails after "
        "half of it at the earliest: twice the --load-timeout of the secondaries leaves time for what they say of a "
        "slow database.", "8s", "SECONDS"),
    Setting("--node-wait", ("primary",), duration(0, 600),
        "How long requests wait for a secondary that is not connected, counted from the start of the primary, from "
        "the loss of the connection, or from when the secondary said that it stops; afterwards they are refused at "
        "once. 0 to 10m.", "2s", "SECONDS"),
    Setting("--settle", ("primary",), duration(0, 3600),
        "Without a list: how long nobody has come or gone before slots are moved to level the shares, 0 to 60m.", "30s",
        "SECONDS", changes=True),
    Setting("--move-slots", ("primary",), whole(1, 16384),
        "Without a list: slots that move at a time, 1 to 16384. Their requests wait for some milliseconds meanwhile.",
        "1024", "SLOTS", changes=True),
    Setting("--cluster-clients", ("primary",), bool,
        "Tell clients of Redis in cluster mode which node owns which key, so that they ask it directly: they must "
        "reach the secondaries by the addresses given here, or by those with which they join. The secondaries learn it "
        "from the primary."),
    Setting("--coordinator", ("primary",), parsers.coordinator,
        "Without a list, where several primaries decide which of them leads, and keep the map: "
        "mysql://user:password@host:port/database, whose parts that are left out, and TLS, come from where a secondary "
        "has them; "
        "or zk://user:password@host:port,host:port/path of a ZooKeeper, where account, ports and path may be left out; "
        "or - for none, with a single primary. All of them are given the same.", parsers.NO_TIER, "ADDRESS"),
    Setting("--advertise", ("primary",), parsers.advertised,
        "With a coordinator: the host at which secondaries and other primaries reach this one; - for that of --bind, "
        "or, with a wildcard, the address from which it reaches the coordinator.", parsers.NO_TIER, "HOST"),
    Setting("--follow", ("primary",), parsers.followed,
        "Without a list and a coordinator: the primary, host:port, by whose map this one routes, also while that one "
        "is away. It never leads, and sends secondaries there, who have to reach it by this address; - for none.",
        parsers.NOWHERE, "ADDRESS"),
    Setting("--name", ("secondary",), parsers.name,
        "Who this node is beside others that share a database, 1 to 120 letters, digits and signs without spaces. Only "
        "one process of a name can write: another one that is started waits for the end of the first.",
        parsers.OWN_NAME, "NAME"),
    Setting("--write-mode", ("secondary",), parsers.one_of(*get_args(parsers.WriteMode), what="a write mode"),
        "When a PUT or DEL is answered. evict: once memory has it; the persistent node learns of it when the record "
        "is evicted or the node stops. behind: once memory has it and it is queued for the persistent node. through: "
        "once the persistent node has committed it. The last two need a persistent node.", "evict", "MODE"),
    Setting("--write-delay", ("secondary",), duration(0, 600),
        "With behind: how long a write may stay queued before it is written, 0 to 10m.", "1s", "SECONDS"),
    Setting("--write-batch", ("secondary",), whole(1, 10**6),
        "With behind: queued writes that are written without waiting for the delay, 1 to 1000000.", "500", "RECORDS"),
    Setting("--load-timeout", ("secondary",), duration(0.01, 600),
        "How long a request may wait for the persistent node, 10ms to 10m; the time in which large values for others "
        "arrive does not count.", "3s", "SECONDS"),
    Setting("--pending-max", ("secondary",), whole(1, 2**40),
        f"Records that may wait to be written to the persistent node, 1 to {2**40}.", "1000000", "RECORDS",
        changes=True),
    Setting("--pending-max-bytes", ("secondary",), size(1, 2**40),
        "Bytes that may wait to be written to the persistent node, 1 to 1024GiB and no less than --max-value-bytes.",
        "1GiB", "BYTES", changes=True),
    Setting("--pending-wait", ("secondary",), duration(0, 600),
        "How long a write waits for room among those before it is refused, 0 to 10m.", "1s", "SECONDS"),
    Setting("--warm-rate", ("secondary",), size(0, 2**40),
        "In a registered cluster: bytes of records a second that the new owners of its slots load, of those that were "
        "in memory here, 0 to 1024GiB; 0 for none. Without a persistent node: that they are sent; 0 for no bound.",
        "16MiB", "BYTES"),
    Setting("--max-connections", _NODES, whole(1, 10**6),
        "Clients that are served at a time, 1 to 1000000, or fewer where there are not so many open files. When all "
        "places are taken, operators and probes (INFO, PING, ...) are still answered.", "10000", "N", changes=True),
    Setting("--max-value-bytes", _NODES, size(1, LARGEST_VALUE),
        "The longest value, 1 to 64MiB. A database that takes such values needs a max_allowed_packet of more than "
        "twice that.", "1MiB", "BYTES"),
    Setting("--keys-max", _NODES, whole(1, 10**7),
        "The most keys in one answer to KEYS, 1 to 10000000: beyond them it is refused, and SCAN has to be used.",
        "100000", "N"),
    Setting("--slow-time", _NODES, duration(0, 3600),
        "From how long on a request that had to wait for its answer is in SLOWLOG, 0 to 60m.", "10ms", "SECONDS",
        changes=True),
    Setting("--allow-flush", _NODES, bool,
        "Carry out FLUSHDB and FLUSHALL, which delete all records, in the persistent node too. A primary and its "
        "secondaries all need it."),
    Setting("--users", _NODES, parsers.users,
        "File of those who may log in, which ckv user keeps; nobody else may do anything then. The node reads it again "
        "at SIGHUP, which stops it otherwise. - for none: whoever reaches the node may do everything.", parsers.NOWHERE,
        "FILE"),
    Setting("--insecure", _NODES, bool,
        "Listen beyond the loopback (--bind) without users all the same: whoever reaches the node may do everything."),
    Setting("--tls-cert", _NODES, parsers.path_or_none,
        "Certificate of the node, in PEM, with those between it and who signed it. With it the node speaks TLS on its "
        "port, 1.2 and newer. It reads this and the other files of TLS again at SIGHUP, which stops it otherwise. - "
        "for none: no TLS.", parsers.NOWHERE, "FILE"),
    Setting("--tls-key", _NODES, parsers.path_or_none,
        "Key of that certificate, in PEM and without a password; - if it is in the same file.", parsers.NOWHERE,
        "FILE"),
    Setting("--tls-ca", _NODES, parsers.path_or_none,
        "Certificates of the authorities who sign those of nodes, and of clients where they need one, in PEM; lists of "
        "what they have revoked may be among them. system for those that the system trusts; - for none.",
        parsers.NOWHERE, "FILE"),
    Setting("--tls-name", _NODES, parsers.tls_name,
        "Name that the certificates of other nodes have to have; - for the hosts of their addresses.",
        parsers.ANY_NAME, "NAME"),
    Setting("--tls-clients", _NODES, parsers.one_of("no", "required"),
        "Whether whoever connects needs a certificate, too: no or required.", "no", "WHETHER"),
    Setting("--tls-plain", _NODES, parsers.one_of(*get_args(parsers.Plain)),
        "Who may do without TLS: no, nobody; clients, while this node reaches others by TLS alone; or all, so that it "
        "reaches others without, too.", "no", "WHO"),
    Setting("--node-user", _NODES, parsers.user,
        "As whom it logs in at other nodes: a user of the class node there. It needs a secret, which is in "
        "CKV_NODE_PASSWORD or in a file.", "node", "NAME", own_field="login"),
    Setting("--node-password-file", _NODES, parsers.path_or_none,
        "File with the secret of that user, read each time that it connects, and at SIGHUP, which stops it otherwise. "
        "- for none.", parsers.NOWHERE, "FILE", own_field="password_file"),
    Setting("--user", _ASKING, parsers.user,
        "As whom it logs in. It needs a secret, which is in CKV_PASSWORD or in a file.", "default", "NAME",
        own_field="login"),
    Setting("--password-file", _ASKING, parsers.path_or_none, "File with the secret of that user; - for none.",
        parsers.NOWHERE, "FILE"),
    Setting("--tls-ca", _ASKING, parsers.path_or_none,
        "Speak TLS: certificates of the authorities who sign those of nodes, in PEM; system for those that the system "
        "trusts; - for no TLS.", parsers.NOWHERE, "FILE"),
    Setting("--tls-cert", _ASKING, parsers.path_or_none,
        "Own certificate, in PEM, where nodes want to see one; - for none.", parsers.NOWHERE, "FILE"),
    Setting("--tls-key", _ASKING, parsers.path_or_none,
        "Key of that certificate, in PEM and without a password; - if it is in the same file.", parsers.NOWHERE,
        "FILE"),
    Setting("--tls-name", _ASKING, parsers.tls_name,
        "Name that the certificate of the node has to have; - for its host.", parsers.ANY_NAME, "NAME"),
    Setting("--drain-timeout", _NODES, duration(0, 3600),
        "How long a node that was told to stop (SIGTERM, SIGINT, SIGHUP, ...) may take to finish its requests and to "
        "write what the persistent node lacks, 0 to 60m.", "30s", "SECONDS", changes=True),
    Setting("--log-level", _NODES, parsers.one_of(*logs.LEVELS),
        f"What the log shows: {', '.join(logs.LEVELS)}. debug adds a line for each connection and each batch between "
        "the tiers; the others show one line a minute of each kind that a client can cause as often as it likes.",
        "info", "LEVEL", changes=True),
    Setting("--log-format", _NODES, parsers.one_of(*logs.FORMATS),
        "How the log on stderr looks: text, or json with one object a line.", "text", "FORMAT", changes=True),
    Setting("--config", _NODES, parsers.path_or_none,
        'A file of options in TOML, or - for none. A line of it is write-mode = "through"; what stands before the '
        "first table is for all roles, and the tables are [primary] and [secondary]. What is given here or in the "
        "environment beats it. The node reads it again at SIGHUP, which stops it otherwise.", parsers.NOWHERE, "FILE"),
    Setting("<shell>", ("completion",), parsers.one_of("bash", "zsh", "fish", what="a shell that is known"),
        "bash, zsh or fish."),
    Setting("<action>", ("config",), parsers.one_of("check", "show", "sample", what="an action"),
        "check, show or sample."),
    Setting("<file>", ("config",), parsers.path_or_none, "The file that is checked or shown; - for none.",
        parsers.NOWHERE),
    Setting("--timeout", ("shell", "status", "verify", "slots", "drain", "rebalance", "owner", "hot", "big", "export",
        "import", "top"), duration(0.01, 600),
        "How long a node may take to answer a command, 10ms to 10m.", "10s", "SECONDS"),
    Setting("--timeout", ("flush",), duration(0.01, 600),
        "How long a node may take to answer, and how long the database may take no record, 10ms to 10m.", "10s",
        "SECONDS"),
    Setting("--timeout", ("ping",), duration(0.01, 600),
        "How long the connection and the answer may take together, 10ms to 10m.", "1s", "SECONDS"),
    Setting("--resume", ("export",), whole(0, 2**53),
        "The cursor with which an export goes on that failed, as its last line named it; 0 for the beginning.", "0",
        "CURSOR"),
    Setting("--resume", ("import",), whole(0, 2**53), "Lines that are left out at the beginning.", "0", "LINES"),
    Setting("--overwrite", ("import",), bool, "Replace records that are there already."),
    Setting("--count", ("hot", "big"), whole(1, 100), "How many keys are shown, 1 to 100.", "10", "N"),
    Setting("--once", ("top",), bool, "Print it once, for scripts."),
    Setting("--clients", ("top",), bool,
        "Show the clients that ask most, in the place of the nodes."),
    Setting("--ready", ("ping",), bool,
        "Ask whether it can serve, too: ready in ckv status, and /readyz of --http."),
    Setting("--format", ("status",), parsers.one_of("text", "json"),
        "What is printed: text, a line for each figure, or json, one object.", "text", "FORMAT"),
    Setting("--sample", ("verify",), parsers.sample,
        "How many records to compare, chosen by chance: 1 to 1000000, or all.", "all", "RECORDS"),
    Setting("--class", ("user",), parsers.one_of(*get_args(Level), what="a class"),
        "With add: what the user may do. read: read records; write: change them, too; admin: what operators do, too; "
        "node: what other nodes ask, too.", "write", "CLASS", own_field="level"),
    Setting("--keys", ("user",), parsers.keys,
        "With add, of the classes read and write: what the keys of the user have to begin with, as in ~orders:*, or "
        "several of these with spaces between them; - for all keys.", parsers.NOBODY, "PREFIXES"),
    Setting("--rate", ("user",), quota.rate,
        "With add, but not of the class node: how many requests a second each node takes from the user, over all of "
        "its connections together; 0 for any number.", "0", "REQUESTS"),
    Setting("--bytes-in-flight", ("user",), quota.bytes_in_flight,
        "With add, but not of the class node: beyond how many bytes of requests without an answer, and of answers that "
        "it has not taken, a node reads nothing more from the user; 0 for any number.", "0", "SIZE"),
    Setting("--connections", ("user",), quota.connections,
        "With add, but not of the class node: how many connections the user may have to a node at a time; 0 for any "
        "number.", "0", "NUMBER"),
    Setting("--chosen", ("user",), bool,
        "With add and rotate: read a password that somebody has chosen, from stdin, rather than make a secret."),
    Setting("--history", ("shell",), parsers.history,
        "Where the prompt keeps what was typed; /dev/null for nowhere. A line that begins with a space is not kept.",
        "~/.ckv_history", "FILE"),
    Setting("--json", ("shell",), bool, "Print each result as one line of JSON."),
    Setting("--stdin", ("shell",), bool,
        "The last argument of <command> is what stdin holds, to the byte: a str where that is UTF-8, else a bin.",
        short="x"),
)  # fmt: skip


def settings_of(role: RoleName) -> list[Setting]:
    """What a role takes, in the order of its page."""
    return [setting for setting in SETTINGS if role in setting.roles]
