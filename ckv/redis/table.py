"""The table of Redis commands, and what makes those of a node of its methods.

The commands, COMMAND and ``docs/redis.md`` are made from it. A command is there where the methods are that it needs.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from ckv.commands import STEP_METHODS
from ckv.protocol.handler import Handler
from ckv.protocol.limits import Limits
from ckv.protocol.resp.methods import CarryOut, Connected, RespCommand, RespMethods, shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.slow import NEVER, SlowLog
from ckv.redis import (
    about,
    channels,
    cluster,
    connection,
    expiry,
    flushing,
    keyspace,
    many,
    scripts,
    strings,
    transactions,
    watching,
)
from ckv.redis.noted import Noting
from ckv.redis.permits import checked
from ckv.redis.placing import Placing
from ckv.redis.refused import no_command
from ckv.redis.row import Facts, Logins, Row, counted, keys_in
from ckv.redis.subscribers import Channels
from ckv.security.rights import Rights

ROWS: Final[dict[str, Row]] = {
    row.name: row
    for row in (
        *(*strings.ROWS, *expiry.ROWS, *many.ROWS, *keyspace.ROWS, *flushing.ROWS, *transactions.ROWS),
        *(*watching.ROWS, *scripts.ROWS, *channels.ROWS, *cluster.ROWS, *connection.ROWS, *about.ROWS),
    )
}
"""All commands by their names, in lower case."""


NOTED: Final = STEP_METHODS | {"EXEC"}
"""The methods of the node that EXEC has carried out as one step."""


def had_by(methods: Mapping[str, object]) -> dict[str, Row]:
    """Those of a node with these methods."""
    return {name: row for name, row in ROWS.items() if methods.keys() >= set(row.needs)}


def method_of(row: Row) -> str:
    """The method that a command is carried out by; empty for none. Those of several keys call it once for each.

    >>> method_of(ROWS["get"]), method_of(ROWS["decr"]), method_of(ROWS["exists"]), method_of(ROWS["echo"])
    ('GET', 'INCRBY', 'EXISTS', '')
    """
    own = row.name.upper()
    return own if own in STEP_METHODS else next(iter(row.needs), "")


def _keys_of(request: Request) -> int:
    """How many keys a request names."""
    row = ROWS.get(shown(request[0]).lower())
    return len(keys_in(row, request)) if row is not None else 0


class MakeCommands(Protocol):
    """Makes the commands of the handlers of a node, for users with these rights, or for whoever has to log in.
    ``counts_keys``: the keys of each request are counted."""

    def __call__(
        self,
        handlers: Mapping[str, Handler],
        /,
        rights: Rights | None = None,
        logins: Logins | None = None,
        *,
        counts_keys: bool = False,
    ) -> RespMethods: ...


def for_node(
    limits: Limits,
    now: Callable[[], float] = time.time,
    *,
    subscribers: Channels | None = None,
    placing: Placing | None = None,
    slow: SlowLog = NEVER,
    keys_max: int,
    next_turn: Callable[[Callable[[], None]], object],
) -> MakeCommands:
    """What makes the commands of handlers; the clients of all that it makes are numbered together, and have the same
    channels.

    ``keys_max`` and ``next_turn``: see :class:`ckv.redis.row.Facts`. ``placing``: what the node tells clients that go
    to the owners of keys; without it there are none. ``slow``: where is noted what took long. ``now``: the time of day
    in seconds of the epoch.
    """
    of_node = subscribers if subscribers is not None else Channels()
    places = placing or Placing()
    connected = Connected()
    run_id = secrets.token_hex(20)
    started = now()
    loaded: dict[bytes, scripts.Script] = {}
    for name, row in ROWS.items():
        slow.latencies.name(name, method_of(row))

    def made(
        handlers: Mapping[str, Handler],
        /,
        rights: Rights | None = None,
        logins: Logins | None = None,
        *,
        counts_keys: bool = False,
    ) -> RespMethods:
        rows = had_by(handlers)
        noting: dict[str, CarryOut] = {}
        own = (limits, connected, rows, run_id, started, now, keys_max, next_turn, loaded, of_node, places, noting)
        facts = Facts(handlers, *own, logins, rights, slow)
        told = replace(facts, handlers={**handlers, **{name: Noting(name) for name in NOTED & handlers.keys()}})
        if "EXEC" in handlers:
            noting |= {name: row.make(told) for name, row in rows.items() if not NOTED.isdisjoint(row.needs)}
        commands = {
            name: RespCommand(counted(row, checked(facts, row, row.make(facts))), frozenset(row.needs))
            for name, row in rows.items()
        }
        return RespMethods(commands, limits, connected, no_command, slow, _keys_of if counts_keys else None)

    return made
