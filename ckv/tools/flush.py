"""``ckv flush``: makes the database complete, while nodes go on serving."""

from __future__ import annotations

import time
from typing import Final

from ckv.client import Client
from ckv.errors import CallTimeout, ProtocolError, RowsRefused
from ckv.node.saving import BEGIN
from ckv.settings.roles import ToolSettings
from ckv.tools import progress
from ckv.tools.asking import ask

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds between two looks how far it is, which grow: nodes with users log each of them."""


def run(settings: ToolSettings) -> int:
    """Returns when the database has all that was accepted before; the exit code."""
    return ask(settings, lambda client: _flush(client, settings.timeout))


def _flush(client: Client, timeout: float) -> None:
    ticket, before, pause = BEGIN, (0, -1), FIRST_PAUSE
    with progress.shown("saved") as show:
        while True:
            ticket, saved, left, refused = _asked(client, ticket)
            show(saved, saved + left)
            if not left:
                break
            now = time.monotonic()
            if (saved, left) != before:
                before, deadline = (saved, left), now + timeout
            elif now >= deadline:
                raise CallTimeout(f"the database has taken nothing for {timeout:g} s, and lacks about {left} records")
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)
    print(f"{saved} records were written", flush=True)
    if refused:
        raise RowsRefused(f"the database refuses {refused} records: see parked_records of ckv status")


def _asked(client: Client, ticket: str) -> tuple[str, int, int, int]:
    match client.call("SAVE", ticket):
        case [str() as ticket, int() as saved, int() as left, int() as refused]:
            return ticket, saved, left, refused
    raise ProtocolError("a SAVE was not answered with a ticket and three numbers")
