"""Which tier an address means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ckv.persistent import Tier

if TYPE_CHECKING:
    from ckv.persistent.coordinator import Coordinator

NONE = "-"
_SQLITE = "sqlite:"
_ZOOKEEPER = "zk://"


def open_tier(address: str, *, environ: Mapping[str, str] = os.environ) -> Tier:
    """The tier at ``host:port``, ``mysql://user:password@host:port/database`` or ``sqlite:PATH``; does not connect.

    ``environ`` gives what an address of MySQL leaves out (:mod:`ckv.persistent.mysql.address`). Raises BadSetting, with
    one line that names what is wrong and never shows a password.
    """
    # Imported here: a node on SQLite has no use for PyMySQL and cryptography, whose import takes a tenth of a second.
    if address.startswith(_SQLITE):
        from ckv.persistent.sqlite import SQLiteTier

        return SQLiteTier(address.removeprefix(_SQLITE))
    from ckv.persistent.mysql.address import parse
    from ckv.persistent.mysql.tier import MySQLTier

    return MySQLTier(parse(address, environ))


def open_coordinator(address: str, *, environ: Mapping[str, str] = os.environ) -> Coordinator | None:
    """The coordinator at ``mysql://user:password@host:port/database`` or ``zk://user:password@host,host/path``, None
    for ``-``; does not connect. ``environ`` and what is raised: as for :func:`open_tier`."""
    if address == NONE:
        return None
    if address.startswith(_ZOOKEEPER):
        from ckv.persistent.zookeeper.address import parse as parse_ensemble
        from ckv.persistent.zookeeper.coordinator import ZooKeeperCoordinator

        return ZooKeeperCoordinator(parse_ensemble(address))
    from ckv.persistent.mysql.address import parse
    from ckv.persistent.mysql.coordinator import MySQLCoordinator

    return MySQLCoordinator(parse(address, environ, "coordinator"))


def is_shared(address: str) -> bool:
    """Whether the nodes of several machines can have the tier at this address.

    >>> is_shared("localhost:3306"), is_shared("sqlite:/tmp/ckv.db")
    (True, False)
    """
    return not address.startswith(_SQLITE)
