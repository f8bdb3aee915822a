"""Ways to break steps of several keys; ``tests/store/mutations.py`` makes them, among others."""

from __future__ import annotations

from tests.store.mutation import Mutation

TOGETHER = (
    Mutation(
        "step-overtakes-a-line",
        "I4: a step comes behind the updates of its keys that wait",
        "ckv/store/together.py",
        "            if key in self.lines or key in self.room.keys:\n",
        "            if key in self.room.keys:\n",
        by_model=False,
    ),
    Mutation(
        "step-overtakes-the-room",
        "I4: a step comes behind the writes of its keys that wait for room",
        "ckv/store/together.py",
        "            if key in self.lines or key in self.room.keys:\n",
        "            if key in self.lines:\n",
        mode="behind",
        by_model=False,
    ),
    Mutation(
        "step-on-what-is-under-way",
        "a step does not build on a write that is on its way and may be refused",
        "ckv/store/together.py",
        "                if isinstance(found, Unknown):\n                    ready",
        "                if found is Unknown.UNDER_WAY:\n                    pass\n"
        "                elif isinstance(found, Unknown):\n                    ready",
        mode="through",
        by_model=False,
    ),
    Mutation(
        "step-stops-for-those-that-wait",
        "a step does not stop in its middle where others wait for room",
        "ckv/store/room.py",
        "        shut, self.shut = self.shut, False\n",
        "        shut = self.shut\n",
        by_model=False,
    ),
    Mutation(
        "step-stops-for-room",
        "a step does not stop in its middle where pending is full",
        "ckv/store/together.py",
        "            with self.room.unbounded():\n                return",
        "            if True:\n                return",
        mode="behind",
        by_model=False,
    ),
    Mutation(
        "step-begins-without-room",
        "I6: a step that writes waits while pending is full",
        "ckv/store/together.py",
        "step.waits_for_room = step.writes and self.pending.full",
        "step.waits_for_room = False",
        mode="behind",
        by_model=False,
    ),
    Mutation(
        "step-forgotten",
        "a step that waits for nothing any more is carried out",
        "ckv/store/together.py",
        "(key is None or key in step.keys)",
        "key in step.keys",
        by_model=False,
    ),
)
"""What each breaks, and where."""
