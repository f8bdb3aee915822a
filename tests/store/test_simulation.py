"""Thousands of schedules hold the invariants, in every mode, under every policy."""

from __future__ import annotations

from itertools import product

import pytest

from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from tests.store.simulate import run

SCHEDULES = 3000
"""Per mode and policy; 27,000 together."""


@pytest.mark.parametrize(("mode", "policy"), list(product(MODES, POLICIES)))
def test_the_invariants_hold(mode: str, policy: str) -> None:
    for seed in range(SCHEDULES):
        try:
            run(seed, mode, policy)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\npython -m tests.store.simulate --mode {mode} --policy {policy} --seed {seed}"
            ) from error


def test_a_seed_is_the_same_schedule_again() -> None:
    one: list[str] = []
    other: list[str] = []
    run(7, "through", "lru", one.append)
    run(7, "through", "lru", other.append)
    assert one == other
    assert len(one) > 20
