"""Who a node of a cluster is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Identity:
    """Who a node is."""

    name: str
    boot: int
    host: str
    port: int
    weight: int = 100
    write_mode: str = "evict"
    tier: str = ""
    incarnation: int = 0
    """See :class:`~ckv.cluster.messages.Join`."""
