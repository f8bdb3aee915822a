"""ckv as a process that kills itself, as a machine that loses power would end it, once it has come to a certain place.

``python -m tests.support.dying FILE PLACES WHEN ARGUMENTS``. ``PLACES`` are methods, ``module:Class.method`` with ``>``
between them: each counts from when the one before it was called. ``WHEN`` says whether it dies ``before`` or ``after``
the call of the last one. It dies once: then ``FILE`` is there, and whoever finds it lives.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEFORE, AFTER = "before", "after"


class Death:
    """What the process has passed so far."""

    def __init__(self, file: Path, places: int) -> None:
        self._file = file
        self._places = places
        self._passed = 0

    def came_to(self, place: int) -> None:
        """It was at one of the places: passes it if it is the next one, and dies at the last."""
        if place != self._passed or self._file.exists():
            return
        self._passed += 1
        if self._passed == self._places:
            self._file.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def _owner_of(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), name


def _watched(function: Callable[..., Any], at: Callable[[], None], when: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if when == BEFORE:
            at()
        result = function(*arguments, **named)
        if when == AFTER:
            at()
        return result

    return called


def main() -> None:
    file, places, when, *arguments = sys.argv[1:]
    sys.argv = [sys.argv[0], *arguments]
    program = importlib.import_module("ckv.__main__")  # which patches the sockets before anything else is imported
    names = places.split(">")
    death = Death(Path(file), len(names))
    for number, place in enumerate(names):
        owner, name = _owner_of(place)
        at = functools.partial(death.came_to, number)
        setattr(owner, name, _watched(getattr(owner, name), at, when if number == len(names) - 1 else BEFORE))
    program.main()


if __name__ == "__main__":
    main()
