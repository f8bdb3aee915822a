"""What each role is started with, and how it is read from the command line and the environment.

An option on the command line beats its environment twin, which beats the file (:mod:`ckv.settings.file`), and that
beats the default. A bad value raises :class:`~ckv.errors.BadSetting` with one line that names it and says what is
allowed. All times are in seconds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ckv.address import Address, is_loopback
from ckv.errors import BadSetting
from ckv.masking import quoted
from ckv.roles import RoleName
from ckv.security.account import NODE_PASSWORD, PASSWORD, Account, account
from ckv.security.rights import Level
from ckv.settings import file, tls
from ckv.settings.parsers import NO_TIER, Policy, WriteMode
from ckv.settings.table import Setting, settings_of
from ckv.units import show_size

if TYPE_CHECKING:
    from ckv.security.certificates import Certificates
    from ckv.security.users import UsersFile
    from ckv.tls import Tls


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What any node is started with."""

    port: int
    bind: str
    http: Address | None
    max_connections: int
    max_value_bytes: int
    keys_max: int
    slow_time: float
    allow_flush: bool
    drain_timeout: float
    log_level: str
    log_format: str
    config: Path | None
    users: UsersFile | None = field(default=None, kw_only=True)
    account: Account | None = field(default=None, kw_only=True)
    """As whom it logs in at other nodes; None for nobody."""
    certificates: Certificates | None = field(default=None, kw_only=True)
    """Those of TLS; None without."""
    insecure: bool = field(default=False, kw_only=True)
    """Whether everybody who reaches it may do everything."""
    source: file.Source | None = field(default=None, kw_only=True, compare=False, repr=False)
    """Where it is read again; None where there is no file of options."""

    @property
    def rereads(self) -> bool:
        """Whether there are options or a secret to be read again."""
        return self.source is not None or (self.account is not None and self.account.file is not None)

    def check_reach(self) -> None:
        """Raises BadSetting where others than this machine would reach it, and it would not ask who they are."""
        if self.users is None and not self.insecure and not is_loopback(self.bind):
            raise BadSetting(
                f"--bind: {self.bind!r} without users: whoever reaches the node may do everything:"
                " allowed with --users, or with --insecure"
            )


@dataclass(frozen=True, slots=True)
class PrimarySettings(NodeSettings):
    """What a primary is started with."""

    secondaries: tuple[Address, ...]
    call_timeout: float
    node_wait: float
    settle: float
    move_slots: int
    cluster_clients: bool
    coordinator: str
    advertise: str
    follow: Address | None

    def __post_init__(self) -> None:
        if self.coordinator != NO_TIER and self.secondaries:
            raise BadSetting(
                f"--coordinator: {quoted(self.coordinator)} with a list of secondaries, by which all is decided:"
                " allowed is either"
            )
        if self.follow is not None and (self.secondaries or self.coordinator != NO_TIER):
            other = "a list of secondaries" if self.secondaries else "--coordinator"
            raise BadSetting(f"--follow: {str(self.follow)!r} with {other}: allowed is either")
        for index, address in enumerate(self.secondaries):
            if address in self.secondaries[:index]:
                raise BadSetting(f"<secondary>: {str(address)!r} is given twice: allowed is each secondary once")


@dataclass(frozen=True, slots=True)
class SecondarySettings(NodeSettings):
    """What a secondary is started with.

    ``persistent`` is the address as it was given, :data:`NO_TIER` for none; :mod:`ckv.persistent.opening` checks it.
    """

    primaries: tuple[Address, ...]
    name: str
    persistent: str
    capacity: int
    memory_max: int
    policy: Policy
    pool_size: int
    write_mode: WriteMode
    write_delay: float
    write_batch: int
    load_timeout: float
    pending_max: int
    pending_max_bytes: int
    pending_wait: float
    warm_rate: int

    def __post_init__(self) -> None:
        if self.write_mode != "evict" and self.persistent == NO_TIER:
            raise BadSetting(f"--write-mode: {self.write_mode!r} needs a persistent node: allowed without is evict")
        longest = f"--max-value-bytes, {show_size(self.max_value_bytes)}, and more"
        if 0 < self.memory_max < self.max_value_bytes:
            less = f"{show_size(self.memory_max)} is less than the longest value"
            raise BadSetting(f"--memory-max: {less}: allowed is 0, or {longest}")
        if self.pending_max_bytes < self.max_value_bytes:
            # A value that fits no bound would wait in vain, whatever --pending-wait says.
            less = f"{show_size(self.pending_max_bytes)} is less than the longest value"
            raise BadSetting(f"--pending-max-bytes: {less}: allowed is {longest}")


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What any role that asks a node is started with: the node, and how long it may take."""

    address: Address
    timeout: float
    account: Account | None = field(default=None, kw_only=True)
    """As whom it logs in; None for nobody."""
    tls: Tls | None = field(default=None, kw_only=True)
    """Whom it trusts; None without TLS."""


@dataclass(frozen=True, slots=True)
class PingSettings(ToolSettings):
    """What ``ping`` is started with."""

    ready: bool = False


@dataclass(frozen=True, slots=True)
class DrainSettings(ToolSettings):
    """What ``drain`` is started with."""

    name: str


@dataclass(frozen=True, slots=True)
class RebalanceSettings(ToolSettings):
    """What ``rebalance`` is started with."""

    switch: str


@dataclass(frozen=True, slots=True)
class ShellSettings(ToolSettings):
    """What the shell is started with."""

    history: Path
    json: bool = False
    stdin: bool = False
    command: tuple[str, ...] = ()
    """One command with its arguments, to be run instead of what is typed; empty for none."""

    def __post_init__(self) -> None:
        if self.stdin and not self.command:
            raise BadSetting("--stdin: there is no command: allowed is --stdin with a <command>")


@dataclass(frozen=True, slots=True)
class StatusSettings(ToolSettings):
    """What ``status`` is started with."""

    format: str


@dataclass(frozen=True, slots=True)
class VerifySettings(ToolSettings):
    """What ``verify`` is started with; ``sample`` is ``None`` for all records."""

    persistent: str
    sample: int | None


@dataclass(frozen=True, slots=True)
class OwnerSettings(ToolSettings):
    """What ``owner`` is started with."""

    key: str


@dataclass(frozen=True, slots=True)
class MostSettings(ToolSettings):
    """What ``hot`` and ``big`` are started with: how many keys to show."""

    count: int


@dataclass(frozen=True, slots=True)
class ExportSettings(ToolSettings):
    """What ``export`` is started with: the cursor to begin with."""

    resume: int


@dataclass(frozen=True, slots=True)
class ImportSettings(ToolSettings):
    """What ``import`` is started with; ``resume`` is how many lines to leave out."""

    resume: int
    overwrite: bool


@dataclass(frozen=True, slots=True)
class TopSettings(ToolSettings):
    """What ``top`` is started with."""

    once: bool
    clients: bool


@dataclass(frozen=True, slots=True)
class ConfigSettings:
    """What ``config`` is started with."""

    action: str
    file: Path | None

    def __post_init__(self) -> None:
        if self.action == "sample":
            if self.file is not None:
                raise BadSetting(f"<file>: {str(self.file)!r} with sample: allowed is none")
        elif self.file is None:
            raise BadSetting(f"<file>: missing: allowed is the path of a file, to {self.action}")


@dataclass(frozen=True, slots=True)
class UserSettings:
    """What ``user`` is started with."""

    action: str
    file: Path
    user: str
    level: Level
    keys: tuple[str, ...]
    rate: int
    bytes_in_flight: int
    connections: int
    chosen: bool

    def __post_init__(self) -> None:
        if self.action == "list":
            if self.user:
                raise BadSetting(f"<user>: {self.user!r} with list, which shows all: allowed is none")
        elif not self.user:
            raise BadSetting(f"<user>: missing: allowed is the name of a user, to {self.action}")
        if self.keys and self.level in ("admin", "node"):
            raise BadSetting(f"--keys: {self.level} with prefixes of keys: allowed with read and write")
        limits = {
            "--rate": self.rate, "--bytes-in-flight": self.bytes_in_flight, "--connections": self.connections,
        }  # fmt: skip
        if self.level == "node" and (named := [name for name, limit in limits.items() if limit]):
            raise BadSetting(f"{named[0]}: node with limits: allowed with read, write and admin")


@dataclass(frozen=True, slots=True)
class CompletionSettings:
    """What ``completion`` is started with."""

    shell: str


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo is started with: the cluster to use, or ``None`` for one of its own."""

    address: Address | None


_NOTHING: Final[Mapping[str, str | bool]] = {}

CLASSES: Final[Mapping[RoleName, type]] = {
    "primary": PrimarySettings,
    "secondary": SecondarySettings,
    "shell": ShellSettings,
    "status": StatusSettings,
    "ping": PingSettings,
    "verify": VerifySettings,
    "slots": ToolSettings,
    "drain": DrainSettings,
    "rebalance": RebalanceSettings,
    "owner": OwnerSettings,
    "hot": MostSettings,
    "big": MostSettings,
    "flush": ToolSettings,
    "export": ExportSettings,
    "import": ImportSettings,
    "top": TopSettings,
    "config": ConfigSettings,
    "user": UserSettings,
    "completion": CompletionSettings,
    "demo": DemoSettings,
}


def read(role: RoleName, arguments: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Any:
    """The settings of a role, as its class in :data:`CLASSES`. Raises BadSetting.

    ``arguments`` is what docopt makes of a command line: names as in the table; text, lists of text, or ``None``.
    """
    if role == "demo" and arguments["<host>"] is None:
        return DemoSettings(None)
    values: dict[str, Any] = {}
    known = settings_of(role)
    named = [setting for setting in known if setting.name == file.OPTION]
    path = parsed(named[0], *given(named[0], arguments, environ)) if named else None
    options = file.read(path)[role] if path is not None else {}
    typed: dict[str, Any] = {}
    for setting in known:
        source, value = given(setting, arguments, environ, options, path)
        values[setting.field] = parsed(setting, source, value)
        typed[setting.name] = value
    if "password_file" in values:
        variable = NODE_PASSWORD if role in ("primary", "secondary") else PASSWORD
        values["account"] = account(values.pop("login"), values.pop("password_file"), environ, variable)
    if "tls_plain" in values:
        values["certificates"] = tls.of_node(*(values.pop(name) for name in tls.OF_NODES))
    elif "tls_ca" in values:
        values["tls"] = tls.of_tool(*(values.pop(name) for name in tls.OF_ALL))
    if "host" in values:
        values["address"] = Address(values.pop("host"), values.pop("port"))
    if role == "shell":
        values["command"] = tuple(arguments.get("<command>") or ())
    if path is not None:
        values["source"] = file.Source(role, typed, partial(read, role, arguments, environ))
    chosen = CLASSES[role](**values)
    if isinstance(chosen, NodeSettings):
        chosen.check_reach()
    return chosen


def given(
    setting: Setting,
    arguments: Mapping[str, Any],
    environ: Mapping[str, str],
    options: Mapping[str, str | bool] = _NOTHING,
    path: Path | None = None,
) -> tuple[str, Any]:
    """Where the value of a setting comes from, as it is named in an error, and the value as it was typed there.
    ``options``: those of the file at ``path``."""
    value: Any = arguments.get(setting.name)
    twin = setting.environment
    if value is not None and value is not False:  # docopt's for an option without a value that was not given
        return setting.name, value
    if twin is not None and twin in environ:
        return twin, environ[twin]
    if setting.name in options:
        return f"{path}: {setting.name.removeprefix('--')}", options[setting.name]
    return setting.name, setting.default if value is None else value


def parsed(setting: Setting, source: str, value: Any) -> Any:
    """What a value means that was typed there. Raises BadSetting."""
    try:
        return tuple(map(setting.parse, value)) if isinstance(value, list) else setting.parse(value)
    except BadSetting as error:
        raise BadSetting(f"{source}: {error}") from None
