"""Every place of the store that looks at the clock is one that a mutation breaks: none can be forgotten unnoticed."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

from tests.store.mutation import Mutation
from tests.store.mutations import MUTATIONS
from tests.support.nodes import ROOT

LOOKS: Final = re.compile(r"\b_?is_over\(|\b_has_ended\(|\b_?now_ms\(\)|<=? now_ms\b")
"""What such a place has in it."""

CASE_BY_CASE: Final = {
    "ckv/store/alone.py": "test_expiry.py, as there are no tiers",
    "ckv/store/expiry.py": "test_expire_conditions.py, as it is a function of what it is given",
}
"""Files that no schedule runs through, and where they are tested."""


def places() -> set[tuple[str, int]]:
    """The files and numbers of the lines that look at the clock."""
    found = set()
    for path in sorted((ROOT / "ckv/store").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if name not in CASE_BY_CASE and LOOKS.search(line) and not line.lstrip().startswith("def "):
                found.add((name, number))
    return found


def broken_by(mutation: Mutation) -> set[tuple[str, int]]:
    """The lines that a mutation changes."""
    text = (ROOT / mutation.file).read_text()
    first = text[: text.index(mutation.old)].count("\n") + 1
    old, new = mutation.old.split("\n"), mutation.new.split("\n")
    return {
        (mutation.file, first + at)
        for kind, begin, end, _, _ in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if kind != "equal"
        for at in range(begin, end)
    }


def test_each_place_that_looks_at_the_clock_is_broken_by_a_mutation() -> None:
    found = places()
    assert len(found) > 30
    broken = {place for mutation in MUTATIONS for place in broken_by(mutation)}
    assert not found - broken, "nobody would notice if these did not look"


def test_the_files_that_are_tested_otherwise_are_there() -> None:
    assert all((ROOT / name).exists() for name in CASE_BY_CASE)
