"""``kill PID`` and the same command again at once, with many records that only the old process has: none may be older
or missing afterwards.

.venv/bin/python -m tests.failures.restarts                             # 400,000 records, in each write mode
.venv/bin/python -m tests.failures.restarts --records 20000 --mode evict

While the old process still saves, the new one is given newer values of every other record as soon as it takes them.
Then all are read, the new process is told to stop, and the table is read.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ckv import Client
from ckv.errors import CkvError
from tests.failures.harness import MODES
from tests.failures.sightings import table
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes
from tests.support.products import make_template

RECORDS: Final = 400_000

AT_ONCE: Final = 1000
"""Records of one request."""

PATIENCE: Final = 300.0
"""Seconds that any step may take."""

Values = Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """What came of it."""

    mode: str
    records: int
    left: int
    """Records that the old process had to save when the new one was started."""
    waited: float
    """Seconds from the signal until the new process has taken a write."""
    older: int
    """Records of which the new process, or the table in the end, had not the newest value."""
    missing: int
    """Those of which it had none."""

    def __str__(self) -> str:
        return (
            f"{self.mode}: {self.records:,} records, {self.left:,} of them left to save when it was started again; it"
            f" took writes after {self.waited:.1f} s; older: {self.older}; missing: {self.missing}"
        )


def run(server: MariaDB, nodes: Nodes, mode: str, records: int) -> Report:
    """One restart of a node, over a server without a table of ckv's."""
    options = [f"--write-mode={mode}", "--drain-timeout=5m"]
    old = nodes.start_secondary(persistent=server.address, options=options, capacity=2 * records)
    expected = {f"record:{number}": "old" for number in range(records)}
    with _asked(old) as client:
        _put(client, expected)
    began = time.monotonic()
    old.signal(signal.SIGTERM)
    new = nodes.start_secondary(
        persistent=server.address, options=options, capacity=2 * records, port=old.port, wait=False
    )
    newer = dict.fromkeys(list(expected)[::2], "new")
    with _asked(new) as client:
        first = next(iter(newer))
        eventually(lambda: _is_put(client, first, newer[first]), PATIENCE, "the new process takes a write")
        waited = time.monotonic() - began
        _put(client, newer)
        expected |= newer
        found: dict[Any, object] = {}
        for keys in _parts(list(expected)):
            found.update(client.get_many(keys))
    assert old.wait(PATIENCE) == 0, old.tail()
    assert new.terminate(PATIENCE) == 0, new.tail()
    read: Sequence[Mapping[Any, object]] = [found, table(server)]
    missing = {key for key in expected if any(each.get(key) is None for each in read)}
    wrong = {key for key, value in expected.items() if any(each.get(key) != value for each in read)}
    return Report(mode, records, _told_to_save(old), waited, len(wrong - missing), len(missing))


def _asked(node: Node) -> Client:
    return Client("127.0.0.1", node.port, timeout=PATIENCE)


def _put(client: Client, values: Values) -> None:
    for keys in _parts(list(values)):
        client.put_many({key: values[key] for key in keys})


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[first : first + AT_ONCE] for first in range(0, len(keys), AT_ONCE))


def _is_put(client: Client, key: str, value: str) -> bool:
    try:
        client.put(key, value)
    except CkvError:
        return False  # it waits for the old process, or does not listen yet
    return True


def _told_to_save(node: Node) -> int:
    (count,) = (found[1] for line in node.log if (found := re.search(r"(\d+) records to save", line)))
    return int(count)


def main() -> int:
    """The command; 1 if a record was older or missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--mode", choices=MODES)
    arguments = parser.parse_args()
    modes = [arguments.mode] if arguments.mode else list(MODES)
    lost = 0
    # By default SIGTERM ends Python on the spot, and the servers would live on.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with TemporaryDirectory(prefix="ckv-restarts-") as folder:
        for name in ("template", *modes):
            (Path(folder) / name).mkdir()
        template = make_template(Path(folder) / "template")
        for mode in modes:
            server = MariaDB(Path(folder) / mode, template)
            server.start()
            try:
                with Nodes() as nodes:
                    report = run(server, nodes, mode, arguments.records)
            finally:
                server.kill()
            print(report, flush=True)
            lost += report.older + report.missing
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
