"""How many clients are served at a time, and who has to go while there are more.

Either limit may be lowered while the node runs. Where ``--max-connections`` is, clients go: those that wait for no
answer first, the others when they have theirs. No other node goes: calls of clients without number would be lost with
it. Where it is the limit of open files, whoever has the lowest ones goes, for only these can be opened again.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Set
from typing import Final

from ckv import events
from ckv.net.connection import Connection
from ckv.net.files import SPARE_FILES, file_limit, open_files
from ckv.net.lobby import FEWEST_GUESTS, MOST_GUESTS, Lobby
from ckv.protocol.limits import Limits

log = logging.getLogger(__name__)

GRACE: Final = 10.0
"""Seconds for a client that has to go to get its answers."""


class Places:
    """The places of clients at a server."""

    def __init__(self, limits: Limits, files: int, lobby: Lobby) -> None:
        """``files``: open files that the node needs beside its clients' connections."""
        self._limits = limits
        self._files = files
        self._lobby = lobby
        self.count = limits.max_connections
        """Clients that are served at a time."""
        self._allowed = self.count
        """How many open files allow, beside the lobby."""
        self._told = (0, 0)
        """The places that were counted last, and those that there should be."""
        self.nodes: set[Connection] = set()
        """Those that have said that they are other nodes."""
        self._leaving: dict[Connection, float] = {}
        """Clients that go when they have their answers, and when they go without."""

    def open(self) -> None:
        """Counts the places, once all is open that the node needs. Raises OSError if there are none."""
        self._files += open_files() + SPARE_FILES
        self._measure()
        if self.count < 1:
            least = self._files + FEWEST_GUESTS + 1
            raise OSError(errno.EMFILE, f"{file_limit(0)} open files are allowed, and it needs {least}")
        self._tell_if_few()

    def _tell_if_few(self) -> None:
        """Says it once, until either limit is another one."""
        counts = self.count, self._limits.max_connections
        if self.count < self._limits.max_connections and counts != self._told:
            log.warning(events.PLACES_FEW, *counts, file_limit(0), self._files + self._lobby.most)
        self._told = counts

    def _measure(self) -> None:
        most = self._limits.max_connections
        left = file_limit(most + MOST_GUESTS + self._files) - self._files
        self._lobby.fit(left)
        self._allowed = max(0, left - self._lobby.most)
        self.count = min(most, self._allowed)

    def is_node(self, connection: Connection) -> None:
        """It has said that it is another node."""
        self.nodes.add(connection)

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self.nodes.discard(connection)
        self._leaving.pop(connection, None)

    def look_after(self, connections: Set[Connection]) -> None:
        """Counts the places again, and has as many of these go as are too many; to be called now and then."""
        self._measure()
        self._tell_if_few()
        cut = self._cut_for_files(connections) + self._send_away(connections)
        if cut:
            log.warning(events.CONNECTIONS_CUT, cut, self.count)

    def _beyond(self, places: int, connections: Set[Connection]) -> int:
        return max(0, len(connections) - len(self._lobby) - places)

    def _cut_for_files(self, connections: Set[Connection]) -> int:
        surplus = self._beyond(self._allowed, connections) + self._lobby.surplus
        # The limit is on the number of a file, not on how many there are.
        lowest = sorted(connections, key=lambda connection: connection.fd)[:surplus] if surplus else []
        for connection in lowest:
            connection.close("")
        return len(lowest)

    def _send_away(self, connections: Set[Connection]) -> int:
        """How many have to go that had not to before."""
        surplus = self._beyond(self.count, connections)
        if not surplus:
            return 0
        leaving, now, told = self._leaving, time.monotonic(), 0
        clients = connections - self.nodes - self._lobby.guests.keys()
        for client in sorted(clients, key=lambda client: (client not in leaving, not client.idle))[:surplus]:
            told += client not in leaving
            if client.idle or now > leaving.setdefault(client, now + GRACE):
                client.close("")
            else:
                client.finish()
        return told
