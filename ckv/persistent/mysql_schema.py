"""The table in MySQL: created where it is missing, and upgraded in place where the original program left its own.

That one is ``CelonisData (kv_key VARCHAR(255) PRIMARY KEY, kv_value VARCHAR(1023) NOT NULL)`` under whatever character
set and collation the database had. Its text becomes the bytes of the same characters in UTF-8, as clients sent it.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from pymysql.constants import ER

from ckv.commands import MAX_KEY_BYTES
from ckv.persistent.mysql_address import Server
from ckv.persistent.mysql_connection import LOCK_WAIT, Connection, StatementFailed
from ckv.persistent.rows import TABLE, TYPE_STR

log = logging.getLogger(__name__)

ALTER_TIMEOUT: Final = 3600.0
"""Seconds for one step of an upgrade: each copies the whole table."""

_COLUMNS = {
    "kv_key": f"VARBINARY({MAX_KEY_BYTES}) NOT NULL",
    "kv_value": "LONGBLOB NOT NULL",
    "kv_type": f"TINYINT UNSIGNED NOT NULL DEFAULT {TYPE_STR}",
}
# Transactions need InnoDB, and a key of this width a row format after COMPACT, which indexes 767 bytes at most.
_ENGINE = "InnoDB"
_STORAGE = f"ENGINE={_ENGINE} ROW_FORMAT=DYNAMIC"
_MAX_KEY_CHARACTERS = 768  # of utf8mb4 that fit into an index: 3,072 bytes
_UTF8 = ("utf8mb4", "utf8mb3", "utf8", "ascii")
_DENIED = (ER.DBACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR)


@dataclass(frozen=True, slots=True)
class _Column:
    type: str
    charset: str
    nullable: bool
    primary: bool

    @property
    def is_text(self) -> bool:
        return self.charset != ""


def is_ready(connection: Connection) -> bool:
    """Whether the table is there and as it has to be."""
    columns = _columns(connection)
    return columns is not None and not _changes(columns) and _has_transactions(connection)


def prepare(server: Server) -> None:
    """Create the database and the table, or upgrade the table, unless that is done already.

    Safe to call from many nodes at once, and again after it broke off anywhere. Raises :class:`StatementFailed`.
    """
    with closing(Connection(server, database=None, read_timeout=ALTER_TIMEOUT)) as connection:
        database = "`" + server.database.replace("`", "``") + "`"
        try:
            connection.run(f"CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4")
        except StatementFailed as error:
            if error.code not in _DENIED:
                raise
            # Somebody else has made it for this account, or the next statement says that nobody has.
        connection.run(f"USE {database}")
        # The lock goes with the connection, so a node that dies in between leaves nothing behind.
        if connection.run(f"SELECT GET_LOCK(CONCAT('ckv.', SHA1(DATABASE())), {LOCK_WAIT})") != ((b"1",),):
            raise StatementFailed(f"another node is changing the table {TABLE}")
        _create_or_upgrade(connection, server)


def _create_or_upgrade(connection: Connection, server: Server) -> None:
    columns = _columns(connection)
    if columns is None:
        definitions = ", ".join(f"{name} {definition}" for name, definition in _COLUMNS.items())
        connection.run(f"CREATE TABLE {TABLE} ({definitions}, PRIMARY KEY (kv_key)) {_STORAGE}")
        log.info("created the table %s in %s", TABLE, server.name)
        return
    if is_ready(connection):
        return
    was = ", ".join(f"{name} {column.type} {column.charset}".rstrip() for name, column in columns.items())
    log.warning("upgrading the table %s in %s in place; it was: %s", TABLE, server.name, was)
    to_utf8 = _to_utf8(columns, _collation(connection))
    if to_utf8:
        connection.run(f"ALTER TABLE {TABLE} {', '.join(to_utf8)}, {_STORAGE}")
    # Without a change of columns this still sets the engine and the row format.
    connection.run(f"ALTER TABLE {TABLE} {', '.join([*_changes(columns), _STORAGE])}")
    log.info("upgraded the table %s in %s", TABLE, server.name)


def _columns(connection: Connection) -> dict[str, _Column] | None:
    """The table's columns by name; ``None`` when there is no such table. A table of another kind is left alone."""
    try:
        rows = connection.run(f"SHOW FULL COLUMNS FROM {TABLE}")
    except StatementFailed as error:
        if error.code == ER.NO_SUCH_TABLE:
            return None
        raise
    columns = {
        name.decode(): _Column(
            type=kind.decode().lower(),
            charset=(collation or b"").decode().partition("_")[0],
            nullable=null == b"YES",
            primary=index == b"PRI",
        )
        for name, kind, collation, null, index, *_ in rows
    }
    if not {"kv_key", "kv_value"} <= columns.keys():
        raise StatementFailed(f"the table {TABLE} is not ckv's: it lacks kv_key or kv_value")
    return columns


def _has_transactions(connection: Connection) -> bool:
    rows = connection.run(
        f"SELECT engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{TABLE}'"
    )
    return all(engine.decode() == _ENGINE for (engine,) in rows)


def _changes(columns: dict[str, _Column]) -> list[str]:
    """What has to be altered to make the columns as they have to be. A column that can hold more is left alone."""
    changes = []
    for name, definition in _COLUMNS.items():
        column = columns.get(name)
        if column is None:
            changes.append(f"ADD COLUMN {name} {definition}")
        elif not _fits(name, column):
            changes.append(f"MODIFY {name} {definition}")
    if not columns["kv_key"].primary:
        changes.append("ADD PRIMARY KEY (kv_key)")
    return changes


def _fits(name: str, column: _Column) -> bool:
    if column.nullable:
        return False
    kind, _, size = column.type.partition("(")
    if name == "kv_key":
        return kind == "varbinary" and int(size.rstrip(")")) >= MAX_KEY_BYTES
    return kind.startswith("longblob" if name == "kv_value" else "tinyint")


def _to_utf8(columns: dict[str, _Column], collation: str) -> list[str]:
    """The step before: text whose bytes are not UTF-8 yet. A change to a binary type keeps bytes, not characters."""
    changes = []
    for name in ("kv_key", "kv_value"):
        column = columns.get(name)
        if column is not None and column.is_text and column.charset not in _UTF8:
            kind = f"VARCHAR({_MAX_KEY_CHARACTERS})" if name == "kv_key" else "LONGTEXT"
            changes.append(f"MODIFY {name} {kind} CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL")
    return changes


def _collation(connection: Connection) -> str:
    """A collation of utf8mb4 under which no two keys are equal that differed before.

    Those without padding tell ``a`` from ``a`` and a space; servers that lack them have no old collations that do.
    """
    rows = connection.run(
        "SELECT collation_name FROM information_schema.collations"
        " WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')"
    )
    return rows[0][0].decode() if rows else "utf8mb4_bin"
