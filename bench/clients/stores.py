"""The two ways to more data than memory: ckv, and Redis as a cache beside the database."""

from __future__ import annotations

from typing import Protocol

import pymysql
import redis

from bench.database import ONE_SELECT, ONE_UPSERT, PLAIN
from ckv import Client
from tests.support.products import PASSWORD, USER


class Store(Protocol):
    """What the greenlets of an application see."""

    hits: int
    """GETs that the cache answered, where the client can tell."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str) -> None: ...


class Ckv:
    """One node does it all, or the owners of the keys. Greenlets share the client, which has one connection to each."""

    def __init__(self, port: int, *, is_direct: bool = False) -> None:
        self.hits = 0
        self._client = Client("127.0.0.1", port, timeout=60.0, direct=is_direct)

    def get(self, key: str) -> str | None:
        value = self._client.get(key)
        assert value is None or isinstance(value, str)
        return value

    def put(self, key: str, value: str) -> None:
        self._client.put(key, value)


class CacheAside:
    """Read the cache; on a miss read the database and fill the cache. Write the database, then the cache.

    Writing the value into the cache, rather than only deleting it there, spares the miss that would follow. Each
    greenlet has an instance, with two connections, for itself, so nobody waits for a pool. The answers of Redis are
    parsed in C (hiredis).
    """

    def __init__(self, cache_port: int, database_port: int) -> None:
        self.hits = 0
        self._cache = redis.Redis(host="127.0.0.1", port=cache_port, single_connection_client=True)
        self._database = pymysql.connect(
            host="127.0.0.1", port=database_port, user=USER, password=PASSWORD, database=PLAIN, autocommit=True
        )
        self._cursor = self._database.cursor()

    def get(self, key: str) -> str | None:
        value = self._cache.get(key)
        if isinstance(value, bytes):
            self.hits += 1
            return value.decode()
        self._cursor.execute(ONE_SELECT, (key,))
        row = self._cursor.fetchone()
        if row is None:
            return None
        self._cache.set(key, row[0])
        found: bytes = row[0]
        return found.decode()

    def put(self, key: str, value: str) -> None:
        self._cursor.execute(ONE_UPSERT, (key, value))
        self._cache.set(key, value)
