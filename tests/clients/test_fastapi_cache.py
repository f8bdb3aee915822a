"""fastapi-cache2, which keeps the answers of FastAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.decorator import cache
from redis.asyncio import Redis

from tests.clients.server import Server


@pytest.fixture
def application(server: Server, prefix: str) -> Any:
    """One with an answer that counts how often it was made, and what forgets it."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        FastAPICache.reset()
        FastAPICache.init(RedisBackend(Redis(host=server.host, port=server.port)), prefix=prefix)
        yield

    app = FastAPI(lifespan=life)
    made = 0

    async def count() -> dict[str, int]:
        nonlocal made
        made += 1
        return {"made": made}

    async def forget(namespace: str = "", key: str = "") -> Any:
        return await FastAPICache.get_backend().clear(namespace, key)

    app.get("/made")(cache(expire=60, namespace="made")(count))
    app.post("/forget")(forget)
    with TestClient(app) as client:
        yield client


def ask(client: Any) -> Any:
    return client.get("/made")


def test_answers(application: Any) -> None:
    """Answers that are made once: `@cache(expire)`, with the time that is left"""
    first, second = ask(application), ask(application)
    assert first.json() == second.json() == {"made": 1}
    assert (first.headers["x-fastapi-cache"], second.headers["x-fastapi-cache"]) == ("MISS", "HIT")
    assert second.headers["cache-control"].startswith("max-age=")


def test_clear_of_a_key(application: Any) -> None:
    """Removing one key: `clear(key)`"""
    assert application.post("/forget", params={"key": "none"}).json() == 0


def test_clear_of_a_namespace(application: Any, prefix: str) -> None:
    """Removing a namespace: `clear(namespace)`, which is a script of its own for each"""
    ask(application)
    application.post("/forget", params={"namespace": f"{prefix}:made"})
    assert ask(application).json() == {"made": 2}
