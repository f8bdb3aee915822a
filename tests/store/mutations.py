"""Ways to break the store on purpose: the proof that the model test can fail.

python -m tests.store.mutations            # applies each one to a copy of the code and runs the model test
python -m tests.store.mutations coalesced  # the one of that name
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """One change of one file that breaks one guarantee."""

    name: str
    breaks: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "victim-dropped",
        "I1: a victim goes from memory to pending within one call",
        "ckv/store/store.py",
        "                self._pending.add(key, value)\n                self._loading.note_present(key)\n                self._wake()\n\n    def _recall",
        "                self._loading.note_present(key)\n                self._wake()\n\n    def _recall",
    ),
    Mutation(
        "gone-while-flushing",
        "I1: a record can be read while it is on its way",
        "ckv/store/store.py",
        "        row = self._pending.find(key)\n        if row is not None:\n            if row.value",
        "        row = self._pending.find(key)\n        if row is not None and not row.flushing:\n            if row.value",
    ),
    Mutation(
        "known-as-absent",
        "I1: a key that was absent and is written again is looked for again",
        "ckv/store/loading.py",
        "        self._absent.pop(key, None)",
        "        pass",
    ),
    Mutation(
        "clean-too-early",
        "I1: a record is clean only when the tier has exactly this value",
        "ckv/store/store.py",
        "elif self._memory.peek(key) is value:",
        "elif key in self._memory:",
    ),
    Mutation(
        "still-clean",
        "I1: a clean record that is written again is not clean any more",
        "ckv/store/store.py",
        "            self._clean.discard(key)\n        self._loading.written(key)",
        "            pass\n        self._loading.written(key)",
    ),
    Mutation(
        "late-load-installed",
        "I2: a late load never overwrites a newer write",
        "ckv/store/store.py",
        "        self._loading.written(key)\n        victim = self._memory_put(key, value)",
        "        victim = self._memory_put(key, value)",
    ),
    Mutation(
        "deleted-comes-back",
        "I2: a late load never brings back a deleted key",
        "ckv/store/store.py",
        "        self._loading.written(key)\n        load.deletes = True",
        "        load.deletes = True",
    ),
    Mutation(
        "deleted-while-flushing",
        "I2: a deleted key stays deleted when an older value is on its way",
        "ckv/store/store.py",
        "            if existed:\n                pending.add(key, TOMBSTONE)",
        "            if existed and row is None:\n                pending.add(key, TOMBSTONE)",
    ),
    Mutation(
        "coalesced",
        "I3: a flushed row leaves pending only if it is still the current one",
        "ckv/store/pending.py",
        "            row = self._landed(write.key)\n            if row.version == write.version:\n                self._drop",
        "            row = self._landed(write.key)\n            if True:\n                self._drop",
    ),
    Mutation(
        "two-flushes",
        "I4: one flush in flight per key",
        "ckv/store/pending.py",
        "if not (row.queued or row.flushing or row.held):",
        "if not (row.queued or row.held):",
    ),
    Mutation(
        "overtaken-in-the-queue",
        "I4: a write does not overtake one of the same key that waits for room",
        "ckv/store/store.py",
        "        if key in self._waiting_keys or (pending.full and key not in pending):",
        "        if pending.full and key not in pending:",
    ),
    Mutation(
        "searched-after-the-flush",
        "DEL tells the truth: what it looks for is not written meanwhile",
        "ckv/store/pending.py",
        "if not (row.queued or row.flushing or row.held):",
        "if not (row.queued or row.flushing):",
    ),
    Mutation(
        "failure-forgotten",
        "I6: a batch that failed is written again",
        "ckv/store/pending.py",
        "                row.queued = True\n                self._queue.appendleft(write.key)",
        "                self._drop(write.key, row)",
    ),
    Mutation(
        "drain-forgets",
        "I7: a drain saves what the tier lacks",
        "ckv/store/store.py",
        "                    self._pending.add(key, value)\n                    self._loading.note_present(key)\n        self._wake()\n\n    @property",
        "                    break\n        self._wake()\n\n    @property",
    ),
)


def survives(mutation: Mutation) -> str | None:
    """Runs the model test over a broken copy: None when it was caught, else what pytest printed."""
    with tempfile.TemporaryDirectory(prefix="ckv-mutation-") as folder:
        copy = Path(folder)
        for part in ("ckv", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        target = copy / mutation.file
        text = target.read_text()
        if text.count(mutation.old) != 1:
            raise LookupError(f"{mutation.name}: its text stands {text.count(mutation.old)} times in {mutation.file}")
        target.write_text(text.replace(mutation.old, mutation.new))
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "tests/store/test_model.py"],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": "", "CKV_MODEL_EXAMPLES": "1000", "CKV_MODEL_SHRINK": "no"},
            capture_output=True,
            text=True,
            check=False,
        )
    # 1 says that tests ran and failed; any other code says that they did not run as they should.
    return None if run.returncode == 1 and "AssertionError" in run.stdout else run.stdout + run.stderr


def main(names: list[str]) -> int:
    """Applies the mutations of these names, or all; the exit code."""
    missed = 0
    for mutation in MUTATIONS:
        if not names or mutation.name in names:
            caught = survives(mutation) is None
            missed += not caught
            print(f"{'caught' if caught else 'MISSED'}  {mutation.name}: {mutation.breaks}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
