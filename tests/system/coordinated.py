"""Clusters with several primaries, as real processes: they share a row in MariaDB, or in ZooKeeper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckv import Client
from ckv.errors import CkvError
from ckv.tools.slots import read
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes
from tests.support.ports import free_port
from tests.system.registered import SETTLE, SLOTS


class Coordinated:
    """Primaries that elect one of them, and secondaries that have come to it."""

    def __init__(
        self,
        nodes: Nodes,
        mariadb: MariaDB,
        mode: str = "through",
        *,
        primaries: int = 2,
        coordinators: Sequence[str] = (),
    ) -> None:
        """``coordinators``: by which address each primary, or all of them, reach the row, if not as the records; one of
        MariaDB may be without ``mysql://``."""
        self._nodes = nodes
        self._persistent = mariadb.address
        self._mode = mode
        ways = [*(coordinators or [mariadb.address])] * primaries
        ports = [free_port() for _ in range(primaries)]
        self.primaries = [
            nodes.start_primary(
                port=port,
                options=[f"--settle={SETTLE}", f"--coordinator={way if '://' in way else f'mysql://{way}'}"],
                name=f"primary {number}",
            )
            for number, (port, way) in enumerate(zip(ports, ways, strict=False))
        ]
        self.secondaries: dict[str, Node] = {}

    def add(self, *names: str, of: Sequence[Node] = ()) -> None:
        """Starts secondaries of these names, which are given these primaries, or all of them."""
        for name in names:
            self.secondaries[name] = self._nodes.start_secondary(
                primary=",".join(node.address for node in of or self.primaries),
                persistent=self._persistent,
                options=[f"--write-mode={self._mode}", f"--name={name}"],
                name=name,
            )

    def leader(self, timeout: float = 15.0) -> Node:
        """The one that leads; waits until there is one that says so, and all others agree."""
        found: list[Node] = []

        def agreed() -> bool:
            running = [primary for primary in self.primaries if primary.running]
            told = [info(primary) for primary in running]
            found[:] = [primary for primary, figures in zip(running, told, strict=True) if figures["cluster_leads"]]
            assert len(found) == 1, [figures["cluster_leader"] for figures in told]
            assert {figures["cluster_leader"] for figures in told} == {found[0].address}
            return True

        eventually(agreed, timeout, "one primary leads")
        return found[0]

    def followers(self, leader: Node) -> list[Node]:
        """The others that run."""
        return [primary for primary in self.primaries if primary is not leader and primary.running]

    def wait_level(self, *names: str, timeout: float = 30.0) -> None:
        """Until these have all slots, as many as each should have, by what all primaries know."""

        def level() -> bool:
            leader = self.leader()
            with client(leader) as asked:
                rows, figures = read(asked)
            counts = {row[0]: row[5] for row in rows if row[5]}
            assert counts.keys() == set(names), counts
            assert sum(counts.values()) == SLOTS, counts
            assert max(counts.values()) - min(counts.values()) <= 1, counts
            maps = {primary.name: info(primary)["cluster_map"] for primary in self.followers(leader)}
            assert all(version == figures["cluster_map"] for version in maps.values()), (figures, maps)
            return True

        eventually(level, timeout, f"the slots are those of {', '.join(names)}")


def client(primary: Node) -> Client:
    return Client("127.0.0.1", primary.port, timeout=20)


def info(primary: Node) -> dict[str, Any]:
    """INFO of a primary."""
    with client(primary) as asked:
        figures = asked.call("INFO")
    assert isinstance(figures, dict)
    return figures


def all_answered(primary: Node, expected: dict[str, str]) -> bool:
    """Whether a primary answers all of these keys, and rightly."""
    with client(primary) as asked:
        try:
            found = asked.get_many(list(expected))
        except CkvError:
            return False
    assert found == expected
    return True


def put_all(primary: Node, keys: Sequence[str], value: str) -> dict[str, str]:
    """Writes ``value`` with the key to each of the keys; what is there then."""
    records = {key: f"{value}:{key}" for key in keys}
    with client(primary) as asked:
        asked.put_many(records)
    return records
