"""Medians and ratios."""

from __future__ import annotations

import pytest

from bench.stats import Spread, ratio


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)
    assert Spread.of([4.0, 2.0]) == Spread(3.0, 2.0, 4.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine was three times as fast in the second round, for both: the ratios do not know.
    assert ratio([50.0, 150.0, 60.0], [100.0, 300.0, 100.0]) == Spread(0.5, 0.5, 0.6)


def test_the_median_of_ratios_is_not_the_ratio_of_medians() -> None:
    ours, theirs = [10.0, 20.0, 90.0], [10.0, 40.0, 30.0]
    assert ratio(ours, theirs).median == 1.0
    assert Spread.of(ours).median / Spread.of(theirs).median != 1.0


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0])])
def test_sides_that_do_not_fit_are_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match=r"median|argument"):
        ratio(ours, theirs)
