"""Manual pages of the program and of each of its roles, made from the tables that ``--help`` is made from.

python build/manpages.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ckv
from ckv.exits import EXIT_CODES
from ckv.roles import ROLES, Role
from ckv.settings.table import Setting, settings_of

SECTION: Final = "1"


def main(arguments: list[str]) -> int:
    """Writes them; the exit code."""
    (folder,) = map(Path, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
    return 0


def pages() -> dict[str, str]:
    """The pages in troff, by the names of their files. They have no date, so that they change when their text does."""
    found = {f"ckv.{SECTION}": _page("ckv", _of_all())}
    for role in ROLES.values():
        found[f"ckv-{role.name}.{SECTION}"] = _page(f"ckv-{role.name}", _of_role(role))
    return found


def _page(name: str, lines: Iterable[str]) -> str:
    head = f'.TH {escaped(name.upper())} {SECTION} "" "ckv {escaped(ckv.__version__)}" "User Commands"'
    return "\n".join([head, *lines, ""])


def _of_all() -> Iterator[str]:
    yield from (".SH NAME", escaped("ckv - a distributed key-value store: hot records in memory, all others in MySQL"))
    yield ".SH SYNOPSIS"
    for role in ROLES.values():
        yield from (f".B ckv {role.name}", escaped(role.usage), ".br")
    yield ".SH ROLES"
    for role in ROLES.values():
        yield from (".TP", f".BR ckv\\-{role.name} ({SECTION})", escaped(role.summary))
    yield from _exit_codes()


def _of_role(role: Role) -> Iterator[str]:
    yield from (".SH NAME", escaped(f"ckv-{role.name} - {role.summary.rstrip('.')}"))
    yield from (".SH SYNOPSIS", f".B ckv {role.name}", escaped(role.usage))
    yield ".SH DESCRIPTION"
    yield from _paragraphs(role.about)
    known = settings_of(role.name)
    for title, settings in (
        ("ARGUMENTS", [setting for setting in known if not setting.is_option]),
        ("OPTIONS", [setting for setting in known if setting.is_option]),
    ):
        if settings:
            yield f".SH {title}"
        for setting in settings:
            yield from (".TP", f".B {escaped(setting.title)}", escaped(_explained(setting)))
    yield from _exit_codes()
    yield from (".SH SEE ALSO", f".BR ckv ({SECTION})")


def _explained(setting: Setting) -> str:
    notes = [] if setting.default is None else [f"Default: {setting.default}."]
    if setting.environment:
        notes.append(f"Environment: {setting.environment}.")
    return " ".join([setting.help, *notes])


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield ".PP"
        if paragraph.startswith(" "):
            yield from (".nf", *map(escaped, paragraph.splitlines()), ".fi")
        else:
            yield from map(escaped, paragraph.splitlines())


def _exit_codes() -> Iterator[str]:
    yield from (".SH EXIT STATUS", ".nf", *map(escaped, EXIT_CODES.splitlines()), ".fi")


def escaped(line: str) -> str:
    """A line of text for troff, in which nothing is a request.

    >>> escaped(".a-b \\\\n")
    '\\\\&.a\\\\-b \\\\en'
    """
    text = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
