"""The newest peers, from a folder that `.ci/newest-servers` made: what `make bench` runs beside Debian's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.support.newest import command_in, path_in

FOLDER: Final = "BENCH_NEWEST"
"""The variable that names the folder; without it, or where there is nothing, the newest peers take no part."""

VALKEY: Final = "Valkey"
REDIS: Final = "newest Redis"
MEMCACHED: Final = "newest memcached"

PROGRAMS: Final = {
    VALKEY: "usr/bin/valkey-server",
    REDIS: "usr/bin/redis-server",
    MEMCACHED: "usr/bin/memcached",
}
"""Name of a contender to its program in the folder."""


def command(name: str) -> list[str] | None:
    """How the program of a contender is started, without its arguments; ``None`` if it is not there."""
    folder = os.environ.get(FOLDER)
    if not folder or not path_in(Path(folder), PROGRAMS[name]).exists():
        return None
    return command_in(Path(folder), PROGRAMS[name])
