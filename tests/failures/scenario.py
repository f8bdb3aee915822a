"""How a scenario of failures begins and ends: well, or with all that is needed to see why not."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tests.failures.judging import Outcome


class Scenario:
    """A scenario while it runs."""

    def __init__(self, name: str, mode: str) -> None:
        self.mode = mode
        self.outcome = Outcome(name, mode)
        self._resources = ExitStack()
        self._began = time.monotonic()

    def note(self, text: str) -> None:
        """Something to show in the table."""
        self.outcome.notes.append(text)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._heal()
            if error is None:
                self._finish()
        except BaseException as failed:
            error = failed
            raise
        finally:
            self._stop()
            self.outcome.seconds = time.monotonic() - self._began
            if error is not None:
                self._keep()
            self._resources.__exit__(*((type(error), error, error.__traceback__) if error else (None, None, None)))

    # --- what each has of its own --------------------------------------------------------------------------------

    def _start(self) -> None:
        """Starts its processes."""
        raise NotImplementedError

    def _heal(self) -> None:
        """Ends whatever failure there still is."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Sees that all works again, and judges."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Ends whoever makes calls."""
        raise NotImplementedError

    def _keep(self) -> None:
        """Writes down what was seen."""
        raise NotImplementedError
