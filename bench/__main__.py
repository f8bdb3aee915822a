"""``python -m bench``: measure, show tables, write the page."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench import page
from bench.generator import BUILT
from bench.machine import describe
from bench.part import Context, Part
from bench.parts import PARTS
from bench.results import PartResult, Results
from bench.tables import as_text, part_table, verdict_table

LAST = BUILT / "results.json"
"""What the last run measured, whichever parts it had."""

DEFAULT_ROUNDS, QUICK_ROUNDS = 5, 2
SECONDS, QUICK_SECONDS = 1.0, 0.25


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 when every part ran, whether or not it met its targets."""
    options = _parse(arguments)
    if options.page:
        results, *later = (Results.load(Path(file)) for file in options.page)
        for each in later:
            results.take(each)
        page.write(results, PARTS)
        return 0
    chosen = _chosen(options.only)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else DEFAULT_ROUNDS)
    context = Context(
        rounds=rounds,
        seconds=QUICK_SECONDS if options.quick else SECONDS,
        quick=options.quick,
        full=options.all,
        say=lambda text: print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True),
    )
    results = Results(describe(options.command, context))
    failed = [part.name for part in chosen if not _ran(part, context, results)]
    _show_verdicts(results, chosen)
    print(f"\nkept in {LAST}")
    if failed:
        print(f"failed: {', '.join(failed)}")
        return 1
    if len(chosen) == len(PARTS) and not options.quick:
        page.write(results, PARTS)
        print(f"written: {page.PAGE}")
    else:
        print("the page stays as it is: it is written after a run of all parts that is not a quick one")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join(part.name for part in PARTS)
    parser.add_argument("--only", default="", help=f"parts, with commas between them: {names}")
    parser.add_argument("--rounds", type=int, default=0, help=f"turns of each contender (default {DEFAULT_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="only try whether it works; the figures say little")
    parser.add_argument("--all", action="store_true", help="all values of all axes; takes hours")
    parser.add_argument("--command", default="make bench", help="what was typed, for the page")
    parser.add_argument(
        "--page",
        metavar="FILE",
        nargs="+",
        help="measure nothing: write the page from the results in FILE, with the parts of later ones in their place",
    )
    return parser.parse_args(arguments)


def _chosen(only: str) -> list[Part]:
    names = [name for name in only.replace(",", " ").split() if name]
    unknown = set(names) - {part.name for part in PARTS}
    if unknown:
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PARTS)}")
    return [part for part in PARTS if not names or part.name in names]


def _ran(part: Part, context: Context, results: Results) -> bool:
    """Measure a part and show its table. A part that fails is told, and the others go on."""
    started = time.monotonic()
    try:
        cells = part.measure(context)
    except Exception as error:  # noqa: BLE001 - whatever it was, the other parts are worth having
        print(f"\n{part.title}: FAILED\n{type(error).__name__}: {error}\n", flush=True)
        return False
    results.parts[part.name] = PartResult(cells, round(time.monotonic() - started, 1), context.rounds)
    results.save(LAST)
    print(f"\n{part.title}\n\n{as_text(part_table(part, cells))}", flush=True)
    return True


def _show_verdicts(results: Results, chosen: list[Part]) -> None:
    judged = page.judged(results, chosen)
    if judged:
        print(f"\nTargets\n\n{as_text(verdict_table(judged))}")


if __name__ == "__main__":
    sys.exit(main())
