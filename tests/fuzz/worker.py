"""Searches in one process: random bytes into each part of the compiled core, as :mod:`tests.fuzz.core` starts it.

python -m tests.fuzz.worker FOLDER SEED SECONDS INPUTS PART...  # INPUTS: the most of them, 0 for no bound
python -m tests.fuzz.worker FILE                                # an input that was kept, once
"""

from __future__ import annotations

import faulthandler
import gc
import json
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from tests.fuzz import records, route, serve

PARTS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "serve": serve.one_input,
    "route": route.one_input,
    "records": records.one_input,
}
"""What an input is given to; each raises whatever it likes when something is wrong, and may crash."""

RUNNING: Final = "running"
"""The file with the input that runs: the name of its part, :data:`NAME_ENDS`, and its bytes."""

NAME_ENDS: Final = b"\n"

VERDICT: Final = "verdict"
"""The file that is there when nothing was wrong: how many inputs each part was given, as JSON."""

HANGS_AFTER: Final = 300
"""Seconds of the processor's time that a process may take longer than it is to search."""

SIZES: Final = (5.0, 11.5)
"""The shortest and the longest input, as powers of two."""


def search(
    folder: Path,
    seed: str,
    seconds: float,
    most: int = 0,
    names: Sequence[str] = (*PARTS,),
    parts: Mapping[str, Callable[[bytes], None]] = PARTS,
) -> Counter[str]:
    """Gives inputs to the parts in turn until the time is over, or there were ``most``; how many each was given."""
    rng = random.Random(seed)
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with (folder / RUNNING).open("wb") as running:
        while time.monotonic() < end and (not most or done.total() < most):
            name = names[done.total() % len(names)]
            data = rng.randbytes(int(2 ** rng.uniform(*SIZES)))
            note(running, name, data)
            parts[name](data)
            done[name] += 1
    return done


def note(running: IO[bytes], name: str, data: bytes) -> None:
    """Writes down what is going to run, for whoever finds the process dead."""
    running.seek(0)
    running.truncate()
    running.write(name.encode() + NAME_ENDS + data)
    running.flush()


def run_again(file: Path) -> None:
    """Gives an input to its part once more."""
    name, data = file.read_bytes().split(NAME_ENDS, 1)
    PARTS[name.decode()](data)


def main(arguments: list[str]) -> None:
    """See above."""
    faulthandler.register(signal.SIGXCPU, chain=True)  # it says where it hangs, and ends
    if len(arguments) == 1:
        run_again(Path(arguments[0]))
        return
    folder, seed, seconds, most, *names = arguments
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(float(seconds)) + HANGS_AFTER, hard))
    done = search(Path(folder), seed, float(seconds), int(most), names)
    gc.collect()
    (Path(folder) / VERDICT).write_text(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1:])
