"""A soak: hundreds of clients for as long as wanted, values of all sizes and kinds, and memory that must not grow.

.venv/bin/python -m tests.failures.soak                  # a minute
.venv/bin/python -m tests.failures.soak --seconds 1800
.venv/bin/python -m tests.failures.soak --seconds 1800 --keys 100 --capacity 8000    # hundreds of MiB in memory

Clients talk to a primary over two secondaries with a database of their own and room for a tenth of the records. Every
answer is compared with what it has to be (:mod:`tests.failures.soakers`), the memory of each node is looked at all the
time, ``ckv verify`` compares the secondaries with the database, and a stop has to save everything. Ends with 1 when
anything of that is not as it should be.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ckv import Client
from tests.failures.soakers import KEYS_OF_A_CLIENT, Told, soak, soak_small
from tests.support.mariadb import MariaDB
from tests.support.nodes import Cluster, Node, Nodes, run_ckv
from tests.support.products import make_template

MIB: Final = 1024 * 1024

CLIENTS: Final = 300
SMALL_CLIENTS: Final = 10
"""Further ones that have only small values, one call after the other, to see how long these take beside all others."""

DRIVERS: Final = 2
"""Processes that the 300 are in."""

CAPACITY: Final = 150
"""Records in the memory of each of the two secondaries, if nothing else is said; there are up to 3,000 then."""

PACE: Final = 8 * MIB
"""Bytes of values a second. The half of it is written, and nearly all of that has to go into the database."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the memory of the nodes."""

HELD: Final = ("records_bytes", "pending_bytes", "absent_bytes")
"""The figures of INFO that a secondary's memory is made of, beside what it takes when it is empty."""

MUCH_BYTES: Final = 256 * MIB
OFF_BY: Final = 0.1
AT_TIMES_OFF_BY: Final = 0.2
"""A secondary that holds so much or more takes what its INFO says, but for this part of it: in the median, and in nine
of ten looks. Beside less, what is on its way to and from the clients counts too."""

MAY_GROW: Final = 1.2
MAY_GROW_BYTES: Final = 64 * MIB
"""What the most memory of the last quarter may have more than that of the second, by which all has been used once."""

PATIENCE: Final = 120.0
"""Seconds for whatever comes after the soak itself."""


UNUSUAL: Final = re.compile(r" (WARNING|ERROR|CRITICAL) |Traceback")
ALLOWED: Final = re.compile(r"database (still )?slow:")
"""A machine that has other things to do is no fault."""


@dataclass
class Report:
    """What came of it."""

    seconds: float
    told: Told = field(default_factory=Told)
    memory: dict[str, list[int]] = field(default_factory=dict)
    """Bytes, in the order of time, by the name of the node; without the end, where all is read and much pending."""
    figures: list[dict[str, Any]] = field(default_factory=list)
    """INFO of each secondary, at the end."""
    ratios: dict[int, list[float]] = field(default_factory=dict)
    """What a secondary took, divided by what its INFO said, while it held much, in the order of time, by its port."""
    empty: dict[int, int] = field(default_factory=dict)
    """What a secondary took before there was a record, by its port."""
    verified: list[str] = field(default_factory=list)
    """What ``ckv verify`` says of each secondary."""
    problems: list[str] = field(default_factory=list)

    def quarters(self, node: str) -> list[list[int]]:
        """The memory of a node in the four quarters of the time."""
        samples = self.memory[node]
        return [samples[len(samples) * part // 4 : len(samples) * (part + 1) // 4] for part in range(4)]

    def told_bytes(self, figures: dict[str, Any]) -> int:
        """What a secondary has to take by what its INFO says."""
        return int(self.empty[figures["tcp_port"]] + sum(figures[name] for name in HELD))

    def look(self, node: Node, client: Client) -> None:
        """Compares what a secondary takes with what it says."""
        figures: Any = client.call("INFO")
        wanted = self.told_bytes(figures)
        if wanted >= MUCH_BYTES:
            self.ratios.setdefault(node.port, []).append(figures["used_memory_rss"] / wanted)

    def __str__(self) -> str:
        told = self.told
        calls = told.calls.total()
        methods = ", ".join(f"{count:,} {method}" for method, count in told.calls.most_common())
        p50, p99 = (_percentile(told.small, percent) for percent in (50, 99))
        lines = [
            f"{self.seconds:.0f} s, {CLIENTS} clients, and {SMALL_CLIENTS} with small values",
            f"calls: {calls:,}, {calls / self.seconds:,.0f} a second, {methods}; {told.pipelines:,} pipelines",
            f"values: {told.bytes_put / MIB:,.0f} MiB put, {told.bytes_got / MIB:,.0f} MiB got",
            f"small calls: {len(told.small):,}, p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            f"the slowest call or pipeline: {told.longest:.1f} s",
            f"without an answer {told.unanswered}, errors {dict(told.errors) or 0}, wrong {told.wrong}",
        ]
        for figures in self.figures:
            names = (
                "evicted_keys",
                "hits_memory",
                "hits_pending",
                "hits_persistent",
                "flushed_rows",
                "pending_records",
            )
            lines.append(
                f"secondary {figures['tcp_port']}: " + ", ".join(f"{name} {figures[name]:,}" for name in names)
            )
            took, wanted = figures["used_memory_rss"], self.told_bytes(figures)
            lines.append(f"  takes {took / MIB:.1f} MiB, {took / wanted:.2f} of what its INFO says")
            if ratios := self.ratios.get(figures["tcp_port"]):
                median, nine_of_ten = _ratios(ratios)
                lines.append(f"  while it held much: {median:.2f}, {nine_of_ten:.2f} or less in nine of ten looks")
        lines += self.verified
        lines.append("memory in MiB, median and most of each quarter of the time:")
        for node in self.memory:
            shown = ", ".join(
                f"{statistics.median(part) / MIB:.0f} ({max(part) / MIB:.0f})" for part in self.quarters(node) if part
            )
            lines.append(
                f"  {node}: begin {self.memory[node][0] / MIB:.0f}; {shown}; end {self.memory[node][-1] / MIB:.0f}"
            )
        return "\n".join([*lines, *(f"PROBLEM {problem}" for problem in self.problems)])


def run(
    mariadb: MariaDB,
    seconds: float,
    pace: float = PACE,
    seed: int = 1,
    keys: int = KEYS_OF_A_CLIENT,
    capacity: int = CAPACITY,
) -> Report:
    """One soak over a running database that has no table of ckv's. ``keys``: of each client."""
    report = Report(seconds)
    with Nodes() as nodes, ExitStack() as stack:
        cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=capacity, pool_size=2)
        for node in cluster.secondaries:
            node.wait_for_log("database connected", PATIENCE)
            with Client("127.0.0.1", node.port, timeout=PATIENCE) as client:
                empty: Any = client.call("INFO")
                report.empty[node.port] = empty["used_memory_rss"]
        asked = [
            (node, stack.enter_context(Client("127.0.0.1", node.port, timeout=PATIENCE)))
            for node in cluster.secondaries
        ]
        with ProcessPoolExecutor(DRIVERS + 1, multiprocessing.get_context("spawn")) as drivers:
            told = [
                drivers.submit(soak, cluster.primary.port, numbers, seconds, pace / DRIVERS, seed, keys)
                for numbers in (range(number, CLIENTS, DRIVERS) for number in range(DRIVERS))
            ]
            told.append(drivers.submit(soak_small, cluster.primary.port, SMALL_CLIENTS, seconds, seed))
            end = time.monotonic() + seconds
            while not all(each.done() for each in told):
                for node in (cluster.primary, *cluster.secondaries) if time.monotonic() < end else ():
                    report.memory.setdefault(node.name, []).append(node.rss_bytes())
                for secondary, client in asked:
                    report.look(secondary, client)
                time.sleep(LOOK_EVERY)
            for each in told:
                report.told.add(each.result())
        for node in cluster.secondaries:
            with Client("127.0.0.1", node.port, timeout=PATIENCE) as client:
                figures: Any = client.call("INFO")
                report.figures.append(figures)
        _judge(report, capacity)
        _audit(report, mariadb, cluster)
        _look_into_logs(report, (cluster.primary, *cluster.secondaries))
    return report


def _judge(report: Report, capacity: int) -> None:
    told, problems = report.told, report.problems
    problems += told.failures
    for what, count in (("unanswered", told.unanswered), ("errors", told.errors.total()), ("wrong", told.wrong)):
        if count:
            problems.append(f"{what}: {count}")
    for figures in report.figures:
        # Else it was no soak of what it is to be one of.
        if figures["evicted_keys"] < 2 * capacity or figures["hits_persistent"] < capacity:
            problems.append(f"secondary {figures['tcp_port']} has hardly used its database")
        median, nine_of_ten = _ratios(report.ratios.get(figures["tcp_port"], []))
        for what, ratio, off_by in (("", median, OFF_BY), ("at times ", nine_of_ten, AT_TIMES_OFF_BY)):
            if abs(ratio - 1) > off_by:
                problems.append(f"secondary {figures['tcp_port']} {what}takes {ratio:.2f} of what its INFO says")
    for node in report.memory:
        _, second, _, last = (max(part, default=0) for part in report.quarters(node))
        if last > MAY_GROW * second + MAY_GROW_BYTES:
            problems.append(f"{node} grows: {second / MIB:.0f} MiB in the second quarter, {last / MIB:.0f} in the last")


def _audit(report: Report, mariadb: MariaDB, cluster: Cluster) -> None:
    for node in cluster.secondaries:
        verified = run_ckv("verify", "127.0.0.1", str(node.port), mariadb.address, timeout=PATIENCE)
        report.verified.append(f"verify {node.port}: {verified.stdout.strip()}")
        if verified.returncode != 0:
            report.problems.append(f"verify exits with {verified.returncode}: {verified.stdout}{verified.stderr}")
    for node in (cluster.primary, *cluster.secondaries):
        code = node.terminate(PATIENCE)
        if code != 0:
            report.problems.append(f"{node.name} exits with {code}\n{node.tail()}")


def _look_into_logs(report: Report, nodes: Sequence[Node]) -> None:
    for node in nodes:
        unusual = [line for line in node.log if UNUSUAL.search(line) and not ALLOWED.search(line)]
        report.problems += [f"{node.name}: {line}" for line in unusual[:5]]


def _ratios(seen: list[float]) -> tuple[float, float]:
    """The median, and what nine of ten do not exceed; 1 where nothing was seen."""
    return (statistics.median(seen), statistics.quantiles(seen, n=10)[-1]) if len(seen) > 1 else (1.0, 1.0)


def _percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.failures.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default %(default)s)")
    parser.add_argument("--pace", type=float, default=PACE / MIB, help="MiB of values a second (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what the clients do (default %(default)s)")
    parser.add_argument("--keys", type=int, default=KEYS_OF_A_CLIENT, help="of each client (default %(default)s)")
    parser.add_argument("--capacity", type=int, default=CAPACITY, help="of each secondary (default %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ckv-soak-") as folder:
        (Path(folder) / "template").mkdir()
        (Path(folder) / "server").mkdir()
        server = MariaDB(Path(folder) / "server", make_template(Path(folder) / "template"))
        server.start()
        try:
            report = run(
                server, arguments.seconds, arguments.pace * MIB, arguments.seed, arguments.keys, arguments.capacity
            )
        finally:
            server.kill()
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
