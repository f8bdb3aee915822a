"""What a record takes of memory, and the pauses while records are put."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench import newest
from bench.generator import Load, run
from bench.part import Column, Context, Part, Plot, Target
from bench.results import Cell
from bench.servers import Contender, Servers

RECORDS, QUICK_RECORDS = 1_000_000, 100_000
TIMES = 3
"""The pauses are looked for in so many times as many records."""
PIECES = 10 * TIMES
"""In which these are put: each is a run of the generator."""


def measure(context: Context) -> list[Cell]:
    """Everybody is started anew for every round, and is put into alone."""
    records = QUICK_RECORDS if context.quick else RECORDS
    memory, growth = Cell({"records": records}), Cell({"records": TIMES * records})
    pauses: defaultdict[str, list[list[float]]] = defaultdict(list)
    for number in range(context.side_rounds):
        context.say(f"memory: round {number + 1} of {context.side_rounds}")
        with Servers() as servers:
            secondary = servers.secondary(capacity=TIMES * records)
            for contender in (secondary, servers.redis(), *servers.newest(newest.VALKEY), servers.memcached()):
                pauses[contender.name].append(_fill(contender, records, memory))
    for name, rounds in pauses.items():
        growth.add(name, {"worst_pause_us": own_pause(rounds)})
    return [memory, growth]


def _fill(contender: Contender, records: int, memory: Cell) -> list[float]:
    """Puts all records; the longest pause in each piece of them, in microseconds."""
    piece = TIMES * records // PIECES
    load = Load(keys=piece).prefill()
    before, pauses = contender.rss_bytes(), []
    for first_key in range(0, TIMES * records, piece):
        report = run(replace(load, first_key=first_key), contender.protocol, contender.port)
        pauses.append(report["worst_pause_us"])
        if first_key + piece == records:
            memory.add(contender.name, {"bytes_per_record": (contender.rss_bytes() - before) / records})
    return pauses


def own_pause(rounds: Sequence[Sequence[float]]) -> float:
    """The longest pause that is the server's own: it comes in the same piece of every round. What the machine does
    meanwhile makes pauses of some milliseconds too, but each time somewhere else.
    """
    by_piece: Iterable[tuple[float, ...]] = zip(*rounds, strict=True)
    return max(map(min, by_piece))


def _memory(cell: Cell) -> bool:
    return cell.has("ckv", "bytes_per_record")


def _growth(cell: Cell) -> bool:
    return cell.has("ckv", "worst_pause_us")


PART = Part(
    name="memory",
    title="Memory per record, and pauses while it grows",
    text=(
        "Keys of 16 and values of 64 bytes: by how much the resident memory of the process grows while they are put "
        "into an empty server, divided by their number. Then more of them: *pause* is the longest time without any "
        "answer, while 50 connections had 16 PUTs each on their way and nobody else asked. The records are put in "
        f"{PIECES} pieces, and of each piece the best round counts: growing comes at the same number of records every "
        "time, and what else the machine does comes at any."
    ),
    measure=measure,
    one_row_each=True,
    ratios=(("ckv", "Redis"), ("ckv", newest.VALKEY), ("ckv", "memcached")),
    ratio_figure="bytes_per_record",
    columns=(Column("bytes_per_record", "bytes", digits=0), Column("worst_pause_us", "pause ms", 1e-3)),
    targets=(
        Target(
            "memory per record against Redis",
            _memory,
            "ckv",
            "Redis",
            0.8,
            0.66,
            figure="bytes_per_record",
            higher_is_better=False,
        ),
        Target(
            "longest pause while records are put, in ms",
            _growth,
            "ckv",
            None,
            5.0,
            1.0,
            figure="worst_pause_us",
            higher_is_better=False,
            factor=lambda c: 1e-3,
        ),
    ),
    plots=(
        Plot(
            "memory",
            "Memory per record of 16 + 64 bytes",
            _memory,
            column=Column("bytes_per_record", "bytes"),
            axis="bytes",
        ),
        Plot(
            "growth",
            "The longest pause while records are put",
            _growth,
            column=Column("worst_pause_us", "ms", 1e-3),
            axis="milliseconds",
            logarithmic=True,
        ),
    ),
)
