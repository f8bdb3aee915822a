"""The traces by which eviction policies are compared, and what is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import redis_cache
from bench.parts.policies import hit_ratio
from bench.servers import Servers
from bench.traces import PHASES, TRACES, scans
from ckv.store.memory import POLICIES

KEYS, CALLS = 500, 30_000


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_as_long_as_it_should_be_and_comes_again(name: str) -> None:
    trace = TRACES[name](KEYS, CALLS, 1)
    assert len(trace) == CALLS
    assert trace == TRACES[name](KEYS, CALLS, 1)


def test_a_third_is_scanned() -> None:
    scanned = [key for key in scans(KEYS, CALLS, 1) if key.startswith("scanned")]
    assert len(scanned) == len(set(scanned)) == pytest.approx(CALLS / 3, rel=0.01)


def test_what_drifts_has_other_popular_keys_in_each_phase() -> None:
    trace, long = TRACES["drift"](KEYS, CALLS, 1), CALLS // PHASES
    popular = {Counter(trace[start : start + long]).most_common(1)[0][0] for start in range(0, CALLS, long)}
    assert len(popular) > PHASES // 2


def test_hits_are_counted_under_each_policy() -> None:
    assert {hit_ratio(table(2), ["a", "b", "a", "a"]) for table in POLICIES.values()} == {0.5}


@pytest.mark.parametrize("part", [1, 10, 50])
@pytest.mark.parametrize("name", TRACES)
def test_s3fifo_hits_as_much_as_the_best_of_the_others(name: str, part: int) -> None:
    trace = TRACES[name](5000, 75_000, 1)
    misses = {policy: 1 - hit_ratio(table(50 * part), trace) for policy, table in POLICIES.items()}
    # Where memory holds half of the keys the best ones are as good as it gets, and the fifth digit is chance.
    assert misses["s3fifo"] <= min(misses.values()) * (1.01 if part == 50 else 1), misses
    if name == "scans":
        assert misses["s3fifo"] <= 0.9 * misses["lru"], misses


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
def test_hits_of_a_redis_with_room_for_so_many_are_counted(policy: str) -> None:
    twice = [f"key {number // 2}" for number in range(600)]
    with Servers() as servers:
        redis = servers.redis("Redis", "--maxmemory-policy", policy)
        assert redis_cache.hit_ratio(redis, 100, twice) == pytest.approx(0.5, abs=0.05)
        assert redis_cache.hit_ratio(redis, 100, twice[::-1]) == pytest.approx(0.5, abs=0.05), "it was not empty"


def test_a_redis_that_keeps_everything_is_no_measure() -> None:
    with Servers() as servers:
        redis = servers.redis("Redis", "--maxmemory-policy", "noeviction")
        with pytest.raises(AssertionError, match="3 records, not 100"):
            redis_cache.hit_ratio(redis, 100, ["a", "b", "c"])
