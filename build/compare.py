"""How fast the native program is beside the interpreter that it was made of.

    python build/compare.py [--rounds=N] [program...]

Starts a secondary, and a primary over two, of each program, and drives them in turn with the load generator of
``bench/``: PUT and GET at several depths. It prints medians over the rounds, as ratios to the interpreter: calls a
second, and CPU time for each call, which a busy machine disturbs less. Exits with 1 where calls a second are below
the bound. ``make build`` comes first; other programs, such as ``build/binary.py --out=... --compile=...`` makes, can be
named beside it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import binary

sys.path.insert(0, str(binary.ROOT))

from bench.generator import Load, run
from tests.support.nodes import Nodes

DEPTHS: Final = (1, 16, 64)
OPERATIONS: Final = ("put", "get")
CALLS: Final = {1: 60_000, 16: 300_000, 64: 300_000}
"""Calls of one measurement, by depth: about half a second."""

AT_LEAST: Final = 0.95
"""Of the interpreter's calls a second."""

Cell = tuple[str, int, str]


def main(arguments: Sequence[str]) -> int:
    """Measures; the exit code."""
    parser = argparse.ArgumentParser(description="Compare native programs with the interpreter.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("programs", nargs="*", default=[str(binary.OUT / binary.release_name() / "ckv")])
    chosen = parser.parse_args(arguments)
    interpreter = shlex.join([sys.executable, str(binary.ROOT / "ckv.py")])
    commands = [interpreter, *chosen.programs]
    for command in commands:
        print(subprocess.run([*shlex.split(command), "--version"], capture_output=True, text=True).stdout.strip())
    measured: dict[tuple[str, Cell], list[tuple[float, float]]] = defaultdict(list)
    with started(commands) as nodes:
        for _ in range(chosen.rounds):
            for role, depth, operation in cells():
                for command in commands:
                    port, pid = nodes[command, role]
                    measured[command, (role, depth, operation)].append(measure(port, pid, depth, operation))
    slow = 0
    print("| role | depth | | interpreter, calls/s | us CPU a call | calls/s, ratio | CPU, ratio |\n|" + "---|" * 7)
    for cell in cells():
        base = measured[interpreter, cell]
        for command in chosen.programs:
            pairs = list(zip(measured[command, cell], base, strict=True))
            speed = statistics.median(mine[0] / theirs[0] for mine, theirs in pairs)
            cost = statistics.median(mine[1] / theirs[1] for mine, theirs in pairs)
            slow += speed < AT_LEAST
            calls, cpu = (statistics.median(values) for values in zip(*base, strict=True))
            row = f"{calls:,.0f} | {cpu * 1e6:.2f} | {speed:.2f} | {cost:.2f}"
            print("| " + " | ".join(map(str, cell)) + f" | {row} |")
    return 1 if slow else 0


def cells() -> Iterator[Cell]:
    """All that is measured: role, depth, operation."""
    return ((role, depth, name) for role in ("secondary", "primary") for depth in DEPTHS for name in OPERATIONS)


@contextmanager
def started(commands: Sequence[str]) -> Iterator[dict[tuple[str, str], tuple[int, int]]]:
    """Port and process id of the node of each command and role, with records in it."""
    found = {}
    with Nodes() as nodes:
        for command in commands:
            os.environ["CKV_COMMAND"] = command
            alone = nodes.start_secondary()
            cluster = nodes.start_cluster(2)
            for role, node in (("secondary", alone), ("primary", cluster.primary)):
                found[command, role] = (node.port, node.pid)
                run(Load().prefill(), "msgpack", node.port)
        yield found


def measure(port: int, pid: int, depth: int, operation: str) -> tuple[float, float]:
    """Calls a second, and seconds of CPU time for each call."""
    before = cpu_seconds(pid)
    report = run(Load(op=operation, depth=depth, calls=CALLS[depth]), "msgpack", port)
    return report["calls_per_second"], (cpu_seconds(pid) - before) / CALLS[depth]


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, to the nanosecond; the clock ticks in /proc/PID/stat are too coarse."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
