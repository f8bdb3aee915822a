"""Settings: addresses, sizes, durations; text in, checked values out.

:data:`SETTINGS` is the one table of everything that can be set. It makes the pages that ``--help`` prints
(:mod:`ckv.cli`), and it drives the parsing: an option on the command line beats its environment twin, which beats the
default. A bad value raises :class:`~ckv.errors.BadSetting` with one line that names it and says what is allowed.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from ckv import logs
from ckv.errors import BadSetting
from ckv.values import MAX_RECORDS

Policy = Literal["lru", "lfu", "fifo"]
WriteMode = Literal["evict", "behind", "through"]
Role = Literal["primary", "secondary", "shell", "status", "ping", "verify", "demo"]

WRITE_MODES: Final[tuple[WriteMode, ...]] = ("evict", "behind", "through")

DEFAULT_HOST: Final = "localhost"
DEFAULT_PORT: Final = "8080"
"""Where the shell connects to when nobody says."""

LARGEST_VALUE: Final = 2**26
"""Bytes of the longest value that ``--max-value-bytes`` can allow."""

NO_TIER: Final = "-"
"""The persistent node that stands for none."""

ALL: Final = "all"
"""The sample that is no sample."""

POLICIES: Final[Mapping[str, Policy]] = {
    "1": "lru", "2": "lfu", "3": "fifo", "lru": "lru", "lfu": "lfu", "fifo": "fifo",
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PrimarySettings:
    """What a primary is started with. Times are in seconds."""

    port: int
    secondaries: tuple[Address, ...]
    bind: str
    call_timeout: float
    node_wait: float
    max_connections: int
    max_value_bytes: int
    drain_timeout: float
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class SecondarySettings:
    """What a secondary is started with. Times are in seconds.

    ``persistent`` is the address as it was given, :data:`NO_TIER` for none; :func:`ckv.persistent.open_tier` checks it.
    """

    primary: Address
    port: int
    persistent: str
    capacity: int
    policy: Policy
    pool_size: int
    bind: str
    write_mode: WriteMode
    write_delay: float
    write_batch: int
    load_timeout: float
    pending_max: int
    pending_max_bytes: int
    pending_wait: float
    max_connections: int
    max_value_bytes: int
    drain_timeout: float
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class ShellSettings:
    """What the shell is started with."""

    address: Address
    timeout: float
    history: Path
    json: bool = False
    stdin: bool = False
    command: tuple[str, ...] = ()
    """One command with its arguments, to be run instead of what is typed; empty for none."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo is started with: the cluster to use, or ``None`` for one of its own."""

    address: Address | None


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """What ``status`` is started with."""

    address: Address
    timeout: float
    format: str


@dataclass(frozen=True, slots=True)
class PingSettings:
    """What ``ping`` is started with."""

    address: Address
    timeout: float


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """What ``verify`` is started with; ``sample`` is ``None`` for all records."""

    address: Address
    persistent: str
    timeout: float
    sample: int | None


# --- parsers: text in, a checked value out, BadSetting for anything else ---------------------------------------------

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SECONDS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60)}


def parse_port(text: str) -> int:
    """A port to connect to: 1 to 65535.

    >>> parse_port("8080")
    8080
    """
    return parse_whole(text, 1, 65535)


def parse_own_port(text: str) -> int:
    """A port to listen on: 0 to 65535; 0 lets the system choose a free one."""
    return parse_whole(text, 0, 65535)


def parse_host(text: str) -> str:
    """A host name or an IP address; an IPv6 address may stand in brackets.

    >>> parse_host("localhost"), parse_host("[::1]")
    ('localhost', '::1')
    """
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in host or host is not text:
        try:
            fine = ipaddress.ip_address(host).version == 6
        except ValueError:
            fine = False
    else:
        fine = re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253})", host) is not None
    if not fine:
        raise BadSetting(f"{text!r} is not a host: allowed is a host name or an IP address")
    return host


def parse_address(text: str) -> Address:
    """``host:port`` or ``[IPv6]:port``, the port 1 to 65535.

    >>> parse_address("localhost:8080")
    Address(host='localhost', port=8080)
    >>> str(parse_address("[::1]:8080"))
    '[::1]:8080'
    """
    host, colon, port = text.rpartition(":")
    try:
        if not colon or (":" in host and not host.startswith("[")):
            raise BadSetting
        return Address(parse_host(host), parse_port(port))
    except BadSetting:
        raise BadSetting(
            f"{text!r} is not an address: allowed is host:port or [IPv6]:port, the port from 1 to 65535"
        ) from None


def parse_whole(text: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``; ``k``, ``M`` and ``G`` stand for a thousand, a million and a billion.

    >>> parse_whole("1M", 1, 2**40)
    1000000
    """
    number = _number(text, _DECIMAL)
    if number is None or not low <= number <= high:
        raise BadSetting(f"{text!r} is not a whole number in range: allowed is {low} to {high}")
    return number


def parse_size(text: str, low: int, high: int) -> int:
    """A number of bytes; ``k``, ``M``, ``G`` are powers of 1000, ``KiB``, ``MiB``, ``GiB`` of 1024.

    >>> parse_size("4k", 1, 10**6), parse_size("4KiB", 1, 10**6)
    (4000, 4096)
    """
    number = _number(text, _DECIMAL | _BINARY)
    if number is None or not low <= number <= high:
        allowed = f"{show_size(low)} to {show_size(high)}, with k, M, G or KiB, MiB, GiB"
        raise BadSetting(f"{text!r} is not a size in bytes in range: allowed is {allowed}")
    return number


def show_size(count: int) -> str:
    """A number of bytes as a person writes it, exactly.

    >>> show_size(1048576), show_size(1000)
    ('1MiB', '1000')
    """
    for suffix, factor in reversed(_BINARY.items()):
        if count >= factor and count % factor == 0:
            return f"{count // factor}{suffix}"
    return str(count)


def parse_duration(text: str, low: float, high: float) -> float:
    """A duration in seconds; ``ms``, ``s`` and ``m`` (minutes) may follow the number, which may have a decimal point.

    >>> parse_duration("500ms", 0, 10), parse_duration("1.5m", 0, 100)
    (0.5, 90.0)
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m)?", text)
    seconds = float(Decimal(match[1]) * _SECONDS[match[2] or ""]) if match else None
    if seconds is None or not low <= seconds <= high:
        allowed = f"{low:g} to {high:g} seconds, with ms, s or m"
        raise BadSetting(f"{text!r} is not a duration in range: allowed is {allowed}")
    return seconds


def parse_policy(text: str) -> Policy:
    """An eviction policy by number or name.

    >>> parse_policy("1"), parse_policy("FIFO")
    ('lru', 'fifo')
    """
    policy = POLICIES.get(text.lower())
    if policy is None:
        raise BadSetting(f"{text!r} is not an eviction policy: allowed is 1 or lru, 2 or lfu, 3 or fifo")
    return policy


def parse_write_mode(text: str) -> WriteMode:
    """When a PUT or DEL is answered.

    >>> parse_write_mode("Through")
    'through'
    """
    for mode in WRITE_MODES:
        if text.lower() == mode:
            return mode
    raise BadSetting(f"{text!r} is not a write mode: allowed is {', '.join(WRITE_MODES)}")


def parse_persistent(text: str) -> str:
    """The address of the persistent tier, as it is: the tier itself knows what it may look like."""
    if not text:
        raise BadSetting(f"{text!r} is not a persistent node: allowed is an address, or {NO_TIER} for none")
    return text


def parse_audited(text: str) -> str:
    """As :func:`parse_persistent`, and there must be one."""
    if text == NO_TIER:
        raise BadSetting(f"{text!r} is no persistent node: allowed is the address that the secondary was given")
    return parse_persistent(text)


def parse_sample(text: str) -> int | None:
    """A number of records, or ``None`` for all.

    >>> parse_sample("1k"), parse_sample("all")
    (1000, None)
    """
    return None if text.lower() == ALL else parse_whole(text, 1, 10**6)


def parse_history(text: str) -> Path:
    """A file name; ``~`` is the home folder."""
    if not text or "\0" in text:
        raise BadSetting(f"{text!r} is not a file name")
    return Path(os.path.expanduser(text))


def _number(text: str, units: Mapping[str, int]) -> int | None:
    match = re.fullmatch(r"([0-9]{1,20})([A-Za-z]*)", text)
    return int(match[1]) * units[match[2]] if match and match[2] in units else None


def _whole(low: int, high: int) -> Callable[[str], int]:
    return lambda text: parse_whole(text, low, high)


def _size(low: int, high: int) -> Callable[[str], int]:
    return lambda text: parse_size(text, low, high)


def _duration(low: float, high: float) -> Callable[[str], float]:
    return lambda text: parse_duration(text, low, high)


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise BadSetting(f"{text!r} is not known: allowed is {', '.join(allowed)}")
        return text.lower()

    return parse


# --- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One argument or option: how it is spelled, read and explained."""

    field: str
    """The field of the role's settings."""

    name: str
    """As on the command line: ``<port>`` for an argument, ``--bind`` for an option."""

    roles: tuple[Role, ...]
    """The roles that take it."""

    parse: Callable[[str], Any]
    help: str
    """What it is, its unit and its range; what the page adds is the default and the environment twin."""

    default: str | None = None
    """The text that stands for it when it is not given; ``None`` if it must be given."""

    unit: str = ""
    """An option's value on the page: ``SECONDS`` in ``--drain-timeout=SECONDS``; empty for one that takes none."""

    many: bool = False
    """Whether it takes any number of words, at least one."""

    short: str = ""
    """Its letter, as in ``-x``."""

    @property
    def is_option(self) -> bool:
        return self.name.startswith("--")

    @property
    def environment(self) -> str | None:
        """The environment twin: ``CKV_BIND`` for ``--bind``. Arguments and flags have none."""
        return "CKV_" + self.name[2:].upper().replace("-", "_") if self.is_option and not self.is_flag else None

    @property
    def is_flag(self) -> bool:
        """Whether it is an option without a value."""
        return self.is_option and not self.unit

    @property
    def title(self) -> str:
        """As a page shows it: ``<port>``, ``--bind=ADDRESS``, ``-x, --stdin``."""
        name = f"-{self.short}, {self.name}" if self.short else self.name
        return f"{name}={self.unit}" if self.unit else name


_NODES: Final[tuple[Role, ...]] = ("primary", "secondary")

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "primary", "<primary>", ("secondary",), parse_address,
        "Address of the primary, host:port. It is checked and shown in the log; the primary connects to this node.",
    ),
    Setting("port", "<port>", _NODES, parse_own_port, "Port to listen on, 0 to 65535; 0 takes a free one, which the "
            "log then shows."),
    Setting(
        "secondaries", "<secondary>", ("primary",), parse_address,
        "Addresses of the secondaries, host:port each, at least one. Their order decides which keys each one owns: "
        "give every primary the same list.",
        many=True,
    ),
    Setting("host", "<host>", ("status", "ping", "demo"), parse_host, "Host of a primary or a secondary."),
    Setting("host", "<host>", ("shell",), parse_host, "Host of a primary or a secondary. A word that is the name of a "
            "command is none; a number alone is a port.", DEFAULT_HOST),
    Setting("host", "<host>", ("verify",), parse_host, "Host of a secondary."),
    Setting("port", "<port>", ("status", "ping", "verify", "demo"), parse_port, "Its port, 1 to 65535."),
    Setting("port", "<port>", ("shell",), parse_port, "Its port, 1 to 65535.", DEFAULT_PORT),
    Setting(
        "persistent", "<persistent-node>", ("secondary",), parse_persistent,
        "Address of the MySQL server that keeps what memory gave up: host:port, or "
        "mysql://user:password@host:port/database, or sqlite:PATH (embedded, for one machine), or - for none. What "
        "the address does not say comes from CKV_MYSQL_USER, CKV_MYSQL_PASSWORD (or the file "
        "CKV_MYSQL_PASSWORD_FILE) and CKV_MYSQL_DATABASE, else it is root, password and celonis.",
        NO_TIER,
    ),
    Setting("persistent", "<persistent-node>", ("verify",), parse_audited, "Address of its persistent node, as the "
            "secondary was given it."),
    Setting("capacity", "<capacity>", ("secondary",), _whole(1, MAX_RECORDS), "Records that memory holds, 1 to "
            f"{MAX_RECORDS}; k, M, G stand for thousand, million, billion.", "1000000"),
    Setting(
        "policy", "<eviction-policy>", ("secondary",), parse_policy,
        "Which record memory gives up when it is full: 1 or lru, the least recently used; 2 or lfu, the least "
        "frequently used; 3 or fifo, the oldest. One pass over many keys empties lru and fifo of what is used often; "
        "lfu never forgets a use, so that records that were hot long ago stay.",
        "1",
    ),
    Setting(
        "pool_size", "<thread-pool-size>", ("secondary",), _whole(1, 1024),
        "Greenlets that write to the persistent node, 1 to 1024, and as many that read from it, each with its own "
        "connection; there may be one more while all reads are at a standstill. 4 where the database is what everybody "
        "waits for.",
        "1",
    ),
    Setting("bind", "--bind", _NODES, parse_host, "Address to listen on; 0.0.0.0 or :: for all.", "127.0.0.1",
            "ADDRESS"),
    Setting(
        "call_timeout", "--call-timeout", ("primary",), _duration(0.01, 600),
        "How long a secondary may take to answer a request once it has got to it, 10ms to 10m. A call fails after half "
        "of it at the earliest: twice the --load-timeout of the secondaries leaves time for what they say of a slow "
        "database.",
        "8s", "SECONDS",
    ),
    Setting(
        "node_wait", "--node-wait", ("primary",), _duration(0, 600),
        "How long requests wait for a secondary that is not connected, counted from the start of the primary, from the "
        "loss of the connection, or from when the secondary said that it stops; afterwards they are refused at once. "
        "0 to 10m.",
        "2s", "SECONDS",
    ),
    Setting(
        "write_mode", "--write-mode", ("secondary",), parse_write_mode,
        "When a PUT or DEL is answered. evict: once memory has it; the persistent node learns of it when the record "
        "is evicted or the node stops. behind: once memory has it and it is queued for the persistent node. through: "
        "once the persistent node has committed it. The last two need a persistent node.",
        "evict", "MODE",
    ),
    Setting(
        "write_delay", "--write-delay", ("secondary",), _duration(0, 600),
        "With behind: how long a write may stay queued before it is written, 0 to 10m.",
        "1s", "SECONDS",
    ),
    Setting(
        "write_batch", "--write-batch", ("secondary",), _whole(1, 10**6),
        "With behind: queued writes that are written without waiting for the delay, 1 to 1000000.",
        "500", "RECORDS",
    ),
    Setting(
        "load_timeout", "--load-timeout", ("secondary",), _duration(0.01, 600),
        "How long a request may wait for the persistent node, 10ms to 10m; the time in which large values for others "
        "arrive does not count.",
        "3s", "SECONDS",
    ),
    Setting(
        "pending_max", "--pending-max", ("secondary",), _whole(1, 2**40),
        f"Records that may wait to be written to the persistent node, 1 to {2**40}.",
        "1000000", "RECORDS",
    ),
    Setting(
        "pending_max_bytes", "--pending-max-bytes", ("secondary",), _size(1, 2**40),
        "Bytes that may wait to be written to the persistent node, 1 to 1024GiB and no less than --max-value-bytes.",
        "1GiB", "BYTES",
    ),
    Setting(
        "pending_wait", "--pending-wait", ("secondary",), _duration(0, 600),
        "How long a write waits for room among those before it is refused, 0 to 10m.",
        "1s", "SECONDS",
    ),
    Setting(
        "max_connections", "--max-connections", _NODES, _whole(1, 10**6),
        "Clients that are served at a time, 1 to 1000000, or fewer where there are not so many open files. When all "
        "places are taken, operators and probes (INFO, PING, ...) are still answered.",
        "10000", "N",
    ),
    Setting(
        "max_value_bytes", "--max-value-bytes", _NODES, _size(1, LARGEST_VALUE),
        "The longest value, 1 to 64MiB. A database that takes such values needs a max_allowed_packet of more than "
        "twice that.",
        "1MiB", "BYTES",
    ),
    Setting(
        "drain_timeout", "--drain-timeout", _NODES, _duration(0, 3600),
        "How long a node that was told to stop (SIGTERM, SIGINT, SIGHUP, ...) may take to finish its requests and to "
        "write what the persistent node lacks, 0 to 60m.",
        "30s", "SECONDS",
    ),
    Setting("log_level", "--log-level", _NODES, _one_of(*logs.LEVELS), f"What the log shows: {', '.join(logs.LEVELS)}. "
            "debug adds a line for each connection and each batch between the tiers; the others show one line a minute "
            "of each kind that a client can cause as often as it likes.",
            "info", "LEVEL"),
    Setting(
        "log_format", "--log-format", _NODES, _one_of(*logs.FORMATS),
        "How the log on stderr looks: text, or json with one object a line.",
        "text", "FORMAT",
    ),
    Setting("timeout", "--timeout", ("shell", "status", "verify"), _duration(0.01, 600), "How long a node may take to "
            "answer a command, 10ms to 10m.", "10s", "SECONDS"),
    Setting("timeout", "--timeout", ("ping",), _duration(0.01, 600), "How long the connection and the answer may take "
            "together, 10ms to 10m.", "1s", "SECONDS"),
    Setting("format", "--format", ("status",), _one_of("text", "json"), "What is printed: text, a line for each "
            "figure, or json, one object.", "text", "FORMAT"),
    Setting("sample", "--sample", ("verify",), parse_sample, "How many records to compare, chosen by chance: 1 to "
            "1000000, or all.", ALL, "RECORDS"),
    Setting("history", "--history", ("shell",), parse_history, "Where the prompt keeps what was typed; /dev/null for "
            "nowhere. A line that begins with a space is not kept.", "~/.ckv_history", "FILE"),
    Setting("json", "--json", ("shell",), bool, "Print each result as one line of JSON."),
    Setting("stdin", "--stdin", ("shell",), bool, "The last argument of <command> is what stdin holds, to the byte: a "
            "str where that is UTF-8, else a bin.", short="x"),
)  # fmt: skip


def settings_of(role: Role) -> list[Setting]:
    """What a role takes, in the order of its page."""
    return [setting for setting in SETTINGS if role in setting.roles]


# --- from the command line and the environment to settings -----------------------------------------------------------

Arguments = Mapping[str, Any]
"""What docopt makes of a command line: names as in the table; text, lists of text, or ``None``."""


def primary_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> PrimarySettings:
    """The settings of a primary; raises :class:`BadSetting`."""
    settings = PrimarySettings(**_read("primary", arguments, environ))
    for index, address in enumerate(settings.secondaries):
        if address in settings.secondaries[:index]:
            raise BadSetting(f"<secondary>: {str(address)!r} is given twice: allowed is each secondary once")
    return settings


def secondary_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> SecondarySettings:
    """The settings of a secondary; raises :class:`BadSetting`."""
    settings = SecondarySettings(**_read("secondary", arguments, environ))
    if settings.write_mode != "evict" and settings.persistent == NO_TIER:
        raise BadSetting(f"--write-mode: {settings.write_mode!r} needs a persistent node: allowed without is evict")
    if settings.pending_max_bytes < settings.max_value_bytes:
        # A value that fits no bound would wait in vain, whatever --pending-wait says.
        raise BadSetting(
            f"--pending-max-bytes: {show_size(settings.pending_max_bytes)} is less than the longest value: allowed is "
            f"--max-value-bytes, {show_size(settings.max_value_bytes)}, and more"
        )
    return settings


def shell_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> ShellSettings:
    """The settings of the shell; raises :class:`BadSetting`."""
    values = _read("shell", arguments, environ)
    command = tuple(arguments.get("<command>") or ())
    if values["stdin"] and not command:
        raise BadSetting("--stdin: there is no command: allowed is --stdin with a <command>")
    return ShellSettings(
        Address(values["host"], values["port"]),
        values["timeout"], values["history"], values["json"], values["stdin"], command,
    )  # fmt: skip


def status_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> StatusSettings:
    """The settings of ``status``; raises :class:`BadSetting`."""
    values = _read("status", arguments, environ)
    return StatusSettings(Address(values["host"], values["port"]), values["timeout"], values["format"])


def ping_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> PingSettings:
    """The settings of ``ping``; raises :class:`BadSetting`."""
    values = _read("ping", arguments, environ)
    return PingSettings(Address(values["host"], values["port"]), values["timeout"])


def verify_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> VerifySettings:
    """The settings of ``verify``; raises :class:`BadSetting`."""
    values = _read("verify", arguments, environ)
    return VerifySettings(
        Address(values["host"], values["port"]), values["persistent"], values["timeout"], values["sample"]
    )


def demo_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> DemoSettings:
    """The settings of the demo; raises :class:`BadSetting`."""
    if arguments["<host>"] is None:
        return DemoSettings(None)
    values = _read("demo", arguments, environ)
    return DemoSettings(Address(values["host"], values["port"]))


def _read(role: Role, arguments: Arguments, environ: Mapping[str, str]) -> dict[str, Any]:
    """The checked value of everything that the role takes, by field."""
    values: dict[str, Any] = {}
    for setting in settings_of(role):
        source = setting.name
        given: Any = arguments.get(setting.name)
        if setting.is_flag:
            values[setting.field] = bool(given)
            continue
        twin = setting.environment
        if given is None and twin is not None and twin in environ:
            source, given = twin, environ[twin]
        if given is None:
            given = setting.default
        try:
            values[setting.field] = tuple(map(setting.parse, given)) if setting.many else setting.parse(given)
        except BadSetting as error:
            raise BadSetting(f"{source}: {error}") from None
    return values
