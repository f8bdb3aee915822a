"""The row that several primaries share (:mod:`ckv.persistent.coordinator`), in ZooKeeper.

Below the path there are

    leader      {"term": 1795000007, "leader": "10.0.0.7:8080", "epoch": 12, "map": [1795000007, 12]}
    map         1795000007.12, a space, and the map, as bytes
    primaries   an ephemeral node for each of them

``leader`` is the row but for the map itself; its beat is the version that ZooKeeper gives the node. All that changes it
names the version by which that was decided, and the map changes in one transaction with it. So the row is replaced by
compare-and-set, as in a database, and nobody leads by a session, which the servers may think alive while its client has
stopped: a primary leads for as long as its own clock says that nobody can have waited for long enough
(:mod:`ckv.cluster.election`).

``map`` in the row says which map belongs to it. Whoever reads the one after the other sees by that whether they are of
one time.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError

from ckv import events
from ckv.errors import Forbidden, TierUnavailable
from ckv.persistent.coordinator import State
from ckv.persistent.zookeeper.address import Ensemble
from ckv.persistent.zookeeper.connection import ZooKeeper

log = logging.getLogger(__name__)

LARGEST_MAP: Final = 1_000_000
"""Bytes. A request may have 1,048,575 in all (``jute.maxbuffer``); the servers end the connection where it has more."""

ATTEMPTS: Final = 5
"""How often something is decided anew, where the row changed meanwhile."""

Version = tuple[int, int]
"""Term and epoch."""


class _Row(NamedTuple):
    term: int
    leader: str
    epoch: int
    map: Version | None
    """The version under which the map was made that belongs to it."""

    @property
    def version(self) -> Version:
        return self.term, self.epoch

    def packed(self) -> bytes:
        return json.dumps(self._asdict()).encode()


class ZooKeeperCoordinator:
    """The row in ZooKeeper, over one session."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble: Final = ensemble
        self._own: Final = ZooKeeper(ensemble)
        self._at_row: Final = f"{ensemble.path}/leader"
        self._at_map: Final = f"{ensemble.path}/map"
        self._at_primaries: Final = f"{ensemble.path}/primaries"

    @property
    def name(self) -> str:
        return self._ensemble.name

    @property
    def local_host(self) -> str:
        return self._own.local_host

    def look(self, known: Version) -> State:
        with self._own.use() as client:
            row, beat = self._read(client)
            for _ in range(ATTEMPTS):
                if row.map is None or row.version == known:
                    return State(row.term, row.leader, beat, row.epoch, row.map is None, None)
                packed = self._map(client, row)
                if packed is not None:
                    return State(row.term, row.leader, beat, row.epoch, False, packed)
                client.sync(self._at_row)
                before, (row, beat) = beat, self._read(client)
                if beat == before:
                    # Somebody has removed it, or put another one there.
                    return State(row.term, row.leader, beat, row.epoch, True, None)
        raise TierUnavailable("the map changes all the time")

    def stand(self, name: str, term: int, leader: str, beat: int, known: Version = (0, 0)) -> State | None:
        with self._own.use() as client:
            row, version = self._read(client)
            if (row.term, row.leader, version) != (term, leader, beat):
                return None
            following = _Row(
                max(term, known[0]) + 1, name, max(row.epoch, known[1]) + 1, row.map if row.version >= known else None
            )
            if not self._write(client, following, beat):
                return None
            packed = self._map(client, following) if following.map is not None else None
            if self._read(client) != (following, beat + 1):
                return None
            return State(following.term, name, beat + 1, following.epoch, packed is None, packed)

    def beat(self, name: str, term: int) -> bool:
        with self._own.use() as client:
            return self._change(
                client,
                lambda row: (row.leader, row.term) == (name, term),
                lambda row, beat: self._write(client, row, beat),
            )

    def replace(self, name: str, expected: Version, following: Version, packed: bytes) -> bool:
        if len(packed) > LARGEST_MAP:
            raise Forbidden(f"a map of {len(packed)} bytes, and ZooKeeper takes {LARGEST_MAP} at most: too many nodes")
        with self._own.use() as client:
            return self._change(
                client,
                lambda row: (row.leader, row.version) == (name, expected),
                lambda _row, beat: self._write_both(
                    client, _Row(following[0], name, following[1], following), packed, beat
                ),
            )

    def step_down(self, name: str, term: int) -> None:
        with self._own.use() as client:
            self._change(
                client,
                lambda row: (row.leader, row.term) == (name, term),
                lambda row, beat: self._write(client, row._replace(leader=""), beat),
            )

    def attend(self, name: str) -> list[str]:
        with self._own.use() as client:
            client.ensure_path(self._at_primaries)
            # One of a session before this one goes with that, and is made anew at the next time.
            with suppress(NodeExistsError):
                client.create(f"{self._at_primaries}/{name}", ephemeral=True)
            return sorted(client.get_children(self._at_primaries))

    def close(self) -> None:
        self._own.close()

    # --- the row ---------------------------------------------------------------------------------------------------

    def _change(self, client: KazooClient, applies: Callable[[_Row], bool], write: Callable[[_Row, int], bool]) -> bool:
        """Has the row written, if it is as it has to be; whether it was. Also where what this primary had sent before,
        and given up, has changed it meanwhile."""
        for attempt in range(ATTEMPTS):
            row, beat = self._read(client)
            if applies(row):
                if write(row, beat):
                    return True
            elif attempt:
                return False
            # A server that is behind may have answered.
            client.sync(self._at_row)
        raise TierUnavailable("the row changes all the time")

    def _write(self, client: KazooClient, row: _Row, beat: int) -> bool:
        """Whether it was of that version, and is as given now."""
        try:
            client.set(self._at_row, row.packed(), version=beat)
        except BadVersionError:
            return False
        return True

    def _write_both(self, client: KazooClient, row: _Row, packed: bytes, beat: int) -> bool:
        """As :meth:`_write`, with the map that belongs to the row."""
        assert row.map is not None
        client.ensure_path(self._at_map)  # somebody may have taken it away
        transaction = client.transaction()
        transaction.set_data(self._at_row, row.packed(), version=beat)
        # Of whatever version: it changes only with the row.
        transaction.set_data(self._at_map, _stamp(row.map) + packed)
        # What keeps it from being done is answered, and not raised.
        for result in transaction.commit():
            if isinstance(result, BadVersionError):
                return False
            if isinstance(result, KazooException):
                raise result
        return True

    def _read(self, client: KazooClient) -> tuple[_Row, int]:
        """The row and its beat. Makes it where there is none."""
        try:
            data, stat = client.get(self._at_row)
        except NoNodeError:
            data, stat = self._make(client)
        try:
            return _row(json.loads(data)), stat.version
        except (ValueError, TypeError, KeyError) as error:
            raise TierUnavailable(f"what is at {self._at_row} is no row: {error}") from error

    def _make(self, client: KazooClient) -> Any:
        client.ensure_path(self._at_map)
        with suppress(NodeExistsError):
            client.create(self._at_row, _Row(int(time.time()), "", 0, None).packed())
            log.info(events.COORDINATOR_CREATED, self.name)
        # Where another primary was quicker, one that is behind may not have it yet.
        client.sync(self._at_row)
        return client.get(self._at_row)

    def _map(self, client: KazooClient, row: _Row) -> bytes | None:
        """The map that belongs to the row; None where there is another one, or none."""
        assert row.map is not None
        try:
            data, _ = client.get(self._at_map)
        except NoNodeError:
            return None
        stamp = _stamp(row.map)
        return bytes(data[len(stamp) :]) if data.startswith(stamp) else None


def _row(fields: Any) -> _Row:
    """Raises ValueError, TypeError or KeyError."""
    made = fields["map"]
    version = None if made is None else (int(made[0]), int(made[1]))
    return _Row(int(fields["term"]), str(fields["leader"]), int(fields["epoch"]), version)


def _stamp(version: Version) -> bytes:
    return b"%d.%d " % version
