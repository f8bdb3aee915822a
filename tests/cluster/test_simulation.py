"""Thousands of schedules of a whole cluster: each key is read as it was written, and all is well in the end."""

from __future__ import annotations

from itertools import product

import pytest

from tests.cluster.simulate import first_failure
from tests.cluster.world import KINDS, MODES, run

SCHEDULES = 40
"""Per mode and kind; ``python -m tests.cluster.simulate`` does as many as are wanted."""


@pytest.mark.parametrize(("mode", "kind"), list(product(MODES, KINDS)))
def test_it_holds(mode: str, kind: str) -> None:
    failure, counts = first_failure(SCHEDULES, (mode,), (kind,))
    assert failure is None, f"{failure.wrong}\n{failure.again}"
    assert counts["maps"] > 10 * SCHEDULES


def test_all_that_can_happen_does() -> None:
    _, counts = first_failure(60, ("evict",), ("trouble",))
    for what in (
        "fences",
        "fenced nodes",
        "kills in a move",
        "leader kills in a move",
        "losses",
        "stops",
        "twins",
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


def test_a_seed_is_the_same_schedule_again() -> None:
    one: list[str] = []
    other: list[str] = []
    run(7, "behind", "trouble", one.append)
    run(7, "behind", "trouble", other.append)
    assert one == other
    assert len(one) > 100
