"""The clients, and which of their tests are expected to fail because ckv lacks something.

A test that is named here has to fail, with an error that shows what is lacking; when it passes, or fails for another
reason, that is a failure. This module imports none of the clients: the documentation is made from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Client:
    """What one file of tests is about."""

    name: str
    packages: tuple[str, ...]
    """As the locks call them, the one that the file is named after first; none, if the machine has to have it."""

    kind: str = "Python"
    """``Python``, ``Node`` or ``command``."""

    of_debian: str = ""
    """The version that Debian 12 has, where the machine has to have it."""


CLIENTS: Final = {
    "test_redis_py": Client("redis-py", ("redis",)),
    "test_redis_asyncio": Client("redis-py, asyncio", ("redis",)),
    "test_valkey_py": Client("valkey-py", ("valkey",)),
    "test_coredis": Client("coredis", ("coredis",)),
    "test_glide": Client("Valkey GLIDE, asyncio", ("valkey-glide",)),
    "test_glide_sync": Client("Valkey GLIDE, synchronous", ("valkey-glide-sync",)),
    "test_django_core": Client("Django: its own Redis cache, and sessions", ("django", "redis")),
    "test_django_redis": Client("django-redis", ("django-redis", "django", "redis")),
    "test_cachelib": Client("cachelib", ("cachelib", "redis")),
    "test_flask": Client("Flask-Caching and Flask-Session", ("flask-caching", "flask-session", "flask", "redis")),
    "test_dogpile": Client("dogpile.cache", ("dogpile-cache", "redis")),
    "test_aiocache": Client("aiocache", ("aiocache", "redis")),
    "test_cashews": Client("cashews", ("cashews", "redis")),
    "test_fastapi_cache": Client("fastapi-cache2", ("fastapi-cache2", "fastapi", "redis")),
    "test_limits": Client("limits", ("limits", "redis")),
    "test_celery": Client("Celery: results", ("celery", "redis")),
    "test_dramatiq": Client("Dramatiq", ("dramatiq", "redis")),
    "test_huey": Client("Huey", ("huey", "redis")),
    "test_rq": Client("RQ", ("rq", "redis")),
    "test_walrus": Client("walrus", ("walrus", "redis")),
    "test_redis_cli": Client("redis-cli", (), "command", "7.0.15"),
    "test_iredis": Client("iredis", ("iredis",)),
    "test_node_redis": Client("node-redis", ("redis",), "Node"),
    "test_ioredis": Client("ioredis", ("ioredis",), "Node"),
    "test_iovalkey": Client("iovalkey", ("iovalkey",), "Node"),
    "test_glide_node": Client("Valkey GLIDE for Node", ("@valkey/valkey-glide",), "Node"),
    "test_keyv": Client("Keyv", ("keyv", "@keyv/redis"), "Node"),
    "test_connect_redis": Client(
        "connect-redis, for sessions of Express", ("connect-redis", "express-session", "redis"), "Node"
    ),
    "test_bullmq": Client("BullMQ", ("bullmq",), "Node"),
    "test_redis_commander": Client("Redis Commander", ("redis-commander",), "Node"),
    "test_phpredis": Client("phpredis, and sessions of PHP", (), "command", "5.3.7"),
    "test_redis_rb": Client("redis-rb, for Ruby", (), "command", "4.8.0"),
    "test_redis_perl": Client("Redis, the module of Perl", (), "command", "2.000"),
    "test_hiredis": Client("hiredis, for C", (), "command", "0.14.1"),
    "test_redis_exporter": Client("redis_exporter, for Prometheus", (), "command", "1.45.0"),
}
"""By the file of their tests, in the order of the page."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that ckv does not have."""

    reason: str
    """Half a sentence for the page."""

    shows: str
    """A regular expression that the error has to have; what the client makes of it is its own matter."""

    def explains(self, error: str) -> bool:
        """Whether an error is what comes of this."""
        return re.search(self.shows, error, re.IGNORECASE) is not None
