"""Breaks the code on purpose: the proof that its tests can fail.

Each mutation is made in a copy of the source, where tests run as in a checkout. Lists of them are
the ``mutations.py`` of ``tests/core``, ``tests/store`` and ``tests/cluster``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

from tests.support.nodes import ROOT

DEADLINE: Final = 240.0
"""Seconds for one command in a copy; a mutation is caught by two at most. It is for a machine that is busy."""

PYTEST: Final = ("pytest", "-x", "-q", "--noconftest", "--timeout=0", "-p", "no:cacheprovider", "-p", "no:xdist")
"""Tests in a copy: the first one that fails ends them. Only the deadline of the whole bounds one."""


@dataclass(frozen=True)
class Mutation:
    """One change of one file that breaks one guarantee."""

    name: str
    breaks: str
    file: str
    old: str
    new: str


ALL: Final = "ALL_MUTATIONS"
"""The environment variable that has a run of the tests make all mutations, with any text."""

ONE_OF: Final = 4
"""Without it a run makes about one of so many: those that the commit chooses, so that every commit makes others."""

AnyMutation = TypeVar("AnyMutation", bound=Mutation)


def of_this_run(mutations: Sequence[AnyMutation]) -> list[AnyMutation]:
    """What the tests make of them. All would take longer than everything else; the next commit has others."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).stdout.strip()
    if not commit or os.environ.get(ALL):
        return list(mutations)
    return [mutation for mutation in mutations if crc32(commit + mutation.name.encode()) % ONE_OF == 0]


def copy_source(folder: Path) -> None:
    """Copies what the tests need, but no modules of ``ckv/core`` that are compiled."""
    for part in ("build", "ckv", "tests"):
        # With __pycache__: else every copy would compile all of it again.
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns(".venv", "cache", "out", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def apply(mutation: Mutation, copy: Path) -> None:
    """Makes the mutation in a copy. Raises LookupError where the text to change is not there once."""
    target = copy / mutation.file
    text = target.read_text()
    if text.count(mutation.old) != 1:
        raise LookupError(f"{mutation.name}: its text stands {text.count(mutation.old)} times in {mutation.file}")
    target.write_text(text.replace(mutation.old, mutation.new))
    for stale in target.parent.glob(f"__pycache__/{target.stem}.*"):
        stale.unlink()


@contextmanager
def mutant(mutation: Mutation) -> Iterator[Path]:
    """A copy of the source with the mutation in it. Raises as :func:`apply`."""
    with tempfile.TemporaryDirectory(prefix="ckv-mutation-") as folder:
        copy = Path(folder)
        copy_source(copy)
        apply(mutation, copy)
        yield copy


def run_in(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a module of Python in a copy; ``environment`` is added to ours. The exit code is 124 if it takes long."""
    command = [sys.executable, "-m", *words]
    variables = {**os.environ, "PYTHONPATH": "", "CKV_MODEL_SHRINK": "no", **environment}
    try:
        return subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, errors="backslashreplace", timeout=DEADLINE
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end within {DEADLINE:g} s")


def main(mutations: Sequence[AnyMutation], survived: Callable[[AnyMutation], str], names: Sequence[str]) -> int:
    """Makes the mutations of these names, or all, as many at a time as there are processors; the exit code.

    ``survived`` says what did not catch a mutation, and nothing when all did.
    """
    chosen = [mutation for mutation in mutations if not names or mutation.name in names]
    if unknown := set(names) - {mutation.name for mutation in chosen}:
        print(f"there is no mutation {', '.join(sorted(unknown))}", file=sys.stderr)
        return 1
    missed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutation, said in zip(chosen, pool.map(survived, chosen), strict=True):
            missed += bool(said)
            by = f" by {said.partition(chr(10))[0]}" if said else ""
            print(f"{'MISSED' if said else 'caught'}{by}  {mutation.name}: {mutation.breaks}", flush=True)
    return 1 if missed else 0
