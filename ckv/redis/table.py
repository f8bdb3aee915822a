"""The table of Redis commands, and what makes those of a node of its methods.

The commands, COMMAND and ``docs/redis.md`` are made from it. A command is there where the methods are that it needs.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from ckv.protocol.handler import Handler
from ckv.protocol.limits import Limits
from ckv.protocol.resp.methods import Connected, RespCommand, RespMethods
from ckv.redis import about, connection, expiry, keyspace, many, scripts, strings, transactions
from ckv.redis.refused import no_command
from ckv.redis.row import Facts, Row, counted

ROWS: Final[dict[str, Row]] = {
    row.name: row
    for row in (
        *(*strings.ROWS, *expiry.ROWS, *many.ROWS, *keyspace.ROWS, *transactions.ROWS, *scripts.ROWS),
        *(*connection.ROWS, *about.ROWS),
    )
}
"""All commands by their names, in lower case."""


def had_by(methods: Mapping[str, object]) -> dict[str, Row]:
    """Those of a node with these methods."""
    return {name: row for name, row in ROWS.items() if methods.keys() >= set(row.needs)}


def for_node(
    limits: Limits,
    now: Callable[[], float] = time.time,
    *,
    keys_max: int,
    next_turn: Callable[[Callable[[], None]], object],
) -> Callable[[Mapping[str, Handler]], RespMethods]:
    """What makes the commands of handlers; the clients of all that it makes are numbered together.

    ``keys_max`` and ``next_turn``: see :class:`ckv.redis.row.Facts`. ``now``: the time of day in seconds of the epoch.
    """
    connected = Connected()
    run_id = secrets.token_hex(20)
    started = now()
    loaded: dict[bytes, scripts.Script] = {}

    def made(handlers: Mapping[str, Handler]) -> RespMethods:
        rows = had_by(handlers)
        facts = Facts(handlers, limits, connected, rows, run_id, started, now, keys_max, next_turn, loaded)
        commands = {
            name: RespCommand(counted(row, row.make(facts)), frozenset(row.needs)) for name, row in rows.items()
        }
        return RespMethods(commands, limits, connected, no_command)

    return made
