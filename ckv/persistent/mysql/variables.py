"""What a server can be set to, as far as ckv depends on it: what a session sets for itself, and what it can only tell.

A variable that a server does not know is no error: versions of MySQL and MariaDB differ in dozens of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LOCK_WAIT: Final = 20
"""Seconds for which the server lets a statement wait for a lock. Its own defaults are 50 s for a row, longer than we
wait for it, so that an orphan stays behind, and a day or a year for the table while somebody alters it."""

_NOW = "DEFAULT"  # in this one variable the word does not stand for the global value
_NO_LIMIT = str(2**64 - 1)

FIRST: Final = f"SET SESSION completion_type = 'NO_CHAIN', sql_select_limit = {_NO_LIMIT}, sql_big_selects = 1; COMMIT"
"""What comes before everything else. The bounds on rows (with the last one ``max_join_size`` has no effect) would also
be those of the list of variables. A transaction that the server's ``init_connect`` has begun would be that of all our
loads, and their locks would stay."""

SESSION: Final[Mapping[str, str]] = {
    # --- how a transaction begins and ends ---
    "autocommit": "ON",
    # Under READ COMMITTED, which many servers are set to, sorted batches still deadlock now and then.
    "transaction_isolation": "REPEATABLE-READ",
    "tx_isolation": "REPEATABLE-READ",
    "transaction_read_only": "OFF",
    "tx_read_only": "OFF",
    "innodb_lock_wait_timeout": str(LOCK_WAIT),
    "lock_wait_timeout": str(LOCK_WAIT),
    "innodb_snapshot_isolation": "OFF",  # MariaDB: a row that somebody changed meanwhile is an error
    # --- what a statement does ---
    # Strict: without it a value too long for its column is cut off, and the statement succeeds. Everything else that
    # the server may have been set to (ANSI_QUOTES, NO_BACKSLASH_ESCAPES, ...) goes.
    "sql_mode": "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
    "sql_safe_updates": "OFF",  # refuses a DELETE for which the optimizer prefers to read the whole table
    "unique_checks": "ON",
    "sql_auto_is_null": "OFF",
    # --- what a statement answers ---
    "max_execution_time": "0",  # MySQL: bounds a SELECT, and nothing else
    "system_versioning_asof": _NOW,  # MariaDB: answers with what a table held at that time
    # Galera: what was committed on any node before is waited for, by a read, an UPDATE, a DELETE and an INSERT. Without
    # it another node's answer may be older, and a DELETE may miss its row.
    "wsrep_sync_wait": "7",
    "wsrep_dirty_reads": "OFF",  # a node that has lost its cluster would answer with what it had
}
"""Variable to the value that a session needs: all that change what a statement does or answers, or how a transaction
ends. What bounds time is left alone where it stops a write: the administrator has a reason, and a batch is halved."""

_READ_ONLY = ("innodb_read_only", "read_only", "super_read_only")
_TELLING = (
    *("max_allowed_packet", "max_statement_time"),
    *("server_uid", "server_uuid", "wsrep_on"),  # which server it is
    "group_replication_single_primary_mode",
    *("innodb_doublewrite", "innodb_flush_log_at_trx_commit", "innodb_flush_method", "log_bin", "sync_binlog"),
    *_READ_ONLY,
)

SHOW: Final = "SHOW SESSION VARIABLES WHERE variable_name IN ({})".format(
    ", ".join(f"'{name}'" for name in (*SESSION, *_TELLING))
)
"""The statement whose answer is what the functions here take, as a mapping."""


def settings(variables: Mapping[str, str]) -> str:
    """The statement that sets what a session needs and has not, for to set some takes a privilege; empty without any.

    >>> settings({"autocommit": "OFF", "unique_checks": "ON", "wsrep_sync_wait": "0"})
    "SET SESSION autocommit = 'ON', wsrep_sync_wait = 7"
    """
    wanted = [
        f"{name} = {value if value.isdecimal() or value == _NOW else repr(value)}"
        for name, value in SESSION.items()
        if variables.get(name, value) != value
    ]
    return "SET SESSION " + ", ".join(wanted) if wanted else ""


def unbounded(variables: Mapping[str, str]) -> str:
    """What stands before a SELECT so that no bound on its time ends it; empty where there is none.

    >>> unbounded({"max_statement_time": "0.500000"})
    'SET STATEMENT max_statement_time = 0 FOR '
    """
    return "SET STATEMENT max_statement_time = 0 FOR " if float(variables.get("max_statement_time", "0")) > 0 else ""


def is_read_only(variables: Mapping[str, str]) -> bool:
    """Whether the server refuses writes, but perhaps not those of a privileged account."""
    return any(variables.get(name, "OFF") != "OFF" for name in _READ_ONLY)


def takes_writes_elsewhere(variables: Mapping[str, str]) -> bool:
    """Whether other servers take writes of the same rows at the same time (Galera, MySQL Group Replication), so that a
    lock on this one holds nobody up.

    >>> takes_writes_elsewhere({"wsrep_on": "ON"})
    True
    """
    return variables.get("wsrep_on") == "ON" or variables.get("group_replication_single_primary_mode") == "OFF"


def risks(variables: Mapping[str, str]) -> list[str]:
    """The settings with which a commit may be lost in a crash of the server or its machine, and what to set them to.

    >>> risks({"innodb_flush_log_at_trx_commit": "2", "log_bin": "OFF", "sync_binlog": "0"})
    ['innodb_flush_log_at_trx_commit is 2 and not 1']
    """
    found = []
    for name, good in (("innodb_flush_log_at_trx_commit", "1"), ("sync_binlog", "1")):
        value = variables.get(name, good)
        if value != good and (name != "sync_binlog" or variables.get("log_bin") == "ON"):
            found.append(f"{name} is {value} and not {good}")
    # MySQL can also write the list of pages only, and not the pages.
    if variables.get("innodb_doublewrite") in ("OFF", "DETECT_ONLY"):
        found.append(f"innodb_doublewrite is {variables['innodb_doublewrite']} and not ON")
    if variables.get("innodb_flush_method", "").lower() == "nosync":
        found.append("innodb_flush_method is nosync")
    return found
