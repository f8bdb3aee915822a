"""Ways to break the compiled core on purpose: the proof that its tests can fail. Those of the table are here.

python -m tests.core.mutations              # makes each one in a copy of the code, compiles it and runs the laws there
python -m tests.core.mutations list-unlink  # the one of that name
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.core import literals_mutations, route_mutations, s3fifo_mutations, serve_mutations
from tests.core.copies import LAWS, WAYS, compile_core
from tests.support.mutations import PYTEST, Mutation, main, mutant, run_in

OF_THE_TABLE = ("records", "lfu", "s3fifo", "putting", "keys", "noting", "overdue")
"""The files that are compiled into the table."""

FLAGS = ("-O0", "-g0", "-fwrapv", "-fno-strict-aliasing")

_OF_RECORDS = (
    Mutation(
        "bucket-unlink",
        "a record that leaves is in no bucket any more",
        "ckv/core/records.pyx",
        "        link[0] = entry.chain\n",
        "",
    ),
    Mutation(
        "order-unlink",
        "a record that leaves is in no order any more",
        "ckv/core/records.pyx",
        "        self.take_out(which, at)\n        if self.policy",
        "        if self.policy",
    ),
    Mutation(
        "key-length",
        "the length of a key is checked",
        "ckv/core/putting.pxi",
        "    if key_bytes > MAX_KEY_BYTES or",
        "    if",
    ),
    Mutation(
        "version-not-raised",
        "each write has a version of its own",
        "ckv/core/putting.pxi",
        "        version = table.version + 1\n",
        "        version = table.version\n",
    ),
    Mutation(
        "version-not-stored",
        "a new value brings its version",
        "ckv/core/records.pyx",
        "        memcpy(block + before, value, value_bytes)\n"
        "        (<uint64_t *>(block + self.head - VERSION_BYTES))[0] = version\n",
        "        memcpy(block + before, value, value_bytes)\n",
    ),
    Mutation(
        "promotion-lost",
        "lru: a use makes a record the last to leave",
        "ckv/core/records.pxd",
        "                self.take_out(0, at)\n                self.append(0, at)",
        "                pass",
    ),
    Mutation(
        "use-not-counted",
        "lfu: each use counts",
        "ckv/core/records.pxd",
        "            self.used_once_more(at)",
        "            pass",
    ),
    Mutation(
        "list-number-lost",
        "lfu: a record knows its list",
        "ckv/core/lfu.pxi",
        "    place[0] = more\n",
        "",
    ),
    Mutation(
        "list-goes-along",
        "lfu: a list goes with a record that is alone in it, and only then",
        "ckv/core/lfu.pxi",
        "        if table.lists[which].first == table.lists[which].last:",
        "        if True:",
    ),
    Mutation(
        "list-unlink",
        "lfu: a list without records is taken out",
        "ckv/core/records.pyx",
        "        if self.policy == LFU and not self.lists[which].first:\n            drop_list(self, which)\n",
        "",
    ),
    Mutation(
        "moved-chain-lost",
        "growth: what moves to the new bucket is found there",
        "ckv/core/records.pyx",
        "        self.buckets[high] = move",
        "        self.buckets[high] = 0",
    ),
    Mutation(
        "wrong-bit",
        "growth: the next bit of the hash says who moves",
        "ckv/core/records.pyx",
        "            if self.entries[at].hash & (self.mask + 1):",
        "            if self.entries[at].hash & self.mask:",
    ),
    Mutation(
        "no-next-round",
        "growth: after the last split all buckets are split once more",
        "ckv/core/records.pyx",
        "            self.mask = 2 * self.mask + 1\n",
        "",
    ),
    Mutation(
        "stale-block",
        "a block that moved is the one that is used",
        "ckv/core/records.pyx",
        "            entry.block = block\n            self.bytes",
        "            self.bytes",
    ),
    Mutation(
        "block-leaked",
        "a record that leaves gives its memory back",
        "ckv/core/records.pyx",
        "        free(entry.block)\n        entry.block = NULL",
        "        entry.block = NULL",
    ),
    Mutation(
        "blocks-leaked",
        "a table that goes gives its memory back",
        "ckv/core/records.pyx",
        "                free(self.entries[at].block)",
        "                pass",
    ),
    Mutation(
        "entry-lost",
        "an entry that came free is used again",
        "ckv/core/records.pyx",
        "        self.free_entry = at\n",
        "",
    ),
    Mutation(
        "bound-missed",
        "there are never more records than the capacity",
        "ckv/core/records.pxd",
        "self.count >= self.capacity:",
        "self.count > self.capacity:",
    ),
    Mutation(
        "bytes-missed",
        "bytes count what a record takes when its value changes",
        "ckv/core/records.pyx",
        "            self.bytes -= had\n",
        "",
    ),
    Mutation(
        "still-clean",
        "a record that is written again is not clean any more",
        "ckv/core/records.pyx",
        "        entry.flags = <uint16_t>flags | (entry.flags & (NOTED | QUEUED))\n",
        "        entry.flags |= <uint16_t>flags\n",
    ),
    Mutation(
        "clean-in-any-version",
        "a record is clean in one version alone",
        "ckv/core/records.pyx",
        "        if at and self.version_of_entry(&self.entries[at]) == version and not",
        "        if at and not",
    ),
    Mutation(
        "hash-for-key",
        "keys are told apart by their bytes",
        "ckv/core/records.pxd",
        " and memcmp(self.key_of(entry), key, size) == 0:",
        ":",
    ),
    Mutation(
        "bytes-that-are-no-text",
        "bytes that are no UTF-8 come back as they were",
        "ckv/core/records.pyx",
        'PyUnicode_DecodeUTF8(value, entry.value_bytes, "surrogateescape")',
        'PyUnicode_DecodeUTF8(value, entry.value_bytes, "replace")',
    ),
    Mutation(
        "stored-without-memory",
        "what found no memory changes nothing",
        "ckv/core/records.pyx",
        "                if block == NULL:\n                    return False\n",
        "                if block == NULL:\n                    return True\n",
    ),
    Mutation(
        "expiry-without-room",
        "a record that expires has room for that",
        "ckv/core/putting.pxi",
        "    if not table.has_room(at, key_bytes, value_bytes + expiry_bytes(expires)):",
        "    if not table.has_room(at, key_bytes, value_bytes):",
    ),
    Mutation(
        "expiry-forgotten-by-a-move",
        "a new value of the same length brings its expiry",
        "ckv/core/records.pyx",
        "        self.set_expiry(entry, expires)\n        if self.watched",
        "        if self.watched",
    ),
    Mutation(
        "expiring-miscounted",
        "a record that leaves does not expire any more",
        "ckv/core/records.pyx",
        "        self.expiring -= (entry.flags & EXPIRES != 0)\n        self.bytes -=",
        "        self.bytes -=",
    ),
    Mutation(
        "time-kept",
        "the table asks for the time where no loop is at work",
        "ckv/core/records.pyx",
        "        if self.is_in_loop:\n            self.now = now\n",
        "        self.now = now\n",
    ),
    Mutation(
        "expired-got",
        "the table tells nothing that is over",
        "ckv/core/records.pyx",
        "        if self.is_over_entry(&self.entries[at]):\n            self.misses += 1\n            return None\n",
        "",
    ),
    Mutation(
        "new-not-noted",
        "a record that comes to a slot that is watched is noted",
        "ckv/core/records.pyx",
        "            note(self, at)\n        return at",
        "            pass\n        return at",
    ),
    Mutation(
        "renewed-not-noted",
        "a new value in a slot that is watched is noted",
        "ckv/core/records.pyx",
        "            note(self, <uint32_t>(entry - self.entries))\n",
        "            pass\n",
    ),
    Mutation(
        "any-slot-noted",
        "what is written in other slots is not noted",
        "ckv/core/noting.pxi",
        "    if entry.flags & (CLEAN | NOTED) or not table.watched[slot_of(table.key_of(entry), entry.key_bytes)]:",
        "    if entry.flags & (CLEAN | NOTED):",
    ),
    Mutation(
        "not-noted-for-want-of-room",
        "what is not noted for want of room is not missed",
        "ckv/core/noting.pxi",
        "    else:\n        table.noted_all = True\n",
        "",
    ),
    Mutation(
        "any-slot-walked",
        "a walk through some slots tells no keys of others",
        "ckv/core/keys.pxi",
        "        if slots == NULL or slots[",
        "        if True or slots[",
    ),
    Mutation(
        "piece-with-a-gap",
        "the pieces of a walk have all keys",
        "ckv/core/keys.pxi",
        "end - 1 if end < table.next_entry else 0\n",
        "end if end < table.next_entry else 0\n",
    ),
    Mutation(
        "largest-left-out",
        "a walk has all records of so many bytes",
        "ckv/core/keys.pxi",
        "entry.value_bytes >= at_least",
        "entry.value_bytes > at_least",
    ),
    Mutation(
        "end-of-the-first",
        "a record that expires before its neighbours is found then",
        "ckv/core/overdue.pxi",
        "    if end[0] == 0 or expires < end[0]:\n",
        "    if end[0] == 0:\n",
    ),
    Mutation(
        "end-of-any",
        "one that expires before its neighbours is found also when these were looked at before",
        "ckv/core/overdue.pxi",
        "        if first == 0 or expires < first:\n",
        "        if first == 0:\n",
    ),
    Mutation(
        "overdue-with-a-gap",
        "the pieces of a pass leave nothing out",
        "ckv/core/overdue.pxi",
        "        last = run + MOST_PASSED\n",
        "        run += 1\n        last = run + MOST_PASSED\n",
    ),
    Mutation(
        "overdue-too-early",
        "what has not expired is not overdue",
        "ckv/core/overdue.pxi",
        "        if expires <= now:\n",
        "        if expires <= now + 1:\n",
    ),
)

MUTATIONS = (
    *_OF_RECORDS,
    *(*s3fifo_mutations.MUTATIONS, *serve_mutations.MUTATIONS),
    *(*route_mutations.MUTATIONS, *literals_mutations.MUTATIONS),
)


def survived(mutation: Mutation) -> str:
    """Makes the mutation in a copy of the code; what the tests said that did not catch it, else nothing."""
    with mutant(mutation) as copy:
        compile_core(copy, *FLAGS, changed=mutation.file)
        file = Path(mutation.file)
        # The tests of that file first.
        named = "route" if file.stem == "lane" else file.stem
        tests = LAWS if file.stem in OF_THE_TABLE else sorted(WAYS, key=lambda test: named not in test)
        done = run_in(copy, *PYTEST, *tests, CKV_MODEL_EXAMPLES="100")
        # The exit code alone would also be 1 for a copy that does not even run. A crash is one of those below zero.
        if done.returncode < 0 or (done.returncode == 1 and "Error" in done.stdout):
            return ""
        return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(MUTATIONS, survived, sys.argv[1:]))
