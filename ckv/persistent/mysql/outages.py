"""What error numbers of MySQL and MariaDB mean: a row is to blame, the account, or nobody here. PyMySQL names most."""

from __future__ import annotations

from typing import Final

from pymysql.constants import ER

NO_LONGER_WRITER: Final = frozenset(
    {
        ER.OPTION_PREVENTS_STATEMENT,  # read_only
        ER.SERVER_SHUTDOWN,
        ER.UNKNOWN_COM_ERROR,  # a node that has left its Galera cluster
        1792,  # a transaction that may only read
        1836,  # the server is in read-only mode
        1874,  # InnoDB is
        *(3100, 3101),  # a node that has left its replication group
    }
)
"""The errors with which a server says that it is not the one to write to any more: what it answers may be old."""

OUTAGE_ERRORS: Final = NO_LONGER_WRITER | frozenset(
    {
        # Somebody else has a lock, or was quicker.
        *(ER.CANT_LOCK, ER.CANT_UPDATE_WITH_READLOCK, ER.CHECKREAD, ER.LOCK_DEADLOCK),
        *(ER.LOCK_OR_ACTIVE_TRANSACTION, ER.LOCK_WAIT_TIMEOUT, ER.TABLE_DEF_CHANGED),
        # A disk, or the memory, is full or broken. Small rows may still find room.
        *(ER.CRASHED_ON_REPAIR, ER.CRASHED_ON_USAGE, ER.DISK_FULL, ER.RECORD_FILE_FULL),
        *(ER.ERROR_DURING_COMMIT, ER.ERROR_DURING_ROLLBACK, ER.ERROR_ON_READ, ER.ERROR_ON_WRITE),
        *(ER.GET_ERRNO, ER.NOT_KEYFILE, ER.OLD_KEYFILE, ER.OUTOFMEMORY, ER.OUT_OF_RESOURCES),
        # It takes no writes now, or no more of them.
        *(ER.CANT_CREATE_THREAD, ER.CON_COUNT_ERROR, ER.OPEN_AS_READONLY),
        *(ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED),
        1297,  # a temporary error of the storage engine
        1637,  # too many transactions at once
        1665,  # the binary log cannot be written
        # Table or account are not what they were.
        *(ER.ACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR),
        *(ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR),
        *(ER.BAD_DB_ERROR, ER.BAD_FIELD_ERROR, ER.BAD_TABLE_ERROR, ER.NO_DB_ERROR, ER.NO_SUCH_TABLE),
        *(ER.CANT_OPEN_FILE, ER.FILE_NOT_FOUND, ER.PARSE_ERROR),
        1812,  # the tablespace is missing
        1814,  # or was discarded
        1932,  # the table is there for the server, but not for the storage engine
    }
)
"""The batch is written again, for ever; nothing is parked for one of these. Numbers that are missing here cost no
record: before a row is parked for an unknown one, a probe has to pass (:meth:`ckv.persistent.Session.probe`)."""

DATA_ERRORS: Final = frozenset(
    {
        *(ER.BAD_NULL_ERROR, ER.NO_DEFAULT_FOR_FIELD, ER.DUP_ENTRY, ER.NO_REFERENCED_ROW_2, ER.ROW_IS_REFERENCED_2),
        *(ER.DATA_TOO_LONG, ER.NET_PACKET_TOO_LARGE, ER.TOO_BIG_ROWSIZE, ER.WARN_DATA_OUT_OF_RANGE),
        *(ER.TRUNCATED_WRONG_VALUE, ER.TRUNCATED_WRONG_VALUE_FOR_FIELD, ER.WARN_DATA_TRUNCATED),
        1526,  # no partition takes the row
        1644,  # a trigger signals an error
        3819,  # a CHECK fails (MySQL)
        4025,  # a CHECK fails (MariaDB)
    }
)
"""The errors with which a server refuses a row for what is in it. Of the others nobody knows whose fault they are, but
for :data:`OUTAGE_ERRORS`."""

LOGIN_ERRORS: Final = frozenset(
    {
        *(ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.HOST_IS_BLOCKED, ER.HOST_NOT_PRIVILEGED),
        1698,  # access denied, without a word about a password
        1862,  # the password has expired
        3118,  # the account is locked
        3955,  # the account is blocked after too many failed logins
        4151,  # the account is locked (MariaDB)
    }
)
"""The errors with which a server does not let an account in. It may count the attempts, and block the account."""
