"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Container, Sequence


def columns(rows: Sequence[Sequence[str]], words: Container[int]) -> list[str]:
    """The rows as lines, whose columns are as wide as they have to be. Those of ``words``, by their numbers, begin at
    the left; the others, of numbers, end at the right.

    >>> columns([["calls", "node"], ["12", "h:1"]], words={1})
    ['calls  node', '   12  h:1']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_aligned(row, widths, words)).rstrip() for row in rows]


def _aligned(row: Sequence[str], widths: Sequence[int], words: Container[int]) -> list[str]:
    return [
        cell.ljust(width) if column in words else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
