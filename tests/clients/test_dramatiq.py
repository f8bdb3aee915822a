"""Dramatiq, a queue of tasks: its results, and its limits of how many run."""

from __future__ import annotations

from collections.abc import Iterator

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import BucketRateLimiter, ConcurrentRateLimiter, RateLimiter, WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as LimitsBackend
from dramatiq.results.backends.redis import RedisBackend as ResultsBackend

from tests.clients.server import Server


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with redis.Redis(server.host, server.port) as client:
        yield client


def test_a_task(client: redis.Redis, prefix: str) -> None:
    """A task for a worker: `RedisBroker`"""
    broker = RedisBroker(client=client, namespace=prefix)
    dramatiq.actor(lambda: None, actor_name="nothing", broker=broker).send()


def test_results(client: redis.Redis, prefix: str) -> None:
    """The result of a task"""
    message = dramatiq.Message(queue_name="queue", actor_name="actor", args=(), kwargs={}, options={})
    backend = ResultsBackend(client=client, namespace=prefix)
    backend.store_result(message, 1, 10_000)
    assert backend.get_result(message) == 1


def taken(limiter: RateLimiter) -> list[bool]:
    """Whether it lets one in, and another one meanwhile."""
    with limiter.acquire(raise_on_failure=False) as first, limiter.acquire(raise_on_failure=False) as second:
        return [first, second]


def test_concurrent(client: redis.Redis, prefix: str) -> None:
    """`ConcurrentRateLimiter`: so many at a time"""
    limiter = ConcurrentRateLimiter(LimitsBackend(client=client), prefix, limit=1)
    assert taken(limiter) == taken(limiter) == [True, False]


def test_bucket(client: redis.Redis, prefix: str) -> None:
    """`BucketRateLimiter`: so many in a time"""
    limiter = BucketRateLimiter(LimitsBackend(client=client), prefix, limit=1, bucket=60_000)
    assert taken(limiter) == [True, False]


def test_window(client: redis.Redis, prefix: str) -> None:
    """`WindowRateLimiter`: so many in the last seconds, each of which has a key"""
    limiter = WindowRateLimiter(LimitsBackend(client=client), prefix, limit=1, window=10)
    assert taken(limiter) == [True, False]
