"""``ckv verify``: audits a secondary against its database, while both go on working.

Node and database are asked one after the other, and somebody may write in between. So what seems to differ is looked at
again: the node, the database, the node. It is reported only if it differs each time that the node said the same before
and after, and that at least :data:`NEEDED` times of :data:`LOOKS`.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import Final

from ckv.client import Client
from ckv.errors import BadSetting, CkvError, ProtocolError, TierError, to_wire
from ckv.exits import Exit
from ckv.node.auditing import DIGEST_BYTES, MAX_COUNT, digest
from ckv.persistent import Loaded, Session
from ckv.persistent.opening import open_tier
from ckv.settings.parsers import NO_TIER
from ckv.settings.roles import VerifySettings
from ckv.tools import status
from ckv.tools.asking import client_of
from ckv.values import Value, to_bytes, to_text

LOOKS: Final = 6
"""How often something that seems to differ is looked at again."""

NEEDED: Final = 3
"""How often it must have differed then, beyond the doubt of a write in between, to be reported."""

PEEKS: Final = 100
"""Keys that are asked for in one go: with the largest values, more would keep the node from its clients for long."""

PAUSE: Final = 0.05
"""Seconds between two looks: longer than most commits take."""

Said = tuple[str, bytes]
"""What the node says of a key: where its current value is, and the digest."""

Row = tuple[Value, int]
"""What the database has: the value, and when it expires, in milliseconds of the epoch; 0 for never."""

_BOUND: Final = ("clean", "absent")
"""Places (:data:`ckv.store.Where`) from which follows what the database must have; keys elsewhere are only counted."""

_PLACES: Final = ("clean", "dirty", "pending", "parked", "tombstone", "absent")


def run(settings: VerifySettings) -> int:
    """Audits, and prints what differs and a summary; the exit code. Raises BadSetting."""
    tier = open_tier(settings.persistent)
    try:
        with client_of(settings) as client:
            _check_node(settings, client)
            with closing(tier.connect(prepare=False)) as session:
                return Audit(client, session).run(settings.sample)
    except BadSetting:
        raise
    except CkvError as error:
        why = f"database {tier.name}: {error}" if isinstance(error, TierError) else to_wire(error)
        print(f"ckv: cannot verify: {why}", file=sys.stderr)
        return Exit.CANNOT_START


def _check_node(settings: VerifySettings, client: Client) -> None:
    info = status.read(client)
    if info.get("role") != "secondary":
        raise BadSetting(f"<port>: {settings.address} is a {info.get('role')}: allowed is a secondary")
    if info.get("persistent_node") == NO_TIER:
        raise BadSetting(f"<port>: {settings.address} has no persistent node: there is nothing to compare it with")


class Audit:
    """One audit of one node."""

    def __init__(self, client: Client, session: Session) -> None:
        self._client = client
        self._session = session
        self._counts: Counter[str] = Counter()
        self._differing = self._unsettled = 0

    def run(self, sample: int | None) -> int:
        """Checks all keys that the node knows, or that many, taken by chance; the exit code."""
        for batch in self._all() if sample is None else self._some(sample):
            self._check(batch)
        counts = ", ".join(f"{self._counts[place]} {place}" for place in _PLACES)
        unsettled = f", {self._unsettled} changing too fast to tell" if self._unsettled else ""
        print(f"checked {sum(self._counts.values())}: {counts}; {self._differing} differing{unsettled}")
        return Exit.FAILED if self._differing else Exit.FINE

    def _all(self) -> Iterator[dict[str, Said]]:
        cursor = 0
        while True:
            match self._client.call("AUDIT", cursor, MAX_COUNT):
                case [int() as cursor, [*entries]]:
                    yield dict(map(_scanned, entries))
                case other:
                    raise ProtocolError(f"an AUDIT was answered with {type(other).__name__}")
            if cursor == 0:
                return

    def _some(self, count: int) -> Iterator[dict[str, Said]]:
        # Each key gets the same chance, without a list of all keys.
        chosen = heapq.nlargest(count, chain.from_iterable(self._all()), key=lambda _: random.random())
        for start in range(0, len(chosen), PEEKS):
            said = self._peek(chosen[start : start + PEEKS])
            yield {key: of for key, of in said.items() if of[0] != "elsewhere"}

    def _peek(self, keys: Sequence[str]) -> dict[str, Said]:
        found: dict[str, Said] = {}
        for start in range(0, len(keys), PEEKS):
            some = keys[start : start + PEEKS]
            pipeline = self._client.pipeline()
            for key in some:
                pipeline.call("PEEK", key)
            found.update(_scanned([key, *answer]) for key, answer in zip(some, pipeline.execute(), strict=True))
        return found

    def _check(self, batch: Mapping[str, Said]) -> None:
        self._counts.update(where for where, _ in batch.values())
        bound = [key for key, (where, _) in batch.items() if where in _BOUND]
        rows = _rows(self._session.load_all(bound)) if bound else {}
        suspects = sorted(key for key, said in batch.items() if _difference(said, rows.get(key)) is not None)
        found: dict[str, list[str]] = {key: [] for key in suspects}
        for _ in range(LOOKS):
            if not suspects:
                return
            time.sleep(PAUSE)
            before, rows, after = self._peek(suspects), _rows(self._session.load_all(suspects)), self._peek(suspects)
            for key in suspects.copy():
                what = _difference(before[key], rows.get(key))
                if what is None or _difference(after[key], rows.get(key)) is None:
                    suspects.remove(key)
                elif before[key] == after[key]:
                    found[key].append(f"{before[key][0]}: {what}")
        for key in suspects:
            if len(found[key]) >= NEEDED:
                self._differing += 1
                print(f"differs: {json.dumps(key)} {found[key][-1]}")  # the key as one word of ASCII
            else:
                self._unsettled += 1


def _scanned(entry: object) -> tuple[str, Said]:
    match entry:
        case [str() as key, str() as where, bytes() as said]:
            return key, (where, said)
    raise ProtocolError("an AUDIT or PEEK was answered with something else than a place and a digest")


def _rows(loaded: Loaded) -> dict[str, Row]:
    return {key: (value, loaded.expires.get(key, 0)) for key, value in loaded.found.items()}


def _difference(said: Said, found: Row | None) -> str | None:
    """How the row contradicts what the node says; None when it does not."""
    where, told = said
    row, expires = found or (None, 0)
    if where == "absent":
        is_there = row is not None and not 0 < expires <= 1000 * time.time()  # what has expired is purged some day
        return "the database has a row" if is_there else None
    if where != "clean":
        return None
    if row is None:
        return "the database has no row"
    expected = told[:DIGEST_BYTES]
    if digest(row) == expected:
        return None if digest(row, expires) == told else "the database has another expiry"
    other, kinds = (to_bytes(row), "str for bin") if isinstance(row, str) else (to_text(row), "bin for str")
    return f"the database has another {f'type, {kinds}' if digest(other) == expected else 'value'}"
