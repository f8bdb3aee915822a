"""ckv whose primary does not wait after a move that was called off: ``python -m tests.support.hasty ARGUMENTS``."""

from __future__ import annotations

import functools
import importlib
import sys

COMMAND = [sys.executable, "-m", "tests.support.hasty"]

PAUSE = 0.1
"""Seconds, in the place of five."""


def main() -> None:
    program = importlib.import_module("ckv.__main__")  # which patches the sockets before anything else is imported
    primary = importlib.import_module("ckv.node.primary")
    vars(primary)["Options"] = functools.partial(vars(primary)["Options"], pause=PAUSE)
    program.main()


if __name__ == "__main__":
    main()
