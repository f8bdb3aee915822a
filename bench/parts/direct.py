"""Clients that go to the owners of keys by themselves, beside the same clients of a primary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench import redis_benchmark
from bench.applications import Work, figures, run_applications
from bench.generator import Load, run
from bench.part import CPU, THOUSAND_CALLS, Column, Context, Part
from bench.results import Cell, Sample
from bench.servers import Contender, Servers

PRIMARY, DIRECT = "through the primary", "direct"
OWNERS = 2
KEYS = 100_000
GET_PERCENT = 90
UNIFORM = 0.0
GREENLETS = (1, 25)
DEPTHS = (1, 16)
CONNECTIONS = 50
CALLS, QUICK_CALLS = 100_000, 5_000
"""Of ``redis-benchmark``, for each request that a connection has in flight."""
OF_THE_NODE = "{tag}"
"""In cluster mode ``redis-benchmark`` puts a tag in its place whose slot belongs to the node that it asks."""
PYTHON, REDIS = "ckv.Client", "redis-benchmark"
"""What calls the cluster."""


def measure(context: Context) -> list[Cell]:
    """Each client has a cluster of its own: ``redis-benchmark`` fills memory with keys that nobody else reads."""
    by_python = [(Cell({"client": PYTHON, "at once": count}), _by_python(context, count)) for count in GREENLETS]
    by_redis = [
        (Cell({"client": REDIS, "at once": CONNECTIONS * depth}), _by_redis_benchmark(context, depth))
        for depth in DEPTHS
    ]
    for name, ways in ((PYTHON, by_python), (REDIS, by_redis)):
        with Servers() as servers:
            cluster = servers.cluster(secondaries=OWNERS, capacity=2 * KEYS, primary_options=["--cluster-clients"])
            run(Load(keys=KEYS).prefill(), cluster.protocol, cluster.port)
            contenders = [replace(cluster, name=contender) for contender in (PRIMARY, DIRECT)]
            for number in range(context.rounds):
                context.say(f"direct, {name}: round {number + 1} of {context.rounds}")
                for cell, measured in ways:
                    for contender in contenders if number % 2 == 0 else contenders[::-1]:
                        cell.add(contender.name, measured(contender, number))
    return [cell for cell, _ in (*by_python, *by_redis)]


def _by_python(context: Context, greenlets: int) -> Callable[[Contender, int], Sample]:
    def measured(contender: Contender, number: int) -> Sample:
        kind = "direct" if contender.name == DIRECT else "ckv"
        work = Work(KEYS, GET_PERCENT, UNIFORM, greenlets, context.seconds, seed=1 + number)
        before = contender.cpu_seconds()
        reports = run_applications(kind, [contender.port], work, processes=1)
        calls = sum(len(report["latencies_us"]) for report in reports)
        return {**figures(reports), "server_cpu_us": (contender.cpu_seconds() - before) / calls * 1e6}

    return measured


def _by_redis_benchmark(context: Context, depth: int) -> Callable[[Contender, int], Sample]:
    calls = (QUICK_CALLS if context.quick else CALLS) * depth

    def measured(contender: Contender, number: int) -> Sample:
        options, key = ["-c", str(CONNECTIONS), "-P", str(depth)], redis_benchmark.ANY_KEY
        if contender.name == DIRECT:
            options, key = [*options, "--cluster"], f"{OF_THE_NODE}{key}"
        return redis_benchmark.run(contender, calls, ["SET", key, "x" * 64], keys=KEYS, options=options)

    return measured


PART = Part(
    name="direct",
    title="Clients that go to the owners of keys",
    text=(
        f"A primary before {OWNERS} secondaries, {KEYS:,} keys. `ckv.Client` in one Python process, nine GETs to one "
        "PUT, of so many greenlets at once: `direct=True` beside a client of the primary. And `redis-benchmark` with "
        f"SET, {CONNECTIONS} connections: with `--cluster`, which asks the owners, beside the same without. The "
        "processor time is that of the primary and the secondaries together."
    ),
    measure=measure,
    one_row_each=True,
    columns=(THOUSAND_CALLS, CPU, Column("p99_us", "p99 us", digits=0)),
    ratios=((DIRECT, PRIMARY),),
)
