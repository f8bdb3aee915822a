"""A move of slots while clients go on, and the source, the target or the leader dies at a certain step of it.

Nothing that was acknowledged is lost, nothing older comes back, and the move is carried out in the end.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ckv import Client
from ckv.errors import Refused
from ckv.tools.slots import read
from tests.failures.clients import Clients, record
from tests.failures.linearizability import Fate, Kind, by_key, linearize, smallest
from tests.support.dying import AFTER, BEFORE
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes
from tests.system.coordinated import client
from tests.system.registered import SETTLE, SLOTS

KEYS = [f"key {number}" for number in range(40)]
CALLS = 200
"""That are answered before the move begins, and again when all is over."""
PATIENCE = 60.0

MOVES = "ckv.node.moves:Moves"
MEMBER = "ckv.cluster.member:Member"
MOVE = "ckv.cluster.moving:Move"
ROUTING = "ckv.node.routing:Routing"
MEMORY = "ckv.cluster.memory:Memory"
MYSQL = "ckv.persistent.mysql.coordinator:MySQLCoordinator"

SOURCE = {
    "is asked to prepare": (BEFORE, f"{MOVES}._prepare"),
    "is prepared, and says so": (BEFORE, f"{MOVES}._prepared"),
    "is asked to freeze": (BEFORE, f"{MOVES}._start_freeze"),
    "is frozen": (AFTER, f"{MOVES}._start_freeze"),
    "has released, and does not say so": (AFTER, f"{MEMBER}.released"),
    "is told of the new map": (BEFORE, f"{MEMBER}.released", f"{MOVES}._map"),
    "drops its copies": (BEFORE, f"{MEMBER}.released", f"{MOVES}._drop"),
}
TARGET = {
    "is in the map, without a slot": (AFTER, f"{MOVES}._map"),
    "is told of the new map": (BEFORE, f"{MOVES}._map", f"{MOVES}._map"),
    "has the new map": (AFTER, f"{MOVES}._map", f"{MOVES}._map"),
}
LEADER = {
    "has planned it": (AFTER, f"{MOVE}.__init__"),
    "hears that it is prepared": (BEFORE, f"{MOVE}.freeze"),
    "hears that it is released": (BEFORE, f"{MOVE}.owners"),
    "has published the new map": (AFTER, f"{MOVE}.owners", f"{ROUTING}.take"),
}
DECISION = {"is about to have the new map kept": BEFORE, "has had the new map kept, and told nobody": AFTER}


@dataclass
class Dying:
    """A process that dies at a step, and its file."""

    file: Path

    def command(self, when: str, *places: str) -> list[str]:
        return [sys.executable, "-m", "tests.support.dying", str(self.file), ">".join(places), when]

    def wait(self, node: Node) -> None:
        """Until it is dead, as it was told to."""
        assert node.wait(PATIENCE) == -signal.SIGKILL
        assert self.file.exists()


@pytest.fixture
def dying(tmp_path: Path) -> Dying:
    return Dying(tmp_path / "has died")


class Cluster:
    """What the tests have in common: it is begun with one secondary, and the move is to the second one."""

    def __init__(self, nodes: Nodes, mariadb: MariaDB, mode: str) -> None:
        self._nodes = nodes
        self._mode = mode
        self._mariadb = mariadb
        self.primaries: list[Node] = []

    def start_primary(self, *, coordinated: bool = False, command: Sequence[str] = ()) -> Node:
        way = [f"--coordinator=mysql://{self._mariadb.address}"] if coordinated else []
        name = f"primary {len(self.primaries)}"
        primary = self._nodes.start_primary(options=[f"--settle={SETTLE}", *way], command=command, name=name)
        self.primaries.append(primary)
        return primary

    def start_secondary(self, name: str, *, command: Sequence[str] = ()) -> Node:
        return self._nodes.start_secondary(
            primary=",".join(primary.address for primary in self.primaries),
            persistent=self._mariadb.address,
            options=[f"--write-mode={self._mode}", f"--name={name}"],
            command=command,
            name=name,
        )

    def wait_level(self, *names: str) -> None:
        """Until these have all slots, by what the primary says that leads."""

        def level() -> bool:
            for primary in self.primaries:
                if primary.running:
                    with suppress(Refused), client(primary) as asked:
                        counts = {row[0]: row[5] for row in read(asked)[0] if row[5]}
                        assert counts == dict.fromkeys(names, SLOTS // len(names)), counts
                        return True
            return False

        eventually(level, PATIENCE, f"the slots are those of {', '.join(names)}")


@pytest.fixture
def cluster(nodes: Nodes, mariadb: MariaDB) -> Cluster:
    """In the mode ``evict``: the records of a move are in its source alone, until it has handed them over."""
    return Cluster(nodes, mariadb, "evict")


@pytest.fixture
def cluster_through(nodes: Nodes, mariadb: MariaDB) -> Cluster:
    """In the mode ``through``, in which the death of a node that has records may cost nothing."""
    return Cluster(nodes, mariadb, "through")


def answered(clients: Clients, calls: int) -> None:
    """Waits until so many calls more are answered."""
    before = clients.answered
    eventually(lambda: clients.answered >= before + calls, PATIENCE, f"{calls} calls are answered")


class Recorded:
    """Clients of a primary, whose calls have an order that explains every answer."""

    def __init__(self, primary: Node) -> None:
        self._primary = primary
        self.clients = Clients(primary.port, KEYS, count=4, seed=1, timeout=5.0)

    def __enter__(self) -> Clients:
        self.clients.start()
        answered(self.clients, CALLS)
        return self.clients

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.clients.stop()
        if kind is None:
            self._judge()

    def _judge(self) -> None:
        with Client("127.0.0.1", self._primary.port, timeout=PATIENCE) as asked:
            calls = [*self.clients.calls, *(record(asked, Kind.GET, key) for key in KEYS)]
        assert all(call.fate is Fate.ANSWERED for call in calls[-len(KEYS) :])
        wrong = [history for history in by_key(calls).values() if linearize(history) is None]
        assert not wrong, "\n".join(map(str, smallest(wrong[0])))


def die_in_the_move(cluster: Cluster, dying: Dying, node: Node) -> None:
    """Begins the move, in which ``node`` dies, and starts it again."""
    with Recorded(cluster.primaries[0]) as clients:
        cluster.start_secondary("b")
        dying.wait(node)
        node.start()
        cluster.wait_level("a", "b")
        answered(clients, CALLS)


@pytest.mark.parametrize("step", SOURCE)
def test_the_source_dies(cluster_through: Cluster, dying: Dying, step: str) -> None:
    cluster_through.start_primary()
    source = cluster_through.start_secondary("a", command=dying.command(*SOURCE[step]))
    cluster_through.wait_level("a")
    die_in_the_move(cluster_through, dying, source)


@pytest.mark.parametrize("step", TARGET)
def test_the_target_dies(cluster: Cluster, dying: Dying, step: str) -> None:
    primary = cluster.start_primary()
    cluster.start_secondary("a")
    cluster.wait_level("a")
    with Recorded(primary) as clients:
        target = cluster.start_secondary("b", command=dying.command(*TARGET[step]))
        dying.wait(target)
        target.start()
        cluster.wait_level("a", "b")
        answered(clients, CALLS)


@pytest.mark.parametrize("step", [*LEADER, *DECISION])
def test_the_only_primary_dies(cluster: Cluster, dying: Dying, step: str) -> None:
    primary = cluster.start_primary(command=dying.command(*leaders_step(step, MEMORY)))
    cluster.start_secondary("a")
    cluster.wait_level("a")
    die_in_the_move(cluster, dying, primary)


@pytest.mark.parametrize("step", [*LEADER, *DECISION])
def test_the_leading_primary_dies(cluster: Cluster, dying: Dying, step: str) -> None:
    leader = cluster.start_primary(coordinated=True, command=dying.command(*leaders_step(step, MYSQL)))
    follower = cluster.start_primary(coordinated=True)
    cluster.start_secondary("a")
    cluster.wait_level("a")
    with Recorded(follower) as clients:
        cluster.start_secondary("b")
        dying.wait(leader)
        cluster.wait_level("a", "b")
        answered(clients, CALLS)
        leader.start()


def leaders_step(name: str, authority: str) -> tuple[str, ...]:
    """When and where it dies: ``authority`` keeps the map."""
    return LEADER[name] if name in LEADER else (DECISION[name], f"{MOVE}.owners", f"{authority}.replace")
