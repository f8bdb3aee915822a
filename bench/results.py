"""What a run measured, as it is kept in a file: from it the page and the plots can be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.stats import Spread, ratio

Axes = dict[str, str | int | float]
Sample = dict[str, float]


@dataclass
class Cell:
    """One setting (``axes``), and what each contender did in it: one sample a round, each with several figures."""

    axes: Axes
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, contender: str, sample: Sample) -> None:
        self.samples.setdefault(contender, []).append(sample)

    def values(self, contender: str, figure: str) -> list[float]:
        """One figure in every round; :class:`KeyError` when nobody measured it."""
        return [sample[figure] for sample in self.samples[contender]]

    def spread(self, contender: str, figure: str) -> Spread:
        return Spread.of(self.values(contender, figure))

    def ratio(self, contender: str, against: str, figure: str) -> Spread:
        return ratio(self.values(contender, figure), self.values(against, figure))

    def has(self, contender: str, figure: str) -> bool:
        return all(figure in sample for sample in self.samples.get(contender, [{}]))

    def matches(self, **axes: str | int | float) -> bool:
        """Whether the cell has these values on these axes."""
        return all(self.axes.get(axis) == value for axis, value in axes.items())


@dataclass
class PartResult:
    """All cells of one part, and how long the part took, in seconds."""

    cells: list[Cell]
    seconds: float
    rounds: int
    run: dict[str, str] = field(default_factory=dict)
    """What was another than in the run of the other parts, if it was measured by itself: name to text."""


@dataclass
class Results:
    """A whole run: what it ran on and how (``run``, name to text), and its parts by their names."""

    run: dict[str, str]
    parts: dict[str, PartResult] = field(default_factory=dict)

    def take(self, later: Results) -> None:
        """Takes the parts of a later run in the place of its own."""
        differs = {name: text for name, text in later.run.items() if self.run.get(name) != text}
        for name, part in later.parts.items():
            self.parts[name] = replace(part, run=differs)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        return cls.from_json(json.loads(path.read_text()))

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Results:
        parts = {
            name: PartResult(**{**part, "cells": [Cell(**cell) for cell in part["cells"]]})
            for name, part in kept["parts"].items()
        }
        return cls(dict(kept["run"]), parts)
