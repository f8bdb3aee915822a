"""The lists of tests beside this module: which pass, and which are left out for what reason.

One file for each suite, ``redis.txt`` and ``valkey.txt``. It says in its first line of which version the tests are;
then each file of tests has a section, and each test a line with ``ok`` or the key of a reason in front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.upstream.harness import Outcome
from tests.upstream.reasons import BY_NAME, REASONS, UNSTEADY, Reason

HERE: Final = Path(__file__).parent

OK: Final = "ok"


@dataclass(slots=True)
class Suite:
    """The list of one suite."""

    name: str
    """``redis`` or ``valkey``."""

    version: str = ""
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """By file (``unit/expire``) and name of the test: ``ok`` or the key of a reason."""

    @property
    def path(self) -> Path:
        return HERE / f"{self.name}.txt"


def read(name: str) -> Suite:
    """The list of a suite; an empty one where there is no file."""
    suite = Suite(name)
    if not suite.path.exists():
        return suite
    first, *lines = suite.path.read_text().splitlines()
    suite.version = first.split()[-1]
    tests: dict[str, str] = {}
    for line in lines:
        if line.startswith(" "):
            key, test = line.split(maxsplit=1)
            tests[test] = key
        elif line:
            tests = suite.files[line] = {}
    return suite


def write(suite: Suite) -> None:
    """Writes the list of a suite."""
    width = max(map(len, [OK, *REASONS]))
    lines = [f"{suite.name.capitalize()} {suite.version}"]
    for unit, tests in suite.files.items():
        lines += ["", unit, *(f"    {key:{width}} {test}" for test, key in tests.items())]
    suite.path.write_text("\n".join(lines) + "\n")


def reason_of(unit: str, outcome: Outcome) -> Reason | None:
    """Why a test is left out, going by its name, else by what it said."""
    named = BY_NAME.get(unit, {}).get(outcome.name)
    candidates = [named] if named else [reason for reason in REASONS.values() if reason.key not in UNSTEADY]
    return next((reason for reason in candidates if reason.explains(outcome.text)), None)


def keys_of(unit: str, outcomes: Sequence[Outcome]) -> tuple[dict[str, str], list[str]]:
    """The list of a file as it has to be for these outcomes, and what nothing explains."""
    keys: dict[str, str] = {}
    unexplained = []
    for outcome in outcomes:
        reason = reason_of(unit, outcome)
        if outcome.result == OK and (reason is None or reason.key not in UNSTEADY):
            keys[outcome.name] = OK
        elif reason is not None:
            keys[outcome.name] = reason.key
        else:
            unexplained.append(f"{outcome.name}: no reason explains {outcome.text}")
    return keys, unexplained


def complaints(unit: str, listed: Mapping[str, str], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What is not as the list says: a line for each test."""
    keys, unexplained = keys_of(unit, outcomes)
    yield from unexplained
    texts = {outcome.name: outcome.text for outcome in outcomes}
    for test, key in keys.items():
        was = listed.get(test)
        if was is None:
            yield f"{test}: it is not on the list ({key})"
        elif key == OK and was != OK:
            yield f"{test}: it passes now, and is on the list as left out ({was})"
        elif key != was:
            yield f"{test}: it is on the list as {was}, and is {key} now: {texts[test]}"
    for test in listed.keys() - texts.keys():
        yield f"{test}: it is on the list, and was not run"
