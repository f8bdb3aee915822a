"""``ckv export``: all records, be they in memory or in the database, as lines of JSON on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final, cast

from ckv.client import Client
from ckv.client.calls import found
from ckv.errors import CkvError, ProtocolError, from_wire
from ckv.protocol.steps import answers_of, packed_requests
from ckv.settings.roles import ExportSettings
from ckv.tools import progress
from ckv.tools.asking import ask
from ckv.tools.records import Record, line_of
from ckv.values import Value

SCANNED: Final = 500
"""Keys that one SCAN looks at."""

READ: Final = 50
"""Records that are read in one go: with the longest values, more would take much memory."""

TRIES: Final = 3
"""How often records are read the quick way, before those of which the expiry changes all the time are read as steps."""

_NEVER, _NO_RECORD = -1, -2
"""What EXPIRETIME answers in the place of a time."""


def run(settings: ExportSettings) -> int:
    """Writes the lines; the exit code."""
    return ask(settings, lambda client: _export(client, settings.resume))


def _export(client: Client, cursor: int) -> None:
    with progress.shown("exported") as show:
        total, done = client.count() if not cursor else 0, 0
        while True:
            try:
                following, keys = _scanned(client, cursor)
                for start in range(0, len(keys), READ):
                    for record in read(client, keys[start : start + READ]):
                        print(line_of(record))
                        done += 1
                    show(done, max(done, total) if total else 0)
            except CkvError as error:
                sys.stdout.flush()
                if cursor:
                    raise type(error)(f"{error}; go on with --resume={cursor}") from None
                raise
            sys.stdout.flush()
            cursor = following
            if not cursor:
                return


def _scanned(client: Client, cursor: int) -> tuple[int, list[str]]:
    match client.call("SCAN", cursor, "*", SCANNED):
        case [int() as following, [*told]]:
            keys = [key for key in told if isinstance(key, str)]
            if len(keys) == len(told):
                return following, keys
    raise ProtocolError("a SCAN was answered with something else than a cursor and keys")


def read(client: Client, keys: list[str]) -> Iterator[Record]:
    """Those of the records that are there. The value and the expiry of each are of one moment: the value is asked for
    between two questions for the expiry, and all again where these are answered differently. That is twice as quick as
    a step, which always has both of one moment."""
    for _ in range(TRIES):
        pipeline = client.pipeline()
        for key in keys:
            pipeline.call("EXPIRETIME", key)
            pipeline.get(key)
            pipeline.call("EXPIRETIME", key)
        results = pipeline.execute()
        again = []
        for number, key in enumerate(keys):
            before, value, after = results[3 * number : 3 * number + 3]
            if before != after:
                again.append(key)
            else:
                yield from _record(key, value, after)
        if not (keys := again):
            return
    pipeline = client.pipeline()
    for key in keys:
        pipeline.call("EXEC", packed_requests([("GET", (key,)), ("EXPIRETIME", (key,))]))
    for key, result in zip(keys, pipeline.execute(), strict=True):
        yield from _record(key, *_answers(result))


def _record(key: str, value: Value | None, expires: object) -> Iterator[Record]:
    """The record, if there is one."""
    if not isinstance(expires, int):
        raise ProtocolError("an EXPIRETIME was not answered with a number")
    if value is not None and expires != _NO_RECORD:
        yield Record(key, value, 0 if expires == _NEVER else expires)


def _answers(result: object) -> tuple[Any, object]:
    """The value, or None, and the expiry in the result of such a step. Raises what the node answered in their place."""
    try:
        _, packed = cast(Any, result)
        (error, value), (other, expires) = answers_of(packed, 2)
    except (TypeError, ValueError):
        raise ProtocolError("an EXEC was not answered with the answers to two requests") from None
    if wrong := error or other:
        raise from_wire(wrong)
    return found(value, None), expires
