"""The table of the steps of one call, measured for real, but shortly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.servers import Servers
from bench.steps import (
    IN_ONE_GO,
    MEMORY,
    PARTS,
    REST,
    SETTING,
    STEPS,
    SUM,
    WHOLE,
    Rig,
    Whole,
    side_by_side,
    steps_table,
    table_of,
    whole,
)
from bench.turns import prefill

ROUNDS, REPEATS, SECONDS = 3, 3, 0.3
FAR_TOO_MUCH = 1.3
"""Of the whole. Deep batches leave so little besides the steps that the drift of a machine can hide it; a step that
counted twice would be more."""


@pytest.mark.usefixtures("loadgen")
@pytest.mark.parametrize(("depth", "bound"), [(1, 1.0), (16, FAR_TOO_MUCH)])
def test_the_steps_of_a_get_do_not_come_to_more_than_the_whole(depth: int, bound: float) -> None:
    with Servers() as servers, Rig("get", depth) as rig:
        node = servers.secondary(capacity=SETTING.keys)
        prefill([node], SETTING)
        load = replace(SETTING, depth=depth, seconds=SECONDS)
        rows = side_by_side(rig, ROUNDS, REPEATS, lambda seed: whole(node, replace(load, seed=seed + 1))[0])
    ns = {name: value for name, value, _ in rows}
    assert {*STEPS, SUM, IN_ONE_GO, REST, WHOLE} <= ns.keys()
    assert all(ns[step] > 0 for step in STEPS)
    assert ns[SUM] == pytest.approx(sum(ns[step] for step in STEPS))
    assert ns[SUM] < bound * ns[WHOLE]
    assert ns[SUM] + ns[REST] == pytest.approx(ns[WHOLE])


@pytest.mark.parametrize("op", ["get", "put"])
def test_memory_is_a_part_of_the_handler_and_few_keys_cost_less_than_many(op: str) -> None:
    with Rig(op, 16) as rig:
        rig.repeat(REPEATS)
        ns = rig.timings()
    many, few = (ns[part] for part in PARTS)
    assert many == ns[MEMORY]
    assert 0 < few < many < ns["handler"]


def test_shares_are_of_the_whole_and_a_part_counts_once() -> None:
    timings = {**dict.fromkeys(STEPS, 100.0), **dict.fromkeys(PARTS, 50.0), IN_ONE_GO: 800.0}
    rows = table_of(timings, Whole(user=0.6, system=0.4))
    shares = {name: share for name, _, share in rows}
    wanted = {"read": 0.1, f"- of it {MEMORY}": 0.05, SUM: 0.7, REST: 0.3, WHOLE: 1.0}
    assert {name: shares[name] for name in wanted} == pytest.approx(wanted)
    headings, lines = steps_table([("depth 1", rows), ("depth 16", rows)])
    assert headings == ["step", "depth 1, ns", "share", "depth 16, ns", "share"]
    assert ["the whole", "1,000", "100%", "1,000", "100%"] in lines
