"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_INTERVAL = 0.01
"""Seconds between two looks at the condition."""


def eventually(condition: Callable[[], T], timeout: float = 10.0, what: str = "the condition") -> T:
    """The first true value of ``condition()``; an :class:`AssertionError` after ``timeout`` seconds without one.

    An :class:`AssertionError` or :class:`OSError` inside of the condition counts as "not yet", so that the condition
    may hold asserts and may talk to a node that is still starting. The failure message ends with the last of them, or
    with the last false value.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {timeout:g} s; last seen: {last!r}")
        time.sleep(POLL_INTERVAL)
