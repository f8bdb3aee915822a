"""Contenders have their turns: round by round, setting by setting, one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.generator import Load, run
from bench.part import Context
from bench.results import Cell, Sample
from bench.servers import Contender

KEPT = (
    "calls_per_second",
    "p50_us",
    "p99_us",
    "p999_us",
    "worst_us",
    "worst_pause_us",
    "generator_cpu",
)
"""What is kept of the generator's report."""

OTHERS = "others_cpu"
"""Cores that were busy with neither the contender nor the generator: a database, or somebody who disturbs."""


def sample(contender: Contender, load: Load) -> Sample:
    """One turn. Raises :class:`bench.generator.WrongAnswers`."""
    started, busy, before = time.monotonic(), busy_seconds(), contender.cpu_seconds()
    report = run(load, contender.protocol, contender.port, tls=contender.tls)
    used, busy, seconds = contender.cpu_seconds() - before, busy_seconds() - busy, time.monotonic() - started
    others = busy - used - report["generator_cpu"] * report["seconds"]
    return {
        **{figure: report[figure] for figure in KEPT},
        "server_cpu_us": used / report["calls"] * 1e6,
        OTHERS: max(0.0, others / seconds),
    }


def busy_seconds() -> float:
    """What all processors of the machine have worked since it started."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def in_turn(
    context: Context, settings: Sequence[tuple[Cell, Load]], contenders: Sequence[Contender], rounds: int, what: str
) -> None:
    """Let all contenders run all settings, ``rounds`` times, and put the samples into the cells.

    The order of the contenders turns around with every round, so that none is always the one that comes after another.
    """
    for number in range(rounds):
        context.say(f"{what}: round {number + 1} of {rounds}")
        order = contenders if number % 2 == 0 else contenders[::-1]
        for cell, load in settings:
            for contender in order:
                cell.add(contender.name, sample(contender, replace(load, seed=number + 1)))


def prefill(contenders: Sequence[Contender], load: Load) -> None:
    """Put every key of the load once into every contender."""
    for contender in contenders:
        run(load.prefill(), contender.protocol, contender.port, tls=contender.tls)
