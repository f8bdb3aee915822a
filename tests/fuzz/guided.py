"""The same search, guided by coverage of the core and of its twins: an atheris target. See :mod:`tests.fuzz.core`.

python -m tests.fuzz.guided FOLDER [options of libFuzzer]
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Runs atheris; the input that runs is in the folder, as :mod:`tests.fuzz.worker` has it."""
    import atheris

    with atheris.instrument_imports(include=["ckv.protocol", "ckv.store"]):
        from tests.fuzz.worker import PARTS, RUNNING, note

    folder = Path(sys.argv.pop(1))
    names = [*PARTS]
    running = (folder / RUNNING).open("wb")

    def one_input(data: bytes) -> None:
        name = names[data[0] % len(names)] if data else names[0]
        note(running, name, data[1:])
        PARTS[name](data[1:])

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
