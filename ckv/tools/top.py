"""``ckv top``: a whole cluster in the terminal, refreshed each second."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from textwrap import wrap
from typing import Final

from ckv.client import Client
from ckv.errors import CkvError, to_wire
from ckv.exits import Exit
from ckv.settings.roles import TopSettings
from ckv.tools.asking import ask
from ckv.tools.overview import MARK, Seen, survey, table

EVERY: Final = 1.0
"""Seconds between two looks."""

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""Goes to the terminal's other screen, and hides the cursor."""

_LEAVE: Final = "\x1b[?25h\x1b[?1049l"

_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K\r\n"
_END_OF_SCREEN: Final = "\x1b[J"


def run(settings: TopSettings) -> int:
    """Shows the cluster until Ctrl-C, or once; the exit code."""
    if settings.once or not sys.stdout.isatty():
        return ask(settings, lambda client: _once(client, str(settings.address)))
    try:
        return ask(settings, lambda client: _watch(client, str(settings.address)))
    except KeyboardInterrupt:
        return Exit.FINE


def _look(client: Client, address: str) -> list[Seen]:
    """What all nodes say; the one that is asked has the address that it was asked by."""
    return [replace(seen, address=seen.address or address) for seen in survey(client)]


def _once(client: Client, address: str) -> None:
    before, began = _look(client, address), time.monotonic()
    time.sleep(EVERY)
    now = _look(client, address)
    print("\n".join(table(before, now, time.monotonic() - began)))


def _watch(client: Client, address: str) -> None:
    before, began = _look(client, address), time.monotonic()  # what fails at the beginning is no screen
    sys.stdout.write(_ENTER)
    try:
        while True:
            lines = table(before, before, 0.0)
            time.sleep(EVERY)
            try:
                now, at = _look(client, address), time.monotonic()
                lines = table(before, now, at - began)
                before, began = now, at
            except CkvError as error:
                lines = [f"! {address}: {to_wire(error)}", "", *lines]
            _draw([f"ckv top   {address}   {time.strftime('%Y-%m-%d %H:%M:%S')}   Ctrl-C ends it", "", *lines])
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
