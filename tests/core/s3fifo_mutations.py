"""Ways to break S3-FIFO in the compiled table: :mod:`tests.core.mutations` runs them."""

from __future__ import annotations

from typing import Final

from tests.support.mutations import Mutation

_FILE: Final = "ckv/core/s3fifo.pxi"

MUTATIONS: Final = (
    Mutation(
        "s3fifo-use-not-counted",
        "s3fifo: a use counts",
        "ckv/core/records.pxd",
        "            self.entries[at].flags += USE\n",
        "            pass\n",
    ),
    Mutation(
        "s3fifo-uses-overflow",
        "s3fifo: no more than three uses are counted",
        "ckv/core/records.pxd",
        " and self.entries[at].flags & USES != USES:",
        ":",
    ),
    Mutation(
        "s3fifo-value-forgets-uses",
        "s3fifo: a new value leaves a record its queue and its uses",
        "ckv/core/records.pyx",
        "(entry.flags & (NOTED | MAIN | USES))",
        "(entry.flags & (NOTED | MAIN))",
    ),
    Mutation(
        "s3fifo-heat-stays",
        "s3fifo: the main queue takes a use of whoever stays",
        _FILE,
        "            entry.flags -= USE\n",
        "            pass\n",
    ),
    Mutation(
        "s3fifo-uses-go-along",
        "s3fifo: who comes to the main queue has no uses",
        _FILE,
        "(entry.flags & ~USES) | MAIN",
        "entry.flags | MAIN",
    ),
    Mutation(
        "s3fifo-small-share",
        "s3fifo: the small queue has a tenth",
        _FILE,
        "    SMALL_PART = 10 ",
        "    SMALL_PART = 5 ",
    ),
    Mutation(
        "s3fifo-no-end",
        "s3fifo: a victim is found after so many records, and stays the same one",
        _FILE,
        "    table.entries[at].flags &= ~USES\n",
        "",
    ),
    Mutation(
        "s3fifo-ghost-of-main",
        "s3fifo: only who leaves the small queue leaves a ghost",
        _FILE,
        "    if entry.flags & MAIN:\n        return\n    if at",
        "    if at",
    ),
    Mutation(
        "s3fifo-ghost-forgotten",
        "s3fifo: the oldest ghost is forgotten, and in its bucket",
        _FILE,
        "    forget_ghost(table, at)\n    table.ghosts[at] = ",
        "    table.ghosts[at] = ",
    ),
    Mutation(
        "s3fifo-ghost-stays",
        "s3fifo: a key that comes back takes its ghost away",
        _FILE,
        "            link[0] = ghost.chain\n            ghost.chain = GONE\n",
        "",
    ),
    Mutation(
        "s3fifo-ghosts-not-split",
        "s3fifo: a ghost is found when its bucket was split",
        _FILE,
        "    table.haunted[high] = move\n",
        "    table.haunted[high] = 0\n",
    ),
)
