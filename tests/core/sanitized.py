"""Runs the laws of the compiled core on a build with the sanitizers for addresses and undefined behaviour.

python -m tests.core.sanitized  # that is `make core-check`

They see what the laws cannot: a byte read or written beside a block, one that was freed before, a number that does not
fit, a block that nobody frees.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.core.copies import LAWS, WAYS, compile_core
from tests.support.mutations import copy_source

FLAGS = (
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fwrapv",
    "-fno-strict-aliasing",
    "-fno-omit-frame-pointer",
    "-fno-sanitize-recover=undefined",
)

OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:max_allocation_size_mb=1024",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",  # else small objects would share blocks that no sanitizer knows
}


MODULES = ("records", "serve", "serve_resp", "route", "lane", "literals")
"""Whose leaks are ours."""

VERDICT = "verdict"
RUN = f"""
import sys
from pathlib import Path
import pytest
Path("{VERDICT}").write_text(str(int(pytest.main(sys.argv[1:]))))
"""
"""The exit code of the process is of no use: the interpreter keeps much to its end, which counts as leaks."""


def compile_sanitized(copy: Path, *flags: str) -> None:
    """Compiles the core of a copy for the sanitizers."""
    compile_core(copy, *FLAGS, "-DCKV_SANITIZED", *flags)


def environment() -> dict[str, str]:
    """What a process that runs on such a core has to have in its environment."""
    libraries = " ".join(library(name) for name in ("libasan.so", "libubsan.so"))
    return {**os.environ, **OPTIONS, "LD_PRELOAD": libraries, "PYTHONPATH": ""}


def reported(stderr: str) -> str:
    """What the sanitizers say about us in what a process wrote, which is nothing when all is well.

    The interpreter keeps much to its end, which counts as leaks; so does the exit code.
    """
    reports = [part for part in stderr.split("\n\n") if part.lstrip().startswith(("Direct leak", "Indirect leak"))]
    leaks = [report for report in reports if any(f"/{module}." in report for module in MODULES)]
    if "runtime error" in stderr or "ERROR: AddressSanitizer" in stderr:
        return stderr[-10_000:]
    return "\n\n".join(leaks)


def main() -> int:
    """Compiles and runs; the exit code."""
    with tempfile.TemporaryDirectory(prefix="ckv-sanitized-") as folder:
        copy = Path(folder)
        copy_source(copy)
        compile_sanitized(copy)
        examples = os.environ.get("CKV_MODEL_EXAMPLES", "100")
        pytest = [sys.executable, "-c", RUN, "-x", "-q", "-s", "-p", "no:cacheprovider", *LAWS, *WAYS]
        done = subprocess.run(
            pytest, cwd=copy, env=environment() | {"CKV_MODEL_EXAMPLES": examples}, stderr=subprocess.PIPE, text=True
        )
        passed = (copy / VERDICT).exists() and (copy / VERDICT).read_text() == "0"
    report = reported(done.stderr)
    if passed and not report:
        return 0
    print(report or done.stderr[-10_000:])
    return 1


def library(name: str) -> str:
    """The path of a library of the compiler, which has to be there before the interpreter begins."""
    told = subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
