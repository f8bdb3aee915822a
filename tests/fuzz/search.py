"""A target of atheris, run: ``make fuzz`` starts the module of the target, which calls this."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType


def search(one_input: Callable[[bytes], object], seeds: Iterable[bytes]) -> None:
    """Runs atheris: the first argument is the folder of what it has found, where it finds ``seeds`` too, the others are
    its own."""
    import atheris

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"seed{number}").write_bytes(seed)
    for function in gc.get_objects():
        # Those of the libraries too take a minute and more before the first input.
        if isinstance(function, FunctionType) and str(function.__module__).startswith("ckv."):
            atheris.instrument_func(function)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
