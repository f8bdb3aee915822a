"""``ckv import``: stores the records of lines of JSON, which come from stdin."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final

from ckv.client import Client
from ckv.errors import BadArguments, CkvError, ProtocolError
from ckv.settings.roles import ImportSettings
from ckv.tools import progress
from ckv.tools.asking import ask
from ckv.tools.records import Record, record_of

BATCH_RECORDS: Final = 500
BATCH_BYTES: Final = 1024 * 1024
"""What is sent in one go: so many records, or about so many bytes of lines."""


def run(settings: ImportSettings) -> int:
    """Stores them, and prints how many; the exit code."""
    return ask(settings, lambda client: Import(client, settings).run(sys.stdin.buffer))


class Import:
    """One import."""

    def __init__(self, client: Client, settings: ImportSettings) -> None:
        self._client = client
        self._overwrite = settings.overwrite
        self._skip = settings.resume
        self._done = 0
        """Lines that are dealt with, those included that were skipped."""
        self._stored = self._left_alone = self._expired = 0

    def run(self, lines: Iterable[bytes]) -> None:
        """Stores the records of the lines. Raises what the client raises, and BadArguments for a line that is none."""
        with progress.shown("imported") as show:
            try:
                for batch in self._batches(lines):
                    self._store(batch)
                    show(self._done)
            except CkvError as error:
                raise type(error)(f"line {self._done + 1}: {error}; go on with --resume={self._done}") from None
        print(
            f"{self._stored} records were stored, {self._left_alone} were there already, {self._expired} have expired",
            flush=True,
        )

    def _batches(self, lines: Iterable[bytes]) -> Iterator[list[Record]]:
        batch: list[Record] = []
        size = 0
        for number, line in enumerate(lines):
            if number < self._skip:
                self._done += 1
                continue
            try:
                batch.append(record_of(line))
            except BadArguments:
                yield batch  # what comes before is stored
                raise
            size += len(line)
            if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        yield batch

    def _store(self, batch: list[Record]) -> None:
        now = int(1000 * time.time())
        pipeline = self._client.pipeline()
        for key, value, expires in batch:
            if 0 < expires <= now:
                pipeline.call("PING")  # so that there is a result for each line
            elif self._overwrite:
                pipeline.call("PUTEX", key, value, expires)
            else:
                pipeline.call("SET", key, value, expires, "NX", "", "")
        for result in pipeline.execute(raise_on_error=False):
            match result:
                case CkvError():
                    raise result
                case "PONG":
                    self._expired += 1
                case True | [True, *_]:
                    self._stored += 1
                case [False, *_]:
                    self._left_alone += 1
                case _:
                    raise ProtocolError(f"a PUTEX or SET was answered with {type(result).__name__}")
            self._done += 1
