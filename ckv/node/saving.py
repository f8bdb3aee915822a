"""SAVE: everything that a secondary has and its database lacks is written, while the node goes on.

The first call begins a pass (:mod:`ckv.store.saving`), which goes on by itself; the ticket in its answer asks how far
that is. So a call is short however long the pass takes, and one that is lost does no harm. Meanwhile no write waits for
others on its way to the database, so a pass ends when nobody asks for it any more.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

from ckv import errors, events
from ckv.node.guard import Guard
from ckv.node.handlers import own
from ckv.protocol.handler import Caller, Handler
from ckv.store import Records
from ckv.store.saving import Replaced, Saving
from ckv.store.store import Store

log = logging.getLogger(__name__)

BEGIN: Final = "0"
"""The ticket that begins one."""

MAX_PASSES: Final = 4
"""Passes at a time. One more ends that which was asked for longest ago."""

IDLE: Final = 60.0
"""Seconds after which a pass that nobody asks for is ended, and forgotten."""

_NUMBERS: Final = 2**30


@dataclass(eq=False, slots=True)
class Pass:
    """One of them."""

    saving: Saving
    rest: Generator[float]
    used: float
    error: errors.CkvError | None = None


def checked_ticket(ticket: object) -> str:
    """The ticket that SAVE was given. Raises BadArguments."""
    if not isinstance(ticket, str):
        raise errors.BadArguments(f"ticket must be a str, not {type(ticket).__name__}")
    return ticket


class Saves:
    """The passes of a node, and the method."""

    def __init__(
        self, store: Records, clock: Callable[[], float], later: Callable[[float, Callable[[], None]], object]
    ) -> None:
        """``clock``: seconds that never go back. ``later`` has something done after so many."""
        self._store = store
        self._clock = clock
        self._later = later
        self._passes: dict[str, Pass] = {}
        """By their tickets; the one that was asked for last is last."""

    def save(self, ticket: object) -> tuple[str, int, int, int]:
        """The answer to SAVE: the ticket, what was saved, what is left, about, and what the database refuses. The pass
        is over when nothing is left. Raises BadArguments, and Refused for a pass that is not known or came to nothing.
        """
        ticket = checked_ticket(ticket)
        if ticket == BEGIN:
            ticket = self._begin()
        found = self._passes.pop(ticket, None)
        if found is None:
            raise errors.Refused(f"there is no save with the ticket {ticket}: begin again with {BEGIN}")
        self._passes[ticket] = found
        found.used = self._clock()
        if found.error is not None:
            raise found.error
        return ticket, found.saving.saved, found.saving.left, found.saving.refused

    def expire(self) -> None:
        """Ends those that nobody asks for any more. To be called now and then."""
        oldest = self._clock() - IDLE
        for ticket in [ticket for ticket, found in self._passes.items() if found.used <= oldest]:
            del self._passes[ticket]

    def _begin(self) -> str:
        if not isinstance(self._store, Store):
            raise errors.Refused("this node has no persistent node: there is nothing to save it in")
        if len(self._passes) >= MAX_PASSES:
            self._passes.pop(next(iter(self._passes)))
        # By chance, so that a ticket of before a restart does not fit a pass of after it.
        ticket = str(random.randrange(1, _NUMBERS))
        begun = self._passes[ticket] = Pass(*self._store.save_all(), self._clock())
        log.info(events.SAVE_BEGUN, begun.saving.left)
        self._go_on(ticket, begun)
        return ticket

    def _go_on(self, ticket: str, begun: Pass) -> None:
        if self._passes.get(ticket) is not begun:
            begun.rest.close()  # it gave way to others, or nobody asks for it
            return
        try:
            pause = next(begun.rest)
        except StopIteration:
            saving = begun.saving
            log.info(events.SAVE_DONE, saving.saved, saving.refused)
        except Replaced:
            begun.error = errors.Refused(f"the database was replaced meanwhile: begin again with {BEGIN}")
        except MemoryError:
            begun.error = errors.Overloaded("there is no memory for it")
        else:
            self._later(pause, lambda: self._go_on(ticket, begun))


def save_handler(saves: Saves, guard: Guard) -> Handler:
    """The handler of SAVE. A pass is of what is here when it begins: then that has to be all that is this node's. What
    moves afterwards is saved before it goes."""
    go_on = own("SAVE", saves.save)
    begin = guard.when_settled(go_on)

    def save(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        return (begin if params == (BEGIN,) else go_on)(caller, msgid, params)

    return save
