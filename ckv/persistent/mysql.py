"""The persistent tier in MySQL or MariaDB: whole batches in few statements.

Values travel as hexadecimal literals (``X'6b6579'``): any bytes, in any ``sql_mode`` and under any character set,
and built faster than PyMySQL builds statements with parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pymysql.constants import ER

from ckv.errors import RowsRefused, TierUnavailable
from ckv.persistent import mysql_schema
from ckv.persistent.mysql_address import Server
from ckv.persistent.mysql_connection import Connection, StatementFailed
from ckv.persistent.rows import ROWS_PER_STATEMENT, TABLE, record, sorted_keys, sorted_rows
from ckv.values import Value

DATA_ERRORS: Final = frozenset(
    {
        ER.BAD_NULL_ERROR,
        ER.DATA_TOO_LONG,
        ER.DUP_ENTRY,
        ER.NET_PACKET_TOO_LARGE,
        ER.NO_DEFAULT_FOR_FIELD,
        ER.NO_REFERENCED_ROW_2,
        ER.ROW_IS_REFERENCED_2,
        ER.TOO_BIG_ROWSIZE,
        ER.TRUNCATED_WRONG_VALUE,
        ER.TRUNCATED_WRONG_VALUE_FOR_FIELD,
        ER.WARN_DATA_OUT_OF_RANGE,
        ER.WARN_DATA_TRUNCATED,
        # PyMySQL has no names for these:
        1526,  # no partition takes the row
        1644,  # a trigger signals an error
        3819,  # a CHECK fails (MySQL)
        4025,  # a CHECK fails (MariaDB)
    }
)
"""The errors with which a server refuses a row for what is in it. Every other one may be gone at the next try."""

_PROBE = f"SELECT kv_key, kv_value, kv_type FROM {TABLE} LIMIT 0"
_SELECT = f"SELECT kv_key, kv_value, kv_type FROM {TABLE} WHERE kv_key IN ("
# A node that is killed may leave a COMMIT behind that a stalled server carries out later. The row is locked until then:
# a plain read would see what was there before, and the node that was started again would take it for the truth.
_LOCKING = ") LOCK IN SHARE MODE"
_DELETE = f"DELETE FROM {TABLE} WHERE kv_key IN ("
_INSERT = f"INSERT INTO {TABLE} (kv_key, kv_value, kv_type) VALUES "
# VALUES() rather than MySQL 8's row alias, which MySQL 5.7 and MariaDB do not know.
_UPSERT = " ON DUPLICATE KEY UPDATE kv_value = VALUES(kv_value), kv_type = VALUES(kv_type)"


class MySQLTier:
    """One database on one server (:class:`~ckv.persistent.Tier`)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.generation = 0

    @property
    def name(self) -> str:
        return self._server.name

    def connect(self, *, prepare: bool = True) -> MySQLSession:
        try:
            return MySQLSession(self._connect() if prepare else self._connect_as_it_is())
        except StatementFailed as error:
            raise TierUnavailable(str(error)) from error

    def _connect(self) -> Connection:
        # Each connection looks at the table, not only the first: somebody may restore an old dump while nodes run.
        connection = self._connect_if_ready()
        if connection is None:
            mysql_schema.prepare(self._server)
            connection = Connection(self._server, database=self._server.database)
        return connection

    def _connect_as_it_is(self) -> Connection:
        connection = Connection(self._server, database=self._server.database)
        try:
            connection.run(_PROBE)  # fails where there is no such table, or one that is nothing of ours
        except BaseException:
            connection.abort()
            raise
        return connection

    def _connect_if_ready(self) -> Connection | None:
        try:
            connection = Connection(self._server, database=self._server.database)
        except StatementFailed as error:
            if error.code == ER.BAD_DB_ERROR:
                return None
            raise
        try:
            if mysql_schema.is_ready(connection):
                return connection
        except BaseException:
            connection.abort()
            raise
        connection.close()
        return None


class MySQLSession:
    """One connection (:class:`~ckv.persistent.Session`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        literals = [_literal(key) for key in sorted_keys(keys)]
        statements = _statements(_SELECT, literals, _LOCKING, self._connection.max_statement_bytes)
        # In auto-commit mode, so that no snapshot stays open: it would hide later writes from later loads.
        with self._aborted_on_failure():
            answers = [self._connection.run(statement) for statement in statements]
        return dict(record(key, value, int(kind)) for rows in answers for key, value, kind in rows)

    def save_many(self, rows: Sequence[tuple[str, Value]]) -> None:
        tuples = []
        room = self._connection.max_statement_bytes - len(_INSERT) - len(_UPSERT)
        for key, value, kind in sorted_rows(rows):
            row = f"(X'{key.hex()}',X'{value.hex()}',{kind})"
            tuples.append(row)
            if len(row) > room:
                # Not left to the server, which closes the connection over such a statement.
                raise RowsRefused(
                    f"max_allowed_packet of the server leaves {room} bytes for a row, and the one with a key of"
                    f" {len(key)} and a value of {len(value)} bytes takes {len(row)}"
                )
        self._commit(_statements(_INSERT, tuples, _UPSERT, self._connection.max_statement_bytes))

    def delete_many(self, keys: Sequence[str]) -> None:
        literals = [_literal(key) for key in sorted_keys(keys)]
        self._commit(_statements(_DELETE, literals, ")", self._connection.max_statement_bytes))

    def count(self) -> int:
        with self._aborted_on_failure():
            return int(self._connection.run(f"SELECT COUNT(*) FROM {TABLE}")[0][0])

    def close(self) -> None:
        self._connection.close()

    def _commit(self, statements: Sequence[str]) -> None:
        """Run the statements in one transaction.

        COMMIT travels by itself, after the answer to everything before, and nothing is left to auto-commit. A server
        that stalls can hold a statement of ours long after we gave up on it and have written the row anew over another
        connection; in auto-commit mode the old statement would then still take effect, over the new value. Like this
        it either has its row locks by then, and the new one waits behind it until it is over, or it is rolled back
        with its connection, because its COMMIT was never sent.
        """
        if not statements:
            return
        with self._aborted_on_failure():
            try:
                self._connection.run("BEGIN", statements[0])
                for statement in statements[1:]:
                    self._connection.run(statement)
            except StatementFailed as error:
                if error.code not in DATA_ERRORS:
                    raise
                # When this fails, its error goes out and not RowsRefused, which promises that nothing was written.
                self._connection.run("ROLLBACK")
                raise RowsRefused(str(error)) from error
            self._connection.run("COMMIT")

    @contextmanager
    def _aborted_on_failure(self) -> Iterator[None]:
        """Break the connection off unless its state is known: also when the greenlet is killed inside of a call."""
        try:
            yield
        except RowsRefused:
            raise
        except BaseException as error:
            self._connection.abort()
            if isinstance(error, StatementFailed):
                raise TierUnavailable(str(error)) from error
            raise


def _literal(data: bytes) -> str:
    return f"X'{data.hex()}'"


def _statements(head: str, items: Sequence[str], tail: str, max_bytes: int) -> list[str]:
    """The items, with commas between them, in as few statements as their bounds allow. No item is too large for one."""
    statements: list[str] = []
    batch: list[str] = []
    size = 0
    for item in items:
        size += len(item) + 1
        if batch and (len(head) + size + len(tail) > max_bytes or len(batch) == ROWS_PER_STATEMENT):
            statements.append(head + ",".join(batch) + tail)
            batch, size = [], len(item) + 1
        batch.append(item)
    if batch:
        statements.append(head + ",".join(batch) + tail)
    return statements
