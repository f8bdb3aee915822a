"""Searches for a difference between the compiled core and its twins, for hours if need be, under the sanitizers.

python -m tests.fuzz.core --seconds 3600           # that is `make fuzz-core FUZZ_SECONDS=3600`
python -m tests.fuzz.core --input .fuzz/serve-...  # an input that was kept, once more
python -m tests.fuzz.core --broken order-unlink    # with a core that is broken in this way of tests/core/mutations.py
python -m tests.fuzz.core --guided                 # guided by coverage; that is `make fuzz-guided`

The core is compiled once, in a copy of the source. Then rounds of a minute follow, each in new processes, as a leak is
told when a process ends. An input is random bytes, from which :mod:`tests.fuzz.serve` and its neighbours make what they
do; what fails is kept as a file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO, Final

from tests.core.copies import compile_core
from tests.core.mutations import MUTATIONS
from tests.core.sanitized import compile_sanitized, environment, reported
from tests.fuzz.worker import NAME_ENDS, PARTS, RUNNING, VERDICT
from tests.support.mutations import apply, copy_source

ROUND_SECONDS: Final = 60.0
KEPT: Final = Path(".fuzz")
"""The folder of the inputs that failed."""


COVERAGE: Final = (
    "-O1",
    "-fwrapv",
    "-fno-strict-aliasing",
    "-fsanitize-coverage=trace-pc,trace-cmp",
    "-include",
    "tests/fuzz/coverage.h",
)
"""How the core is compiled for atheris, from the root of the copy on. Without the sanitizers: those of gcc have
functions of the same names as libFuzzer, which do nothing."""


LIBFUZZER: Final = Path(sysconfig.get_path("purelib"), "ubsan_with_fuzzer.so")
"""libFuzzer as atheris brings it, where compiled modules find its functions."""


class Worker:
    """A process that searches in the copy for the seconds of a round."""

    def __init__(self, copy: Path, seed: str, seconds: float, most: int, parts: list[str]) -> None:
        self.seed = seed
        self._folder = Path(tempfile.mkdtemp(prefix="round-", dir=copy))
        command = [str(self._folder), seed, f"{seconds:g}", str(most), *parts]
        with (self._folder / "stderr").open("wb") as stderr:
            self._process = start(copy, command, stderr)

    def done(self) -> Counter[str] | None:
        """Waits for its end; how many inputs each part was given, None when something was wrong."""
        self._process.wait()
        verdict = self._folder / VERDICT
        if not verdict.exists() or reported(self._said()):
            return None
        return Counter(json.loads(verdict.read_text()))

    def kill(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def clean(self) -> None:
        """Removes its files."""
        shutil.rmtree(self._folder)

    def explain(self) -> str:
        """What was wrong, and how to see it again. Keeps the input."""
        said = self._said()
        verdict = self._folder / VERDICT
        if verdict.exists():
            inputs = sum(json.loads(verdict.read_text()).values())
            again = f"--seed={self.seed} --inputs={inputs}  # a leak of one of its {inputs} inputs"
        else:
            again = f"--input={kept(self._folder / RUNNING)}"
        return f"{reported(said) or said[-10_000:]}\n\nFAILED; again: python -m tests.fuzz.core {again}"

    def _said(self) -> str:
        return (self._folder / "stderr").read_text(errors="replace")


def kept(running: Path) -> Path:
    """Keeps the input that ran; the file."""
    data = running.read_bytes()
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{data.partition(NAME_ENDS)[0].decode()}-{hashlib.sha256(data).hexdigest()[:12]}"
    file.write_bytes(data)
    return file


def start(
    copy: Path,
    arguments: list[str],
    stderr: IO[bytes] | None = None,
    *,
    module: str = "tests.fuzz.worker",
    sanitized: bool = True,
) -> subprocess.Popen[bytes]:
    """Starts a module on the core in the copy."""
    env = environment() if sanitized else {**os.environ, "PYTHONPATH": "", "LD_PRELOAD": str(LIBFUZZER)}
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=copy, env=env, stderr=stderr)


def search(copy: Path, seed: str, seconds: float, most: int, jobs: int, parts: list[str]) -> int:
    """Searches in rounds until the time is over or something is wrong; the exit code."""
    began = time.monotonic()
    totals: Counter[str] = Counter()
    rounds = 0
    while (left := seconds - (time.monotonic() - began)) > 0:
        # The first round has the seed itself, so that a round can be repeated by what it says its seed is.
        seeds = [f"{seed}" if rounds + job == 0 else f"{seed}-{rounds}-{job}" for job in range(jobs)]
        workers = [Worker(copy, own, min(left, ROUND_SECONDS), most, parts) for own in seeds]
        try:
            results = [(worker, worker.done()) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
        for worker, done in results:
            if done is None:
                print(worker.explain(), flush=True)
                return 1
            totals += done
            worker.clean()
        rounds += 1
        print(f"{time.monotonic() - began:.0f} s: {told(totals)}; last seed {seeds[-1]}", flush=True)
        if most:
            break
    print(f"nothing was wrong in {time.monotonic() - began:.0f} s, with seed {seed}: {told(totals)}")
    return 0


def guide(copy: Path, seconds: float) -> int:
    """Has atheris search, which shows how it gets on; the exit code. What it learns is kept for the next time."""
    learnt = KEPT / "learnt"
    learnt.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds:.0f}",
        "-max_len=3000",
        "-len_control=0",
        "-timeout=300",
        "-rss_limit_mb=0",
        "-detect_leaks=0",
    ]
    options.append(f"-artifact_prefix={copy}/")  # what fails is kept here, in the form that --input takes
    process = start(copy, [str(copy), str(learnt.resolve()), *options], module="tests.fuzz.guided", sanitized=False)
    try:
        code = process.wait()
    finally:
        process.kill()
    if code:
        print(f"\nFAILED; again: python -m tests.fuzz.core --input={kept(copy / RUNNING)}", flush=True)
    return code


def told(totals: Counter[str]) -> str:
    """How many inputs there were."""
    return ", ".join(f"{name} {count:,}" for name, count in totals.items()) + " inputs"


def main() -> int:
    """Compiles and searches; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to search (60)")
    parser.add_argument("--inputs", type=int, default=0, help="stop after so many inputs of each process")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (1)")
    parser.add_argument("--seed", default=str(time.time_ns()), help="of the inputs (the time)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="what to search (all)")
    parser.add_argument("--broken", choices=[mutation.name for mutation in MUTATIONS], help="a way to break the core")
    parser.add_argument("--input", type=Path, help="a file that was kept: run this input alone")
    parser.add_argument(
        "--guided", action="store_true", help="one process, guided by coverage; that is `make fuzz-guided`"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory(prefix="ckv-fuzz-") as folder:
        copy = Path(folder)
        copy_source(copy)
        for mutation in MUTATIONS:
            if mutation.name == options.broken:
                apply(mutation, copy)
        if options.guided:
            compile_core(copy, *COVERAGE)
            return guide(copy, options.seconds)
        compile_sanitized(copy)
        if options.input is not None:
            return start(copy, [str(options.input.resolve())]).wait()
        return search(copy, options.seed, options.seconds, options.inputs, options.jobs, options.parts)


if __name__ == "__main__":
    sys.exit(main())
