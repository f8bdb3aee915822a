"""The table in MySQL: created where it is missing, and upgraded in place where the original program left its own.

That one is ``CelonisData (kv_key VARCHAR(255) PRIMARY KEY, kv_value VARCHAR(1023) NOT NULL)``, in any character set and
collation. Its text becomes the bytes of the same characters in UTF-8, as clients sent it.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from pymysql.constants import ER

from ckv import events
from ckv.persistent.mysql.address import Server
from ckv.persistent.mysql.connection import LOCK_WAIT, Connection, StatementFailed, quoted
from ckv.persistent.rows import TABLE, TYPE_STR
from ckv.values import MAX_KEY_BYTES

log = logging.getLogger(__name__)

ALTER_TIMEOUT: Final = 3600.0
"""Seconds for one step of an upgrade: each copies the whole table."""

_COLUMNS = {
    "kv_key": f"VARBINARY({MAX_KEY_BYTES}) NOT NULL",
    "kv_value": "LONGBLOB NOT NULL",
    "kv_type": f"TINYINT UNSIGNED NOT NULL DEFAULT {TYPE_STR}",
    "kv_expires": "BIGINT NULL",
}
# Transactions need InnoDB, and a key of this width a row format after COMPACT, which indexes 767 bytes at most.
_ENGINE = "InnoDB"
_STORAGE = f"ENGINE={_ENGINE} ROW_FORMAT=DYNAMIC"
_PRIMARY = "PRIMARY"
_MAX_KEY_CHARACTERS = 768  # of utf8mb4 that fit into an index: 3,072 bytes
_UTF8 = ("utf8mb4", "utf8mb3", "utf8", "ascii")
_DENIED = (ER.DBACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR)


@dataclass(frozen=True, slots=True)
class _Column:
    type: str
    charset: str
    """Empty for a column that has no text."""
    nullable: bool
    default: bool
    """Whether a row gets a value here when it is given none."""
    extra: str


def is_ready(connection: Connection) -> bool:
    """Whether the table is there and as it has to be. Raises StatementFailed for one that cannot become so."""
    try:
        columns = _columns(connection)
        if columns is None:
            return False
        unique = _unique_indexes(connection)
    except StatementFailed as error:
        if error.code != ER.LOCK_DEADLOCK:
            raise
        return False  # Another node is changing it: MySQL says this of its own dictionary. prepare() waits for that.
    kind, engine = _kind_and_engine(connection)
    obstacle = _obstacle(columns, unique, kind)
    if obstacle:
        raise StatementFailed(f"the table {TABLE} cannot be used: {obstacle}")
    return engine == _ENGINE and not _changes(columns, unique)


def _kind_and_engine(connection: Connection) -> tuple[str, str]:
    ((kind, engine),) = connection.run(
        "SELECT table_type, engine FROM information_schema.tables"
        f" WHERE table_schema = DATABASE() AND table_name = '{TABLE}'"
    )
    return kind.decode(), (engine or b"").decode()


def prepare(server: Server, *, create: bool) -> None:
    """Upgrades the table, and with ``create`` makes it and the database first, as far as that is not done already. Safe
    to call from many nodes at once, and again after it broke off anywhere. Raises :class:`StatementFailed`."""
    with closing(Connection(server, database=None, read_timeout=ALTER_TIMEOUT)) as connection:
        if create:
            create_database(connection, server)
        connection.run(f"USE {quoted(server.database)}")
        ((name,),) = connection.run("SELECT DATABASE()")
        # The lock goes with the connection, so a node that dies in between leaves nothing behind.
        if connection.run(f"SELECT GET_LOCK('{lock_name(name)}', {LOCK_WAIT})") != ((b"1",),):
            raise StatementFailed(f"another node is changing the table {TABLE}")
        _create_or_upgrade(connection, server, create)


def lock_name(database: bytes) -> str:
    """The name of the lock for the table of this database; at most 64 characters, as MySQL asks for. Older nodes get
    the same from the server's SHA1(), which MySQL 9 lacks.

    >>> lock_name(b"celonis")
    'ckv.6edd26d9d57143e0a026204e2cb964ac873c746a'
    """
    return f"ckv.{hashlib.sha1(database, usedforsecurity=False).hexdigest()}"


def create_database(connection: Connection, server: Server) -> None:
    """Makes the database unless it is there. Raises :class:`StatementFailed`."""
    try:
        connection.run(f"CREATE DATABASE IF NOT EXISTS {quoted(server.database)} CHARACTER SET utf8mb4")
    except StatementFailed as error:
        if error.code not in _DENIED:
            raise
        # Somebody else has made it for this account, or the next statement says that nobody has.


def _create_or_upgrade(connection: Connection, server: Server, create: bool) -> None:
    columns = _columns(connection)
    if columns is None:
        if not create:
            raise StatementFailed(f"there is no table {TABLE}", ER.NO_SUCH_TABLE)
        definitions = ", ".join(f"{name} {definition}" for name, definition in _COLUMNS.items())
        connection.run(f"CREATE TABLE {TABLE} ({definitions}, PRIMARY KEY (kv_key)) {_STORAGE}")
        log.info(events.TABLE_CREATED, TABLE, server.name)
        return
    if is_ready(connection):
        return
    was = ", ".join(f"{name} {column.type} {column.charset}".rstrip() for name, column in columns.items())
    log.warning(events.TABLE_UPGRADING, TABLE, server.name, was)
    to_utf8 = _to_utf8(columns, _collation(connection))
    if to_utf8:
        connection.run(f"ALTER TABLE {TABLE} {', '.join(to_utf8)}, {_STORAGE}")
    # Without a change of columns this still sets the engine and the row format. It happens as a whole or not at all: a
    # key that stands there twice, under an index that allowed it, is an error, and the table stays as it was.
    changes = _changes(columns, _unique_indexes(connection))
    # A column that may be empty is added at once, by servers that can. To set the storage copies the whole table.
    only_expires = changes == [_added("kv_expires")] and _kind_and_engine(connection)[1] == _ENGINE
    statement = f"ALTER TABLE {TABLE} {', '.join(changes if only_expires else [*changes, _STORAGE])}"
    try:
        connection.run(statement)
    except StatementFailed as error:
        if error.code not in (*_DENIED, ER.TABLEACCESS_DENIED_ERROR):
            raise
        raise StatementFailed(
            f"this account may not change the table; let another one do it: {statement}", error.code
        ) from error
    log.info(events.TABLE_UPGRADED, TABLE, server.name)


def _columns(connection: Connection) -> dict[str, _Column] | None:
    """The table's columns by name; ``None`` when there is no such table. A table of another kind is left alone."""
    try:
        rows = connection.run(f"SHOW FULL COLUMNS FROM {TABLE}")
    except StatementFailed as error:
        if error.code != ER.NO_SUCH_TABLE:
            raise
        return None
    columns = {
        name.decode(): _Column(
            type=kind.decode().lower(),
            charset=(collation or b"").decode().partition("_")[0],
            nullable=null == b"YES",
            default=null == b"YES" or default is not None or b"auto_increment" in extra or b"GENERATED" in extra,
            extra=extra.decode().lower(),
        )
        for name, kind, collation, null, _, default, extra, *_ in rows
    }
    if not {"kv_key", "kv_value"} <= columns.keys():
        raise StatementFailed(f"the table {TABLE} is not ckv's: it lacks kv_key or kv_value")
    return columns


def _unique_indexes(connection: Connection) -> dict[str, list[str]]:
    """The columns of each unique index, in their order; one that is indexed by a prefix as ``kv_key(255)``."""
    found: dict[str, list[str]] = {}
    for _, _, name, _, column, _, _, prefix, *_ in connection.run(f"SHOW INDEX FROM {TABLE} WHERE non_unique = 0"):
        text = (column or b"an expression").decode() + (f"({prefix.decode()})" if prefix else "")
        found.setdefault(name.decode(), []).append(text)
    return found


def _obstacle(columns: dict[str, _Column], unique: dict[str, list[str]], kind: str) -> str:
    """Why ckv can neither use this table nor change it without taking something away; empty when it can."""
    if kind not in ("BASE TABLE", "SYSTEM VERSIONED"):
        return f"it is a {kind.lower()}"
    for name, column in columns.items():
        if name in _COLUMNS and "generated" in column.extra:
            return f"its column {name} is generated"
        if name not in _COLUMNS and not column.default:
            return f"its column {name} has no default, and ckv gives it no value"
    for name, parts in unique.items():
        plain = [part.partition("(")[0] for part in parts]
        if name == _PRIMARY:
            if "kv_key" not in plain:
                return f"its primary key is ({', '.join(parts)}), and not kv_key"
        elif "kv_key" not in parts and not all(
            part in columns and "auto_increment" in columns[part].extra for part in parts
        ):
            return f"under its unique index {name} ({', '.join(parts)}) a record would take the place of another one"
    return ""


def _changes(columns: dict[str, _Column], unique: dict[str, list[str]]) -> list[str]:
    """What has to be altered to make the columns as they have to be. A column that can hold more is left alone."""
    changes = []
    for name, definition in _COLUMNS.items():
        column = columns.get(name)
        if column is None:
            changes.append(_added(name))
        elif not _fits(name, column):
            changes.append(f"MODIFY {name} {definition}")
    if unique.get(_PRIMARY) != ["kv_key"]:
        # By a prefix, or with another column: keys would overwrite each other, or stand there twice.
        if _PRIMARY in unique:
            changes.append("DROP PRIMARY KEY")
        changes.append("ADD PRIMARY KEY (kv_key)")
    return changes


def _added(name: str) -> str:
    return f"ADD COLUMN {name} {_COLUMNS[name]}"


def _fits(name: str, column: _Column) -> bool:
    if name == "kv_expires":
        return column.nullable and column.type.startswith("bigint")
    if column.nullable:
        return False
    kind, _, size = column.type.partition("(")
    if name == "kv_key":
        return kind == "varbinary" and int(size.rstrip(")")) >= MAX_KEY_BYTES
    return kind.startswith("longblob" if name == "kv_value" else "tinyint")


def _to_utf8(columns: dict[str, _Column], collation: str) -> list[str]:
    """The step before: text whose bytes are not UTF-8 yet. A change to a binary type keeps bytes, not characters."""
    return [
        f"MODIFY {name} {kind} CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL"
        for name, kind in (("kv_key", f"VARCHAR({_MAX_KEY_CHARACTERS})"), ("kv_value", "LONGTEXT"))
        if columns[name].charset not in ("", *_UTF8)
    ]


def _collation(connection: Connection) -> str:
    """A collation of utf8mb4 under which no two keys are equal that differed before. Those without padding tell ``a``
    from ``a`` and a space; servers that lack them have no old collations that do."""
    rows = connection.run(
        "SELECT collation_name FROM information_schema.collations"
        " WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')"
    )
    return rows[0][0].decode() if rows else "utf8mb4_bin"
