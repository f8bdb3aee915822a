"""How long a start takes, and a stop that saves everything."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from bench.database import database
from bench.generator import Load, run
from bench.part import Column, Context, Part, Plot
from bench.results import Cell
from bench.servers import PING, PONG, Servers, answers, installed, of_node, stop
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.nodes import ckv_command
from tests.support.ports import free_port

RECORDS, QUICK_RECORDS = 1_000_000, 50_000
START_TIMEOUT = 30.0
POLL = 0.001
"""Seconds between two tries to reach a server that is starting."""


def measure(context: Context) -> list[Cell]:
    """Starts are of empty nodes; stops are with all records in memory alone."""
    records = QUICK_RECORDS if context.quick else RECORDS
    start = Cell({"what": "first answer"})
    drain = Cell({"what": f"stop with {records:,} records"})
    for number in range(context.rounds):
        context.say(f"startstop: start {number + 1} of {context.rounds}")
        port = free_port()
        command = [*ckv_command(), "secondary", "localhost:8080", str(port)]
        start.add("ckv", {"seconds": _seconds_to(command, answers(port, PING, PONG))})
        port = free_port()
        command = [installed("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        start.add("Redis", {"seconds": _seconds_to(command, answers(port, b"PING\r\n", b"+PONG"))})
    with database() as server:
        for number in range(context.side_rounds):
            context.say(f"startstop: stop {number + 1} of {context.side_rounds}")
            server.empty()
            drain.add("ckv", {"seconds": _stop_ckv(server, records)})
            drain.add("Redis", {"seconds": _stop_redis(records)})
    return [start, drain]


def _seconds_to(command: list[str], ready: Callable[[], bool]) -> float:
    started = time.perf_counter()
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent)
    try:
        while True:
            try:
                if ready():
                    return time.perf_counter() - started
            except OSError:
                if time.perf_counter() - started > START_TIMEOUT or process.poll() is not None:
                    raise
            time.sleep(POLL)
    finally:
        stop(process)


def _stop_ckv(server: MariaDB, records: int) -> float:
    with Servers() as servers:
        node = servers.secondary_node(server.address, capacity=records, options=["--drain-timeout=10m"])
        contender = of_node(node, "ckv")
        run(Load(keys=records).prefill(), contender.protocol, contender.port)
        started = time.perf_counter()
        code = node.terminate(timeout=600)
        seconds = time.perf_counter() - started
    saved = server.query(f"SELECT COUNT(*) FROM {DATABASE}.CelonisData")[0][0]
    if code != 0 or saved != records:
        raise AssertionError(f"ckv ended with {code}, and {saved} of {records} records are in the database")
    return seconds


def _stop_redis(records: int) -> float:
    with Servers() as servers:
        # The last --save wins: with any rule at all, SIGTERM writes a dump; this rule itself never applies.
        contender = servers.redis("Redis", "--save", "86400 1000000000")
        run(Load(keys=records).prefill(), contender.protocol, contender.port)
        started = time.perf_counter()
        servers.stop_last()
        return time.perf_counter() - started


PART = Part(
    name="startstop",
    title="Start and stop",
    text=(
        "From the start of the process to its first answer, without records. From SIGTERM to the end of the process, "
        "with all records in memory alone: ckv writes them into MariaDB, where they are counted afterwards; Redis "
        "dumps them into a file, which is far less work, and has to read all of it before it answers again."
    ),
    measure=measure,
    ratios=(("ckv", "Redis"),),
    ratio_figure="seconds",
    columns=(Column("seconds", "s", digits=3),),
    plots=(
        Plot(
            "startstop",
            "Start and stop",
            lambda c: True,
            column=Column("seconds", "s"),
            axis="seconds",
            logarithmic=True,
        ),
    ),
)
