"""The store against a model: any order of requests, loads, flushes, failures, time-outs, drains and restarts.

``tests/store/mutations.py`` keeps the proof that these rules can fail: it breaks the store on purpose.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ckv.store.memory import PLAIN, TABLES
from tests.store.world import Update, World

EXAMPLES = int(os.environ.get("CKV_MODEL_EXAMPLES", "300"))
SHRINK = os.environ.get("CKV_MODEL_SHRINK", "yes") == "yes"

keys = st.sampled_from(["alice", "bob", "charles"])
# Which of the queries or flushes under way, or of a key's values, is meant; taken modulo their number.
which = st.integers(0, 3)

RARE = (
    "accept_loads", "drain_and_restart", "flush_lose", "flush_refuse", "flush_reject", "refuse_loads", "replace_tier",
)  # fmt: skip


class StoreMachine(RuleBasedStateMachine):
    """What can happen to a store."""

    policy = "lru"
    table = "plain"

    @initialize(capacity=st.integers(1, 2), pending_max=st.integers(1, 4), alone=st.booleans())
    def begin(self, capacity: int, pending_max: int, alone: bool) -> None:
        self.world = World(self.policy, capacity, pending_max, table=self.table)
        self.world.alone = alone

    @rule(key=keys, seconds=st.sampled_from([None, None, 0.3, 1.0, 30.0]))
    def put(self, key: str, seconds: float | None) -> None:
        self.world.put(key, seconds)

    @rule(key=keys)
    def get(self, key: str) -> None:
        self.world.get(key)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.world.delete(key)

    @rule(
        key=keys,
        how=st.sampled_from(["append", "expire", "take", "keep", "refuse"]),
        seconds=st.sampled_from([None, 0, 0.3, 30.0]),
    )
    def update(self, key: str, how: Update, seconds: float | None) -> None:
        self.world.update(key, how, seconds)

    @rule(writes=st.lists(st.tuples(keys, st.booleans()), min_size=2, max_size=4))
    def write_several(self, writes: list[tuple[str, bool]]) -> None:
        # Only with several in a row is pending full, and somebody waits for room.
        for key, deletes in writes:
            (self.world.delete if deletes else self.world.put)(key)

    @rule()
    def load_begin(self) -> None:
        self.world.load_begin()

    @precondition(lambda self: self.world.queries)
    @rule(index=which, how=st.sampled_from(["load_read", "load_end", "load_fail", "load_lock"]))
    def load_goes_on(self, index: int, how: str) -> None:
        getattr(self.world, how)(index % len(self.world.queries))

    @rule()
    def flush_begin(self) -> None:
        self.world.flush_begin()

    @precondition(lambda self: self.world.flushes)
    @rule(index=which, how=st.sampled_from(["flush_commit", "flush_end", "flush_fail"]))
    def flush_goes_on(self, index: int, how: str) -> None:
        getattr(self.world, how)(index % len(self.world.flushes))

    @rule()
    def admit(self) -> None:
        self.world.admit()

    @rule()
    def everything_lands(self) -> None:
        # The long way to a quiet state takes many steps, and what goes wrong often shows only there.
        self.world.settle()

    @rule(seconds=st.sampled_from([0.4, 1.1, 5.1]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    # As one rule, for each rule is as likely as any other: what seldom happens must not crowd out what always does.
    @rule(
        what=st.sampled_from(RARE),
        key=keys,
        index=which,
    )
    def something_rare(self, what: str, key: str, index: int) -> None:
        act = getattr(self.world, what)
        if what == "replace_tier":
            act(key, index)
        elif not what.startswith("flush_"):
            act()
        elif self.world.flushes:
            act(index % len(self.world.flushes))

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.drain_and_restart()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("policy", PLAIN)
def test_the_store_agrees_with_the_model(policy: str, table: str) -> None:
    machine: Any = type("Machine", (StoreMachine,), {"policy": policy, "table": table})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[phase for phase in Phase if SHRINK or phase is Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
