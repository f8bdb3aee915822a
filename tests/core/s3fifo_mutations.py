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
        "(entry.flags & (NOTED | QUEUED))",
        "(entry.flags & (NOTED | MAIN))",
    ),
    Mutation(
        "s3fifo-heat-stays",
        "s3fifo: who goes behind all others has one use less",
        _FILE,
        "(entry.flags & USES) - USE\n",
        "entry.flags & USES\n",
    ),
    Mutation(
        "s3fifo-uses-go-along",
        "s3fifo: who comes to the main queue has no uses where popularity changes",
        _FILE,
        "    if not entry.flags & MAIN and table.small_part > DRIFTING_PART:\n        left = 0\n",
        "",
    ),
    Mutation(
        "s3fifo-nothing-left",
        "s3fifo: what a record had left is known when its turn comes again",
        _FILE,
        " | left | left * LEFT_TO_USES)",
        " | left)",
    ),
    Mutation(
        "s3fifo-never-round",
        "s3fifo: who left the main queue without a use was not used for a round",
        _FILE,
        "entry.flags & (WENT_ROUND | USES)",
        "entry.flags & USES",
    ),
    Mutation(
        "s3fifo-cold-unheard",
        "s3fifo: the part of the small queue grows for who was not used",
        _FILE,
        "    COLD = 24 ",
        "    COLD = 0 ",
    ),
    Mutation(
        "s3fifo-warm-unheard",
        "s3fifo: the part of the small queue shrinks for who was used",
        _FILE,
        "    WARM = -16\n",
        "    WARM = 0\n",
    ),
    Mutation(
        "s3fifo-late-unheard",
        "s3fifo: the part of the small queue grows for a key that comes back late",
        _FILE,
        "                move_part(table, LATE)\n",
        "",
    ),
    Mutation(
        "s3fifo-late-is-early",
        "s3fifo: a key that comes back late comes to the small queue where nothing changes",
        _FILE,
        "            if age > table.ring / 2:\n",
        "            if age > table.ring:\n",
    ),
    Mutation(
        "s3fifo-victims-unheard",
        "s3fifo: a victim of the main queue tells that it was not used",
        _FILE,
        "        heed(table, entry)\n        return\n",
        "        return\n",
    ),
    Mutation(
        "s3fifo-small-part",
        "s3fifo: the small queue has its part",
        _FILE,
        "    MOST_PART = ALL // 20 * 7\n",
        "    MOST_PART = ALL // 2\n",
    ),
    Mutation(
        "s3fifo-least-part",
        "s3fifo: the small queue keeps some part",
        _FILE,
        "    LEAST_PART = ALL // 100 + 1\n",
        "    LEAST_PART = ALL // 8\n",
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
        "        heed(table, entry)\n        return\n    if at",
        "        heed(table, entry)\n    if at",
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
