"""``ckv hot`` and ``ckv big``: what is asked for most, and what is largest, wherever it is."""

from __future__ import annotations

import re
from functools import partial

import pytest
import redis

from ckv import Client, core
from ckv.core import SWITCH
from ckv.node.hotkeys import MOST
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes, run_ckv

SWITCHES = ["off"] + ([""] if core.COMPILED else [])


def lines(role: str, node: Node, *options: str) -> list[str]:
    done = run_ckv(role, "127.0.0.1", str(node.port), *options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("switch", SWITCHES)
def test_the_keys_that_are_asked_for_most(nodes: Nodes, switch: str) -> None:
    cluster = nodes.start_cluster(2, env={SWITCH: switch})
    own = {node.address for node in cluster.secondaries}
    asked = {"hot": 3 * 40, "warm": 3 * 20, "cold": 60, "counted": 1}
    assert sum(asked.values()) < MOST  # so that each call is counted
    with Client("127.0.0.1", cluster.primary.port) as client, redis.Redis(port=cluster.primary.port) as other:
        for _ in range(3):
            with client.pipeline() as pipeline:
                for _ in range(asked["hot"] // 3):
                    pipeline.get("hot")
            other.mget(["warm"] * (asked["warm"] // 3))
        client.put_many({f"cold {number}": "v" for number in range(asked["cold"])})
        other.incrby("counted", 1)
    (head, first, second, *rest) = lines("hot", cluster.primary, "--count=5")
    assert head.split() == ["calls/s", "share", "+/-", "node", "key"]
    rows = [re.fullmatch(r" *([\d,.]+) +([\d.]+)% +0  (\S+) +(\".*\")", line) for line in (first, second)]
    assert [row[4] for row in rows if row] == ['"hot"', '"warm"']
    # Each node was started at another moment, and has its calls in other seconds.
    assert [float(row[2]) for row in rows if row] == pytest.approx(
        [100 * asked[key] / sum(asked.values()) for key in ("hot", "warm")], rel=0.5
    )
    assert {row[3] for row in rows if row} <= own
    assert len(rest) == 4
    assert re.fullmatch(r"[\d,.]+ calls/s for all keys, in the last \d+ s, of which later ones count more", rest[-1])
    of_one = [lines("hot", node) for node in cluster.secondaries]
    assert sum('"hot"' in "\n".join(found) for found in of_one) == 1


def test_the_records_with_the_largest_values(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    with Client("127.0.0.1", cluster.primary.port) as client:
        client.put_many({f"key {number}": b"x" * number for number in range(2000)} | {"\udcff": "ü" * 5000})
    head, *rows = lines("big", cluster.primary)
    assert head.split() == ["bytes", "node", "key"]
    assert [row.split(maxsplit=2)[::2] for row in rows] == [
        ["10,000", r'"\xff"'],
        *([f"{number:,}", f'"key {number}"'] for number in range(1999, 1990, -1)),
    ]
    assert {row.split()[1] for row in rows} == {node.address for node in cluster.secondaries}


def test_a_node_that_does_not_answer_hides_no_other(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    gone, stays = cluster.secondaries
    with Client("127.0.0.1", stays.port) as client:
        client.call("GET", "a")
    gone.kill()

    def is_told(role: str) -> bool:
        return f"! {gone.address}: not connected" in "\n".join(lines(role, cluster.primary))

    for role in ("hot", "big"):
        eventually(partial(is_told, role), 10, "it is away")
    assert any('"a"' in line for line in lines("hot", cluster.primary))


def test_without_calls_there_is_nothing(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    shown = lines("hot", node)
    assert shown[0] == "no key is asked for more than others"
    assert shown[1].startswith("0 calls/s for all keys")
    assert lines("big", node) == ["bytes  node  key"]
    done = run_ckv("hot", "127.0.0.1", str(node.port), "--count=101")
    assert done.returncode == 2
    assert done.stderr.startswith("ckv: --count: ")
