"""What the load generator itself can do: against a server that stores nothing."""

from __future__ import annotations

from dataclasses import replace

from bench.generator import Load
from bench.part import P99, THOUSAND_CALLS, Column, Context, Part, Plot
from bench.parts.secondary import DEPTHS, axes
from bench.results import Cell
from bench.servers import Servers
from bench.turns import in_turn

PROTOCOLS = ("msgpack", "resp", "memcached")


def _any(cell: Cell) -> bool:
    return True


def measure(context: Context) -> list[Cell]:
    """Every protocol at every depth."""
    loads = [replace(Load(), op=op, depth=depth, seconds=context.seconds) for depth in DEPTHS for op in ("put", "get")]
    settings = [(Cell(axes(load)), load) for load in loads]
    with Servers() as servers:
        contenders = [servers.null(protocol, Load().value_bytes) for protocol in PROTOCOLS]
        in_turn(context, settings, contenders, context.side_rounds, "ceiling")
    return [cell for cell, _ in settings]


PART = Part(
    name="ceiling",
    title="The load generator's own ceiling",
    text=(
        "The generator against a server that stores nothing and answers every GET with the value that belongs to the "
        "key, so that everything is verified here too. This is what the generator, the kernel and the loopback device "
        "can do: no figure on this page comes near it without being bounded by it. At depth 1 all servers come near, "
        "for there the kernel does most of the work."
    ),
    measure=measure,
    one_row_each=True,
    columns=(THOUSAND_CALLS, P99, Column("generator_cpu", "cores of the generator", digits=2)),
    plots=(Plot("ceiling", "Calls a second of a server that stores nothing", _any),),
)
