"""``ckv top``: a whole cluster in the terminal, refreshed each second; with ``--clients`` who asks it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from textwrap import wrap
from typing import Final, Protocol

from ckv.client import Client
from ckv.errors import CkvError, to_wire
from ckv.exits import Exit
from ckv.settings.roles import TopSettings
from ckv.tools.asking import ask
from ckv.tools.clients import Clients
from ckv.tools.overview import MARK, Seen, survey, table

EVERY: Final = 1.0
"""Seconds between two looks."""

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""Goes to the terminal's other screen, and hides the cursor."""

_LEAVE: Final = "\x1b[?25h\x1b[?1049l"

_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K\r\n"
_END_OF_SCREEN: Final = "\x1b[J"


class Watched(Protocol):
    """What is shown."""

    def look(self, client: Client) -> None:
        """Asks. Raises what the client raises."""

    def lines(self) -> Sequence[str]:
        """What the last look has found; what is counted is that of the time since the one before. After one that
        failed there may be none."""


class Nodes:
    """The figures of all nodes."""

    def __init__(self, asked: str) -> None:
        """``asked``: the address of the node that is asked, which does not know by which it was found."""
        self._asked = asked
        self._before: list[Seen] = []
        self._now: list[Seen] = []
        self._began = self._at = 0.0

    def look(self, client: Client) -> None:
        """See :class:`Watched`, as for the other one."""
        self._before, self._began = self._now, self._at
        self._now = [replace(seen, address=seen.address or self._asked) for seen in survey(client)]
        self._at = time.monotonic()

    def lines(self) -> Sequence[str]:
        return table(self._before, self._now, self._at - self._began)


def run(settings: TopSettings) -> int:
    """Shows the cluster until Ctrl-C, or once; the exit code."""
    asked = str(settings.address)
    watched = Clients(asked) if settings.clients else Nodes(asked)
    if settings.once or not sys.stdout.isatty():
        return ask(settings, lambda client: _once(client, watched))
    try:
        return ask(settings, lambda client: _watch(client, watched, asked))
    except KeyboardInterrupt:
        return Exit.FINE


def _once(client: Client, watched: Watched) -> None:
    watched.look(client)
    time.sleep(EVERY)
    watched.look(client)
    print("\n".join(watched.lines()))


def _watch(client: Client, watched: Watched, address: str) -> None:
    watched.look(client)  # what fails at the beginning is no screen
    sys.stdout.write(_ENTER)
    try:
        while True:
            time.sleep(EVERY)
            failed = []
            try:
                watched.look(client)
            except CkvError as error:
                failed = [f"{MARK}{address}: {to_wire(error)}", ""]
            title = f"ckv top   {address}   {time.strftime('%Y-%m-%d %H:%M:%S')}   Ctrl-C ends it"
            _draw([title, "", *failed, *watched.lines()])
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _draw(lines: Sequence[str]) -> None:
    """As many of them as there is room for, over what is there, so that nothing flickers."""
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    shown = fitted(lines, columns)[: max(rows - 1, 1)] if columns else lines
    sys.stdout.write(_HOME + "".join(line + _END_OF_LINE for line in shown) + _END_OF_SCREEN)
    sys.stdout.flush()


def fitted(lines: Sequence[str], columns: int) -> list[str]:
    """So wide at most: what is wrong is told to its end, on several lines, and of others the beginning is shown.

    >>> fitted(["node  role", "! a: it cannot serve"], 12)
    ['node  role', '! a: it', '  cannot', '  serve']
    """
    fit: list[str] = []
    for line in lines:
        fit += wrap(line, columns, subsequent_indent="  ") if line.startswith(MARK) else [line[:columns]]
    return fit
