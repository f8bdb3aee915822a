"""The parts of the benchmark, one module each, in the order in which they run."""

from __future__ import annotations

from typing import Final

from bench.part import Part
from bench.parts import (
    ceiling,
    direct,
    evict,
    expiring,
    fence,
    growth,
    hits,
    latency,
    many,
    memory,
    miss,
    policies,
    primary,
    registered,
    secondary,
    startstop,
    theirs,
    tiers,
    tls,
)

PARTS: Final[tuple[Part, ...]] = (
    secondary.PART,
    primary.PART,
    registered.PART,
    direct.PART,
    theirs.PART,
    many.PART,
    expiring.PART,
    tls.PART,
    evict.PART,
    fence.PART,
    miss.PART,
    tiers.PART,
    memory.PART,
    policies.PART,
    hits.PART,
    latency.PART,
    startstop.PART,
    growth.PART,
    ceiling.PART,
)
