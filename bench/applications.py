"""Python programs that call a store side by side (:mod:`bench.clients.application`), and what they report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.results import Sample
from tests.support.nodes import ROOT

CHOICES = 200_000
"""Keys that each program chooses beforehand."""


@dataclass(frozen=True)
class Work:
    """What each program does."""

    keys: int
    get_percent: float
    zipf: float
    greenlets: int
    seconds: float
    seed: int
    """That of the first program; each of the others has the next one."""


def run_applications(kind: str, ports: Sequence[int], work: Work, processes: int) -> list[dict[str, Any]]:
    """Start so many programs, let them begin together, and collect what they say.

    Raises :class:`AssertionError` if one does not start or fails.
    """
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.clients.application", kind, *map(str, ports)),
                *(f"--keys={work.keys}", f"--zipf={work.zipf}", f"--get-percent={work.get_percent}"),
                *(f"--greenlets={work.greenlets}", f"--seconds={work.seconds}", f"--seed={work.seed + at}"),
                f"--choices={CHOICES}",
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in range(processes)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise AssertionError(f"a client of {kind} did not start")
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate()[0] for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    if any(process.returncode != 0 for process in running):
        raise AssertionError(f"a client of {kind} failed; what it said is above")
    return [json.loads(output) for output in outputs]


def figures(reports: Sequence[dict[str, Any]]) -> Sample:
    """The calls of all programs together."""
    latencies = sorted(latency for report in reports for latency in report["latencies_us"])
    return {
        "calls_per_second": len(latencies) / max(report["seconds"] for report in reports),
        "p50_us": latencies[len(latencies) // 2],
        "p99_us": latencies[len(latencies) * 99 // 100],
        "worst_us": latencies[-1],
    }
