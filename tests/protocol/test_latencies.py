"""Histograms of how long calls took: each call is in one bucket, under the method that carried it out."""

from __future__ import annotations

import pytest

from ckv.protocol.latencies import BOUNDS, KINDS, Latencies
from ckv.protocol.slow import SlowLog
from ckv.redis.table import ROWS, method_of


class Timed:
    def told_times(self) -> list[tuple[list[int], float]]:
        return [([kind, *[0] * len(BOUNDS)], kind * 0.00005) for kind in range(len(KINDS))]


@pytest.mark.parametrize("method", ["GET", b"GET", b"get"])
def test_a_call_is_in_one_bucket(method: object) -> None:
    latencies = Latencies()
    latencies.name("get", "GET")
    for seconds in (0.0, 0.0001, 0.00011, 10.0, 11.0):
        latencies.add(method, seconds)
    latencies.add(method, 0.5, 7)
    (get,) = latencies.told().values()
    assert get.counts == [2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 1, 1]
    assert get.seconds == pytest.approx(21.00021 + 3.5)


def test_commands_of_redis_count_as_what_carries_them_out() -> None:
    latencies = Latencies()
    for name, row in ROWS.items():
        latencies.name(name, method_of(row))
    for command in (b"SET", b"set", b"SETEX", b"getset", b"DECR", b"exists", b"PING", b"EXEC", "PING", "NONE", 7):
        latencies.add(command, 0.001)
    latencies.add("PUT", 0.001)
    found = {name: sum(histogram.counts) for name, histogram in latencies.told().items()}
    assert found == {"PUT": 5, "INCRBY": 1, "EXISTS": 1}


def test_what_compiled_code_has_timed_is_added() -> None:
    latencies, gone = Latencies(), Timed()
    for timed in (Timed(), gone):
        latencies.take(timed)
    latencies.add("EXISTS", 0.001)
    latencies.drop(gone)
    latencies.drop(None)
    told = latencies.told()
    assert {name: histogram.counts[:3] for name, histogram in told.items()} == {
        "PUT": [2, 0, 0],
        "DEL": [4, 0, 0],
        "EXISTS": [6, 0, 1],
    }
    assert told["DEL"].seconds == pytest.approx(0.0002)
    assert latencies.told() == told


def test_what_waits_is_timed_however_short() -> None:
    now = 5.0
    slow = SlowLog(1.0, lambda: now, lambda: 0.0)
    begun = slow.begun("GET", "a", 1)
    now = 5.02
    slow.answered(begun, "h:1")
    assert slow.count == 0
    assert slow.latencies.told()["GET"].counts[5] == 1
