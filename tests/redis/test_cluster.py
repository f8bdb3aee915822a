"""CLUSTER, MOVED and CROSSSLOT: what a node says to clients that go to the owners of keys by themselves."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from ckv.address import Address
from ckv.cluster.map import NOBODY, Map
from ckv.cluster.map import Node as MapNode
from ckv.cluster.slots import SLOTS, slot_of
from ckv.cluster.view import Health, of_list, of_map
from ckv.redis.row import keys_in
from ckv.redis.table import ROWS
from tests.redis.test_commands import Figures, Node

NODES = [Address("10.0.0.1", 8081), Address("::1", 8082)]
HERE, THERE = "key", "b"
"""A key of the second node, and one of the first."""

SET = {
    "PUT": True,
    "PUTEX": True,
    "GET": (True, "1"),
    "DEL": True,
    "SET": [True, ""],
    "DELIFEQ": True,
    "EXTEND": True,
    "EXISTS": True,
} | dict.fromkeys(("INCRBY", "COUNT"), 1)


def secondary() -> Node:
    """The second node of two, as a primary has told it."""
    node = Node(*SET)
    node.results = dict(SET)
    node.placing.view = of_list(NODES, 1)
    return node


def primary() -> Node:
    node = Node(*SET)
    node.results = dict(SET)
    node.placing.view = of_list(NODES)
    return node


def moved(key: str) -> str:
    return f"MOVED {slot_of(key)} 10.0.0.1:8081"


def test_the_keys() -> None:
    assert slot_of(HERE) >= SLOTS // 2 > slot_of(THERE)


@pytest.mark.parametrize(
    "words",
    [("GET", THERE), ("set", THERE, "1"), ("SET", THERE, "1", "EX", "5"), ("DEL", THERE), ("EXISTS", THERE),
     ("MGET", THERE), ("MSET", THERE, "1"), ("MSETEX", "1", THERE, "1"), ("STRLEN", THERE),
     ("OBJECT", "ENCODING", THERE), ("MEMORY", "USAGE", THERE), ("TYPE", THERE)],
)  # fmt: skip
def test_a_key_of_another_node_is_there(words: tuple[str, ...]) -> None:
    node = secondary()
    assert node.ask(*words) == moved(THERE)
    assert node.asked == []


def test_a_script_is_where_its_keys_are() -> None:
    node = secondary()
    script = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
    assert node.ask("EVAL", script, "1", THERE, "1") == moved(THERE)
    assert node.ask("EVAL", script, "1", HERE, "1") == 1
    # Its arguments are no keys.
    assert "one key and 1 arguments" in node.ask("EVAL", script, "1", HERE, THERE, THERE)
    assert node.ask("EVAL", script, "x", THERE) == "ERR value is not an integer or out of range"
    assert node.ask("EVAL", script, "9", HERE) == "ERR Number of keys can't be greater than number of args"


def test_an_own_key_is_served() -> None:
    node = secondary()
    assert node.ask("GET", HERE) == b"1"
    assert node.ask("MGET", HERE, f"{{{HERE}}}:other") == [b"1", b"1"]
    assert node.ask("PING") == b"PONG"
    assert node.ask("GET") == "ERR wrong number of arguments for 'get' command"
    assert node.ask("MSET", HERE) == "ERR wrong number of arguments for 'mset' command"


def test_keys_of_several_slots_are_none_for_a_client_to_find() -> None:
    node = secondary()
    assert node.ask("MGET", HERE, THERE) == "CROSSSLOT Keys in request don't hash to the same slot"
    assert node.ask("DEL", HERE, "another") == "CROSSSLOT Keys in request don't hash to the same slot"
    # The arguments of MSET are keys and values by turns.
    assert node.ask("MSET", HERE, THERE, HERE, THERE) == b"OK"
    assert node.ask("MSETEX", "2", HERE, THERE, HERE, THERE) == 1


def test_a_queued_command_is_looked_at_when_it_comes() -> None:
    node = secondary()
    assert node.ask("MULTI") == b"OK"
    assert node.ask("SET", HERE, "1") == b"QUEUED"
    assert node.ask("SET", THERE, "1") == moved(THERE)
    assert node.ask("EXEC") == "EXECABORT Transaction discarded because of previous errors."
    assert node.asked == []
    # Those of one transaction may be of several slots.
    for words in (["MULTI"], ["SET", HERE, "1"], ["SET", "another", "1"]):
        node.ask(*words)
    assert slot_of("another") >= SLOTS // 2
    assert node.ask("EXEC") == [b"OK", b"OK"]


def test_a_primary_finds_the_owner_of_any_key() -> None:
    node = primary()
    assert node.ask("MGET", HERE, THERE) == [b"1", b"1"]
    assert node.ask("SET", THERE, "1") == b"OK"


@pytest.mark.parametrize("made", [primary, secondary])
def test_what_it_tells_of_the_nodes(made: Any) -> None:
    node = made()
    first, second = (place.id.encode() for place in node.placing.view.places.values())
    half = SLOTS // 2
    assert node.ask("CLUSTER", "SLOTS") == [
        [0, half - 1, [b"10.0.0.1", 8081, first, []]],
        [half, SLOTS - 1, [b"::1", 8082, second, []]],
    ]
    shard = node.ask("cluster", "shards")[1]
    assert shard[:2] == [b"slots", [half, SLOTS - 1]]
    told = dict(zip(shard[3][0][::2], shard[3][0][1::2], strict=True))
    assert (told[b"id"], told[b"port"], told[b"endpoint"], told[b"role"]) == (second, 8082, b"::1", b"master")
    lines = node.ask("CLUSTER", "NODES").decode().splitlines()
    assert next(line for line in lines if "myself" not in line) == (
        f"{first.decode()} 10.0.0.1:8081@8081 master - 0 0 1 connected 0-{half - 1}"
    )
    own = [line.split() for line in lines if "myself,master" in line]
    assert [line[0].encode() for line in own] == [node.ask("CLUSTER", "MYID")]
    assert len(lines) == 2 + (made is primary)
    assert own[0][1] == ("10.0.0.9:8080@8080" if made is primary else "::1:8082@8082")
    assert b"cluster_state:ok\r\n" in node.ask("CLUSTER", "INFO")
    assert node.ask("CLUSTER", "KEYSLOT", "123456789") == 12739


def seen(node: Node, *healths: Health) -> Node:
    """The node, for which the first two of the list are so."""
    node.placing.health = healths.__getitem__
    return node


def health(node: Node) -> list[bytes]:
    """That of each shard."""
    return [nodes[0][1 + nodes[0].index(b"health")] for _, _, _, nodes in node.ask("CLUSTER", "SHARDS")]


def state(node: Node) -> list[str]:
    """Whether it can be used, and how many slots are somebody's, are served, and are not."""
    figures = dict(line.split(":") for line in node.ask("CLUSTER", "INFO").decode().splitlines())
    return [figures[f"cluster_{name}"] for name in ("state", "slots_assigned", "slots_ok", "slots_fail", "size")]


def test_a_node_that_is_down_keeps_its_slots() -> None:
    """As in Redis: it is the one that will serve them."""
    node = primary()
    slots = node.ask("CLUSTER", "SLOTS")
    assert health(node) == [b"online"] * 2
    assert state(node) == ["ok", "16384", "16384", "0", "2"]
    seen(node, "online", "down")
    assert node.ask("CLUSTER", "SLOTS") == slots
    assert health(node) == [b"online", b"fail"]
    first, second = node.ask("CLUSTER", "NODES").decode().splitlines()[1:]
    assert first.endswith(" 10.0.0.1:8081@8081 master - 0 0 1 connected 0-8191")
    assert second.endswith(" ::1:8082@8082 master,fail - 0 0 1 disconnected 8192-16383")
    assert state(node) == ["ok", "16384", "8192", "8192", "2"]
    assert state(seen(node, "down", "down")) == ["fail", "16384", "0", "16384", "2"]


def test_nobody_is_sent_to_a_node_that_has_other_keys() -> None:
    node = seen(primary(), "refused", "online")
    assert [row[:2] for row in node.ask("CLUSTER", "SLOTS")] == [[8192, 16383]]
    assert [shard[1] for shard in node.ask("CLUSTER", "SHARDS")] == [[], [8192, 16383]]
    assert health(node) == [b"fail", b"online"]
    first = node.ask("CLUSTER", "NODES").decode().splitlines()[1]
    assert first.endswith(" 10.0.0.1:8081@8081 master,fail - 0 0 1 disconnected")
    assert state(node) == ["ok", "8192", "8192", "0", "1"]
    # Clients that asked for it once do not go on without some of the slots.
    assert node.ask("CONFIG", "GET", "cluster-require-full-coverage") == [b"cluster-require-full-coverage", b"no"]
    assert state(seen(node, "refused", "refused")) == ["fail", "0", "0", "0", "0"]


def test_a_key_of_a_node_that_has_other_keys_is_nobodys() -> None:
    """Whoever was sent there might be sent back, for ever."""
    node = seen(secondary(), "down", "online")
    assert node.ask("GET", THERE) == moved(THERE)
    seen(node, "refused", "online")
    down = "CLUSTERDOWN Hash slot not served: 10.0.0.1:8081 has other keys than the list of the primary says"
    assert node.ask("GET", THERE) == down
    assert node.ask("MULTI") == b"OK"
    assert node.ask("SET", THERE, "1") == down
    assert node.ask("EXEC").startswith("EXECABORT")
    assert node.asked == []
    assert node.ask("GET", HERE) == b"1"
    assert [row[:2] for row in node.ask("CLUSTER", "SLOTS")] == [[8192, 16383]]


def test_the_mode_is_told_everywhere() -> None:
    node = secondary()
    node.results["INFO"] = Figures(role="secondary")
    hello = node.ask("HELLO")
    assert hello[hello.index(b"mode") + 1] == b"cluster"
    assert b"redis_mode:cluster" in node.ask("INFO", "server")
    assert b"cluster_enabled:1" in node.ask("INFO", "cluster")
    assert node.ask("CONFIG", "GET", "cluster-enabled") == [b"cluster-enabled", b"yes"]
    for word in ("READONLY", "READWRITE", "ASKING"):
        assert node.ask(word) == b"OK"


@pytest.mark.parametrize(
    "words", [("CLUSTER", "SLOTS"), ("CLUSTER", "KEYSLOT", "k"), ("CLUSTER", "MYID"), ("READONLY",), ("ASKING",)]
)
def test_without_such_clients(words: tuple[str, ...]) -> None:
    assert Node().ask(*words).startswith("ERR This instance has cluster support disabled")


def test_what_only_redis_changes() -> None:
    node = secondary()
    assert node.ask("CLUSTER", "MEET", "10.0.0.3", "1") == (
        "ERR CLUSTER MEET: the primaries say which nodes there are and what they own"
    )
    assert node.ask("CLUSTER", "RESET").startswith("ERR unknown subcommand 'RESET'")


@pytest.mark.parametrize(
    ("words", "keys"),
    [("GET", ""), ("GET a", "a"), ("MSET a 1 b 2", "a b"), ("MSET a 1 b", "a b"), ("DEL", ""), ("DEL a b", "a b"),
     ("OBJECT", ""), ("OBJECT ENCODING", ""), ("OBJECT ENCODING a", "a"), ("EVAL", ""), ("EVAL s", ""),
     ("EVAL s 1", ""), ("EVAL s 1 a b", "a"), ("EVAL s 2 a b c", "a b"), ("EVAL s -1 a", ""), ("EVAL s x a", ""),
     ("EVAL s 99999999999 a", ""), ("MSETEX", ""), ("MSETEX 2 a 1 b 2 EX 5", "a b"),
     ("PING", ""), ("SET a 1 EX 5", "a")],
)  # fmt: skip
def test_the_keys_of_any_request(words: str, keys: str) -> None:
    request = words.encode().split()
    assert keys_in(ROWS[words.split()[0].lower()], request) == keys.encode().split()


def test_what_is_watched_is_looked_at_too() -> None:
    node = Node(*SET, "DIGEST")
    node.results = dict(SET)
    node.placing.view = of_list(NODES, 1)
    assert node.ask("WATCH", THERE) == moved(THERE)
    assert node.ask("WATCH", HERE) == b"OK"
    # It reads what is watched, and another one.
    assert node.ask("MGET", HERE, THERE) == "CROSSSLOT Keys in request don't hash to the same slot"
    assert node.ask("GET", THERE) == moved(THERE)
    assert node.ask("GET", HERE) == b"1"


def test_by_a_map_a_slot_may_be_on_its_way_or_nobodys() -> None:
    node = secondary()
    nodes = [MapNode("a", 1, "10.0.0.1", 8081, 100), MapNode("b", 1, "::1", 8082, 100)]
    owners = array("H", [1]) * SLOTS
    owners[slot_of(THERE)] = 0
    owners[slot_of("nobody's")] = NOBODY
    node.placing.view = of_map(Map((1, 7), nodes, owners), NODES[1])
    assert node.ask("GET", THERE) == moved(THERE)
    assert node.ask("GET", "nobody's") == "CLUSTERDOWN Hash slot not served"
    assert b"cluster_slots_assigned:16383" in node.ask("CLUSTER", "INFO")
    assert b"cluster_current_epoch:7" in node.ask("CLUSTER", "INFO")
    assert node.ask("GET", HERE) == b"1"
    node.asked.clear()
    node.placing.serves = lambda slot: slot != slot_of(HERE)
    assert node.ask("GET", HERE).startswith(f"TRYAGAIN slot {slot_of(HERE)} is not served here at the moment")
    assert node.ask("GET", THERE) == moved(THERE)
    assert node.asked == []


@pytest.mark.parametrize("words", [["MULTI", "SET b 1"], ["WATCH b", "MULTI", "SET key 1"]])
def test_exec_of_what_was_queued_before_the_node_was_told(words: list[str]) -> None:
    node = Node(*SET, "DIGEST")
    node.results = dict(SET)
    for line in words:
        node.ask(*line.split())
    node.placing.view = of_list(NODES, 1)
    node.asked.clear()
    assert node.ask("EXEC") == moved(THERE)
    assert node.asked == []
    assert node.ask("EXEC") == "ERR EXEC without MULTI"
