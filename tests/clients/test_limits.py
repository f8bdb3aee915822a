"""limits, which counts what a client may do: slowapi and Flask-Limiter are built on it."""

from __future__ import annotations

import asyncio
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage as AsyncStorage
from limits.aio.strategies import FixedWindowRateLimiter as AsyncLimiter
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

from tests.clients.server import Server


def limiter(server: Server, strategy: Any) -> Any:
    return strategy(RedisStorage(f"redis://{server.host}:{server.port}"))


def test_fixed_window(server: Server, prefix: str) -> None:
    """A fixed window: `hit`, `test`, `get_window_stats`, which count by a script"""
    limits = limiter(server, FixedWindowRateLimiter)
    two = RateLimitItemPerMinute(2)
    assert [limits.hit(two, prefix) for _ in range(3)] == [True, True, False]
    assert limits.test(two, prefix) is False
    assert limits.get_window_stats(two, prefix).remaining == 0
    limits.clear(two, prefix)
    assert limits.test(two, prefix) is True


def test_window_ends(server: Server, prefix: str) -> None:
    """The end of a window, which later hits do not put off"""
    limits = limiter(server, FixedWindowRateLimiter)
    ten = RateLimitItemPerMinute(10)
    assert limits.hit(ten, prefix, cost=3) is True
    first = limits.get_window_stats(ten, prefix)
    assert limits.hit(ten, prefix, cost=3) is True
    stats = limits.get_window_stats(ten, prefix)
    assert stats.remaining == 4
    assert abs(stats.reset_time - first.reset_time) <= 1


def test_asyncio(server: Server, prefix: str) -> None:
    """A fixed window with asyncio"""

    async def steps() -> list[bool]:
        limits = AsyncLimiter(AsyncStorage(f"async+redis://{server.host}:{server.port}", implementation="redispy"))
        two = RateLimitItemPerMinute(2)
        return [await limits.hit(two, prefix) for _ in range(3)]

    assert asyncio.run(steps()) == [True, True, False]


def test_moving_window(server: Server, prefix: str) -> None:
    """A moving window"""
    limits = limiter(server, MovingWindowRateLimiter)
    assert limits.hit(RateLimitItemPerMinute(2), prefix) is True


def test_sliding_window(server: Server, prefix: str) -> None:
    """A window that slides"""
    limits = limiter(server, SlidingWindowCounterRateLimiter)
    assert limits.hit(RateLimitItemPerMinute(2), prefix) is True
