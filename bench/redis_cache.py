"""What Redis keeps of a trace when it has memory for so many records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis

from bench.servers import Contender

VALUE_BYTES: Final = 16 * 1024
"""Large beside the buffers of a connection, which count towards ``maxmemory`` too."""

LOOK_AND_FILL: Final = (
    "if redis.call('STRLEN', KEYS[1]) > 0 then return 1 end "  # a use, as GET is one, which brings no value along
    f"redis.call('SETRANGE', KEYS[1], {VALUE_BYTES - 1}, 'v') return 0"
)
"""A client that loads what it misses, in one request, so that many can be on their way. Redis evicts before each."""

WINDOW: Final = 500
"""Requests on their way."""

MOST_BESIDE: Final = 0.05
"""By what part the records that found room may be others than should have; by one they always may."""


def hit_ratio(server: Contender, records: int, trace: Sequence[str]) -> float:
    """The part of the calls that found their key, in a Redis that was empty and is used by nobody else.

    ``maxmemory`` is what it has in use with so many records. Raises AssertionError where others found room.
    """
    with redis.Redis(port=server.port, single_connection_client=True) as client:
        _empty(client, 0)
        _hits(client, [f"key {number}" for number in range(records)])
        _empty(client, client.info("memory")["used_memory"])
        hits = _hits(client, trace)
        found: Any = client.dbsize()
    assert abs(found - records) <= max(1, MOST_BESIDE * records), f"{found} records, not {records}"
    return hits / len(trace)


def _empty(client: redis.Redis, max_bytes: int) -> None:
    client.flushall()
    client.config_set("maxmemory", max_bytes)


def _hits(client: redis.Redis, keys: Sequence[str]) -> int:
    script = client.script_load(LOOK_AND_FILL)
    hits = 0
    for start in range(0, len(keys), WINDOW):
        with client.pipeline(transaction=False) as window:
            for key in keys[start : start + WINDOW]:
                window.evalsha(script, 1, key)
            hits += sum(window.execute())
    return hits
