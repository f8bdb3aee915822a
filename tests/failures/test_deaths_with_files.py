"""Moves between nodes each of which has a file of its own, while clients go on. In each one of the two is killed at a
certain step, and started again with its file: nothing is lost, and nothing older comes back.

One cluster dies all of these deaths: so there are old rows in both files, of slots that have gone and come back."""

from __future__ import annotations

import time
from pathlib import Path

from tests.failures.test_deaths_in_a_move import CALLS, MEMBER, SOURCE, Dying, Recorded, answered
from tests.support import hasty
from tests.support.dying import AFTER, BEFORE
from tests.support.nodes import Nodes
from tests.system.filed import Pair, start_pair

FILING = "ckv.node.filing:Filing"
HOLDING = "ckv.cluster.holding:Holding"

FEW = 20
"""Calls that are answered while the one that has died is away."""

SOURCES = SOURCE | {
    "has sent something": (AFTER, f"{FILING}.pass_on", f"{FILING}.pass_on", f"{FILING}.pass_on"),
    "has noted what it gave, and does not say so": (AFTER, f"{HOLDING}.give", f"{FILING}._note"),
    "is about to note the new map": (BEFORE, f"{MEMBER}.released", f"{FILING}._note"),
    "has noted the new map": (AFTER, f"{MEMBER}.released", f"{FILING}._note"),
    "is about to delete rows": (BEFORE, f"{MEMBER}.released", f"{FILING}._delete_rows"),
    "has deleted some rows": (AFTER, f"{MEMBER}.released", f"{FILING}._delete_rows"),
}
TARGETS = {
    "is sent the first of it": (BEFORE, f"{FILING}._wait_for_place"),
    "has noted that something comes": (AFTER, f"{FILING}._wait_for_place", f"{FILING}._note"),
    "has written something": (AFTER, f"{FILING}._wait_for_place", f"{HOLDING}.comes", f"{FILING}._write"),
    "has all of it, and has not noted that": (
        BEFORE,
        f"{FILING}._wait_for_place",
        f"{FILING}._note",
        f"{FILING}._note",
    ),
    "has all of it, and does not say so": (AFTER, f"{FILING}._wait_for_place", f"{FILING}._note", f"{FILING}._note"),
    "is told of the new map": (BEFORE, f"{FILING}._wait_for_place", f"{HOLDING}.end"),
    "has the new map": (AFTER, f"{FILING}._wait_for_place", f"{HOLDING}.end"),
    "has noted the new map": (AFTER, f"{FILING}._wait_for_place", f"{HOLDING}.end", f"{FILING}._note"),
    "serves": (AFTER, f"{FILING}._wait_for_place", f"{HOLDING}.end", f"{MEMBER}.forgotten"),
}


def die_one_after_another(
    nodes: Nodes, pair: Pair, folder: Path, victim: str, steps: dict[str, tuple[str, ...]]
) -> None:
    """``victim``: who dies in moves from ``a``, which is drained, to ``b``."""
    options = ["--move-slots=2048", "--node-wait=100ms"]
    cluster = start_pair(nodes, pair, folder, capacity=20, primary=hasty.COMMAND, primary_options=options)
    with Recorded(cluster.primary) as clients:
        for step, place in steps.items():
            print(f"{time.monotonic():.1f}: {victim} {step}")  # to be seen beside the calls, if one is wrong
            dying = Dying(folder / step)
            dies = cluster.start_again(victim, command=dying.command(*place))
            if victim == "a":
                cluster.wait_level("a", "b")  # it is drained no more
            with cluster.client() as client:
                client.call("DRAIN", "a")
            dying.wait(dies)
            if victim == "a":
                answered(clients, FEW)  # by the other one, which may have what was a's
        cluster.start_again(victim)
        cluster.wait_level(*("a", "b") if victim == "a" else "b")
        answered(clients, CALLS)


def test_the_source_dies_at_each_step(nodes: Nodes, filed_pair: Pair, tmp_path: Path) -> None:
    die_one_after_another(nodes, filed_pair, tmp_path, "a", SOURCES)


def test_the_target_dies_at_each_step(nodes: Nodes, filed_pair: Pair, tmp_path: Path) -> None:
    die_one_after_another(nodes, filed_pair, tmp_path, "b", TARGETS)
