"""Django with the Redis cache that it brings along, its sessions, and its own tests of that cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.django_in_process import set_up
from tests.clients.server import Server
from tests.support.nodes import ROOT

ITS_TESTS = Path(sys.prefix) / "clients" / "django" / "tests"
"""Where ``make test-clients`` puts the tests of Django: the package that is installed has none."""


@pytest.fixture
def cache(server: Server) -> Any:
    set_up(server)
    from django.core.cache import caches

    return caches["default"]


def test_values_without_a_timeout(cache: Any, prefix: str) -> None:
    """Values that live for ever: `set(timeout=None)`, `get`, `get_many`, `has_key`, `delete`"""
    for number in range(100):
        cache.set(f"{prefix}{number}", {"number": number}, timeout=None)
    assert cache.get_many([f"{prefix}{number}" for number in range(100)]) == {
        f"{prefix}{number}": {"number": number} for number in range(100)
    }
    assert cache.has_key(f"{prefix}7")
    assert cache.delete(f"{prefix}7") is True
    assert cache.get(f"{prefix}7", "none") == "none"


def test_values_with_a_timeout(cache: Any, prefix: str) -> None:
    """Values as they are by default, for 300 s: `set`, `get`, `touch`, `add`, `get_or_set`"""
    cache.set(prefix, "1")
    assert cache.get(prefix) == "1"
    assert cache.touch(prefix, 100) is True
    assert cache.add(prefix, "2") is False
    assert cache.get_or_set(f"{prefix}new", lambda: "3", 100) == "3"


def test_many(cache: Any, prefix: str) -> None:
    """Many at a time: `set_many`, `delete_many`"""
    values = {f"{prefix}{number}": number for number in range(100)}
    assert cache.set_many(values) == []
    assert cache.get_many(values) == values
    cache.delete_many(values)
    assert cache.get_many(values) == {}


def test_counters(cache: Any, prefix: str) -> None:
    """Counters: `incr`, `decr`"""
    cache.set(prefix, 5, timeout=None)
    assert [cache.incr(prefix), cache.decr(prefix, 3)] == [6, 3]
    with pytest.raises(ValueError, match="not found"):
        cache.incr(f"{prefix}none")


def test_clear(cache: Any, prefix: str) -> None:
    """Removing everything: `clear`"""
    cache.set(prefix, "1", timeout=None)
    cache.clear()
    assert cache.get(prefix) is None


def test_sessions(cache: Any) -> None:
    """Sessions, with the engine `cache`"""
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session["user"] = "bob"
    session.save()
    assert SessionStore(session.session_key)["user"] == "bob"
    session.cycle_key()
    assert SessionStore(session.session_key)["user"] == "bob"
    session.flush()
    assert SessionStore(session.session_key).get("user") is None


def test_its_own_tests(server: Server, tmp_path: Path) -> None:
    """Django's own tests of this cache, from its source package"""
    if not ITS_TESTS.exists():
        pytest.skip("Django's tests are not there: `make test-clients` fetches them")
    done = subprocess.run(
        [
            *(sys.executable, "runtests.py", "--settings=tests.clients.django_settings", "--verbosity=0"),
            *("--parallel=1", "cache.tests.RedisCacheTests"),
        ],
        cwd=ITS_TESTS,
        env={**os.environ, "CLIENTS_URL": server.url, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-20_000:]
    (number,) = re.findall(r"Ran (\d+) tests", done.stderr)
    assert int(number) > 50
