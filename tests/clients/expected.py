"""Which tests of clients are expected to fail, and what ckv lacks for them."""

from __future__ import annotations

from typing import Final

from tests.clients.lacks import Lack

SCRIPTS: Final = Lack("scripts in Lua", "ckv runs no Lua")
TYPES: Final = Lack("types other than strings", r"ckv keeps strings only")
CHORDS: Final = Lack("sorted sets, in which workers keep the parts of a chord", r"TimeoutError")
TRACKING: Final = Lack("`CLIENT TRACKING`", r"CLIENT TRACKING|client-side caching is supported by Redis")

EXPECTED: Final[dict[str, dict[str, Lack]]] = {
    "test_redis_py": {
        "test_scripts": SCRIPTS,
        "test_other_types": TYPES,
        "test_client_side_cache": TRACKING,
    },
    "test_celery": {
        "test_a_chord": CHORDS,
    },
    "test_node_redis": {},
}
"""By file and test. A test that lacks several things is named with the one that its error shows."""
