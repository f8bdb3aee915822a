"""MGET of many keys through a primary, beside one Redis."""

from __future__ import annotations

from dataclasses import replace

from bench import redis_benchmark
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Target
from bench.results import Cell
from bench.servers import IN_RESP, Servers

OWNERS = 3
KEYS_OF_ONE = 100
KEYS = 100_000
VALUE_BYTES = 64
CONNECTIONS = 50
CALLS, QUICK_CALLS = 40_000, 4_000
PREFILL_TIMES = 12
"""So often is each key put, at random, that hardly any is left out."""
MUST, AIM = 0.5, 0.8


def measure(context: Context) -> list[Cell]:
    """One setting, for all contenders in turn."""
    cell = Cell({"op": "mget", "keys": KEYS_OF_ONE, "owners": OWNERS})
    calls = QUICK_CALLS if context.quick else CALLS
    options = ("-c", str(CONNECTIONS))
    get = ["MGET", *[redis_benchmark.ANY_KEY] * KEYS_OF_ONE]
    with Servers() as servers:
        cluster = replace(servers.cluster(IN_RESP, secondaries=OWNERS, capacity=2 * KEYS), protocol="resp")
        contenders = [cluster, servers.redis()]
        for contender in contenders:
            put = ["SET", redis_benchmark.ANY_KEY, "x" * VALUE_BYTES]
            redis_benchmark.run(contender, KEYS * PREFILL_TIMES, put, keys=KEYS, options=(*options, "-P", "64"))
        for number in range(context.rounds):
            context.say(f"many: round {number + 1} of {context.rounds}")
            for contender in contenders if number % 2 == 0 else contenders[::-1]:
                cell.add(contender.name, redis_benchmark.run(contender, calls, get, keys=KEYS, options=options))
    return [cell]


PART = Part(
    name="many",
    title="Many keys in one request",
    text=(
        f"`MGET` of {KEYS_OF_ONE} keys out of {KEYS:,}, {CONNECTIONS} connections with one request each in flight, as "
        f"`redis-benchmark` sends it, which looks at no value: to a primary before {OWNERS} secondaries, which has to "
        "ask all of them, and to one Redis."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    ratios=((IN_RESP, "Redis"),),
    targets=(Target("MGET of 100 keys against Redis", lambda _cell: True, IN_RESP, "Redis", MUST, AIM),),
)
