"""docs/benchmarks.md and its plots, from the results of one run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.part import Part, Verdict, verdicts
from bench.results import PartResult, Results
from bench.stats import Spread
from bench.tables import as_markdown, part_table, verdict_table
from bench.turns import OTHERS
from tests.support.nodes import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
FOLDER = "benchmarks"
"""Beside the page: the plots, and what they were made from."""
KEPT = "results.json"

WITHOUT_OTHERS = ("secondary", "primary", "latency", "ceiling")
"""The parts without a database."""

HOW_TO_READ = """\
- All contenders ran in turn, on one machine, in one run, driven by one load generator (`bench/loadgen/`), which checked
  every value that it read. A wrong or missing value, or a refused call, ends the part: what is on this page had none.
- The load generator, the servers and the database share the machine. **Only ratios mean something**: absolute figures
  move by 10 to 30 % from run to run, and more between machines.
- A figure is the median over the rounds. A ratio is the median of the ratios of each round, in which both had their
  turns one right after the other; in parentheses are the lowest and the highest of these ratios.
- *CPU* is the processor time that the contender's processes used for a call, in microseconds.
- *Depth* is the number of requests that a connection has in flight. *Mixed* is nine GETs to one PUT. Unless something
  else is said there are 50 connections, 100,000 keys of 16 bytes, values of 64 bytes, and each key is as popular as any
  other.
- *Must* and *aim* were set before anything was optimized. The ratios to the original, the C++ program that ckv
  replaces, go by way of Redis: ckv against Redis here, divided by the original against Redis as it was measured once
  (`bench/original.py`)."""


def text(results: Results, parts: Sequence[Part]) -> str:
    """The page, without looking at any file."""
    present = [part for part in parts if part.name in results.parts]
    sections = [
        "<!-- Made by `make bench` (`make bench-page` makes it again without measuring); do not edit. -->",
        "# Benchmarks",
        f"What `{results.run['command']}` measured, in one run; the raw figures are in [{KEPT}]({FOLDER}/{KEPT}).",
        *(
            ["Parts that were measured again, in a run of their own, say so."]
            if any(results.parts[each.name].run for each in present)
            else []
        ),
        as_markdown((["", ""], [[name, value] for name, value in [*results.run.items(), *_disturbance(results)]])),
        "## How to read it",
        HOW_TO_READ,
        *_targets(results, present),
        *(section for part in present for section in _part(part, results)),
    ]
    return "\n\n".join(sections) + "\n"


def judged(results: Results, parts: Sequence[Part]) -> list[Verdict]:
    """Every target of the parts that ran."""
    return [
        verdict
        for part in parts
        if part.name in results.parts
        for verdict in verdicts(part, results.parts[part.name].cells)
    ]


def _disturbance(results: Results) -> list[tuple[str, str]]:
    """How busy the machine was with something else, in turns in which nobody but the contender and the generator had
    anything to do.
    """
    cores = [
        sample[OTHERS]
        for name in WITHOUT_OTHERS
        if name in results.parts
        for cell in results.parts[name].cells
        for samples in cell.samples.values()
        for sample in samples
        if OTHERS in sample
    ]
    if not cores:
        return []
    spread = Spread.of(cores)
    return [("others on the machine", f"{spread.median:.2f} cores in the median turn, {spread.high:.2f} in the worst")]


def _targets(results: Results, parts: Sequence[Part]) -> list[str]:
    all_of_them = judged(results, parts)
    if not all_of_them:
        return []
    met = sum(verdict.met for verdict in all_of_them)
    aims = sum(verdict.aim_met for verdict in all_of_them)
    count = len(all_of_them)
    return [
        "## Targets",
        f"{met} of {count} are met, {aims} reach what was aimed at.",
        as_markdown(verdict_table(all_of_them)),
    ]


def _part(part: Part, results: Results) -> list[str]:
    measured = results.parts[part.name]
    pictures = [f"![{plot.title}]({FOLDER}/{plot.name}.svg)" for plot in part.plots]
    return [
        f"## {part.title}",
        part.text,
        *pictures,
        as_markdown(part_table(part, measured.cells)),
        f"Alone: `make bench ONLY={part.name}`; it took {measured.seconds:.0f} s.",
        *_own_run(measured),
    ]


def _own_run(part: PartResult) -> list[str]:
    """How a part was measured that is not of the run of the others."""
    if not part.run:
        return []
    return [f"In a run of its own ({', '.join(f'{name}: {value}' for name, value in part.run.items())})."]


def write(results: Results, parts: Sequence[Part]) -> None:
    """Write the page, the plots and the results. Needs matplotlib."""
    # Only here: whoever has no matplotlib can still measure, read tables, and test the text of the page.
    from bench.plots import draw

    folder = PAGE.parent / FOLDER
    folder.mkdir(exist_ok=True)
    names = {plot.name for part in parts for plot in part.plots}
    for picture in folder.glob("*.svg"):
        if picture.stem not in names:  # of a part that is gone
            picture.unlink()
    for part in parts:
        if part.name in results.parts:
            for plot in part.plots:
                draw(plot, results.parts[part.name].cells, folder / f"{plot.name}.svg")
    results.save(folder / KEPT)
    PAGE.write_text(text(results, parts))
