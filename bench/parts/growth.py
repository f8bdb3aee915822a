"""Three nodes that become five, and then two, while clients go on: ckv beside Valkey."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from bench import newest
from bench.database import database
from bench.generator import Load, run
from bench.growing import Ckv, Growing, Valkey
from bench.part import Column, Context, Part, Target
from bench.results import Cell, Sample
from bench.servers import Servers
from tests.support.nodes import ROOT, Nodes

KEYS, QUICK_KEYS = 1_000_000, 20_000
WATCHERS, RATE, WATCHED = 2, 250.0, 200
"""Processes, the calls of each in a second, and its keys."""
SETTLE = 1.0
"""Seconds before a change and after it in which clients go on."""
FAST_RATE, FAST_DEPTH = 20_000.0, 4
FAST_SECONDS, QUICK_SECONDS = 30.0, 5.0
GROW, SHRINK = "3 to 5", "5 to 2"
PRIMARY, OWNERS = "ckv", "ckv, cluster clients"
SLOW, FAST = "watchers", "load generator"
"""What calls the cluster."""


def measure(context: Context) -> list[Cell]:
    """Each round is of new clusters."""
    keys = QUICK_KEYS if context.quick else KEYS
    cells = {
        (change, client): Cell({"nodes": change, "client": client})
        for change in (GROW, SHRINK)
        for client in (SLOW, FAST)
    }
    program = newest.command(newest.VALKEY)
    for number in range(context.side_rounds):
        context.say(f"growth: round {number + 1} of {context.side_rounds}")
        for name in (PRIMARY, OWNERS):
            with database() as server, Nodes() as nodes:
                _watched(Ckv(nodes, server, name, 2 * keys), name != PRIMARY, keys, cells)
        with database() as server, Nodes() as nodes:
            _generated(Ckv(nodes, server, PRIMARY, 2 * keys), keys, context, cells)
        if program is not None:
            with Servers() as servers, Valkey(servers, program) as valkey:
                _watched(valkey, True, keys, cells)
    return list(cells.values())


def _watched(cluster: Growing, has_owners: bool, keys: int, cells: dict[tuple[str, str], Cell]) -> None:
    cluster.fill(keys)
    for change, carry_out in ((GROW, cluster.grow), (SHRINK, cluster.shrink)):
        with _watchers(cluster.port, has_owners) as reports:
            seconds = _timed(carry_out)
        cells[change, SLOW].add(cluster.name, _sample(cluster.name, seconds, reports))


def _timed(carry_out: Callable[[], None]) -> float:
    time.sleep(SETTLE)
    began = time.perf_counter()
    carry_out()
    seconds = time.perf_counter() - began
    time.sleep(SETTLE)
    return seconds


@contextmanager
def _watchers(port: int, has_owners: bool) -> Iterator[list[dict[str, Any]]]:
    """Clients at work; what they have to tell is in the list afterwards."""
    reports: list[dict[str, Any]] = []
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.clients.watcher", str(port), f"--keys={WATCHED}", f"--rate={RATE}"),
                *(f"--first={number * WATCHED}", *(["--cluster"] if has_owners else [])),
            ],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(WATCHERS)
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise AssertionError("a client did not start; what it said is above")
        yield reports
        reports += [json.loads(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _sample(name: str, seconds: float, reports: list[dict[str, Any]]) -> Sample:
    wrong = sum(report["wrong"] for report in reports)
    if wrong:
        raise AssertionError(f"{name}: {wrong} values were not what was written last")
    latencies = sorted(latency for report in reports for latency in report["latencies_ms"])
    return {
        "seconds": seconds,
        "errors": float(sum(len(report["errors"]) for report in reports)),
        "p99_ms": latencies[len(latencies) * 99 // 100],
        "worst_ms": latencies[-1],
    }


def _generated(cluster: Ckv, keys: int, context: Context, cells: dict[tuple[str, str], Cell]) -> None:
    """The generator ends with an error at the first answer that is wrong, or an error."""
    cluster.fill(keys)
    seconds = QUICK_SECONDS if context.quick else FAST_SECONDS
    for change, carry_out in ((GROW, cluster.grow), (SHRINK, cluster.shrink)):
        load = Load(op="mixed", keys=keys, rate=FAST_RATE, seconds=seconds, depth=FAST_DEPTH)
        with _running(load, cluster.port) as reports:
            took = _timed(carry_out)
        (report,) = reports
        sample = {
            "seconds": took,
            "errors": 0.0,
            "p99_ms": report["p99_us"] / 1e3,
            "worst_ms": report["worst_us"] / 1e3,
        }
        cells[change, FAST].add(cluster.name, {**sample, "pause_ms": cluster.worst_pause * 1e3})


@contextmanager
def _running(load: Load, port: int) -> Iterator[list[dict[str, Any]]]:
    """The generator at work; its report is in the list afterwards. Raises WrongAnswers."""
    reports: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, load, "msgpack", port)
        yield reports
        reports.append(future.result())


PART = Part(
    name="growth",
    title="A cluster that grows and shrinks under load",
    text=(
        f"{KEYS:,} records on three nodes; two more join, and then the first three leave. Clients go on: {WATCHERS} "
        f"processes with redis-py, {RATE:g} calls a second each, one write to nine reads, which check each value. They "
        "ask ckv's primary, or as clients in cluster mode the owners; and Valkey, in cluster mode too, whose slots are "
        "moved by its atomic migration, all nodes being up and known before. The time of ckv's nodes includes their "
        f"start and their end. Then the load generator, with {FAST_RATE:,.0f} calls a second to ckv's primary. Times "
        "count from when a call was due. ckv has MariaDB below it, in the mode `behind`: records move by way of it."
    ),
    measure=measure,
    one_row_each=True,
    columns=(
        Column("seconds", "s"),
        Column("errors", "errors", digits=0),
        Column("p99_ms", "p99 ms"),
        Column("worst_ms", "worst ms", digits=0),
    ),
    ratio_figure="worst_ms",
    targets=(
        Target(
            "errors of clients while nodes join and leave", lambda _cell: True, PRIMARY, None, 0, 0, "errors", False
        ),
        Target(
            "worst pause of a move, ms", lambda c: c.matches(client=FAST), PRIMARY, None, 200, 50, "pause_ms", False
        ),
    ),
)
