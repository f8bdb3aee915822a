"""What came of a scenario: whether its history has an order for each key, and what the crashes in it have cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.failures.linearizability import Call, Kind, after_crash, by_key, linearize, smallest


@dataclass
class Outcome:
    """One row of the table at the end."""

    scenario: str
    mode: str
    calls: int = 0
    unanswered: int = 0
    refused: int = 0
    violations: int = 0
    lost: int = 0
    may_be_lost: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def count(self, calls: Iterable[Call]) -> None:
        """Adds the calls of clients."""
        for call in calls:
            self.calls += 1
            self.refused += call.error is not None and call.error.written == "no"
            self.unanswered += call.error is not None and call.error.written != "no"


def judge(history: Sequence[Call], outcome: Outcome, seed: int) -> Counter[float]:
    """How many records each crash has taken back, by when it began; ``outcome`` is told. Raises AssertionError for keys
    without an order that explains every answer. ``seed``: that of the clients."""
    broken = []
    undone: Counter[float] = Counter()
    keys = by_key(history)
    for key, calls in keys.items():
        order = linearize(calls)
        if order is None:
            broken.append(key)
            continue
        crashes = [step for step in order if step.call.kind is Kind.CRASH]
        outcome.may_be_lost += sum(len([*after_crash(step.call, step.before)]) > 1 for step in crashes)
        undone.update(crash.begin for crash in what_undid(calls))
    outcome.violations = len(broken)
    outcome.lost = undone.total()
    if broken:
        shown = "\n\n".join("\n".join(map(str, smallest(keys[key]))) for key in broken[:3])
        raise AssertionError(f"{len(broken)} keys have no order that explains every answer; seed {seed}\n{shown}")
    return undone


def what_undid(history: Sequence[Call]) -> list[Call]:
    """The crashes that must have undone something: without one of them the history has no order."""
    guilty = []
    for crash in (call for call in history if call.kind is Kind.CRASH):
        without = [call for call in history if call is not crash]
        if linearize(without) is None:
            guilty.append(crash)
        else:
            history = without
    return guilty
