"""Clusters with several primaries, as real processes: they share a row in MariaDB, or in ZooKeeper."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ckv import Client
from ckv.errors import CkvError, Refused
from ckv.tools.slots import read
from tests.failures.proxy import Proxy
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port
from tests.system.registered import SETTLE, SLOTS

KEYS = [f"user:{number:03}" for number in range(300)]

TAKEN_OVER_WITHIN = 8.0
"""Seconds after the end of a leader within which another one leads: 3 to 5 s, on a busy machine too."""


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
        """``coordinators``: by which address each primary, or all of them, reach the row, if not as the records."""
        self._nodes = nodes
        self._persistent = mariadb.address
        self._mode = mode
        ways = [*(coordinators or [f"mysql://{mariadb.address}"])] * primaries
        ports = [free_port() for _ in range(primaries)]
        self.primaries = [
            nodes.start_primary(
                port=port,
                options=[f"--settle={SETTLE}", f"--coordinator={way}"],
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
            try:
                with client(leader) as asked:
                    rows, figures = read(asked)
            except Refused as why:
                raise AssertionError(f"{leader.name} led a moment ago: {why}") from None
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


# --- what is so whatever the coordinator is ---------------------------------------------------------------------------


class Server(Protocol):
    """Where the row is."""

    def start(self) -> object: ...
    def kill(self) -> None: ...


def wait_for_three(leader: Node) -> None:
    """Until three nodes have the slots, by what this primary says."""

    def level() -> bool:
        shown = run_ckv("slots", "127.0.0.1", str(leader.port)).stdout
        return shown.count(" 5461 ") + shown.count(" 5462 ") >= 3

    eventually(level, 30.0, "the slots are shared by three")


def check_that_one_that_was_stopped_changes_nothing(
    cluster: Coordinated, row: Callable[[], object], when_taken_over: Callable[[Node], None] = lambda _follower: None
) -> None:
    """The leader stops for a while, and another one leads and changes the map. ``row``: what the row says of both.
    ``when_taken_over`` is given the other one."""
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    records = put_all(leader, KEYS, "v")
    leader.pause()
    eventually(lambda: info(follower)["cluster_leads"] == 1, TAKEN_OVER_WITHIN, "the other one leads")
    when_taken_over(follower)
    cluster.add("c")
    wait_for_three(follower)
    before = row()
    since = len(leader.log)
    leader.resume()
    leader.wait_for_log("leads no more", since=since)
    assert cluster.leader() is follower
    assert row() == before
    eventually(lambda: all_answered(leader, records), 10.0, "the one that is back routes by the new map")


def check_that_one_that_is_cut_off_is_left(cluster: Coordinated, proxy: Proxy) -> None:
    """The first primary has ``proxy`` before the row, which cuts it off while it leads."""
    first, second = cluster.primaries
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    if cluster.leader() is second:
        second.restart()
    assert cluster.leader() is first
    records = put_all(first, KEYS, "v")
    since = {name: len(node.log) for name, node in cluster.secondaries.items()}
    proxy.hold()
    eventually(lambda: info(second)["cluster_leads"] == 1, TAKEN_OVER_WITHIN, "the other one leads")
    for name, node in cluster.secondaries.items():
        node.wait_for_log(f"known again in the cluster of {second.address}", 20.0, since[name])
    assert info(first)["cluster_leads"] == 0
    eventually(lambda: not info(first)["cluster_coordinator_connected"], 10.0, "it says that it is cut off")
    assert all_answered(first, records), "its map is that of now, and it goes on routing"
    assert info(first)["ready"] == 1, "so it is of use"
    cluster.add("c")
    wait_for_three(second)

    def knows() -> bool:
        assert not all_answered(first, records), "it has the map of before"
        return not info(first)["ready"]

    eventually(knows, 20.0, "it finds that it has not the map of now")
    assert info(first)["ready_reason"].startswith("a node goes by the map ")
    assert info(second)["ready"] == 1
    proxy.heal()
    cluster.wait_level("a", "b", "c")
    assert cluster.leader() is second
    eventually(lambda: all_answered(first, records), 10.0, "it routes by the new map")
    assert info(first)["ready"] == 1


def check_that_routing_goes_on_without_it(cluster: Coordinated, server: Server, reason: str) -> None:
    """The row is away for longer than any lease. ``reason``: a part of what INFO says of that."""
    records = put_all(cluster.leader(), KEYS, "v")
    since = {primary.name: len(primary.log) for primary in cluster.primaries}
    server.kill()
    until = time.monotonic() + 12.0  # more than any lease that the leader has given
    while time.monotonic() < until:
        assert all(all_answered(primary, records) for primary in cluster.primaries)
        assert all(info(primary)["ready"] for primary in cluster.primaries), "or nobody would be served"
    for primary in cluster.primaries:
        primary.wait_for_log("nobody is taken in, moved or failed over", since=since[primary.name])
        said = info(primary)["cluster_coordinator_reason"]
        assert said != "-"
        assert reason in said
    server.start()
    cluster.leader()
    cluster.add("c")
    cluster.wait_level("a", "b", "c")
    assert all(info(primary)["cluster_coordinator_reason"] == "-" for primary in cluster.primaries)
