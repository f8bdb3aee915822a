"""Flask with its two usual extensions for Redis."""

from __future__ import annotations

import flask
import flask_caching
import flask_session
import redis

from tests.clients.server import Server


def caching(server: Server, prefix: str, timeout: int) -> tuple[flask.Flask, flask_caching.Cache]:
    app = flask.Flask(__name__)
    config = {
        "CACHE_TYPE": "RedisCache",
        "CACHE_REDIS_URL": server.url,
        "CACHE_KEY_PREFIX": prefix,
        "CACHE_DEFAULT_TIMEOUT": timeout,
    }
    return app, flask_caching.Cache(app, config=config)


def asked_twice(server: Server, prefix: str, timeout: int) -> list[str]:
    """What a page says that is asked for twice, and says how often it was made."""
    app, cache = caching(server, prefix, timeout)
    made: list[int] = []

    def page() -> str:
        made.append(1)
        return f"made {len(made)} times"

    app.add_url_rule("/page", view_func=cache.cached()(page))
    with app.test_client() as browser:
        return [browser.get("/page").text for _ in range(2)]


def test_cached_page(server: Server, prefix: str) -> None:
    """Flask-Caching: a page that is kept for ever: `cached` with `CACHE_DEFAULT_TIMEOUT = -1`"""
    assert asked_twice(server, prefix, -1) == ["made 1 times"] * 2


def test_cached_page_with_a_timeout(server: Server, prefix: str) -> None:
    """Flask-Caching: a page that is kept for a time: `cached`"""
    assert asked_twice(server, prefix, 300) == ["made 1 times"] * 2


def test_memoized_function(server: Server, prefix: str) -> None:
    """Flask-Caching: a function: `memoize`, `delete_memoized`"""
    app, cache = caching(server, prefix, 300)
    calls: list[int] = []

    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    double_kept = cache.memoize()(double)
    with app.app_context():
        assert [double_kept(2), double_kept(2), double_kept(3)] == [4, 4, 6]
        assert calls == [2, 3]
        cache.delete_memoized(double_kept)
        assert double_kept(2) == 4
    assert calls == [2, 3, 2]


def test_sessions(server: Server, prefix: str) -> None:
    """Flask-Session: a visitor who comes back, and one who logs out"""
    app = flask.Flask(__name__)
    app.config |= {
        "SESSION_TYPE": "redis",
        "SESSION_REDIS": redis.Redis(server.host, server.port),
        "SESSION_KEY_PREFIX": prefix,
    }
    flask_session.Session(app)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    def visit() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    def leave() -> str:
        flask.session.clear()
        return "bye"

    app.add_url_rule("/visit", view_func=visit)
    app.add_url_rule("/leave", view_func=leave)
    with app.test_client() as browser:
        pages = [browser.get(page).text for page in ("/visit", "/visit", "/leave", "/visit")]
    assert pages == ["1", "2", "bye", "1"]
