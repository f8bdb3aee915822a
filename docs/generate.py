"""Writes the pages that are made from the program's own tables: docs/commands.md and docs/configuration.md.

python docs/generate.py          # writes them
python docs/generate.py --check  # exit code 1 when they are not up to date
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from ckv.cli import EXIT_CODES  # noqa: E402 - the line above makes it importable from a bare checkout
from ckv.commands import COMMANDS  # noqa: E402
from ckv.settings import SETTINGS  # noqa: E402

NOTE = "<!-- Made by docs/generate.py; do not edit. -->\n"


def commands() -> str:
    """The command table as a page."""
    rows = "\n".join(
        f"| `{command.usage}` | {command.help} | {command.result} | "
        f"{'the node itself' if command.key is None else 'the owner of the key'} |"
        for command in COMMANDS.values()
    )
    return f"""\
{NOTE}
# Commands

How they travel says [protocol.md](protocol.md). All of them work at a primary and directly at a secondary.

| command | what it does | what it answers | who answers |
|---|---|---|---|
{rows}
"""


def configuration() -> str:
    """Arguments and options as a page."""

    def row(setting: object) -> str:
        assert isinstance(setting, type(SETTINGS[0]))
        name = f"`{setting.name}={setting.unit}`" if setting.is_option else f"`{setting.name}`"
        default = "required" if setting.default is None else f"`{setting.default}`"
        twin = f"`{setting.environment}`" if setting.environment else ""
        return f"| {name} | {', '.join(setting.roles)} | {default} | {twin} | {setting.help} |"

    arguments = "\n".join(row(setting) for setting in SETTINGS if not setting.is_option)
    options = "\n".join(row(setting) for setting in SETTINGS if setting.is_option)
    return f"""\
{NOTE}
# Configuration

A role without arguments prints its usage page. An option beats its environment variable, which beats the default. A
bad value is refused at start with one line that names it and says what is allowed.

Durations take `ms`, `s` and `m`; sizes take `k`, `M`, `G` (powers of 1000) and `KiB`, `MiB`, `GiB`.

## Arguments

| argument | roles | default | | |
|---|---|---|---|---|
{arguments}

## Options

| option | roles | default | environment | |
|---|---|---|---|---|
{options}

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

All secondaries may share one database, for each key has one owner. Nobody else may write to the table while ckv runs:
what is in memory, and what is known not to exist, would not hear of it.

## Exit codes

```
{EXIT_CODES}```

## Logs

On stderr, one line per event (`--log-format`, `--log-level`). These are the ones that an operator waits for:

| line | means |
|---|---|
| `secondary ready on ...`, `primary ready on ...` | it listens; the rest of the line says what it is |
| `peer ... connected`, `lost`, `back`, `cannot be reached` | a primary and one of its secondaries |
| `database connected`, `lost`, `back`, `cannot be reached` | a secondary and its persistent node |
| `row refused by the database and parked` | the record stays readable and is not saved; the reason follows |
| `drain begun`, `drain: N records to save`, `drain done`, `drain not finished ... N records left unsaved` | the end |
"""


PAGES = {"commands.md": commands, "configuration.md": configuration}


def main(arguments: list[str]) -> int:
    """Writes or checks the pages; the exit code."""
    stale = [name for name, make in PAGES.items() if not _is(DOCS / name, make())]
    if arguments == ["--check"]:
        for name in stale:
            print(f"docs/{name} is not up to date: run docs/generate.py")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name]())
        print(f"docs/{name} written")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
