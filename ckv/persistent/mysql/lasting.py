"""A connection for a statement now and then: made when it is needed, kept, and made anew after any error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ckv.errors import TierUnavailable
from ckv.persistent.mysql.connection import Connection, StatementFailed


class Lasting:
    """One of them, in auto-commit mode; one greenlet at a time uses it."""

    def __init__(
        self, connect: Callable[[], Connection], failed: Callable[[StatementFailed], TierUnavailable], timeout: float
    ) -> None:
        """``connect`` may raise StatementFailed; ``failed``: what to raise for that; ``timeout``: seconds in which the
        server has to say something."""
        self._connect: Final = connect
        self._failed: Final = failed
        self._timeout: Final = timeout
        self._connection: Connection | None = None

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """While it is used. Whatever is raised inside of it ends the connection."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.within(self._timeout):
                yield self._connection
        except BaseException as error:
            if self._connection is not None:
                self._connection.abort()
                self._connection = None
            if isinstance(error, StatementFailed):
                raise self._failed(error) from error
            raise

    def close(self) -> None:
        """Gives the connection back, if there is one. Never raises."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
