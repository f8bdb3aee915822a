"""Which alerts come of what nodes tell Prometheus: ``promtool`` is asked, with the metrics of a run as its series."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.incidents.witness import Series, shown
from tests.support.nodes import ROOT

RULES: Final = ROOT / "deploy" / "monitoring" / "alerts.yaml"

STEP: Final = 15
"""Seconds between two scrapes."""

BEFORE: Final = 40
"""Scrapes of a cluster that is well: ten minutes."""

AFTER: Final = 60
"""Those of the incident, as if it lasted for a quarter of an hour."""

LOOKS: Final = (15, 30, 60, 120, 300, 600, 840)
"""Seconds after the beginning at which it is looked which alerts there are."""

LAST: Final = frozenset({"ckv_pending_oldest_seconds", "ckv_database_state_seconds", "ckv_cluster_move_seconds"})
"""Metrics that go on growing as long as the incident lasts, once they are longer than what is usual."""

LASTS: Final = 5.0
"""Seconds from which on they are."""

FAILED: Final = re.compile(r"alertname: (\w+), time: (\S+?),.*?summary=\"([^\"]*)\"", re.DOTALL)


def promtool() -> str | None:
    """The program, where it is."""
    return shutil.which("promtool")


def rules() -> list[dict[str, Any]]:
    """All alerts."""
    found = yaml.safe_load(RULES.read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def named_first() -> list[str]:
    """The metrics that alerts look at."""
    return list(dict.fromkeys(re.findall(r"\bckv_\w+", " ".join(rule["expr"] for rule in rules()))))


def fired(
    before: Mapping[str, Mapping[Series, float]],
    after: Mapping[str, Mapping[Series, float]],
    seconds: float,
    folder: Path,
) -> dict[str, tuple[int, str]]:
    """The alerts that come, each with after how many seconds, and its words. ``seconds``: between the two scrapes."""
    names = [rule["alert"] for rule in rules()]
    tests = {
        "rule_files": ["alerts.yaml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": series, "values": values} for series, values in _series(before, after, seconds)
                ],
                # None is expected, so that each that comes is told of as a failure.
                "alert_rule_test": [
                    {"alertname": name, "eval_time": f"{STEP * BEFORE + look}s", "exp_alerts": []}
                    for look in LOOKS
                    for name in names
                ],
            }
        ],
    }
    shutil.copy(RULES, folder / "alerts.yaml")
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
    program = promtool()
    assert program is not None
    done = subprocess.run(
        [program, "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert "error" not in said.lower().partition("failed:")[0], said
    found: dict[str, tuple[int, str]] = {}
    for name, time, summary in FAILED.findall(said):
        look = _seconds(time) - STEP * BEFORE
        if name not in found or look < found[name][0]:
            found[name] = (look, summary)
    return found


def _series(
    before: Mapping[str, Mapping[Series, float]], after: Mapping[str, Mapping[Series, float]], seconds: float
) -> Iterator[tuple[str, str]]:
    for node in dict.fromkeys((*before, *after)):
        ours = (("instance", node), ("job", "ckv"))
        was_up, is_up = int(node in before), int(node in after)
        yield shown(("up", ours)), f"{was_up}x{BEFORE - 1} {is_up}x{AFTER}"
        then, now = before.get(node, {}), after.get(node, {})
        for series in dict.fromkeys((*then, *now)):
            first = f"{then[series]:f}x{BEFORE - 1}" if series in then else f"_x{BEFORE}"
            yield (
                shown((series[0], tuple(sorted((*series[1], *ours))))),
                f"{first} {_goes_on(series, then.get(series), now.get(series), seconds)}",
            )


def _goes_on(series: Series, then: float | None, now: float | None, seconds: float) -> str:
    """The values of a series from the beginning of the incident on."""
    if now is None:
        return f"stale _x{AFTER}"
    grows = 0.0
    if then is not None and now > then and series[0].endswith("_total"):
        grows = STEP * (now - then) / seconds
    elif series[0] in LAST and now >= LASTS:
        grows = float(STEP)
    return f"{now:f}{f'+{grows:f}' if grows else ''}x{AFTER}"


def _seconds(time: str) -> int:
    """Such as 11m30s."""
    parts = re.findall(r"(\d+)(h|m|s)", time)
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)
