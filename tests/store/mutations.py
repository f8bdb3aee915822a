"""Ways to break the store on purpose: the proof that the model test can fail.

python -m tests.store.mutations            # makes each one in a copy of the code and runs the simulation and the model there
python -m tests.store.mutations coalesced  # the one of that name
"""

from __future__ import annotations

import sys

from tests.store.mutation import Mutation
from tests.store.mutations_clock import CLOCK
from tests.store.mutations_expiry import EXPIRY
from tests.store.mutations_moving import MOVING
from tests.store.mutations_scanning import SCANNING
from tests.store.mutations_together import TOGETHER
from tests.store.mutations_updates import UPDATES
from tests.support import mutations
from tests.support.mutations import PYTEST, mutant, run_in

MUTATIONS = (
    Mutation(
        "victim-dropped",
        "I1: a victim goes from memory to pending within one call",
        "ckv/store/modes.py",
        "        self.pending.add(key, value, self._clock(), version, expires)\n        self.absent.remove(key)\n        self._wake()\n\n",
        "        self.absent.remove(key)\n        self._wake()\n\n",
    ),
    Mutation(
        "ahead-beyond-bound",
        "I6: nothing is evicted ahead when pending is full",
        "ckv/store/tiers.py",
        "            if self.pending.full:\n                break\n",
        "",
        by_model=False,
    ),
    Mutation(
        "gone-while-flushing",
        "I1: a record can be read while it is on its way",
        "ckv/store/modes.py",
        "        row = self.pending.find(key)\n        if row is not None:\n            if row.value",
        "        row = self.pending.find(key)\n        if row is not None and not row.flushing:\n            if row.value",
    ),
    Mutation(
        "known-as-absent",
        "I1: a key that was absent and is written again is looked for again",
        "ckv/store/modes.py",
        "        self.pending.add(key, value, self._clock(), version, expires)\n        self.absent.remove(key)\n        self._wake()\n\n",
        "        self.pending.add(key, value, self._clock(), version, expires)\n        self._wake()\n\n",
    ),
    Mutation(
        "clean-too-early",
        "I1: a record is clean only when the tier has exactly this value",
        "ckv/store/modes.py",
        "            self.memory.mark_clean(key, version)  # also",
        "            self.memory.mark_clean(key, self.memory.version_of(key))  # also",
    ),
    Mutation(
        "still-clean",
        "I1: a clean record that is written again is not clean any more",
        "ckv/store/modes.py",
        "        while not self._memory_put(key, value, 0, False, expires):",
        "        while not self._memory_put(key, value, 0, self.memory.is_clean(key), expires):",
    ),
    Mutation(
        "overwritten-and-still-clean",
        "I1: a clean record that memory overwrites by itself is not clean any more",
        "ckv/store/memory/lru.py",
        "        record = (old[0], value, self._version + 1, False, 0)\n",
        "        record = (old[0], value, self._version + 1, old[3], 0)\n",
    ),
    Mutation(
        "passes-by-those-that-wait",
        "I4: memory takes no write by itself while others wait for room",
        "ckv/store/room.py",
        "        self._memory.may_put = self._may_put and not (self._waiting or self.closed)",
        "        self._memory.may_put = self._may_put and not self.closed",
    ),
    Mutation(
        "passes-by-a-load",
        "I2: memory takes no new key by itself while a load may bring it",
        "ckv/store/loading.py",
        "            self._memory.may_add = False\n",
        "",
    ),
    Mutation(
        "late-load-installed",
        "I2: a late load never overwrites a newer write",
        "ckv/store/modes.py",
        "        self.loading.written(key)\n        while",
        "        while",
    ),
    Mutation(
        "deleted-comes-back",
        "I2: a late load never brings back a deleted key",
        "ckv/store/store.py",
        "        self.loading.written(key)\n        load.deletes = True",
        "        load.deletes = True",
    ),
    Mutation(
        "deleted-while-flushing",
        "I2: a deleted key stays deleted when an older value is on its way",
        "ckv/store/modes.py",
        "            if existed:\n                self._bury(key)",
        "            if existed and row is None:\n                self._bury(key)",
    ),
    Mutation(
        "coalesced",
        "I3: a flushed row leaves pending only if it is still the current one",
        "ckv/store/pending.py",
        "            if row.version == version:\n                del rows",
        "            if True:\n                del rows",
    ),
    Mutation(
        "two-flushes",
        "I4: one flush in flight per key",
        "ckv/store/pending.py",
        "if not (row.queued or row.flushing or row.held or row.aside):",
        "if not (row.queued or row.held or row.aside):",
    ),
    Mutation(
        "overtaken-in-the-queue",
        "I4: a write does not overtake one of the same key that waits for room",
        "ckv/store/store.py",
        "        return key in self.room.keys or ((self.pending.full or self.room.shut) and key not in self.pending)",
        "        return (self.pending.full or self.room.shut) and key not in self.pending",
    ),
    Mutation(
        "searched-after-the-flush",
        "DEL tells the truth: what it looks for is not written meanwhile",
        "ckv/store/pending.py",
        "if not (row.queued or row.flushing or row.held or row.aside):",
        "if not (row.queued or row.flushing or row.aside):",
    ),
    Mutation(
        "failure-forgotten",
        "I6: a batch that failed is written again",
        "ckv/store/pending.py",
        "            self._enqueue_first(write.key, self._landed(write.key))",
        "            self._drop(write.key, self._landed(write.key))",
    ),
    Mutation(
        "refused-dropped",
        "I5: a row that the tier refuses stays readable",
        "ckv/store/pending.py",
        "            row.refused = error\n            self.parked += 1",
        "            self._drop(write.key, row)",
    ),
    Mutation(
        "refused-deletion-dropped",
        "I5: a deletion that the tier refuses stays in force",
        "ckv/store/pending.py",
        "            row.refused = error\n            self.parked += 1",
        "            if row.value is TOMBSTONE:\n                self._drop(write.key, row)\n                return\n            row.refused = error\n            self.parked += 1",
    ),
    Mutation(
        "aside-forgotten",
        "I6: a row that was set aside is tried again",
        "ckv/store/pending.py",
        "                heappush(self._aside, (now + trouble.pause(), write.key))",
        "                self._aside.append((float('inf'), write.key))",
        by_model=False,
    ),
    Mutation(
        "parked-not-tried",
        "I7: a drain tries parked rows once more",
        "ckv/store/store.py",
        "                self._save(key, value, version, expires)\n        self.retry_parked()",
        "                self._save(key, value, version, expires)\n        self._wake()",
    ),
    Mutation(
        "no-bound",
        "I6: pending does not grow beyond its bound",
        "ckv/store/modes.py",
        "self.room.shut) and not self.memory.has_room_for(key, value, expires)\n",
        "self.room.shut) and False\n",
    ),
    Mutation(
        "drain-forgets",
        "I7: a drain saves what the tier lacks",
        "ckv/store/store.py",
        "                self._save(key, value, version, expires)\n        self.retry",
        "                break\n        self.retry",
    ),
    Mutation(
        "behind-not-queued",
        "behind: what was answered is queued",
        "ckv/store/modes.py",
        "        self.loading.written(key)\n        self.pending.add(key, value, self._clock(), version, expires)\n",
        "        self.loading.written(key)\n",
        mode="behind",
    ),
    Mutation(
        "behind-never-due",
        "behind: no row waits longer than the delay",
        "ckv/store/tiers.py",
        "        due = max(0.0, oldest + self._linger - self._clock())",
        "        due = self._linger",
        mode="behind",
    ),
    Mutation(
        "through-answered-early",
        "through: an answer means that the tier has it",
        "ckv/store/through.py",
        "        return self._queue_up(chain, key, value, expires)",
        "        self._queue_up(chain, key, value, expires)\n        return True",
        mode="through",
    ),
    Mutation(
        "through-seen-early",
        "through: nobody reads what is not committed",
        "ckv/store/through.py",
        "        return self._queue_up(chain, key, value, expires)",
        "        self._memory_put(key, value)\n        return self._queue_up(chain, key, value, expires)",
        mode="through",
    ),
    Mutation(
        "through-late-load",
        "through: a load from before the commit is not installed after it",
        "ckv/store/through.py",
        "            self.loading.written(key)\n            if value is TOMBSTONE:\n                self.memory.remove(key)",
        "            if value is TOMBSTONE:\n                self.memory.remove(key)",
        mode="through",
    ),
    Mutation(
        "through-called-absent",
        "through: a key that was absent is looked for again after its commit",
        "ckv/store/through.py",
        "                self.absent.remove(key)\n                if not self._is_again",
        "                if not self._is_again",
        mode="through",
    ),
    Mutation(
        "through-refused-answered",
        "through: a row that the tier refuses is answered with the refusal",
        "ckv/store/through.py",
        "        self._settle(write.key, write.version, error)",
        "        self._settle(write.key, write.version, None)",
        mode="through",
    ),
    Mutation(
        "trusted-as-clean",
        "another tier: what memory has is written to it before it leaves",
        "ckv/store/tiers.py",
        "        self.memory.forget_clean()\n",
        "",
        by_model=False,
    ),
    Mutation(
        "trusted-as-absent",
        "another tier: what the old one lacked is looked for again",
        "ckv/store/tiers.py",
        "        self.absent.clear()\n",
        "",
    ),
    Mutation(
        "trusted-load",
        "another tier: what was found in the old one is not installed",
        "ckv/store/loading.py",
        "            load.current = load.trusted = False\n        self._current.clear()\n",
        "            load.trusted = False\n",
        by_model=False,
    ),
    Mutation(
        "trusted-batch",
        "another tier: what was committed to the old one is written again",
        "ckv/store/tiers.py",
        "        if not self.pending.trusts(batch):",
        "        if False:",
    ),
    Mutation(
        "behind-no-room-for-two",
        "I6: after another tier came, a put and its victim need not both find room",
        "ckv/store/modes.py",
        "        return self._doubts",
        "        return False",
        mode="behind",
    ),
    Mutation(
        "through-trusted",
        "through, another tier: what memory has is written to it before it leaves",
        "ckv/store/tiers.py",
        "        self.memory.forget_clean()\n",
        "",
        mode="through",
    ),
    Mutation(
        "through-unseen-again",
        "through, another tier: what is written to it again can be read meanwhile",
        "ckv/store/through.py",
        "        again = self.again.get(key)\n        if again is not None:",
        "        again = None\n        if again is not None:",
        mode="through",
        simulation="tests.store.expiring",
    ),
    Mutation(
        "through-drain-forgets",
        "through, another tier: a drain writes what memory has",
        "ckv/store/store.py",
        "                self._save(key, value, version, expires)\n        self.retry",
        "                break\n        self.retry",
        mode="through",
    ),
    Mutation(
        "through-older-again",
        "through, another tier: what a batch brings is not followed by what was there before",
        "ckv/store/through.py",
        "            self.memory.mark_clean(key, self.memory.version_of(key))\n",
        "            pass\n",
        mode="through",
    ),
    Mutation(
        "through-refused-though-written",
        "through: what is answered with the refusal was not written",
        "ckv/store/through.py",
        "        if self.pending.is_doubtful(write.key):",
        "        if False:",
        mode="through",
    ),
    *EXPIRY,
    *MOVING,
    *CLOCK,
    *UPDATES,
    *SCANNING,
    *TOGETHER,
)

SCHEDULES = 16_000
"""Within so many schedules of its mode, 4,000 under each policy, a mutation has to be caught."""


def survived(mutation: Mutation) -> str:
    """Makes the mutation in a copy of the code; what did not catch it, with its output, else nothing."""
    with mutant(mutation) as copy:
        if mutation.test:
            test = run_in(copy, *PYTEST, mutation.test)
            return "" if test.returncode == 1 and "AssertionError" in test.stdout else test.stdout + test.stderr
        # Over one of the tables: the other one would have the same schedules again.
        words = ("--mode", mutation.mode, "--count", str(SCHEDULES), "--table", "plain")
        simulation = run_in(copy, mutation.simulation, *words)
        # The exit code alone would also be 1 for a copy that does not even run.
        if simulation.returncode != 1 or "FAILED" not in simulation.stdout:
            return "the simulation\n" + simulation.stdout + simulation.stderr
        if mutation.mode == "evict" and mutation.by_model:
            model = run_in(copy, *PYTEST, "tests/store/test_model.py", "-k", "plain", CKV_MODEL_EXAMPLES="2500")
            if model.returncode != 1 or "AssertionError" not in model.stdout:
                return "the model\n" + model.stdout + model.stderr
    return ""


if __name__ == "__main__":
    sys.exit(mutations.main(MUTATIONS, survived, sys.argv[1:]))
