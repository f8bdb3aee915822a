"""A target of atheris, run: ``make fuzz`` starts the module of the target, which calls this."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path


def search(one_input: Callable[[bytes], object], seeds: Iterable[bytes]) -> None:
    """Runs atheris: the first argument is the folder of what it has found, where it finds ``seeds`` too, the others are
    its own."""
    import atheris

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"seed{number}").write_bytes(seed)
    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
