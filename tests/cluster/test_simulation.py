"""Thousands of schedules of a whole cluster: each key is read as it was written, and all is well in the end."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import pytest

from tests.cluster.simulate import first_failure
from tests.cluster.world import KINDS, MODES
from tests.support.nodes import ROOT

SCHEDULES = 20
"""Per mode and kind; ``make simulate`` has 20,000 in all."""


@pytest.mark.parametrize(("mode", "kind"), list(product(MODES, KINDS)))
def test_it_holds(mode: str, kind: str) -> None:
    failure, counts = first_failure(SCHEDULES, (mode,), (kind,))
    assert failure is None, f"{failure.wrong}\n{failure.again}"
    assert counts["maps"] > 5 * SCHEDULES


def test_all_that_can_happen_does() -> None:
    _, counts = first_failure(60, ("evict",), ("trouble",))
    for what in (
        *("moves", "fail-overs", "fences", "fenced nodes", "losses", "twins", "stops"),
        *("cuts", "pauses", "kills", "connections that are slow", "kills in a move", "leader kills in a move"),
        *("pauses in a transaction", "islands in a move"),
    ):
        assert counts[what], what


def test_all_that_can_happen_to_those_who_lead_does() -> None:
    _, counts = first_failure(40, ("evict",), ("elections", "elections anew"))
    for what in ("elections", "leaders that are deposed", "leaders that step down", "maps that are gathered"):
        assert counts[what], what


def test_all_that_can_happen_to_copies_does() -> None:
    _, counts = first_failure(60, ("copy",), ("trouble",))
    for what in ("copies that arrive", "records that are taken over", "losses", "kills in a move", "twins"):
        assert counts[what], what


def test_all_that_can_happen_to_files_does() -> None:
    _, counts = first_failure(60, ("file",), ("trouble",))
    for what in ("copies that arrive", "deaths at a file", "rows that are deleted", "kills in a move"):
        assert counts[what], what
    assert not counts["losses"]


def test_a_row_that_has_not_heard_of_the_last_map_is_found_out() -> None:
    _, counts = first_failure(20, ("evict",), ("elections behind",))
    assert counts["maps that are gathered"] >= 20


def test_one_that_follows_hears_of_the_maps_of_who_leads() -> None:
    for kind in ("trouble", "elections"):
        _, counts = first_failure(5, ("through",), (kind,))
        assert counts["maps that are followed"] > 10, kind


def test_a_seed_is_the_same_schedule_again() -> None:
    for mode, kind in (("evict", "trouble"), ("copy", "elections")):
        command = [sys.executable, "-m", "tests.cluster.simulate", "--mode", mode, "--kind", kind, "--seed", "7"]
        one, other = (
            subprocess.run(
                command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
            )
            for seed in ("1", "2")
        )
        assert one.stdout == other.stdout
        assert one.stdout.count("\n") > 100
