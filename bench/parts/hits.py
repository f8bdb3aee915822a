"""What a hit costs under each eviction policy."""

from __future__ import annotations

from bench.generator import Load
from bench.part import THOUSAND_CALLS, Column, Context, Part, Target
from bench.results import Cell
from bench.servers import Servers
from bench.turns import prefill, sample
from ckv.store.memory import POLICIES

DEPTHS = (1, 16, 64)


def measure(context: Context) -> list[Cell]:
    """The nodes are started anew for each round: where their memory lies makes a tenth of a difference."""
    cells = [Cell({"op": "get", "depth": depth}) for depth in DEPTHS]
    for number in range(context.rounds):
        context.say(f"hits: round {number + 1} of {context.rounds}")
        with Servers() as servers:
            nodes = [servers.secondary(policy, policy=policy) for policy in POLICIES]
            prefill(nodes, Load())
            for cell in cells:
                load = Load(depth=int(cell.axes["depth"]), seconds=context.seconds, seed=number + 1)
                for node in nodes if number % 2 == 0 else nodes[::-1]:
                    cell.add(node.name, sample(node, load))
    return cells


PART = Part(
    name="hits",
    title="A hit under each policy",
    text="Nodes of each policy, which have all records in memory. The ratio is of processor time.",
    measure=measure,
    columns=(THOUSAND_CALLS, Column("server_cpu_us", "CPU us", digits=2)),
    ratios=tuple((policy, "lru") for policy in POLICIES if policy != "lru"),
    ratio_figure="server_cpu_us",
    targets=(
        Target(
            "processor time of a hit, s3fifo against lru",
            lambda c: c.matches(depth=max(DEPTHS)),  # where it is most of a call
            "s3fifo",
            "lru",
            1.03,
            1.0,
            figure="server_cpu_us",
            higher_is_better=False,
        ),
    ),
)
