"""Ways to break the compiled table on purpose: the proof that its tests can fail.

python -m tests.core.mutations              # makes each one in a copy of the code, compiles it and runs the laws there
python -m tests.core.mutations list-unlink  # the one of that name
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.core.copies import LAWS, WAYS, compile_core
from tests.support.mutations import PYTEST, Mutation, main, mutant, run_in

FLAGS = ("-O0", "-g0", "-fwrapv", "-fno-strict-aliasing")

MUTATIONS = (
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
        "        self.take_out(which, at)\n        if which and",
        "        if which and",
    ),
    Mutation(
        "key-length",
        "the length of a key is checked",
        "ckv/core/records.pyx",
        "        if key_bytes > MAX_KEY_BYTES or",
        "        if",
    ),
    Mutation(
        "version-not-raised",
        "each write has a version of its own",
        "ckv/core/records.pyx",
        "            version = self.version + 1\n",
        "            version = self.version\n",
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
        "ckv/core/records.pyx",
        "        place[0] = more\n",
        "",
    ),
    Mutation(
        "list-goes-along",
        "lfu: a list goes with a record that is alone in it, and only then",
        "ckv/core/records.pyx",
        "            if self.lists[which].first == self.lists[which].last:",
        "            if True:",
    ),
    Mutation(
        "list-unlink",
        "lfu: a list without records is taken out",
        "ckv/core/records.pyx",
        "        if which and not self.lists[which].first:\n            self.drop_list(which)\n",
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
        "        entry.flags = <uint16_t>flags\n        self.set_expiry(entry, expires)\n        return True",
        "        entry.flags |= <uint16_t>flags\n        self.set_expiry(entry, expires)\n        return True",
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
        "served-before-the-rest",
        "what a BATCH puts off comes before what is behind it",
        "ckv/core/serve.pyx",
        "        self.stop = True\n",
        "",
    ),
    Mutation(
        "added-behind-a-load",
        "a record is added only where the store allows it",
        "ckv/core/deciding.pxd",
        "        if not table.may_add:\n            return False\n",
        "",
    ),
    Mutation(
        "evicted-unsaved",
        "a victim that is not clean is not dropped",
        "ckv/core/deciding.pxd",
        "            if not table.may_drop and not table.entries[victim].flags & CLEAN:\n"
        "                return False\n",
        "",
    ),
    Mutation(
        "any-value-taken",
        "a value has a largest length",
        "ckv/core/serve.pyx",
        "or request.value_bytes > self.max_value_bytes or",
        "or",
    ),
    Mutation(
        "served-without-version",
        "each write that is served has a version of its own",
        "ckv/core/deciding.pxd",
        "    table.version += 1\n    return True\n",
        "    return True\n",
    ),
    Mutation(
        "large-in-a-batch",
        "the answer to a BATCH is bounded",
        "ckv/core/serve.pyx",
        "        if entry.value_bytes > max_bytes:\n            return LARGE\n",
        "",
    ),
    Mutation(
        "cut-taken-for-whole",
        "a string that has not arrived as a whole is waited for",
        "ckv/core/msgpackrpc.pxd",
        "    if not has(input, size[0]):\n        return False\n",
        "",
    ),
    Mutation(
        "resp-length-unchecked",
        "an argument that has not arrived as a whole is waited for",
        "ckv/core/resp.pxd",
        "    if <uint64_t>(input.end - input.at) < number + 2:\n"
        "        input.cut = number <= MAX_CUT_BYTES\n"
        "        return False\n",
        "",
    ),
    Mutation(
        "resp-end-unchecked",
        "an argument ends where its head says",
        "ckv/core/resp.pxd",
        " or input.at[number] != 13 or input.at[number + 1] != 10:",
        ":",
    ),
    Mutation(
        "resp-digits-unbounded",
        "a number in a head has at most ten digits",
        "ckv/core/resp.pxd",
        "        if at - first == MAX_DIGITS:\n            return False\n",
        "",
    ),
    Mutation(
        "resp-zero-in-front",
        "a number in a head has no zero in front of it",
        "ckv/core/resp.pxd",
        " or (first[0] == 48 and at - first > 1)",
        "",
    ),
    Mutation(
        "resp-name-by-length",
        "a command is told by its name",
        "ckv/core/resp.pxd",
        "        if (name[i] & 0xDF) != word[i]:\n            return False\n",
        "        pass\n",
    ),
    Mutation(
        "resp-key-too-long",
        "a key has a largest length",
        "ckv/core/serve_resp.pyx",
        "        if read_request(input, request) and request.key_bytes <= MAX_KEY_BYTES:",
        "        if read_request(input, request):",
    ),
    Mutation(
        "resp-any-value-taken",
        "a value has a largest length",
        "ckv/core/serve_resp.pyx",
        "or request.value_bytes > self.max_value_bytes or",
        "or",
    ),
    Mutation(
        "resp-put-where-the-store-forbids",
        "a SET is Python's where the store says so",
        "ckv/core/serve_resp.pyx",
        "            if not table.may_put or request",
        "            if request",
    ),
    Mutation(
        "resp-over-and-told",
        "a record that is over is not there",
        "ckv/core/serve_resp.pyx",
        "        if table.is_over_entry(entry):\n            return OTHER\n",
        "",
    ),
    Mutation(
        "resp-over-and-large",
        "a large record that is over is not there",
        "ckv/core/serve_resp.pyx",
        " or table.is_over_entry(entry) or entry.value_bytes",
        " or entry.value_bytes",
    ),
    Mutation(
        "resp-before-its-turn",
        "what is behind a request that waits is not answered before it",
        "ckv/core/serve_resp.pyx",
        "                if going_on:\n",
        "                if True:\n",
    ),
    Mutation(
        "resp-behind-its-turn",
        "what Python answers stands between the answers before and behind",
        "ckv/core/serve_resp.pyx",
        "                append(&self.out, answers)\n                if going_on:\n",
        "                if going_on:\n",
    ),
    Mutation(
        "resp-nil-of-another-version",
        "there being no value is told in the client's version of the protocol",
        "ckv/core/serve_resp.pyx",
        "append(&self.out, <bytes?>session.nil)",
        'append(&self.out, b"$-1\\r\\n")',
    ),
    Mutation(
        "missing-is-guessed",
        "a record that is not in memory may be elsewhere",
        "ckv/core/deciding.pxd",
        "    if table.may_miss:\n",
        "    if True:\n",
    ),
    Mutation(
        "deleted-behind-the-tier",
        "a persistent tier hears of each deletion",
        "ckv/core/deciding.pxd",
        "table.may_put and table.may_miss and not",
        "table.may_put and not",
    ),
    Mutation(
        "large-without-its-place",
        "what arrives of a large value goes where it belongs",
        "ckv/core/arriving.pxi",
        "        memcpy(self.end - self.missing,",
        "        memcpy(self.end - self.request.value_bytes,",
    ),
    Mutation(
        "large-read-over-itself",
        "what is read of a large value goes where it belongs",
        "ckv/core/arriving.pxi",
        "            self.missing -= count\n",
        "            self.missing = 0\n",
    ),
    Mutation(
        "large-beyond-its-end",
        "what arrives behind a large value is not a part of it",
        "ckv/core/arriving.pxi",
        "min(<size_t>PyBytes_GET_SIZE(data), self.missing)",
        "PyBytes_GET_SIZE(data)",
    ),
    Mutation(
        "large-block-twice",
        "the block of a large value has one owner",
        "ckv/core/serve.pyx",
        "        arriving.request.block = NULL  # it is the table's\n",
        "",
    ),
    Mutation(
        "large-block-leaked",
        "the block of a large value that does not arrive is given back",
        "ckv/core/arriving.pxi",
        "        free(self.request.block)\n",
        "        pass\n",
    ),
    Mutation(
        "error-for-result",
        "an error in a BATCH is told as one",
        "ckv/core/route.pyx",
        "            to -= 1\n            result += 1\n",
        "            pass\n",
    ),
    Mutation(
        "tag-not-seen",
        "keys with the same hash tag have the same node",
        "ckv/core/route.pyx",
        "        if stop != NULL and stop > start:",
        "        if False:",
    ),
    Mutation(
        "told-to-another",
        "each answer goes to whoever asked",
        "ckv/core/route.pyx",
        "            if routed.call(i).caller != caller:",
        "            if False:",
    ),
    Mutation(
        "expiry-without-room",
        "a record that expires has room for that",
        "ckv/core/records.pyx",
        "        if not self.has_room(at, key_bytes, value_bytes + expiry_bytes(expires)):",
        "        if not self.has_room(at, key_bytes, value_bytes):",
    ),
    Mutation(
        "expiry-forgotten-by-a-move",
        "a new value of the same length brings its expiry",
        "ckv/core/records.pyx",
        "        self.set_expiry(entry, expires)\n        return True",
        "        return True",
    ),
    Mutation(
        "expiring-miscounted",
        "a record that leaves does not expire any more",
        "ckv/core/records.pyx",
        "        self.expiring -= (entry.flags & EXPIRES != 0)\n        self.bytes -=",
        "        self.bytes -=",
    ),
    Mutation(
        "expired-got",
        "the table tells nothing that is over",
        "ckv/core/records.pyx",
        "        if self.is_over_entry(&self.entries[at]):\n            self.misses += 1\n            return None\n",
        "",
    ),
    Mutation(
        "expired-served",
        "the serve loop tells nothing that is over",
        "ckv/core/serve.pyx",
        "        if table.is_over_entry(entry):\n            return OTHER\n",
        "",
    ),
    Mutation(
        "expired-served-large",
        "nor where the value is large",
        "ckv/core/serve.pyx",
        " or table.is_over_entry(entry):",
        ":",
    ),
    Mutation(
        "expired-deleted",
        "the serve loop leaves a DEL of what expires to the store",
        "ckv/core/deciding.pxd",
        "return table.may_put and table.may_miss and not (at and table.entries[at].flags & EXPIRES)",
        "return table.may_put and table.may_miss",
    ),
)


def survived(mutation: Mutation) -> str:
    """Makes the mutation in a copy of the code; what the tests said that did not catch it, else nothing."""
    with mutant(mutation) as copy:
        compile_core(copy, *FLAGS, changed=mutation.file)
        file = Path(mutation.file)
        # The tests of that file first.
        tests = LAWS if file.stem == "records" else sorted(WAYS, key=lambda test: file.stem not in test)
        done = run_in(copy, *PYTEST, *tests, CKV_MODEL_EXAMPLES="100")
        # The exit code alone would also be 1 for a copy that does not even run. A crash is one of those below zero.
        if done.returncode < 0 or (done.returncode == 1 and "Error" in done.stdout):
            return ""
        return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(MUTATIONS, survived, sys.argv[1:]))
