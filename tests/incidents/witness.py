"""What log, ``ckv status``, ``ckv top``, page and metrics say of an incident, in their own words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.incidents.stage import Stage
from tests.support.browser import Browser
from tests.support.nodes import Node, run_ckv
from tests.system.test_http import address_of, ask

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A metric, and its labels."""

LINE: Final = re.compile(r"^\S+ (INFO|WARNING|ERROR) \S+: (.*)")


@dataclass(frozen=True)
class Page:
    """The status page of a node."""

    node: str
    sentence: str
    more: str
    """What stands below it."""


class Log:
    """What nodes log from now on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._since = {name: len(node.log) for name, node in stage.nodes.items()}

    def lines(self) -> list[str]:
        """``a WARNING text``, each once: with other numbers in it a line is the same."""
        found: dict[str, str] = {}
        for name, node in self._stage.nodes.items():
            for line in node.log[self._since.get(name, 0) :]:
                match = LINE.match(line)
                if match is not None and not match[2].startswith("ready"):
                    said = f"{name} {match[1]} {match[2]}"
                    found.setdefault(re.sub(r"\d+", "0", said), said)
        return list(found.values())


def named(text: str, names: Mapping[str, str]) -> str:
    """With names in the place of addresses, which are others in each run."""
    for address, name in names.items():
        text = text.replace(address, name)
        host, _, port = address.partition(":")
        text = re.sub(rf"'{re.escape(host)}'(?= \()", f"'{name.partition(':')[0]}'", text) if "db" in name else text
        text = re.sub(rf"\b{port}\b", name.partition(":")[2], text)
    return re.sub(r"127\.0\.0\.1:\d{4,5}", "client:50000", text)


def tool(stage: Stage, *words: str) -> str:
    """What a tool says that asks the primary."""
    done = run_ckv(words[0], "127.0.0.1", str(stage.primary.port), *words[1:])
    return done.stdout + done.stderr


def page(browser: Browser, name: str) -> Page:
    """What the browser shows now."""
    sentence, more = (
        str(browser.value(f"document.getElementById({element!r}).innerText")) for element in ("sentence", "problems")
    )
    return Page(name, sentence, more)


def url(node: Node) -> str:
    return "http://{}:{}/".format(*address_of(node))


def picture(browser: Browser, file: Path) -> None:
    """Writes the beginning of the page."""
    browser.shoot(file, height=760)


def scraped(stage: Stage) -> dict[str, dict[Series, float]]:
    """The metrics of each node that tells some, by its name."""
    found = {}
    for name, node in stage.nodes.items():
        try:
            text = ask(node, "/metrics")[1] if node.running else ""
        except (OSError, HTTPException):
            text = ""
        if text:
            found[name] = {
                (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
    return found


def shown(series: Series) -> str:
    """As Prometheus writes it."""
    name, labels = series
    return (
        f"{name}{{{', '.join(f'{label}={value!r}' for label, value in labels)}}}".replace("'", '"') if labels else name
    )


def moved(
    early: Mapping[Series, float], before: Mapping[Series, float], after: Mapping[Series, float], first: Iterable[str]
) -> list[tuple[str, float, float]]:
    """What stood still before and is another now: with what it was and is. Those of some metrics come ``first``."""
    order = {name: at for at, name in enumerate(first)}
    still = [
        series
        for series, value in after.items()
        if series in before and early.get(series) == before[series] != value and "seconds_total" not in series[0]
    ]
    still.sort(key=lambda series: order.get(series[0], len(order)))
    return [(shown(series), before[series], after[series]) for series in still]


def told(answered: Counter[str]) -> str:
    """What clients were answered, in words."""
    errors = ", ".join(f"{count} {name}" for name, count in answered.most_common() if name)
    return f"{answered['']} calls answered" + (f", {errors}" if errors else ", none failed")
