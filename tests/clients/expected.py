"""Which tests of clients are expected to fail, and what ckv lacks for them."""

from __future__ import annotations

from typing import Final

from tests.clients.lacks import Lack

WATCH: Final = Lack("keys that are watched: `WATCH`", r"unknown command 'WATCH'")
CHANNELS: Final = Lack("channels: `SUBSCRIBE` and `PUBLISH`", r"unknown command '(P?SUBSCRIBE|PUBLISH)'")
SCRIPTS: Final = Lack("scripts in Lua", "ckv runs no Lua")
FLUSH: Final = Lack("the removal of everything: `FLUSHDB`", r"unknown command 'FLUSHDB'")
TYPES: Final = Lack("types other than strings", r"ckv keeps strings only")
TRACKING: Final = Lack("`CLIENT TRACKING`", r"CLIENT TRACKING|client-side caching is supported by Redis")

EXPECTED: Final[dict[str, dict[str, Lack]]] = {
    "test_redis_py": {
        "test_watch": WATCH,
        "test_flush": FLUSH,
        "test_channels": CHANNELS,
        "test_scripts": SCRIPTS,
        "test_other_types": TYPES,
        "test_client_side_cache": TRACKING,
    },
    "test_django_core": {
        "test_its_own_tests": FLUSH,
        "test_clear": FLUSH,
    },
    "test_django_redis": {
        "test_clear": FLUSH,
    },
    "test_celery": {
        "test_a_result_is_kept": CHANNELS,
        "test_a_worker_answers": CHANNELS,
        "test_a_group": CHANNELS,
        "test_a_chord": CHANNELS,
    },
    "test_node_redis": {
        "test_channels": CHANNELS,
    },
}
"""By file and test. A test that lacks several things is named with the one that its error shows."""
