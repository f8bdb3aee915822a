"""What a call costs more because a secondary looks: at how long calls take, and at which keys are asked for."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.alternating import module_at
from bench.counting import ALWAYS, CASES, NEVER, counted
from bench.generator import Load, run
from bench.servers import of_node
from bench.stats import Spread, interval
from bench.tables import Table
from bench.turns import prefill
from tests.support.nodes import ROOT, Node, Nodes

PROTOCOLS: Final = ("msgpack", "resp")
OPS: Final = ("get", "put")
DEPTHS: Final = (1, 16, 64)
MODULES: Final = ("serve", "serve_resp")
"""Of the core, which are compiled with what looks, and without."""
SWITCH: Final = "-DCKV_LOOKING=0"


@dataclass(frozen=True)
class Moment:
    """What a node did before it changed."""

    pair: int
    looks: bool
    requests: int
    ns: int

    @property
    def us(self) -> float:
        """Of processor time, for a call."""
        return self.ns / self.requests / 1000


def whole_table(rounds: int, seconds: float) -> Table:
    """One node, that changes between the one and the other a hundred times a second (:mod:`bench.alternating`): its
    processor time for a call, and the ratio in two moments after each other."""
    found: dict[tuple[str, str, int], list[tuple[Moment, Moment]]] = {}
    with tempfile.TemporaryDirectory(prefix="ckv-bench-") as folder, Nodes() as nodes:
        lines = Path(folder) / "lines"
        lines.touch()
        node = start(nodes, lines, compiled(Path(folder)))
        prefill([of_node(node, "ckv")], Load())
        for number in range(rounds):
            # All in turn, for a machine is busier at one time than at another.
            for protocol in PROTOCOLS:
                for load in (Load(op=op, depth=depth, seconds=seconds) for op in OPS for depth in DEPTHS):
                    before = lines.stat().st_size
                    run(replace(load, seed=number + 1), protocol, node.port)
                    pairs = pairs_of(moments(lines.read_text()[before:]))
                    found.setdefault((protocol, load.op, load.depth), []).extend(pairs)
    headings = ["protocol", "op", "depth", "without, us", "with, us", "ratio, 95 %", "pairs"]
    rows = []
    for (protocol, op, depth), pairs in found.items():
        with_it, without = (statistics.median(each.us for each in side) for side in zip(*pairs, strict=True))
        text = spread_text(interval([one.us / other.us for one, other in pairs]))
        rows.append([protocol, op, str(depth), f"{without:.3f}", f"{with_it:.3f}", text, f"{len(pairs):,}"])
    return headings, rows


def start(nodes: Nodes, lines: Path, ways: tuple[Path, Path]) -> Node:
    """A node that changes between the loops in two folders, and writes what it did into a file that is there.

    It is always the interpreter that runs it: into modules that mypyc has compiled nothing could be put.
    """
    command = [sys.executable, "-m", "bench.alternating", str(lines), *map(str, ways)]
    return nodes.start_secondary(command=command, env={"PYTHONPATH": str(ROOT)})


def counted_table() -> Table:
    """Instructions outside of the kernel for a call, as :mod:`bench.counting` has them counted."""
    with tempfile.TemporaryDirectory(prefix="ckv-bench-") as folder, ThreadPoolExecutor(2) as pool:
        ways = compiled(Path(folder))
        with_it, without = pool.map(lambda way: counted(way, way.with_suffix(".counted")), ways)
    headings = ["", "depth", "clients in a turn", "without", "with", "ratio"]
    rows = []
    for case in CASES:
        op, depth, clients, to_skip = case
        if to_skip == NEVER:
            one, other = with_it[case], without[case]
            rows.append([op, str(depth), str(clients), f"{other:,.0f}", f"{one:,.0f}", f"{one / other:.3f}"])
    more = with_it["get", 1, 30, ALWAYS] - with_it["get", 1, 30, NEVER]
    rows.append(["a key that is noted", "", "", "", f"{more:,.0f}", ""])
    return headings, rows


def missing() -> str | None:
    """What is not there of what compiling the loops takes; None when all is."""
    lacking: str | None = _extension().missing()
    return lacking


def _extension() -> Any:
    """``build/extension.py``."""
    return module_at(ROOT / "build" / "extension.py", "extension")


def compiled(folder: Path) -> tuple[Path, Path]:
    """Folders with the serve loops that look, and with those that do not."""
    extension = _extension()
    others = [path.stem for path in (ROOT / extension.CORE).glob("*.pyx") if path.stem not in MODULES]
    ways = (folder / "with", folder / "without")
    for way, flags in zip(ways, ((), (SWITCH,)), strict=True):
        extension.compile_core(way, way.with_suffix(".work"), flags=(*extension.FLAGS, *flags), leave=others)
    return ways


def moments(lines: str) -> list[Moment]:
    """By the lines that :mod:`bench.alternating` writes."""
    found = (map(int, line.split()) for line in lines.splitlines())
    return [Moment(pair, bool(side), requests, ns) for pair, side, requests, ns in found]


def pairs_of(moments: Sequence[Moment]) -> list[tuple[Moment, Moment]]:
    """Those of each pair, the one in which it looked first; but for the moments in which clients came and went."""
    pairs: dict[int, list[Moment]] = {}
    for each in moments[1:-1]:
        pairs.setdefault(each.pair, []).append(each)
    found = [sorted(pair, key=lambda each: not each.looks) for pair in pairs.values() if len(pair) == 2]
    return [(one, other) for one, other in found]


def spread_text(spread: Spread) -> str:
    """A ratio and its bounds, to the thousandth."""
    return f"{spread.median:.3f} ({spread.low:.3f}-{spread.high:.3f})"
