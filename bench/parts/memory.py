"""What a record takes of memory."""

from __future__ import annotations

from bench.generator import Load, run
from bench.part import Column, Context, Part, Plot, Target
from bench.results import Cell
from bench.servers import Servers

RECORDS, QUICK_RECORDS = 1_000_000, 100_000


def measure(context: Context) -> list[Cell]:
    """Everybody is started anew for every round."""
    records = QUICK_RECORDS if context.quick else RECORDS
    cell = Cell({"records": records})
    load = Load(keys=records)
    for number in range(context.side_rounds):
        context.say(f"memory: round {number + 1} of {context.side_rounds}")
        with Servers() as servers:
            for contender in (servers.secondary(capacity=records), servers.redis(), servers.memcached()):
                before = contender.rss_bytes()
                run(load.prefill(), contender.protocol, contender.port)
                after = contender.rss_bytes()
                cell.add(contender.name, {"bytes_per_record": (after - before) / records})
    return [cell]


PART = Part(
    name="memory",
    title="Memory per record",
    text=(
        "Keys of 16 and values of 64 bytes: by how much the resident memory of the process grows while they are put "
        "into an empty server, divided by their number."
    ),
    measure=measure,
    ratios=(("ckv", "Redis"), ("ckv", "memcached")),
    ratio_figure="bytes_per_record",
    columns=(Column("bytes_per_record", "bytes", digits=0),),
    targets=(
        Target(
            "memory per record against Redis",
            lambda c: True,
            "ckv",
            "Redis",
            1.7,
            1.4,
            figure="bytes_per_record",
            higher_is_better=False,
        ),
    ),
    plots=(
        Plot(
            "memory",
            "Memory per record of 16 + 64 bytes",
            lambda c: True,
            column=Column("bytes_per_record", "bytes"),
            axis="bytes",
        ),
    ),
)
