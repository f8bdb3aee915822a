"""Which server and which table are at the other end: what was committed to one need not be in another.

Behind one address may be another server tomorrow: a replica was promoted, a name points elsewhere. Behind one name may
be another table: an online schema change, a restored dump.
"""

from __future__ import annotations

from typing import NamedTuple

from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.variables import is_read_only
from ckv.persistent.rows import TABLE

# The second of its making is all that every account may see of it. In Unix time, for the session's zone may change.
_MADE = (
    "(SELECT UNIX_TIMESTAMP(create_time) FROM information_schema.tables"
    f" WHERE table_schema = DATABASE() AND table_name = '{TABLE}')"
)


class Place(NamedTuple):
    """What a connection reaches: the same again when it is made anew, unless something has happened."""

    server: str
    """One server, as long as it stays where it is."""

    made: str
    """When this server made the table."""


def place(connection: Connection) -> Place:
    """Where this connection leads now. Raises :class:`~ckv.persistent.mysql.connection.StatementFailed`."""
    # All that may tell two of them apart: a data folder that was copied has the same server_uuid (MySQL), and the
    # server_uid of MariaDB is made of network card and the port. One that only moved costs some writes.
    parts = [f"@@{name}" for name in ("server_uuid", "server_uid") if name in connection.variables]
    parts += ["@@hostname", "@@port", "@@server_id"]
    ((name, made),) = connection.run(f"SELECT CONCAT_WS('/', {', '.join(parts)}), {_MADE}")
    return Place(_text(name), _text(made))


class Places:
    """Where a tier has been."""

    def __init__(self) -> None:
        self._server = ""
        self._made: dict[str, str] = {}

    def other_table(self, at: Place) -> bool:
        """Notes when the table there was made; whether it is another one than at the last time."""
        if not at.made:  # it is gone, as the next statement will say
            return False
        before, self._made[at.server] = self._made.get(at.server, at.made), at.made
        return before != at.made

    def other_server(self, connection: Connection, at: Place) -> bool:
        """Notes where a new connection leads; whether that is another server than the last time. Raises StatementFailed
        for one that is read-only: demoted, or not promoted yet, it may lack what the one before was given."""
        server = _cluster(connection) or at.server
        other = self._server not in ("", server)
        if other and is_read_only(connection.variables):
            raise StatementFailed("it is another server than before, and read-only")
        self._server = server
        return other


def _cluster(connection: Connection) -> str:
    """What the nodes of a Galera cluster share; empty elsewhere. A balancer may choose any of them for a connection."""
    if connection.variables.get("wsrep_on") != "ON":
        return ""
    rows = connection.run("SHOW STATUS LIKE 'wsrep_cluster_state_uuid'")
    return _text(rows[0][1]) if rows else ""


def _text(column: bytes | None) -> str:
    return (column or b"").decode()
