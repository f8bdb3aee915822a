"""The row that several primaries share (:mod:`ckv.persistent.coordinator`), in a table of its own. Another table has a
row for each of them, to be found by.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any, Final

from pymysql.constants import ER

from ckv import events
from ckv.errors import Forbidden, TierUnavailable
from ckv.persistent.coordinator import ANSWER_TIMEOUT, State
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

PRIMARIES: Final = "ckv_primary"

PRIMARIES_DEFINITION: Final = (
    f"CREATE TABLE IF NOT EXISTS {PRIMARIES} (address VARBINARY(300) NOT NULL PRIMARY KEY, seen BIGINT NOT NULL)"
    " ENGINE=InnoDB ROW_FORMAT=DYNAMIC"
)

PRESENT: Final = 30
"""Seconds after it has said so for which a primary is taken for one of the cluster, by the clock of the server."""

_DENIED: Final = (ER.TABLEACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR)


class MySQLCoordinator:
    """The row in MySQL or MariaDB, over one connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._own = Lasting(self._connect, _failed, ANSWER_TIMEOUT)
        self.local_host = ""

    @property
    def name(self) -> str:
        return self._server.name

    def look(self, known: tuple[int, int]) -> State:
        term, epoch = known
        state = f"term, leader, beat, epoch, map IS NULL, IF(term = {term} AND epoch = {epoch}, NULL, map)"
        with self._own.use() as connection:
            return _state(self._row(connection, state))

    def stand(self, name: str, term: int, leader: str, beat: int, known: tuple[int, int] = (0, 0)) -> State | None:
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
        with self._own.use() as connection:
            return self._change(connection, "beat = beat + 1", _leads(name, term))

    def replace(self, name: str, expected: tuple[int, int], following: tuple[int, int], packed: bytes) -> bool:
        term, epoch = following
        change = f"term = {term}, epoch = {epoch}, map = {literal(packed)}, beat = beat + 1"
        with self._own.use() as connection:
            return self._change(connection, change, f"{_leads(name, expected[0])} AND epoch = {expected[1]}")

    def step_down(self, name: str, term: int) -> None:
        with self._own.use() as connection:
            self._change(connection, "leader = '', beat = beat + 1", _leads(name, term))

    def attend(self, name: str) -> list[str]:
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
            log.info(events.TABLE_CREATED, TABLE, self.name)
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
