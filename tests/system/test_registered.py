"""Secondaries that join a primary without a list: they share the slots, and come and go while clients go on."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from ckv import Client
from ckv.cluster.directory import OWNERS, Directory
from ckv.cluster.memory import ROOM
from ckv.cluster.slots import slot_of
from ckv.errors import CkvError, NotOwner
from ckv.exits import Exit
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes, run_ckv
from tests.system.refusing import accept_up_to
from tests.system.registered import SLOTS, Joined, Load, wait_for_all

BACK_WITHIN = 10.0
"""Seconds after the end of a node within which its keys are another one's: 7 to 9 s, on a busy machine too."""

KEYS = [f"user:{number:03}" for number in range(300)]


@pytest.fixture
def pair(nodes: Nodes, mariadb: MariaDB) -> Joined:
    """Two secondaries that have joined, in the mode ``evict``."""
    cluster = Joined(nodes, mariadb)
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    return cluster


@pytest.fixture
def client(pair: Joined) -> Iterator[Client]:
    with pair.client() as client:
        yield client


def put_all(client: Client, value: str = "v") -> None:
    client.put_many({key: f"{value}:{key}" for key in KEYS})


def is_put(client: Client, value: str) -> bool:
    """Whether all could be written; what could not was not."""
    try:
        put_all(client, value)
    except CkvError:
        return False
    return True


def check_all(client: Client, value: str = "v") -> None:
    assert client.get_many(KEYS) == {key: f"{value}:{key}" for key in KEYS}


def test_two_that_join_share_the_slots(pair: Joined, client: Client) -> None:
    put_all(client)
    check_all(client)
    found, said = set(), {}
    for node in pair.secondaries.values():
        with Client("127.0.0.1", node.port) as direct:
            figures = direct.call("INFO")
            assert (figures["cluster_joined"], figures["cluster_slots"]) == (1, SLOTS // 2)  # type: ignore[index]
            for key in KEYS:
                try:
                    assert direct.get(key) == f"v:{key}"
                    found.add(key)
                except NotOwner as error:
                    said[key] = str(error)
    assert found == set(KEYS) == said.keys()
    assert all(f"slot {slot_of(key)}" in said[key] for key in KEYS)


def test_what_operators_see(pair: Joined) -> None:
    port = str(pair.primary.port)
    shown = run_ckv("slots", "127.0.0.1", port)
    assert shown.returncode == 0, shown.stderr
    for name, node in pair.secondaries.items():
        assert re.search(rf"^{name} +1 +{node.address} +up +100 +8192 +8192$", shown.stdout, re.MULTILINE), shown.stdout
    status = run_ckv("status", "127.0.0.1", port).stdout
    assert "cluster_nodes 2\n" in status
    assert "cluster_leads 1\n" in status
    assert f"peer_{pair.secondaries['a'].address}_connected 1\n" in status
    assert "slots" in run_ckv("--help").stdout


def test_a_third_joins_under_load(pair: Joined) -> None:
    load = Load(pair.primary.port)
    pair.add("c")
    pair.wait_level("a", "b", "c")
    load.stop()
    assert pair.figures()["cluster_moves_called_off"] == 0
    assert pair.figures()["cluster_moves"] >= 6


def test_what_was_in_memory_is_in_memory_at_the_next_node(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "evict", "--warm-rate=200KiB")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    records = {f"record:{number}": "v" * 64 for number in range(3000)}
    with cluster.client() as client:
        client.put_many(records)
        cluster.add("c")
        cluster.wait_level("a", "b", "c")

        def are_in_memory(*names: str) -> bool:
            return sum(int(info_of(cluster, name)["records"]) for name in names) == len(records)

        eventually(lambda: info_of(cluster, "c")["records"] > 0 and are_in_memory("a", "b", "c"), what="it is loaded")
        of_new = info_of(cluster, "c")
        assert of_new["cluster_warmed"] == of_new["records"]
        assert cluster.secondaries["a"].terminate() == Exit.FINE  # which has told of all, slowly, by then
        eventually(lambda: are_in_memory("b", "c"), what="so is the rest")
        assert client.get_many(list(records)) == records


def info_of(cluster: Joined, name: str) -> dict[str, Any]:
    with Client("127.0.0.1", cluster.secondaries[name].port) as node:
        info = node.call("INFO")
    assert isinstance(info, dict)
    return info


def test_one_that_is_told_to_stop_hands_its_slots_over_first(pair: Joined) -> None:
    pair.check_third_joins_and_first_leaves()


def test_one_that_is_killed_costs_seconds(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "through")
    cluster.add("a", "b", "c")
    cluster.wait_level("a", "b", "c")
    with cluster.client() as client:
        put_all(client)
        killed = time.monotonic()
        cluster.secondaries["b"].kill()
        wait_for_all(client, {key: f"v:{key}" for key in KEYS})
        assert time.monotonic() - killed < BACK_WITHIN
        put_all(client, "w")
        check_all(client, "w")
    cluster.wait_level("a", "c")
    cluster.secondaries["b"].start()
    cluster.wait_level("a", "b", "c")
    with cluster.client() as client:
        check_all(client, "w")


def test_one_that_is_started_again_at_once_has_its_own_slots(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "through")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    with cluster.client() as client:
        put_all(client)
        before = cluster.figures()
        cluster.secondaries["b"].restart()
        eventually(lambda: is_put(client, "w"), what="all keys can be written", timeout=20.0)
        check_all(client, "w")
        assert cluster.slots() == {"a": SLOTS // 2, "b": SLOTS // 2}
    assert cluster.figures()["cluster_moves"] == before["cluster_moves"]
    assert cluster.figures()["cluster_map"] != before["cluster_map"]


def test_one_that_was_stopped_for_longer_than_its_lease_serves_nothing_old(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "through")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    paused = cluster.secondaries["b"]
    with cluster.client() as client, Client("127.0.0.1", paused.port, timeout=30) as direct:
        put_all(client)
        own = [key for key in KEYS if is_served(direct, key)]
        assert own
        paused.pause()
        cluster.wait_level("a")
        put_all(client, "w")
        paused.resume()
        for key in own:
            try:
                assert direct.get(key) == f"w:{key}"
            except CkvError:
                pass
        assert paused.wait() == Exit.FENCED
        check_all(client, "w")


def is_served(client: Client, key: str) -> bool:
    try:
        return client.get(key) is not None
    except NotOwner:
        return False


def test_a_primary_that_is_started_again_knows_who_owns_what(pair: Joined, client: Client) -> None:
    put_all(client)
    pair.add("c")
    pair.wait_level("a", "b", "c")
    before = pair.figures()["cluster_map"]
    pair.primary.restart()
    eventually(lambda: is_put(client, "w"), what="all keys can be written", timeout=20.0)
    check_all(client, "w")
    pair.wait_level("a", "b", "c")
    after = eventually(lambda: pair.figures()["cluster_map"].replace("-", ""), what="it leads")
    assert int(after.split(".")[0]) == int(before.split(".")[0]) + ROOM
    assert pair.figures()["cluster_moves"] == 0


def test_a_stranger_that_writes_to_the_database_is_named(nodes: Nodes, mariadb: MariaDB) -> None:
    elsewhere = nodes.start_primary(options=["--settle=0"])
    elsewhere.kill()
    stranger = nodes.start_secondary(
        primary=elsewhere.address, persistent=mariadb.address, options=["--name=stranger"], name="stranger"
    )
    cluster = Joined(nodes, mariadb)
    cluster.add("a")
    cluster.primary.wait_for_log("waits for stranger (incarnation 1), which writes to the database", timeout=30.0)
    figures = cluster.figures()
    assert str(figures["cluster_waits_for"]).startswith("stranger (incarnation 1), ")
    assert (figures["cluster_leads"], cluster.slots()) == (0, {})
    assert stranger.terminate() == Exit.FINE
    cluster.wait_level("a")
    assert cluster.figures()["cluster_waits_for"] == "-"


def test_a_row_that_the_database_refuses_keeps_its_own_slot_and_nothing_else(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "behind", "--write-delay=0", "--drain-timeout=8")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    accept_up_to(mariadb, 100)
    with cluster.client() as client:
        directory = Directory.unpack(client.call(OWNERS), SLOTS)
        (number,) = [at for at, place in enumerate(directory.places) if place is not None and place.name == "a"]
        # Among the slots that would move first.
        last = {slot for slot in range(SLOTS) if directory.owner(slot) == number and slot > SLOTS // 2 - 500}
        last = last or {slot for slot in range(SLOTS) if directory.owner(slot) == number and slot > SLOTS - 500}
        long = next(f"long:{n}" for n in range(100_000) if slot_of(f"long:{n}") in last)
        put_all(client)
        client.put(long, "x" * 101)
        with Client("127.0.0.1", cluster.secondaries["a"].port) as owner:
            eventually(lambda: owner.call("INFO")["parked_records"] == 1, what="the row is parked")  # type: ignore[index]
        cluster.add("c")
        cluster.wait_level("a", "b", "c")
        assert client.get(long) == "x" * 101
        check_all(client)
        assert cluster.secondaries["a"].terminate(timeout=60) == Exit.NOT_DRAINED
        assert any("1 slots are not handed over" in line for line in cluster.secondaries["a"].log)
        owned = cluster.slots()
        assert (owned["a"], owned["b"] + owned["c"]) == (1, SLOTS - 1)
        others = [key for key in KEYS if slot_of(key) != slot_of(long)]
        assert client.get_many(others) == {key: f"v:{key}" for key in others}


def test_drain_and_rebalance(pair: Joined, client: Client) -> None:
    port = str(pair.primary.port)
    put_all(client)
    assert run_ckv("rebalance", "127.0.0.1", port, "off").returncode == 0
    drained = run_ckv("drain", "127.0.0.1", port, "b")
    assert drained.returncode == 0, drained.stderr
    assert drained.stdout.endswith("b has no slots\n")
    assert pair.slots() == {"a": SLOTS, "b": 0}
    check_all(client)
    pair.add("c")
    eventually(lambda: "c" in pair.slots(), what="c has joined")
    assert pair.figures()["cluster_rebalances"] == 0
    assert pair.slots() == {"a": SLOTS, "b": 0, "c": 0}
    assert run_ckv("rebalance", "127.0.0.1", port, "on").returncode == 0
    pair.wait_level("a", "c")
    check_all(client)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("drain", "nobody"), "Refused: there is no node nobody: a, b"),
        (("rebalance", "perhaps"), "<switch>: 'perhaps' is not a switch: allowed is on, off"),
    ],
)
def test_operators_are_told_what_is_wrong(pair: Joined, arguments: tuple[str, str], said: str) -> None:
    role, word = arguments
    run = run_ckv(role, "127.0.0.1", str(pair.primary.port), word)
    assert run.returncode != 0
    assert said in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_primary_with_a_list_has_no_slots_to_show(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1)
    run = run_ckv("slots", "127.0.0.1", str(cluster.primary.port))
    assert run.returncode == Exit.FAILED
    assert run.stderr.startswith("ckv: UnknownMethod: ")


def test_all_keys_of_all_nodes(pair: Joined, client: Client) -> None:
    put_all(client)
    assert sorted(client.scan()) == KEYS
    with redis.Redis(port=pair.primary.port, decode_responses=True, socket_timeout=20) as theirs:
        assert theirs.dbsize() == len(KEYS)
        assert sorted(theirs.scan_iter(count=20)) == KEYS
        cursor, _ = theirs.scan(0, count=20)
        pair.add("c")
        pair.wait_level("a", "b", "c")
        said = eventually(lambda: refusal(theirs, cursor), what="the scan is refused")
        assert "begin again with 0" in said
        assert sorted(set(theirs.scan_iter(count=20))) == KEYS
        theirs.flushall()
        assert theirs.dbsize() == 0
        assert list(theirs.scan_iter()) == []


def refusal(client: redis.Redis, cursor: int) -> str:
    """Why the cursor is refused, once no slots are on their way."""
    try:
        client.scan(cursor, count=20)
    except redis.ResponseError as error:
        return "" if "Moving" in str(error) else str(error)
    raise AssertionError("it is not refused")


def test_one_of_a_list_asks_no_other_primary_any_more(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        node = nodes.start_secondary(primary=f"127.0.0.1:{other.getsockname()[1]}")
        other.settimeout(20.0)
        for _ in range(2):
            other.accept()[0].close()  # it asks each second
        with Client("127.0.0.1", nodes.start_primary(node).port) as client:
            client.put("key", "value")
        other.settimeout(4.0)
        with pytest.raises(TimeoutError):
            for _ in range(4):
                other.accept()[0].close()


def test_what_a_node_took_before_it_joined_is_kept(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb)
    port = cluster.primary.port
    cluster.primary.kill()
    cluster.add("a", "b")
    for number, node in enumerate(cluster.secondaries.values()):
        with Client("127.0.0.1", node.port) as direct:
            direct.put_many(dict.fromkeys(KEYS[number::2], "early"))
    cluster.primary.start()
    assert cluster.primary.port == port
    cluster.wait_level("a", "b")
    with cluster.client() as client:
        found = eventually(lambda: client.get_many(KEYS), what="all are read")
    assert found == dict.fromkeys(KEYS, "early")


def test_one_that_is_told_to_stop_without_its_primary_saves_everything(pair: Joined, client: Client) -> None:
    put_all(client)
    pair.primary.kill()
    for node in pair.secondaries.values():
        began = time.monotonic()
        assert node.terminate() == Exit.FINE
        assert time.monotonic() - began < 15.0
    pair.primary.start()
    for node in pair.secondaries.values():
        node.start()
    pair.wait_level("a", "b")
    with pair.client() as again:
        check_all(again)
