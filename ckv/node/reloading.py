"""SIGHUP: what a node that runs takes from its file of options again, and what it says of the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import gevent

from ckv import events, logs
from ckv.errors import BadSetting
from ckv.node.joining import Joining
from ckv.node.leading import Leading
from ckv.node.node import Node
from ckv.settings.roles import NodeSettings, PrimarySettings, SecondarySettings
from ckv.settings.table import settings_of
from ckv.store import Records
from ckv.store.store import Store

log = logging.getLogger(__name__)

S = TypeVar("S", bound=NodeSettings)

Changes = Mapping[str, Callable[[S], None]]
"""What takes the new settings, by the name of the setting that is another one. There is one for each that has
:attr:`~ckv.settings.table.Setting.changes`."""


class Reloading(Generic[S]):
    """The settings of one node."""

    def __init__(self, settings: S, changes: Changes[S]) -> None:
        self.settings = settings
        """Those by which it runs now."""
        self._changes = changes

    def reload(self) -> None:
        """Reads them again. If anything is wrong with them, all stay as they were."""
        source = self.settings.source
        if source is None:
            return
        try:
            read: S = source.again()
            assert read.source is not None
            typed = read.source.typed
            others = [
                setting for setting in settings_of(source.role) if typed[setting.name] != source.typed[setting.name]
            ]
            taken = [setting for setting in others if setting.changes]
            known = source._replace(typed={**source.typed, **{setting.name: typed[setting.name] for setting in taken}})
            fields: dict[str, Any] = {setting.field: getattr(read, setting.field) for setting in taken}
            settings = replace(self.settings, source=known, **fields)
        except BadSetting as error:
            log.error(events.SETTINGS_KEPT, error)
            return
        told = " ".join(f"{setting.name}={typed[setting.name]}" for setting in taken)
        log.info(events.SETTINGS_READ, settings.config, told or "nothing is another")
        if fixed := [setting.name for setting in others if not setting.changes]:
            log.warning(events.SETTINGS_FIXED, " ".join(fixed))
        self.settings = settings
        for setting in taken:
            self._changes[setting.name](settings)


def _of_all(node: Node) -> Changes[Any]:
    def log_anew(new: NodeSettings) -> None:
        logs.configure(new.log_level, new.log_format)

    def limit(new: NodeSettings) -> None:
        node.limits.max_connections = new.max_connections  # the server looks once a second

    def slow(new: NodeSettings) -> None:
        node.slow.seconds = new.slow_time

    def drain(new: NodeSettings) -> None:
        node.drain_timeout = new.drain_timeout

    of_log = {"--log-level": log_anew, "--log-format": log_anew}
    return {**of_log, "--max-connections": limit, "--slow-time": slow, "--drain-timeout": drain}


def of_secondary(node: Node, store: Records, joining: Joining) -> Changes[SecondarySettings]:
    """What a secondary changes, besides being a node."""
    of_all = _of_all(node)

    def bound(new: SecondarySettings) -> None:
        if isinstance(store, Store):
            store.pending.bound(new.pending_max, new.pending_max_bytes)
            # There may be room now, and while the database is away no flush tells those who wait for it.
            gevent.get_hub().loop.run_callback(store.admit)

    def drain(new: SecondarySettings) -> None:
        of_all["--drain-timeout"](new)
        joining.drain_timeout = new.drain_timeout

    return {**of_all, "--drain-timeout": drain, "--pending-max": bound, "--pending-max-bytes": bound}


def of_primary(node: Node, leading: Leading | None) -> Changes[PrimarySettings]:
    """What a primary changes, besides being a node. ``leading``: None where it has a list."""

    def lead(new: PrimarySettings) -> None:
        if leading is not None:
            leader = leading.leader
            leader.options = leader.options._replace(settle=new.settle, move_slots=new.move_slots)

    return {**_of_all(node), "--settle": lead, "--move-slots": lead}
