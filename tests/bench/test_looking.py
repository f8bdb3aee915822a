"""What it costs to look is measured in one node that changes: each pair of moments has one of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import looking
from bench.generator import Load, run
from bench.looking import Moment, moments, pairs_of
from bench.stats import Spread, interval
from ckv import core
from tests.support.nodes import ROOT, Nodes


@pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")
@pytest.mark.usefixtures("loadgen")
@pytest.mark.parametrize("protocol", looking.PROTOCOLS)
def test_a_node_changes_while_it_is_asked_and_tells_what_it_used(protocol: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.touch()
    loops = ROOT / "ckv" / "core"
    with Nodes() as nodes:
        node = looking.start(nodes, lines, (loops, loops))
        report = run(Load(op="put", keys=100, depth=16, seconds=0.5), protocol, node.port)
    found = moments(lines.read_text())
    assert sum(each.requests for each in found) <= report["calls"]
    pairs = pairs_of(found)
    assert pairs
    assert all(one.looks and not other.looks and one.pair == other.pair for one, other in pairs)
    assert all(one.ns > 0 and other.ns > 0 for one, other in pairs)


def test_moments_in_which_clients_came_or_went_have_no_pair() -> None:
    found = moments("1 0 5 900\n1 1 50 900\n2 1 50 1000\n2 0 60 900\n4 0 50 1000\n4 1 40 1000\n5 1 3 900\n")
    assert pairs_of(found) == [
        (Moment(2, True, 50, 1000), Moment(2, False, 60, 900)),
        (Moment(4, True, 40, 1000), Moment(4, False, 50, 1000)),
    ]
    assert found[-2].us == 0.025


def test_of_many_values_the_median_is_known_better() -> None:
    few, many = interval(range(11)), interval([number / 100 for number in range(1001)])
    assert few.median == many.median == 5
    assert few.high - few.low > 2 > many.high - many.low > 0
    assert few.low < 5 < few.high
    assert interval([1.0] * 5) == Spread(1.0, 1.0, 1.0)
    assert interval(range(11)) == few
