"""MGET of many keys through a primary, beside one Redis."""

from __future__ import annotations

import csv
import subprocess
from dataclasses import replace

from bench.part import CPU, THOUSAND_CALLS, Context, Part, Target
from bench.results import Cell, Sample
from bench.servers import IN_RESP, Contender, Servers, installed

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
    with Servers() as servers:
        cluster = replace(servers.cluster(IN_RESP, secondaries=OWNERS, capacity=2 * KEYS), protocol="resp")
        contenders = [cluster, servers.redis()]
        for contender in contenders:
            command = ["SET", "key:__rand_int__", "x" * VALUE_BYTES]
            _run(contender, KEYS * PREFILL_TIMES, command, "-P", "64")
        for number in range(context.rounds):
            context.say(f"many: round {number + 1} of {context.rounds}")
            for contender in contenders if number % 2 == 0 else contenders[::-1]:
                cell.add(contender.name, _run(contender, calls, ["MGET", *["key:__rand_int__"] * KEYS_OF_ONE]))
    return [cell]


def _run(contender: Contender, calls: int, command: list[str], *options: str) -> Sample:
    """What ``redis-benchmark`` finds: the generator of the other parts has no request of many keys."""
    before = contender.cpu_seconds()
    options = ("-c", str(CONNECTIONS), "-n", str(calls), "-r", str(KEYS), "--csv", *options)
    program = [installed("redis-benchmark"), "-h", "127.0.0.1", "-p", str(contender.port), *options, *command]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    row = list(csv.reader(done.stdout.splitlines()))[-1]
    return {
        "calls_per_second": float(row[1]),
        "server_cpu_us": (contender.cpu_seconds() - before) / calls * 1e6,
    }


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
