"""A secondary beside Redis and Valkey, as ``redis-benchmark`` sees them."""

from __future__ import annotations

from bench import newest, redis_benchmark
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Target
from bench.parts.secondary import DEPTHS, RESP_MUST_AND_AIM, RESP_VALKEY_MUST_AND_AIM
from bench.results import Cell
from bench.servers import IN_RESP, Servers

CONNECTIONS = 50
KEYS = 100_000
VALUE_BYTES = 64
CALLS = {1: 100_000, 16: 1_000_000, 64: 1_500_000}
"""Of one turn, by depth: a second or two."""
QUICK_TIMES = 10
"""How many times fewer there are where nothing but that it works is asked."""
PREFILL_TIMES = 10
"""So many times the keys are put, by chance: all but one in some 22,000 of them are there then."""
REQUESTS = {"put": ("SET", redis_benchmark.ANY_KEY, "x" * VALUE_BYTES), "get": ("GET", redis_benchmark.ANY_KEY)}


DEPTH_1_TIMES = 2
"""So many more rounds at depth 1, where the ratio of two turns says least."""


def _targets(depth: int) -> list[Target]:
    def is_of_depth(cell: Cell) -> bool:
        return cell.matches(depth=depth)

    what = "redis-benchmark: a secondary against"
    return [
        Target(f"{what} Redis", is_of_depth, IN_RESP, "Redis", *RESP_MUST_AND_AIM[depth]),
        Target(f"{what} Valkey", is_of_depth, IN_RESP, newest.VALKEY, *RESP_VALKEY_MUST_AND_AIM[depth]),
    ]


def measure(context: Context) -> list[Cell]:
    """Each request at each depth."""
    cells = [Cell({"op": op, "depth": depth}) for depth in DEPTHS for op in REQUESTS]
    with Servers() as servers:
        contenders = [servers.in_resp(), servers.redis(), *servers.newest(newest.VALKEY)]
        for contender in contenders:
            options = ("-c", str(CONNECTIONS), "-P", str(max(DEPTHS)))
            redis_benchmark.run(contender, KEYS * PREFILL_TIMES, REQUESTS["put"], keys=KEYS, options=options)
        rounds = context.rounds * DEPTH_1_TIMES
        for number in range(rounds):
            context.say(f"redis-benchmark: round {number + 1} of {rounds}")
            for cell in cells if number < context.rounds else [cell for cell in cells if cell.matches(depth=1)]:
                depth = int(cell.axes["depth"])
                calls = CALLS[depth] // (QUICK_TIMES if context.quick else 1)
                options = ("-c", str(CONNECTIONS), "-P", str(depth))
                for contender in contenders if number % 2 == 0 else contenders[::-1]:
                    request = REQUESTS[str(cell.axes["op"])]
                    cell.add(contender.name, redis_benchmark.run(contender, calls, request, keys=KEYS, options=options))
    return cells


PART = Part(
    name="redis-benchmark",
    title="What redis-benchmark sees",
    text=(
        f"The load generator of Redis, which looks at no value: {CONNECTIONS} connections, {KEYS:,} keys by chance, "
        f"values of {VALUE_BYTES} bytes. It has one thread, as each server has, and needs longer for a request than "
        "the quicker of these: so it bounds what can be seen of them where many requests are in flight. The processor "
        "time says what each server needs."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    ratios=((IN_RESP, "Redis"), (IN_RESP, newest.VALKEY)),
    targets=tuple(target for depth in DEPTHS for target in _targets(depth)),
)
