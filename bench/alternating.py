"""``python -m bench.alternating FILE WITH WITHOUT secondary ...``: a node whose compiled loops change all the time.

It is started as ``ckv secondary ...`` is. Its requests are answered by the loops in the folder WITH for a moment, and
by those in WITHOUT for the next one: over one table, from the same sockets, in one process, so that the two differ in
nothing but their code. Two nodes do, by where their memory lies, more than by what is to be measured. At the end of
each moment it writes a line into FILE: the number of the pair, 1 for WITH and 0 for WITHOUT, the requests, and the
nanoseconds of processor time that the whole process has used for them.
"""

from __future__ import annotations

import os
import random
import sys
import time
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

MOMENT: Final = 0.01
"""Seconds. The machine, and what else runs on it, mostly changes more slowly."""


class Alternating:
    """In the place of the compiled loop for one protocol: the one or the other, without a call in between."""

    def __init__(self, servers: tuple[Any, Any]) -> None:
        self._servers = servers
        self.switch(0)

    def switch(self, side: int) -> None:
        """Has this one answer from now on."""
        server = self._servers[side]
        self.serve_all = server.serve_all
        self.arrived: Any = getattr(server, "arrived", None)  # not of clients of Redis

    def count_calls(self, counts: bool) -> None:
        for server in self._servers:
            server.count_calls(counts)

    @property
    def requests(self) -> int:
        return sum(server.requests for server in self._servers)

    @property
    def more_keys(self) -> int:
        return sum(server.more_keys for server in self._servers)


def load(folder: Path, name: str) -> Any:
    """A module of the core from a folder, beside the one that the process has."""
    return module_at(folder / f"{name}{EXTENSION_SUFFIXES[0]}", f"ckv.core.{name}")


def module_at(path: Path, name: str) -> Any:
    """The module in this file, of which no import knows."""
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def alternate(loops: list[Alternating], file: int) -> None:
    """Runs for as long as the process."""
    import gevent

    pair = 0
    while True:
        for side in random.choice(((0, 1), (1, 0))):
            for loop in loops:
                loop.switch(side)
            requests = sum(loop.requests for loop in loops)
            used = time.process_time_ns()
            gevent.sleep(MOMENT)
            used = time.process_time_ns() - used
            requests = sum(loop.requests for loop in loops) - requests
            if requests:
                os.write(file, b"%d %d %d %d\n" % (pair, side, requests, used))
        pair += 1


def main() -> None:
    """Runs the node to its end."""
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
    folders = [Path(folder) for folder in (sys.argv[3], sys.argv[2])]
    sys.argv[:] = ["ckv", *sys.argv[4:]]

    import gevent

    from ckv import __main__ as program  # patches what gevent patches, as this is a node
    from ckv.node import hotkeys, secondary
    from ckv.node.hotkeys import HotKeys
    from ckv.protocol.handler import Cores
    from ckv.protocol.quick import BATCH_BOUNDS
    from ckv.store import Records

    def serve_loops(store: Records, max_value_bytes: int, hot: HotKeys | None = None) -> Cores:
        table: Any = store.memory
        absent: Any = store.absent
        found = []
        for name, bounds in (("serve", BATCH_BOUNDS), ("serve_resp", {})):
            servers = [
                load(folder, name).Server(table, absent, max_value_bytes=max_value_bytes, **bounds)
                for folder in folders
            ]
            for server in servers:
                if hot is not None:
                    hot.watch(server)
            found.append(Alternating((servers[0], servers[1])))
        gevent.spawn(alternate, found, file)
        return Cores(found[0], found[1])

    secondary.serve_loops = serve_loops
    # A node notes so many keys in a second, and here it looks for keys in every other moment.
    hotkeys.MOST //= 2  # type: ignore[misc]
    program.main()


if __name__ == "__main__":
    main()
