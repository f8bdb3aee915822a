"""Clusters that secondaries join, as real processes, and clients that use one while it changes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.cluster import RedisCluster

from ckv import Client
from ckv.errors import CkvError
from ckv.tools.slots import read
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import DEFAULT_CAPACITY, Node, Nodes

SLOTS = 16_384
SETTLE = "200ms"


class Joined:
    """A primary without a list, and secondaries that have come to it."""

    def __init__(
        self,
        nodes: Nodes,
        mariadb: MariaDB | Path | None,
        mode: str = "evict",
        *options: str,
        cluster_clients: bool = False,
        database: str = "",
        capacity: int = DEFAULT_CAPACITY,
        pool_size: int = 1,
        primary_options: Sequence[str] = (),
        primary_command: Sequence[str] = (),
    ) -> None:
        """``mariadb``: None for nodes that keep records in memory alone, a folder for those of which each has a file
        of SQLite in it. ``options``, ``capacity`` and ``pool_size``: those of all secondaries. ``database``: where
        their table is, if not where it is by default."""
        self._nodes = nodes
        self._persistent = "-"
        self._folder = mariadb if isinstance(mariadb, Path) else None
        if isinstance(mariadb, MariaDB):
            self._persistent = f"mysql://root:password@{mariadb.address}/{database}" if database else mariadb.address
        self._options = [f"--write-mode={mode}", *options]
        self._capacity = capacity
        self._pool_size = pool_size
        clients = ["--cluster-clients"] if cluster_clients else []
        self.primary = nodes.start_primary(
            options=[f"--settle={SETTLE}", "--allow-flush", *clients, *primary_options], command=primary_command
        )
        self.secondaries: dict[str, Node] = {}

    def add(self, *names: str, ports: Mapping[str, int] | None = None) -> None:
        """Starts secondaries of these names, at free ports where none are given."""
        started = {name: self._start(name, port=(ports or {}).get(name, 0), wait=False) for name in names}
        for node in started.values():
            node.wait_ready()
        self.secondaries |= started

    def start_again(self, name: str, *, command: Sequence[str] = ()) -> Node:
        """Kills the secondary of this name, if it runs, and starts another process of it, at the same address and by
        this command: returns when that has joined."""
        before = self.secondaries[name]
        if before.running:
            before.kill()
        self.secondaries[name] = node = self._start(name, command, port=before.port)
        node.wait_for_log(" the cluster of ")
        return node

    def _start(self, name: str, command: Sequence[str] = (), *, port: int, wait: bool = True) -> Node:
        return self._nodes.start_secondary(
            primary=self.primary.address,
            port=port,
            persistent=f"sqlite:{self._folder / name}.db" if self._folder is not None else self._persistent,
            capacity=self._capacity,
            pool_size=self._pool_size,
            options=[*self._options, f"--name={name}", "--allow-flush"],
            command=command,
            name=name,
            wait=wait,
        )

    def slots(self) -> dict[str, int]:
        """How many slots each node has."""
        with self.client() as client:
            rows, _ = read(client)
        return {row[0]: row[5] for row in rows}

    def figures(self) -> dict[str, Any]:
        """INFO of the primary."""
        return info(self.primary)

    def wait_level(self, *names: str, timeout: float = 30.0) -> None:
        """Until these have all slots, as many as each should have."""

        def level() -> bool:
            slots = {name: count for name, count in self.slots().items() if count}
            assert slots.keys() == set(names), slots
            assert sum(slots.values()) == SLOTS, slots
            assert max(slots.values()) - min(slots.values()) <= 1, slots
            return True

        eventually(level, timeout, f"the slots are those of {', '.join(names)}")

    def check_third_joins_and_first_leaves(self) -> None:
        """Of ``a`` and ``b`` the one hands all over to ``c`` and the other, while clients go on."""
        load = Load(self.primary.port)
        self.add("c")
        self.wait_level("a", "b", "c")
        assert self.secondaries["a"].terminate() == 0
        self.wait_level("b", "c")
        load.stop()
        assert any("all slots are handed over" in line for line in self.secondaries["a"].log)

    def client(self, *, direct: bool = False) -> Client:
        return Client("127.0.0.1", self.primary.port, timeout=20, direct=direct)


def info(node: Node) -> dict[str, Any]:
    """INFO of a node."""
    with Client("127.0.0.1", node.port, timeout=20) as client:
        figures = client.call("INFO")
    assert isinstance(figures, dict)
    return figures


def wait_for_all(client: Client, expected: Mapping[str, str]) -> None:
    """Until each of these was read once, as it has to be."""
    left = dict(expected)

    def answered() -> bool:
        for key, value in list(left.items()):
            try:
                assert client.get(key) == value
            except CkvError:
                return False
            del left[key]
        return True

    eventually(answered, timeout=30.0, what="all keys are read again")


class ToPrimary(redis.Redis):
    """A client of Redis that asks the primary for everything."""

    def __init__(self, port: int) -> None:
        super().__init__(port=port, socket_timeout=20, decode_responses=True)

    def put_both(self, records: dict[str, str]) -> None:
        self.mset(records)

    def get_both(self, *keys: str) -> Any:
        return self.mget(*keys)


class ToOwners(RedisCluster):
    """One in cluster mode."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, socket_timeout=20, decode_responses=True)

    def put_both(self, records: dict[str, str]) -> None:
        self.mset_nonatomic(records)

    def get_both(self, *keys: str) -> Any:
        return self.mget_nonatomic(*keys)


class Load:
    """Threads that write and read, each its own keys, over msgpack-RPC and RESP, and check what they read."""

    def __init__(
        self, port: int, keys: int = 400, clients: int = 4, *, cluster_clients: bool = False, direct: bool = False
    ) -> None:
        """``cluster_clients``: those of Redis go to the owners of keys by themselves; ``direct``: the others do."""
        self._port = port
        self._direct = direct
        self._theirs: type[ToOwners | ToPrimary] = ToOwners if cluster_clients else ToPrimary
        self._stop = threading.Event()
        self.wrong: list[str] = []
        """Errors, and what was read and is not what was written."""
        self.calls = 0
        self.longest = 0.0
        """Seconds that one call has taken."""
        self.latest: dict[str, str] = {}
        """What was acknowledged last of each key."""
        self._threads = [
            threading.Thread(target=self._use, args=(number, [f"k:{key}" for key in range(number, keys, clients)]))
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def _use(self, number: int, keys: Sequence[str]) -> None:
        chance = random.Random(number)
        latest: dict[str, str] = {}
        with (
            Client("127.0.0.1", self._port, timeout=20, direct=self._direct) as ours,
            self._theirs(self._port) as theirs,
        ):
            while not self._stop.is_set():
                one, other = chance.sample(keys, 2)
                began = time.monotonic()
                try:
                    match chance.randrange(5):
                        case 0:
                            value = f"{len(latest)}.{self.calls}"
                            ours.put(one, value)
                            latest[one] = value
                        case 1:
                            value = f"{len(latest)}.{self.calls}"
                            theirs.put_both({one: value, other: value})
                            latest[one] = latest[other] = value
                        case 2:
                            self._check(one, theirs.get(one), latest)
                        case 3:
                            both = theirs.get_both(one, other)
                            self._check(one, both[0], latest)
                            self._check(other, both[1], latest)
                        case _:
                            self._check(one, ours.get(one), latest)
                except (CkvError, redis.RedisError) as error:
                    self.wrong.append(f"{type(error).__name__}: {error}")
                self.calls += 1
                self.longest = max(self.longest, time.monotonic() - began)
        self.latest |= latest

    def _check(self, key: str, found: object, latest: dict[str, str]) -> None:
        if _text(found) != latest.get(key):
            self.wrong.append(f"{key} is {found!r} and not {latest.get(key)!r}")

    def stop(self) -> None:
        """Ends them, and checks that nothing was wrong, and that all is there."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.wrong, (len(self.wrong), self.wrong[:5])
        with Client("127.0.0.1", self._port, timeout=20) as client:
            found = {key: client.get(key) for key in self.latest}
        lost = {key: (found[key], value) for key, value in self.latest.items() if _text(found[key]) != value}
        assert not lost, (len(lost), list(lost.items())[:5])


def _text(value: object) -> object:
    """A value, be it a bin, as clients of Redis write it, or a str."""
    return value.decode() if isinstance(value, bytes) else value
