"""``docs/incidents.md``, made of what a run has seen: ``python -m tests.incidents.report FOLDER``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.incidents.record import Seen
from tests.incidents.scripts import INCIDENTS
from tests.support.nodes import ROOT

PAGE: Final = ROOT / "docs" / "incidents.md"
PICTURES: Final = PAGE.with_suffix("")

HEAD: Final = """\
<!-- Made by `make incidents`; do not edit. -->

# Incidents

What log, `ckv status`, status page, metrics and alerts say of eleven incidents, in their own words, ten seconds after
the beginning. Each is begun by a script (`tests/incidents/scripts.py`) in a cluster of a primary and the secondaries
`a` and `b`, with MariaDB, and four clients that read and write. `make incidents` begins them again, writes this page,
and fails where something else is said than what is wrong, or later. Addresses are replaced by names. What to do is in
the [runbook](runbook.md).

The last column says for how long the incident lasts when an alert comes, as promtool reckons it from the metrics.

| incident | said after | the first sentence on the page | alerts |
|---|---|---|---|
"""


def cell(text: str) -> str:
    """As it stands in a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")


def code(lines: Sequence[str]) -> str:
    """Lines of code in a cell."""
    return "<br>".join(f"`{line.replace('|', chr(92) + '|')}`" for line in lines) or "nothing"


def length(seconds: int) -> str:
    """A duration in whole units."""
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min"


def number(value: float) -> str:
    """As short as it can be told."""
    return f"{value:,.1f}".removesuffix(".0")


def section(name: str, seen: Seen) -> Iterator[str]:
    """Of one incident."""
    metrics = [f"{node}: {metric} {number(was)} → {number(value)}" for node, metric, was, value in seen.metrics]
    alerts = [f"{alert}, after {length(after)}: {words}" for alert, after, words in seen.alerts]
    yield f"## {seen.title}\n\nHow: {seen.how}.\n\n| | |\n|---|---|\n"
    yield f"| log | {code(seen.log)} |\n"
    yield f"| clients | {seen.clients} |\n"
    yield f"| `ckv status` of the primary ends with | {code(seen.status)} |\n"
    yield f"| page of {seen.page.node} | **{cell(seen.page.sentence)}**<br>{cell(seen.page.more)} |\n"
    yield f"| metrics that stood still and moved | {code(metrics)} |\n"
    yield f"| alerts | {code(alerts)} |\n"
    yield f"\n`ckv top`:\n\n```\n{seen.top.rstrip()}\n```\n\n"
    if seen.most:
        yield "`ckv top --clients` begins with:\n\n```\n" + "\n".join(seen.most) + "\n```\n\n"
    yield f"![{seen.title}: the status page of {seen.page.node}]({PICTURES.name}/{name}.webp)\n\n"


def main(folder: Path) -> int:
    """Writes the page, and copies the pictures; the exit code."""
    found = {name: Seen.read(folder / f"{name}.json") for name in INCIDENTS}
    rows = [
        f"| [{seen.title}](#{seen.title.lower().replace(' ', '-')}) | {seen.after:g} s | {cell(seen.page.sentence)} | "
        + (cell("\n".join(f"{name} {length(after)}" for name, after, _ in seen.alerts)) or "none")
        + " |\n"
        for seen in found.values()
    ]
    body = "".join(piece for name, seen in found.items() for piece in section(name, seen))
    PAGE.write_text((HEAD + "".join(rows) + "\n" + body).rstrip() + "\n")
    PICTURES.mkdir(exist_ok=True)
    for name in found:
        shutil.copy(folder / f"{name}.webp", PICTURES)
    print(f"{PAGE.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
