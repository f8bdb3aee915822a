"""What real processes use for a call: by the kernel's count, and by samples of `perf`."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.database import wait_saved
from bench.generator import Load, run
from bench.servers import Contender


@dataclass(frozen=True)
class Whole:
    """What processes use for a call, in microseconds, by the kernel's count."""

    user: float
    system: float

    @property
    def ns(self) -> float:
        return (self.user + self.system) * 1000


def cpu_of(pids: Sequence[int]) -> Whole:
    """What processes have used so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    tick = 1e6 / os.sysconf("SC_CLK_TCK")
    return Whole(sum(int(each[11]) for each in fields) * tick, sum(int(each[12]) for each in fields) * tick)


def whole(contender: Contender, load: Load, groups: Sequence[Sequence[int]] = ()) -> list[Whole]:
    """What each group of processes uses for a call; without groups, those that serve."""
    groups = groups or [contender.pids]
    before = [cpu_of(pids) for pids in groups]
    calls = run(load, contender.protocol, contender.port)["calls"]
    return [_per_call(old, cpu_of(pids), calls) for old, pids in zip(before, groups, strict=True)]


def best_of(runs: Sequence[list[Whole]]) -> list[Whole]:
    """The run in which all groups together used least."""
    return min(runs, key=lambda used: sum(each.ns for each in used))


def _per_call(before: Whole, after: Whole, calls: int) -> Whole:
    return Whole((after.user - before.user) / calls, (after.system - before.system) / calls)


def evicting(node: Contender, load: Load) -> Whole:
    """A secondary under PUTs that each evict a record, until the last row is in the database."""
    before = cpu_of(node.pids)
    calls = run(load, node.protocol, node.port)["calls"]
    wait_saved(node)
    return _per_call(before, cpu_of(node.pids), calls)


def shares(contender: Contender, load: Load) -> dict[str, float]:
    """The share of each program file and of the kernel in what a server does, in per cent, as `perf` sees it."""
    with tempfile.NamedTemporaryFile(prefix="ckv-steps-") as file:
        record_it = ["perf", "record", "-q", "-e", "cpu-clock", "-o", file.name, "-p", str(contender.pids[0])]
        perf = subprocess.Popen(record_it, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            run(load, contender.protocol, contender.port)
        finally:
            perf.send_signal(signal.SIGINT)
            perf.wait()
        report = ["perf", "report", "-i", file.name, "--sort", "dso", "--stdio"]
        lines = subprocess.run(report, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split() for line in lines if "%" in line and not line.startswith("#")]
    return {words[1]: float(words[0].rstrip("%")) for words in found}
