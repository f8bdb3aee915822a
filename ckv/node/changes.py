"""What the log of a primary that leads says of a new map: which secondaries came, left, or were given up."""

from __future__ import annotations

import logging

from ckv import events
from ckv.cluster.map import Map

log = logging.getLogger(__name__)


def tell_changes(before: Map, after: Map) -> None:
    """Logs what is another in a map than in the one before it."""
    for number, node in enumerate(before.nodes):
        if node is None:
            continue
        now = after.named(node.name)
        if now is None:
            log.info(events.NODE_LEFT, node.name)
        elif now.key == node.key and now.state == "away" and node.state != "away":
            log.warning(events.NODE_AWAY, node.name, before.owners.count(number))
    for node in after.nodes:
        if node is not None and node.state != "away" and not before.is_up(node.key):
            log.info(events.NODE_JOINED, node.name, f"{node.host}:{node.port}")
