"""The methods of a node, as all sessions of a server share them: what is called, and what is said of a failure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from ckv import errors
from ckv.protocol.handler import Caller, Handler

log = logging.getLogger(__name__)


class Methods:
    """Handlers by the name of their method."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._names = tuple(handlers)
        self.handlers: dict[Any, Handler] = with_bins(handlers)
        """By the bin of the name as well: some languages have one kind of string, and send that."""

    def refuse_everything(self, error: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on every request is answered with this error, ``but`` those of these methods."""
        kept = with_bins({name: self.handlers[name] for name in but})
        self.handlers = dict.fromkeys(self.handlers, refusing(error)) | kept

    def to_wire(self, error: Exception, method: object) -> str:
        """The error that is answered to a request whose handler, or the look-up of it, raised this one."""
        return errors.to_wire(error if isinstance(error, errors.CkvError) else self.unexpected(error, method))

    def unexpected(self, error: Exception, method: object) -> errors.CkvError:
        """What to say of an error that no handler means: no such method, or a defect, which is logged."""
        if isinstance(error, (KeyError, TypeError)) and not (
            isinstance(method, (str, bytes)) and method in self.handlers
        ):
            shown = repr(method if len(repr(method)) < 64 else type(method).__name__)
            return errors.UnknownMethod(f"no method {shown}; there are {', '.join(self._names)}")
        log.error("unexpected error in %s", method, exc_info=error)
        return errors.ServerError(f"unexpected error in {method}")


def with_bins(handlers: Mapping[str, Handler]) -> dict[Any, Handler]:
    """The same, by the bin of each name too."""
    return {**handlers, **{name.encode(): handler for name, handler in handlers.items()}}


def refusing(error: errors.Refused) -> Handler:
    """A handler that always raises this."""

    def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        raise error

    return refuse
