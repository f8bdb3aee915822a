"""Who leaves under each policy."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from ckv.store.memory import PLAIN, TABLES, Memory, Policy
from tests.store.policy_models import model_of
from tests.store.test_memory import put


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> dict[str, Policy]:
    return TABLES[request.param]


@pytest.mark.parametrize("policy", PLAIN)
@pytest.mark.parametrize("seed", range(200))
def test_the_victim_is_the_one_that_the_policy_names(table: dict[str, Policy], policy: str, seed: int) -> None:
    chance = random.Random(seed)
    capacity = chance.choice([1, 2, 3, 5, 8, 40])
    memory, model = table[policy](capacity), model_of(policy, capacity)
    memory.may_put = True
    keys = [f"{number}" for number in range(capacity + 1 + chance.randrange(capacity + 1))]
    for _ in range(300):
        key = chance.choice(keys)
        action = chance.random()
        if action < 0.45:
            memory.get(key)
            model.use(key)
        elif action < 0.6:
            if memory.overwrite(key, "w"):
                model.use(key)
                assert memory.peek(key) == "w"
            else:
                assert key not in model.records
        elif action < 0.95:
            victim = put(memory, key)
            assert (victim and victim[0]) == model.put(key)
        else:
            memory.remove(key)
            model.remove(key)
        assert set(memory.keys()) == set(model.records)
    memory.check()


def ask(memory: Memory, keys: Iterable[str]) -> int:
    """Gets each key, puts what is missing, and tells how many were there."""
    before = memory.hits
    for key in keys:
        if memory.get(key) is None:
            put(memory, key)
    return memory.hits - before


def test_a_scan_leaves_s3fifo_what_is_used(table: dict[str, Policy]) -> None:
    memory = table["s3fifo"](1000)
    hot = [f"hot {number}" for number in range(800)]
    ask(memory, hot * 3)
    for number in range(10_000):
        put(memory, f"scanned {number}")
    # Nobody has asked for it meanwhile, so the small queue has all that it may have.
    assert sum(key in memory for key in hot) == 650
    ask(memory, hot)
    for number in range(20_000):
        put(memory, f"scanned again {number}")
        ask(memory, [hot[number % 800]])
    # In use, all of it stays.
    assert ask(memory, hot) == 800
    memory.check()


def test_s3fifo_lets_what_was_hot_go(table: dict[str, Policy]) -> None:
    memory = table["s3fifo"](100)
    for _ in range(25):
        ask(memory, (f"first {number}" for number in range(100)))
    for _ in range(25):
        ask(memory, (f"second {number}" for number in range(100)))
    assert sum(key.startswith("second ") for key, *_ in memory.records()) > 90
    memory.check()


def test_s3fifo_lets_what_was_hot_go_for_keys_that_come_back_late(table: dict[str, Policy]) -> None:
    """Where the same keys were popular for long, the small queue is so small that new ones never have a use in it."""
    memory = table["s3fifo"](1000)
    popular = [f"popular {number}" for number in range(1500)]
    ask(memory, random.Random(1).choices(popular, [1 / (number + 1) for number in range(1500)], k=60_000))
    hits = [ask(memory, (f"new {number}" for number in range(1000))) for _ in range(12)]
    assert hits[0] == 0
    assert hits[-1] == 1000
    memory.check()


def test_the_next_victim_of_s3fifo_stays_the_same(table: dict[str, Policy]) -> None:
    """Also where more records were used than one call passes over."""
    memory = table["s3fifo"](2000)
    for number in range(2000):
        memory.put(f"{number}", "v")
    for _ in range(3):
        for number in range(2000):
            memory.get(f"{number}")
    victims = []
    for _ in range(1500):
        victim = memory.next_victim()
        assert victim is not None
        assert memory.next_victim() == victim
        assert memory.evict() == victim
        victims.append(int(victim[0]))
    assert victims[:3] == [512, 1025, 0]
    memory.check()


def test_s3fifo_knows_who_comes_back_to_a_table_that_has_grown(table: dict[str, Policy]) -> None:
    memory = table["s3fifo"](1000)
    for number in range(100):
        memory.put(f"first {number}", "v")
    left = [memory.evict()[0] for _ in range(50)]
    for number in range(900):
        memory.put(f"other {number}", "v")
    memory.check()
    for key in left:
        put(memory, key)
    for number in range(2000):
        put(memory, f"scanned {number}")
    assert all(key in memory for key in left)
    memory.check()
