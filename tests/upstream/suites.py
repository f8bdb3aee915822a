"""Which tests of Redis and Valkey are run, and where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FOLDER: Final = Path(os.environ.get("UPSTREAM_TESTS", ".venv/redis-tests")).resolve()
"""What ``.ci/redis-tests`` has made."""

SUITES: Final = ("redis", "valkey")

FILES: Final = (
    "unit/expire",
    "unit/type/string",
    "unit/type/incr",
    "unit/keyspace",
    "unit/scan",
    "unit/multi",
    "unit/pubsub",
    "unit/protocol",
    "unit/quit",
)
"""Those that are about what ckv has. The first take longest."""
