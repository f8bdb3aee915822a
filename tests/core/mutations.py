"""Ways to break the compiled table on purpose: the proof that its tests can fail.

python -m tests.core.mutations              # compiles each one in a folder of its own and runs the tests there
python -m tests.core.mutations list-unlink  # the one of that name
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.core.copies import LAWS, WAYS, compile_core, copy_source

DEADLINE = 100.0
"""Seconds for the tests of one mutation."""


@dataclass(frozen=True)
class Mutation:
    """One change of one file in ``ckv/core`` that breaks one guarantee."""

    name: str
    breaks: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "bucket-unlink",
        "a record that leaves is in no bucket any more",
        "records.pyx",
        "        link[0] = entry.chain\n",
        "",
    ),
    Mutation(
        "order-unlink",
        "a record that leaves is in no order any more",
        "records.pyx",
        "        self.take_out(which, at)\n        if which and",
        "        if which and",
    ),
    Mutation(
        "key-length",
        "the length of a key is checked",
        "records.pyx",
        "        if key_bytes > MAX_KEY_BYTES or",
        "        if",
    ),
    Mutation(
        "version-not-raised",
        "each write has a version of its own",
        "records.pyx",
        "            version = self.version + 1\n",
        "            version = self.version\n",
    ),
    Mutation(
        "version-not-stored",
        "a new value brings its version",
        "records.pyx",
        "        memcpy(block + before, value, value_bytes)\n"
        "        (<uint64_t *>(block + self.head - VERSION_BYTES))[0] = version\n",
        "        memcpy(block + before, value, value_bytes)\n",
    ),
    Mutation(
        "promotion-lost",
        "lru: a use makes a record the last to leave",
        "records.pxd",
        "                self.take_out(0, at)\n                self.append(0, at)",
        "                pass",
    ),
    Mutation(
        "use-not-counted",
        "lfu: each use counts",
        "records.pxd",
        "            self.used_once_more(at)",
        "            pass",
    ),
    Mutation(
        "list-number-lost",
        "lfu: a record knows its list",
        "records.pyx",
        "        place[0] = more\n",
        "",
    ),
    Mutation(
        "list-goes-along",
        "lfu: a list goes with a record that is alone in it, and only then",
        "records.pyx",
        "            if self.lists[which].first == self.lists[which].last:",
        "            if True:",
    ),
    Mutation(
        "list-unlink",
        "lfu: a list without records is taken out",
        "records.pyx",
        "        if which and not self.lists[which].first:\n            self.drop_list(which)\n",
        "",
    ),
    Mutation(
        "moved-chain-lost",
        "growth: what moves to the new bucket is found there",
        "records.pyx",
        "        self.buckets[high] = move",
        "        self.buckets[high] = 0",
    ),
    Mutation(
        "wrong-bit",
        "growth: the next bit of the hash says who moves",
        "records.pyx",
        "            if self.entries[at].hash & (self.mask + 1):",
        "            if self.entries[at].hash & self.mask:",
    ),
    Mutation(
        "no-next-round",
        "growth: after the last split all buckets are split once more",
        "records.pyx",
        "            self.mask = 2 * self.mask + 1\n",
        "",
    ),
    Mutation(
        "stale-block",
        "a block that moved is the one that is used",
        "records.pyx",
        "            entry.block = block\n            self.bytes",
        "            self.bytes",
    ),
    Mutation(
        "block-leaked",
        "a record that leaves gives its memory back",
        "records.pyx",
        "        free(entry.block)\n        entry.block = NULL",
        "        entry.block = NULL",
    ),
    Mutation(
        "blocks-leaked",
        "a table that goes gives its memory back",
        "records.pyx",
        "                free(self.entries[at].block)",
        "                pass",
    ),
    Mutation(
        "entry-lost",
        "an entry that came free is used again",
        "records.pyx",
        "        self.free_entry = at\n",
        "",
    ),
    Mutation(
        "bound-missed",
        "there are never more records than the capacity",
        "records.pxd",
        "self.count >= self.capacity:",
        "self.count > self.capacity:",
    ),
    Mutation(
        "bytes-missed",
        "bytes count what a record takes when its value changes",
        "records.pyx",
        "            self.bytes -= had\n",
        "",
    ),
    Mutation(
        "still-clean",
        "a record that is written again is not clean any more",
        "records.pyx",
        "        entry.flags = <uint16_t>flags\n        return True",
        "        entry.flags |= <uint16_t>flags\n        return True",
    ),
    Mutation(
        "clean-in-any-version",
        "a record is clean in one version alone",
        "records.pyx",
        "        if at and self.version_of_entry(&self.entries[at]) == version and not",
        "        if at and not",
    ),
    Mutation(
        "hash-for-key",
        "keys are told apart by their bytes",
        "records.pxd",
        " and memcmp(self.key_of(entry), key, size) == 0:",
        ":",
    ),
    Mutation(
        "bytes-that-are-no-text",
        "bytes that are no UTF-8 come back as they were",
        "records.pyx",
        'PyUnicode_DecodeUTF8(value, entry.value_bytes, "surrogateescape")',
        'PyUnicode_DecodeUTF8(value, entry.value_bytes, "replace")',
    ),
    Mutation(
        "stored-without-memory",
        "what found no memory changes nothing",
        "records.pyx",
        "                if block == NULL:\n                    return False\n",
        "                if block == NULL:\n                    return True\n",
    ),
    Mutation(
        "served-before-the-rest",
        "what a BATCH puts off comes before what is behind it",
        "serve.pyx",
        "        self.stop = True\n",
        "",
    ),
    Mutation(
        "added-behind-a-load",
        "a record is added only where the store allows it",
        "serve.pyx",
        "            if not table.may_add:\n                return False\n",
        "",
    ),
    Mutation(
        "evicted-unsaved",
        "a victim that is not clean is not dropped",
        "serve.pyx",
        "                if not table.may_drop and not table.entries[victim].flags & CLEAN:\n"
        "                    return False\n",
        "",
    ),
    Mutation(
        "any-value-taken",
        "a value has a largest length",
        "serve.pyx",
        "or request.value_bytes > self.max_value_bytes or",
        "or",
    ),
    Mutation(
        "served-without-version",
        "each write that is served has a version of its own",
        "serve.pyx",
        "        table.version += 1\n        return True\n",
        "        return True\n",
    ),
    Mutation(
        "large-in-a-batch",
        "the answer to a BATCH is bounded",
        "serve.pyx",
        "        if entry.value_bytes > max_bytes:\n            return LARGE\n",
        "",
    ),
    Mutation(
        "cut-taken-for-whole",
        "a string that has not arrived as a whole is waited for",
        "msgpackrpc.pxd",
        "    if not has(input, size[0]):\n        return False\n",
        "",
    ),
    Mutation(
        "large-without-its-place",
        "what arrives of a large value goes where it belongs",
        "arriving.pxi",
        "        memcpy(self.end - self.missing,",
        "        memcpy(self.end - self.request.value_bytes,",
    ),
    Mutation(
        "large-read-over-itself",
        "what is read of a large value goes where it belongs",
        "arriving.pxi",
        "            self.missing -= count\n",
        "            self.missing = 0\n",
    ),
    Mutation(
        "large-beyond-its-end",
        "what arrives behind a large value is not a part of it",
        "arriving.pxi",
        "min(<size_t>PyBytes_GET_SIZE(data), self.missing)",
        "PyBytes_GET_SIZE(data)",
    ),
    Mutation(
        "large-block-twice",
        "the block of a large value has one owner",
        "serve.pyx",
        "        arriving.request.block = NULL  # it is the table's\n",
        "",
    ),
    Mutation(
        "large-block-leaked",
        "the block of a large value that does not arrive is given back",
        "arriving.pxi",
        "        free(self.request.block)\n",
        "        pass\n",
    ),
    Mutation(
        "error-for-result",
        "an error in a BATCH is told as one",
        "route.pyx",
        "            to -= 1\n            result += 1\n",
        "            pass\n",
    ),
    Mutation(
        "tag-not-seen",
        "keys with the same hash tag have the same node",
        "route.pyx",
        "        if stop != NULL and stop > start:",
        "        if False:",
    ),
    Mutation(
        "told-to-another",
        "each answer goes to whoever asked",
        "route.pyx",
        "            if routed.call(i).caller != caller:",
        "            if False:",
    ),
)


def apply(mutation: Mutation, copy: Path) -> None:
    """Breaks the core of a copy; raises LookupError when the code that it changes is not there."""
    target = copy / "ckv" / "core" / mutation.file
    text = target.read_text()
    if text.count(mutation.old) != 1:
        raise LookupError(f"{mutation.name}: its text stands {text.count(mutation.old)} times in {mutation.file}")
    target.write_text(text.replace(mutation.old, mutation.new))


def survived(mutation: Mutation) -> str:
    """Applies the mutation to a copy of the code; what the tests said that did not catch it, else nothing."""
    with tempfile.TemporaryDirectory(prefix="ckv-mutation-") as folder:
        copy = Path(folder)
        copy_source(copy)
        apply(mutation, copy)
        laws = LAWS if mutation.file.startswith("records.") else WAYS
        compile_core(copy, "-O1", "-fwrapv", "-fno-strict-aliasing")
        try:
            done = _run(copy, "pytest", "-x", "-q", "-p", "no:cacheprovider", *laws)
        except subprocess.TimeoutExpired:
            return f"no test failed within {DEADLINE:g} s"
        # The exit code alone would also be 1 for a copy that does not even run. A crash is one of those below zero.
        if done.returncode < 0 or (done.returncode == 1 and "Error" in done.stdout):
            return ""
        return done.stdout + done.stderr


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "CKV_MODEL_EXAMPLES": "100", "CKV_MODEL_SHRINK": "no"},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )


def main(names: list[str]) -> int:
    """Applies the mutations of these names, or all; the exit code."""
    missed = 0
    for mutation in MUTATIONS:
        if not names or mutation.name in names:
            said = survived(mutation)
            missed += bool(said)
            print(f"{'MISSED' if said else 'caught'}  {mutation.name}: {mutation.breaks}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
