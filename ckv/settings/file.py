"""The file with options of nodes, in TOML: ``write-mode = "through"`` for ``--write-mode=through``.

What stands before the first table is for each role that has such an option, what stands in ``[primary]`` and in
``[secondary]`` for that one alone, where it beats the other. An option on the command line beats its environment twin,
which beats the file, and that beats the default.
"""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ckv.errors import BadSetting
from ckv.masking import masked
from ckv.roles import ROLES, RoleName
from ckv.settings.table import Setting, settings_of
from ckv.spelling import nearest

OPTION: Final = "--config"
"""The option that names the file. It cannot stand in the file itself."""

NODES: Final[tuple[RoleName, ...]] = tuple(role.name for role in ROLES.values() if role.is_node)
"""The roles that a file can be for."""


class Source(NamedTuple):
    """What a node was started with, and how that is read again."""

    role: RoleName
    typed: Mapping[str, Any]
    """The values as they were typed, wherever that was, by the names of settings."""
    again: Callable[[], Any]
    """The settings of the role, read anew. Raises BadSetting."""


def options_of(role: RoleName) -> dict[str, Setting]:
    """What a file can say of a role, by the name that it has there."""
    return {
        setting.name.removeprefix("--"): setting
        for setting in settings_of(role)
        if setting.is_option and setting.name != OPTION
    }


def read(path: Path) -> dict[RoleName, dict[str, str | bool]]:
    """What the file says, by role and by the names of options as on a command line: ``--write-mode``.

    Values are as they would be typed; only what is no option, or no value, is refused here. Raises BadSetting.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise BadSetting(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path}: no TOML: {error}") from None
    tables = {name: content.pop(name, {}) for name in NODES}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise BadSetting(f"{path}: {name}: it is a table: allowed is [{name}]")
    _refuse_unknown(path, "", content, {name for role in NODES for name in options_of(role)} | {*NODES})
    found: dict[RoleName, dict[str, str | bool]] = {}
    for role, table in tables.items():
        known = options_of(role)
        _refuse_unknown(path, f"[{role}] ", table, known)
        of_all = {name: value for name, value in content.items() if name in known}
        found[role] = {
            known[name].name: _text(known[name], value, f"{path}: {name}")
            for name, value in {**of_all, **table}.items()
        }
    return found


def _refuse_unknown(path: Path, where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    for name in table:
        if name not in known:
            near = nearest(name, known)
            meant = f" (did you mean {near}?)" if near else ""
            raise BadSetting(f"{path}: {where}{name}: no such option{meant}")


def _text(setting: Setting, value: object, source: str) -> str | bool:
    """The value as on a command line, true or false for an option that takes none. Raises BadSetting."""
    is_flag = not setting.unit
    if isinstance(value, bool):
        if is_flag:
            return value
    elif isinstance(value, (str, int, float)) and not is_flag:
        return str(value)
    allowed = "true or false" if is_flag else "text or a number"
    raise BadSetting(f"{source}: {masked(repr(value))} is {type(value).__name__}: allowed is {allowed}")


def sample() -> str:
    """A file with all options, each explained and commented out."""
    shared = options_of(NODES[0]).keys() & options_of(NODES[1]).keys()
    lines = ["# Options of ckv: remove the # before what is to be set, and start nodes with --config=FILE.", ""]
    lines += _explained(setting for name, setting in options_of(NODES[0]).items() if name in shared)
    for role in NODES:
        lines += [f"[{role}]", ""]
        lines += _explained(setting for name, setting in options_of(role).items() if name not in shared)
    return "\n".join(lines).rstrip() + "\n"


def _explained(settings: Iterable[Setting]) -> Iterator[str]:
    for setting in settings:
        text = setting.help + (" It changes at SIGHUP." if setting.changes else "")
        yield from textwrap.wrap(text, 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        yield f"#{written(setting, setting.default if setting.unit else False)}"
        yield ""


def written(setting: Setting, value: str | bool | None) -> str:
    """The line of the file that says so."""
    # A string of JSON may be one of TOML, too.
    shown = str(value).lower() if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
    return f"{setting.name.removeprefix('--')} = {shown}"
