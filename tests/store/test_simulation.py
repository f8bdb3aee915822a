"""Thousands of schedules hold the invariants, in every mode, under every policy, over both tables."""

from __future__ import annotations

from itertools import product

import pytest

from ckv.store.memory import PLAIN, TABLES
from ckv.store.modes import MODES
from tests.store import expiring
from tests.store.simulate import run

SCHEDULES = 3000
"""Per mode, policy and table; 27,000 over each table."""


@pytest.mark.parametrize(("mode", "policy", "table"), list(product(MODES, PLAIN, TABLES)))
def test_the_invariants_hold(mode: str, policy: str, table: str) -> None:
    for seed in range(SCHEDULES):
        try:
            run(seed, mode, policy, table=table)
        except AssertionError as error:
            again = f"--mode {mode} --policy {policy} --table {table} --seed {seed}"
            raise AssertionError(f"{error}\npython -m tests.store.simulate {again}") from error


EXPIRING = 500
"""The same of those in which records expire most of the time."""


@pytest.mark.parametrize(("mode", "policy", "table"), list(product(MODES, PLAIN, TABLES)))
def test_the_invariants_hold_while_records_expire(mode: str, policy: str, table: str) -> None:
    for seed in range(EXPIRING):
        try:
            expiring.run(seed, mode, policy, table=table)
        except AssertionError as error:
            again = f"--mode {mode} --policy {policy} --table {table} --seed {seed}"
            raise AssertionError(f"{error}\npython -m tests.store.expiring {again}") from error


def test_a_seed_is_the_same_schedule_again() -> None:
    one: list[str] = []
    other: list[str] = []
    run(7, "through", "lru", one.append)
    run(7, "through", "lru", other.append)
    assert one == other
    assert len(one) > 20
