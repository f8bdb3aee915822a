"""Several primaries of one cluster: one leads, all route, and another one takes over."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time

import pytest

from ckv import Client
from ckv.errors import CkvError
from ckv.tools.slots import read
from tests.failures.proxy import Proxy
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.nodes import Nodes, run_ckv
from tests.system.coordinated import (
    KEYS,
    TAKEN_OVER_WITHIN,
    Coordinated,
    all_answered,
    check_that_one_that_is_cut_off_is_left,
    check_that_one_that_was_stopped_changes_nothing,
    check_that_routing_goes_on_without_it,
    client,
    info,
    put_all,
)
from tests.system.registered import SETTLE, Load


@pytest.fixture
def cluster(nodes: Nodes, mariadb: MariaDB) -> Coordinated:
    """Two primaries, and two secondaries that have joined."""
    made = Coordinated(nodes, mariadb)
    made.add("a", "b")
    made.wait_level("a", "b")
    return made


def test_both_route_and_both_know_who_leads(cluster: Coordinated) -> None:
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    eventually(lambda: info(leader)["cluster_primaries"] == 2, 10.0, "the leader has heard of the other one")
    records = put_all(leader, KEYS, "v")
    assert all_answered(follower, records)
    changed = put_all(follower, KEYS, "w")
    assert all_answered(leader, changed)
    for switch in ("off", "on"):  # the tools go to the one that leads
        assert run_ckv("rebalance", "127.0.0.1", str(follower.port), switch).returncode == 0
        assert info(leader)["cluster_rebalances"] == (switch == "on")
    shown = run_ckv("slots", "127.0.0.1", str(follower.port))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == run_ckv("slots", "127.0.0.1", str(leader.port)).stdout


def test_slots_that_move_are_followed(cluster: Coordinated) -> None:
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    records = put_all(follower, KEYS, "v")
    cluster.add("c")
    deadline = time.monotonic() + 30.0
    with client(follower) as asked:
        while info(leader)["cluster_moved_slots"] < 5000:
            assert asked.get_many(KEYS) == records
            assert time.monotonic() < deadline
    cluster.wait_level("a", "b", "c")
    assert all_answered(follower, records)


def test_another_one_takes_over_from_one_that_is_killed(cluster: Coordinated) -> None:
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    records = put_all(leader, KEYS, "v")
    before = info(follower)["cluster_map"]
    load = Load(follower.port)
    leader.kill()
    eventually(lambda: info(follower)["cluster_leads"] == 1, TAKEN_OVER_WITHIN, "the other one leads")
    load.stop()
    assert load.longest < 2.0
    # It takes in who comes, gives up who dies, and takes back the one that led before.
    cluster.add("c")
    cluster.wait_level("a", "b", "c")
    cluster.secondaries["b"].kill()
    cluster.wait_level("a", "c")
    assert all_answered(follower, records)
    leader.restart()
    assert cluster.leader() is follower
    eventually(lambda: all_answered(leader, records), 10.0, "the one that is back routes")
    assert _version(info(leader)["cluster_map"]) > _version(before)


def test_who_was_given_one_primary_finds_the_others(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Coordinated(nodes, mariadb)
    cluster.add("a", "b", of=cluster.primaries[:1])
    cluster.wait_level("a", "b")
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    for node in cluster.secondaries.values():
        eventually(lambda at=node: info(at)["cluster_primaries"] == 2, 15.0, "it knows both")  # type: ignore[misc]
    joined = {name: len(node.log) for name, node in cluster.secondaries.items()}
    leader.kill()
    for name, node in cluster.secondaries.items():
        node.wait_for_log(f"known again in the cluster of {follower.address}", 20.0, joined[name])
    cluster.wait_level("a", "b")


def test_one_that_was_stopped_for_a_while_changes_nothing(cluster: Coordinated, mariadb: MariaDB) -> None:
    row = f"SELECT term, leader, epoch FROM {DATABASE}.ckv_cluster"
    check_that_one_that_was_stopped_changes_nothing(cluster, lambda: mariadb.query(row))


def test_one_that_is_cut_off_from_the_row_is_left(nodes: Nodes, mariadb: MariaDB) -> None:
    with Proxy(mariadb.port) as proxy:
        ways = [f"mysql://{proxy.address}", f"mysql://{mariadb.address}"]
        check_that_one_that_is_cut_off_is_left(Coordinated(nodes, mariadb, coordinators=ways), proxy)


def test_one_that_is_told_to_stop_says_so(cluster: Coordinated) -> None:
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    records = put_all(leader, KEYS, "v")
    assert leader.terminate() == 0
    eventually(lambda: info(follower)["cluster_leads"] == 1, 2.0, "the other one leads at once")
    assert all_answered(follower, records)


def test_one_that_is_told_to_stop_leads_no_more_while_calls_are_under_way(cluster: Coordinated) -> None:
    leader = cluster.leader()
    (follower,) = cluster.followers(leader)
    hung = cluster.secondaries["b"]
    records = put_all(leader, KEYS, "v")
    hung.pause()
    caller = threading.Thread(target=all_answered, args=(leader, records))
    caller.start()
    eventually(lambda: info(leader)[f"peer_{hung.address}_in_flight"] > 0, 2.0, "a call is under way")
    leader.signal(signal.SIGTERM)
    eventually(lambda: info(follower)["cluster_leads"] == 1, 2.0, "the other one leads at once")
    assert leader.running
    hung.resume()
    assert leader.wait() == 0
    caller.join()


def test_both_start_anew_at_once(cluster: Coordinated) -> None:
    records = put_all(cluster.leader(), KEYS, "v")
    version = _version(info(cluster.leader())["cluster_map"])
    for primary in cluster.primaries:
        primary.kill()
    for primary in cluster.primaries:
        primary.start(wait=False)
    for primary in cluster.primaries:
        primary.wait_ready()
        # By the map that is kept, before anybody leads.
        eventually(lambda at=primary: all_answered(at, records), 10.0, f"{primary.name} routes")  # type: ignore[misc]
    cluster.leader()
    cluster.wait_level("a", "b")
    assert _version(info(cluster.leader())["cluster_map"]) > version
    assert not any("another map" in line for primary in cluster.primaries for line in primary.log)


def test_routing_goes_on_while_the_coordinator_is_away(
    nodes: Nodes, mariadb: MariaDB, private_mariadb: MariaDB
) -> None:
    cluster = Coordinated(nodes, mariadb, coordinators=[f"mysql://{private_mariadb.address}"])
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    check_that_routing_goes_on_without_it(cluster, private_mariadb, reason="")


@pytest.mark.parametrize("row", ["behind", "new"])
def test_a_cluster_keeps_its_map_with_the_coordinator_and_without(nodes: Nodes, mariadb: MariaDB, row: str) -> None:
    """What is in memory alone is there afterwards: the nodes have told what they own, and the row, if there is one, has
    not heard of what was decided without it."""
    cluster = Coordinated(nodes, mariadb, "evict", primaries=1)
    elected = cluster.primaries[0]
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    records = put_all(elected, KEYS, "old")
    elected.terminate()
    alone = nodes.start_primary(port=elected.port, options=[f"--settle={SETTLE}"], name="alone")
    eventually(lambda: all_answered(alone, records), 20.0, "it has the map of the row")
    cluster.add("c")

    def level() -> bool:
        with client(alone) as asked:
            rows, _ = read(asked)
        return sorted(each[5] for each in rows) == [5461, 5461, 5462]

    eventually(level, 30.0, "the slots are shared by three")
    records = put_all(alone, KEYS, "new")
    alone.terminate()
    if row == "new":
        mariadb.query(f"DROP TABLE {DATABASE}.ckv_cluster")
    elected.start()
    eventually(lambda: all_answered(elected, records), 20.0, "it has the map of the nodes")
    cluster.wait_level("a", "b", "c")
    assert all_answered(elected, records)
    assert sum("leads, in term" in line for line in elected.log) == 0, "as no other one does"


def test_a_process_that_began_anew_has_nothing_that_another_one_was_given_since_the_row(
    nodes: Nodes, mariadb: MariaDB
) -> None:
    """By the row all is of ``a``; the nodes know that half of it is of ``b``, and stand still for a while."""
    cluster = Coordinated(nodes, mariadb, "evict", primaries=1)
    (elected,) = cluster.primaries
    cluster.add("a")
    cluster.wait_level("a")
    elected.terminate()
    alone = nodes.start_primary(port=elected.port, options=[f"--settle={SETTLE}"], name="alone")
    eventually(lambda: info(alone)["ready"] == 1, 20.0, "it has the map of the row")
    cluster.add("b")
    a, b = cluster.secondaries.values()
    eventually(lambda: run_ckv("slots", "127.0.0.1", str(alone.port)).stdout.count(" 8192 ") >= 2, 30.0, "b has half")
    put_all(alone, KEYS, "old")
    alone.terminate()
    a.kill()
    b.pause()
    a.start(wait=False)
    elected.start()
    accepted = set()
    until = time.monotonic() + 3.0  # less than what would have b fenced
    with Client("127.0.0.1", elected.port, timeout=0.1) as asked:
        for key in itertools.cycle(KEYS):
            if time.monotonic() > until:
                break
            with contextlib.suppress(CkvError):
                asked.put(key, f"new:{key}")
                accepted.add(key)
    b.resume()
    cluster.wait_level("a", "b")
    with client(elected) as asked:
        found = asked.get_many(KEYS)
    older = [key for key in accepted if found[key] != f"new:{key}"]
    assert not older, f"{len(older)} of {len(accepted)} that were accepted"


def test_who_has_a_list_needs_nobody_to_decide() -> None:
    refused = run_ckv("primary", "--coordinator=mysql://root:secret@localhost", "8080", "localhost:8081")
    assert refused.returncode == 2
    assert "--coordinator: 'mysql://***@localhost' with a list" in refused.stderr
    assert "secret" not in refused.stderr


def _version(shown: str) -> tuple[int, ...]:
    return tuple(map(int, shown.split(".")))
