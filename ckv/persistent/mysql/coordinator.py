"""One row that several primaries share: which of them leads, in which term, and the map that this one made last.
Another table has a row for each of them, to be found by.

All that changes it is compare-and-set: a primary that was paused or cut off while another one took its place changes
nothing, whatever it sends afterwards, and whenever that arrives.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any, Final, NamedTuple

from pymysql.constants import ER

from ckv.errors import Forbidden, TierUnavailable
from ckv.persistent.mysql import schema, variables
from ckv.persistent.mysql.address import Server
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.lasting import Lasting
from ckv.persistent.mysql.outages import LOGIN_ERRORS
from ckv.persistent.mysql.statements import literal

log = logging.getLogger(__name__)

TABLE: Final = "ckv_cluster"

DEFINITION: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (id TINYINT NOT NULL PRIMARY KEY, term BIGINT NOT NULL,"
    " leader VARBINARY(300) NOT NULL, beat BIGINT NOT NULL, epoch BIGINT NOT NULL, map MEDIUMBLOB NULL)"
    " ENGINE=InnoDB ROW_FORMAT=DYNAMIC"
)

FIRST_ROW: Final = f"INSERT IGNORE INTO {TABLE} VALUES (1, UNIX_TIMESTAMP(), '', 0, 0, NULL)"
"""The first term is the seconds of the epoch, for nodes may remember maps of a cluster that was here before, and take
none that is not later."""

PRIMARIES: Final = "ckv_primary"

PRIMARIES_DEFINITION: Final = (
    f"CREATE TABLE IF NOT EXISTS {PRIMARIES} (address VARBINARY(300) NOT NULL PRIMARY KEY, seen BIGINT NOT NULL)"
    " ENGINE=InnoDB ROW_FORMAT=DYNAMIC"
)

PRESENT: Final = 30
"""Seconds after it has said so for which a primary is taken for one of the cluster, by the clock of the server."""

ANSWER_TIMEOUT: Final = 2.0
"""Seconds that a statement may take. Whoever waits longer for its own beat leads no more for certain."""

_DENIED: Final = (ER.TABLEACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR)


class State(NamedTuple):
    """What the row says."""

    term: int
    leader: str
    beat: int
    epoch: int
    """Of the map, which is of this term."""
    is_new: bool
    """No leader has made a map yet, or the row has lost the last one."""
    map: bytes | None
    """Only if it is asked for, and there is one."""


class MySQLCoordinator:
    """The row, over one connection; one greenlet at a time uses it. Each call raises TierUnavailable: nobody knows then
    whether something was done, or still will be."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._own = Lasting(self._connect, _failed, ANSWER_TIMEOUT)
        self.local_host = ""
        """The address of this machine from which the server is reached; empty before it was."""

    @property
    def name(self) -> str:
        """What logs show, without the password."""
        return self._server.name

    def look(self, known: tuple[int, int]) -> State:
        """What there is; the map unless it is that of the term and the epoch that are ``known``."""
        term, epoch = known
        state = f"term, leader, beat, epoch, map IS NULL, IF(term = {term} AND epoch = {epoch}, NULL, map)"
        with self._own.use() as connection:
            return _state(self._row(connection, state))

    def stand(self, name: str, term: int, leader: str, beat: int, known: tuple[int, int] = (0, 0)) -> State | None:
        """Has this one lead in the next term, with the map one epoch later, if the row still says these; None if it
        does not. Where a later map than that of the row is ``known`` by its term and epoch, the row has lost it, as a
        replica may: then it has none afterwards, as if it were new, and both are later than those as well."""
        known_term, known_epoch = known
        is_last = f"term > {known_term} OR (term = {known_term} AND epoch >= {known_epoch})"
        following = max(term, known_term) + 1
        was = f"term = {term} AND leader = {_text(leader)} AND beat = {beat}"
        # From left to right: the first one sees term and epoch as they were.
        change = (
            f"map = IF({is_last}, map, NULL), epoch = GREATEST(epoch, {known_epoch}) + 1, term = {following},"
            f" leader = {_text(name)}, beat = beat + 1"
        )
        with self._own.use() as connection:
            if not self._change(connection, change, was):
                return None
            found = _state(self._row(connection, "term, leader, beat, epoch, map IS NULL, map"))
            return found if (found.term, found.leader) == (following, name) else None

    def beat(self, name: str, term: int) -> bool:
        """Says that the leader of that term lives; whether it still leads."""
        with self._own.use() as connection:
            return self._change(connection, "beat = beat + 1", _leads(name, term))

    def replace(self, name: str, expected: tuple[int, int], following: tuple[int, int], packed: bytes) -> bool:
        """Has another map follow the one of this term and epoch, if that is still the last one and ``name`` leads;
        whether that was done. Only a leader whose map is not that of the row may take another term."""
        term, epoch = following
        change = f"term = {term}, epoch = {epoch}, map = {literal(packed)}, beat = beat + 1"
        with self._own.use() as connection:
            return self._change(connection, change, f"{_leads(name, expected[0])} AND epoch = {expected[1]}")

    def step_down(self, name: str, term: int) -> None:
        """Nobody leads any more, if this one did in that term: the others need not wait."""
        with self._own.use() as connection:
            self._change(connection, "leader = '', beat = beat + 1", _leads(name, term))

    def attend(self, name: str) -> list[str]:
        """Says that this primary is there; all that are. It is a hint for nodes that look for the leader."""
        own = f"REPLACE INTO {PRIMARIES} VALUES ({_text(name)}, UNIX_TIMESTAMP())"
        others = f"SELECT address FROM {PRIMARIES} WHERE seen >= UNIX_TIMESTAMP() - {PRESENT} ORDER BY address"
        with self._own.use() as connection:
            try:
                rows = connection.run(own, others)
            except StatementFailed as error:
                if error.code != ER.NO_SUCH_TABLE:
                    raise
                rows = connection.run(PRIMARIES_DEFINITION, own, others)
        return [address.decode(errors="replace") for (address,) in rows]

    def close(self) -> None:
        """Gives the connection back. Never raises."""
        self._own.close()

    def _change(self, connection: Connection, change: str, condition: str) -> bool:
        # A server that was demoted may take the writes of a privileged account, which nobody would ever see.
        update = f"UPDATE {TABLE} SET {change} WHERE id = 1 AND {condition}"
        ((changed, read_only),) = connection.run(update, "SELECT ROW_COUNT(), @@global.read_only")
        if read_only not in (b"0", b"OFF"):
            raise StatementFailed("it is read-only")
        return int(changed) == 1

    def _row(self, connection: Connection, columns: str) -> tuple[Any, ...]:
        select = f"SELECT {columns} FROM {TABLE} WHERE id = 1"
        try:
            rows = connection.run(select)
        except StatementFailed as error:
            if error.code != ER.NO_SUCH_TABLE:
                raise
            rows = ()
        if not rows:
            rows = connection.run(DEFINITION, FIRST_ROW, select)
            log.info("created the table %s in %s", TABLE, self.name)
        return rows[0]

    def _connect(self) -> Connection:
        try:
            connection = Connection(self._server, database=self._server.database, read_timeout=ANSWER_TIMEOUT)
        except StatementFailed as error:
            if error.code != ER.BAD_DB_ERROR:
                raise
            with closing(Connection(self._server, database=None)) as connection:
                schema.create_database(connection, self._server)
            connection = Connection(self._server, database=self._server.database, read_timeout=ANSWER_TIMEOUT)
        with connection.or_abort():
            if variables.is_read_only(connection.variables):
                raise StatementFailed("it is read-only")
            self.local_host = connection.local_host
        return connection


def _state(row: tuple[Any, ...]) -> State:
    term, leader, beat, epoch, is_new, packed = row
    return State(int(term), leader.decode(errors="replace"), int(beat), int(epoch), is_new == b"1", packed)


def _leads(name: str, term: int) -> str:
    return f"term = {term} AND leader = {_text(name)}"


def _text(name: str) -> str:
    return literal(name.encode()) if name else "''"


def _failed(error: StatementFailed) -> TierUnavailable:
    found = TierUnavailable(str(error))
    if error.code in _DENIED:
        found = Forbidden(
            f"{error}. GRANT the account SELECT, INSERT, UPDATE and DELETE on the tables {TABLE} and {PRIMARIES}, and"
            f" CREATE, or have somebody run: {DEFINITION}; {PRIMARIES_DEFINITION}"
        )
    found.number = error.code
    found.silent = error.silent
    found.login_refused = error.code in LOGIN_ERRORS
    return found
