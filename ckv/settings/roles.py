"""What each role is started with, and how it is read from the command line and the environment.

An option on the command line beats its environment twin, which beats the default. A bad value raises
:class:`~ckv.errors.BadSetting` with one line that names it and says what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ckv.address import Address
from ckv.errors import BadSetting
from ckv.roles import RoleName
from ckv.settings.parsers import NO_TIER, Policy, WriteMode
from ckv.settings.table import settings_of
from ckv.units import show_size

Arguments = Mapping[str, Any]
"""What docopt makes of a command line: names as in the table; text, lists of text, or ``None``."""


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

    ``persistent`` is the address as it was given, :data:`NO_TIER` for none; :mod:`ckv.persistent.opening` checks it.
    """

    primary: Address
    port: int
    persistent: str
    capacity: int
    memory_max: int
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


def primary_settings(arguments: Arguments, environ: Mapping[str, str] = os.environ) -> PrimarySettings:
    """The settings of a primary; raises :class:`BadSetting`."""
    if not arguments["<secondary>"]:
        raise BadSetting("<secondary>: none is given: allowed is one address or more, such as localhost:8081")
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
    if 0 < settings.memory_max < settings.max_value_bytes:
        raise BadSetting(
            f"--memory-max: {show_size(settings.memory_max)} is less than the longest value: allowed is 0, or "
            f"--max-value-bytes, {show_size(settings.max_value_bytes)}, and more"
        )
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


def _read(role: RoleName, arguments: Arguments, environ: Mapping[str, str]) -> dict[str, Any]:
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


READERS: Final[Mapping[RoleName, Callable[[Arguments, Mapping[str, str]], Any]]] = {
    "primary": primary_settings,
    "secondary": secondary_settings,
    "shell": shell_settings,
    "status": status_settings,
    "ping": ping_settings,
    "verify": verify_settings,
    "demo": demo_settings,
}
"""Role to the function that reads its settings."""
