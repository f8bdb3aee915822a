"""What a test may have to know of a run in several processes, which pytest-xdist calls workers."""

from __future__ import annotations

import os
from typing import Final

WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""The number of this one, from 0 on."""

WORKERS: Final = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""How many there are. So many tests share the processors."""
