"""The table of the steps of one call: each is taken for real, and what is timed counts once."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count

import pytest

from bench.processes import Whole, whole
from bench.rig import IN_ONE_GO, MEMORY, PARTS, SETTING, STEPS, Rig
from bench.servers import Servers
from bench.steps import REST, SUM, WHOLE, side_by_side, steps_table, table_of
from bench.turns import prefill

TICK = 1_000_000
"""Nanoseconds that pass between two looks at the clock of the test."""


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is timed takes one tick, on any machine."""
    ticks = count(step=TICK)
    monkeypatch.setattr(time, "process_time_ns", lambda: next(ticks))


@pytest.mark.usefixtures("loadgen")
@pytest.mark.parametrize("depth", [1, 16])
def test_the_steps_of_a_get_beside_a_real_one(depth: int) -> None:
    with Servers() as servers, Rig("get", depth) as rig:
        node = servers.secondary(capacity=SETTING.keys)
        prefill([node], SETTING)
        load = replace(SETTING, depth=depth, seconds=0.3)
        rows = side_by_side(rig, 1, 1, lambda seed: whole(node, replace(load, seed=seed + 1))[0])
    ns = {name: value for name, value, _ in rows}
    assert {*STEPS, SUM, IN_ONE_GO, REST, WHOLE} <= ns.keys()
    assert ns[WHOLE] > 0
    assert ns[SUM] == pytest.approx(sum(ns[step] for step in STEPS))
    assert ns[SUM] + ns[REST] == pytest.approx(ns[WHOLE])


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("op", ["get", "put"])
@pytest.mark.parametrize("depth", [1, 16])
def test_each_step_is_timed_once_for_each_group_of_calls(op: str, depth: int) -> None:
    """So nothing is left of it where everything takes one tick: that is the clock's own, which is taken away."""
    with Rig(op, depth) as rig:
        rig.repeat(1)
        timings = rig.timings()
    assert timings.keys() == {*STEPS, *PARTS, IN_ONE_GO}
    # The other steps are what is left of one when several are taken away.
    assert [timings[step] for step in ("read", "handler", *PARTS, "pack", "write", IN_ONE_GO)] == [0.0] * 7


def test_shares_are_of_the_whole_and_a_part_counts_once() -> None:
    timings = {**dict.fromkeys(STEPS, 100.0), **dict.fromkeys(PARTS, 50.0), IN_ONE_GO: 800.0}
    rows = table_of(timings, Whole(user=0.6, system=0.4))
    shares = {name: share for name, _, share in rows}
    wanted = {"read": 0.1, f"- of it {MEMORY}": 0.05, SUM: 0.7, REST: 0.3, WHOLE: 1.0}
    assert {name: shares[name] for name in wanted} == pytest.approx(wanted)
    headings, lines = steps_table([("depth 1", rows), ("depth 16", rows)])
    assert headings == ["step", "depth 1, ns", "share", "depth 16, ns", "share"]
    assert ["the whole", "1,000", "100%", "1,000", "100%"] in lines
