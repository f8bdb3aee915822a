"""Clusters of three nodes that become five, and then two, while clients go on: ckv's, and Valkey's."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import redis

from bench import newest
from bench.data import record
from bench.generator import Load, run
from bench.servers import Servers, answers
from ckv.cluster.slots import SLOTS, slot_of
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes
from tests.support.ports import free_port
from tests.system.registered import Joined

FIRST: Final = ("a", "b", "c")
MORE: Final = ("d", "e")
PATIENCE: Final = 300.0
"""Seconds that a change may take."""
PIECE: Final = 1000
"""Records in one pipeline."""


class Growing(Protocol):
    """What the part measures."""

    name: str
    port: int
    """Where its clients begin."""

    def fill(self, keys: int) -> None:
        """Puts so many records."""

    def grow(self) -> None:
        """Three become five: returns when each has its share."""

    def shrink(self) -> None:
        """The first three leave."""


class Ckv:
    """A primary and secondaries that join it, over one database, in the mode ``behind``."""

    def __init__(self, nodes: Nodes, database: MariaDB, name: str, capacity: int) -> None:
        self.name = name
        self._joined = Joined(nodes, database, "behind", cluster_clients=True, capacity=capacity, pool_size=4)
        self.port = self._joined.primary.port
        self._add(*FIRST)

    def fill(self, keys: int) -> None:
        run(Load(keys=keys).prefill(), "msgpack", self.port)

    def grow(self) -> None:
        self._add(*MORE)

    def shrink(self) -> None:
        for name in FIRST:
            self._joined.secondaries[name].terminate()
        self._joined.wait_level(*MORE, timeout=PATIENCE)

    @property
    def worst_pause(self) -> float:
        """Seconds that requests of a slot waited at most while it moved."""
        return float(self._joined.figures()["cluster_worst_pause_seconds"])

    def _add(self, *names: str) -> None:
        self._joined.add(*names)
        self._joined.wait_level(*self._joined.secondaries, timeout=PATIENCE)


class Valkey:
    """Valkey in cluster mode, whose slots are moved by its own atomic migration (CLUSTER MIGRATESLOTS, from 9.0 on)."""

    name = newest.VALKEY

    def __init__(self, servers: Servers, program: Sequence[str]) -> None:
        self._servers = servers
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="ckv-bench-valkey-")
        self._ports: dict[str, int] = {}
        self._buses: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._owned: dict[str, list[range]] = {}
        for name in (*FIRST, *MORE):
            self._start(name)
        bounds = [SLOTS * part // len(FIRST) for part in range(len(FIRST) + 1)]
        for name, (begin, end) in zip(FIRST, pairwise(bounds), strict=True):
            self._ask(name, "CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
            self._owned[name] = [range(begin, end)]
        for number, name in enumerate(self._ports, 1):
            self._ask(name, "CLUSTER", "SET-CONFIG-EPOCH", number)
        for name in list(self._ports)[1:]:
            self._ask(name, "CLUSTER", "MEET", "127.0.0.1", self._ports["a"], self._buses["a"])
        self.port = self._ports["a"]
        self._wait_agreed()

    def __enter__(self) -> Valkey:
        return self

    def __exit__(self, *_: object) -> None:
        """Forgets its files. The servers end with the others."""
        self._folder.cleanup()

    def fill(self, keys: int) -> None:
        for start in range(0, keys, PIECE):
            by_owner: defaultdict[str, dict[str, str]] = defaultdict(dict)
            for key, value in map(record, range(start, min(keys, start + PIECE))):
                by_owner[self._owner(slot_of(key))][key] = value
            for name, records in by_owner.items():
                pipeline = self._client(name).pipeline(transaction=False)
                for key, value in records.items():
                    pipeline.set(key, value)
                pipeline.execute()

    def grow(self) -> None:
        share = SLOTS // (len(FIRST) + len(MORE))
        moves = {}
        for name in FIRST:
            (owned,) = self._owned[name]
            self._owned[name], moves[name] = [owned[:share]], owned[share:]
        self._move(moves)

    def shrink(self) -> None:
        self._move({name: slots for name in FIRST for slots in self._owned.pop(name)})

    def _move(self, moves: dict[str, range]) -> None:
        """Half of the slots of each source goes to each of the two that are added."""
        for source, slots in moves.items():
            middle = len(slots) // 2
            arguments: list[object] = []
            for part, target in zip((slots[:middle], slots[middle:]), MORE, strict=True):
                arguments += ["SLOTSRANGE", part.start, part.stop - 1, "NODE", self._ids[target]]
                self._owned.setdefault(target, []).append(part)
            self._ask(source, "CLUSTER", "MIGRATESLOTS", *arguments)
        eventually(lambda: all(map(self._has_moved, moves)), PATIENCE, "the slots have moved")
        self._wait_agreed()

    def _has_moved(self, source: str) -> bool:
        states = [_fields(job)[b"state"] for job in self._ask(source, "CLUSTER", "GETSLOTMIGRATIONS")]
        if {b"failed", b"cancelled"} & set(states):
            raise RuntimeError(f"a migration of {self.name} failed: {states}")
        return all(state == b"success" for state in states)

    def _owner(self, slot: int) -> str:
        return next(name for name, owned in self._owned.items() if any(slot in slots for slots in owned))

    def _start(self, name: str) -> None:
        port, bus, folder = free_port(), free_port(), Path(self._folder.name, name)
        folder.mkdir()
        self._servers.start(
            [
                *self._program,
                *("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)),
                *("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "5000"),
                *("--cluster-require-full-coverage", "no"),
            ],
            answers(port, b"PING\r\n", b"+PONG"),
        )
        self._ports[name], self._buses[name] = port, bus
        self._ids[name] = self._ask(name, "CLUSTER", "MYID").decode()

    def _wait_agreed(self) -> None:
        """Until all nodes name the same owner for all slots."""

        def agree() -> bool:
            told = [sorted(map(_of_range, self._ask(name, "CLUSTER", "SLOTS"))) for name in self._ports]
            up = all(b"cluster_state:ok" in self._ask(name, "CLUSTER", "INFO") for name in self._ports)
            count = sum(end - begin + 1 for begin, end, _ in told[0])
            return up and count == SLOTS and all(each == told[0] for each in told)

        eventually(agree, PATIENCE, "all nodes know all slots")

    def _client(self, name: str) -> redis.Redis:
        return redis.Redis(port=self._ports[name])

    def _ask(self, name: str, *command: object) -> Any:
        with self._client(name) as client:
            client.set_response_callback("CLUSTER SLOTS", lambda response, **_: response)
            return client.execute_command(*command)


def _fields(job: Any) -> dict[bytes, Any]:
    """A map of RESP2."""
    return job if isinstance(job, dict) else dict(zip(job[::2], job[1::2], strict=True))


def _of_range(row: Any) -> tuple[int, int, int]:
    """Its first and last slot, and the port of its owner."""
    begin, end, owner = row[:3]
    return (begin, end, owner[1])
