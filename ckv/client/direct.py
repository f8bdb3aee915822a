"""The way of a client's calls to the owners of their keys, which spares the primary.

The primary says who owns what (OWNERS); each owner is told by what the client has come to it (DIRECT) before it is
asked anything, and again when that has changed. So an owner that is none any more, or another process, or another
cluster's, carries nothing out. What was not carried out is asked again: of the owner that the primary names now, or of
the primary, which waits for slots that are on their way, and for nodes that are away for a moment. What it says is the
answer.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Final

from ckv import events
from ckv.client.calls import Call, as_it_is
from ckv.client.endpoint import Endpoint
from ckv.client.keyed import in_turn, lacks_owner, slot_of_call
from ckv.client.outcomes import OF_SLOTS, UNANSWERED, is_answer, is_elsewhere, raise_if_unreachable
from ckv.client.reaching import Budget
from ckv.client.retries import in_order
from ckv.client.routes import Owner, Routes
from ckv.cluster.directory import OWNERS, Directory
from ckv.cluster.slots import SLOTS
from ckv.errors import CkvError, Refused, Unreachable
from ckv.protocol.packing import new_packer

log = logging.getLogger(__name__)

ROUNDS: Final = 4
"""How often a call is made, at most: in the last round by the primary."""

OWNERS_TIMEOUT: Final = 1.0
"""Seconds that a call waits for the primary to say who owns what, at most, where somebody is known who can be asked."""

FIRST_PAUSE: Final = 0.1
"""Seconds until the primary is asked again who owns what when it told nothing new; twice as many after each time."""

LONGEST_PAUSE: Final = 5.0
"""Seconds until it is asked again when there is a reason, at most."""

ASK_THE_DEAF: Final = 30.0
"""Seconds after which it is asked again when it did not understand that."""

FAILURES_TOLD: Final = 3
"""Attempts in a row after which it is said that an owner cannot be asked. One that died is known as such by then."""


class Direct:
    """The way, see :class:`ckv.client.endpoint.Way`."""

    def __init__(self, primary: Endpoint, size: int) -> None:
        """``size``: how many connections there may be to each node."""
        self._primary: Final = primary
        self._size: Final = size
        self._routes: Routes | None = None
        self._known: Final[weakref.WeakSet[Endpoint]] = weakref.WeakSet()
        """All nodes that were ever in the routes, as long as anybody has one: a call may be on it."""
        self._know: Final = threading.RLock()
        """Is had by whoever goes through these, or adds to them."""
        self._ask_at = 0.0
        """When the primary may be asked again, by the monotonic clock."""
        self._pause = 0.0
        """Seconds from then until the time after that, if it tells nothing new."""
        self._is_stale = False
        """Whether an owner did not answer, so that another one may be it by now."""
        self._lock: Final = threading.Lock()
        """Is had by whoever asks who owns what."""
        self._has_warned = False
        self._is_forked = False

    def __repr__(self) -> str:
        return f"{self._primary!r} and {len(self._routes.endpoints) if self._routes else 0} nodes directly"

    def single(self, call: Call, timeout: float, deadline: float, connect_timeout: float) -> object:
        """See :class:`~ckv.client.endpoint.Way`."""
        routes = self._routes
        slot = slot_of_call(call)
        owner = routes.owner(slot) if routes is not None and slot is not None and not self._is_stale else None
        if owner is None or not owner.endpoint.may_be_asked():
            return self.exchange((call,), timeout, deadline, connect_timeout)[0]
        budget = Budget()
        result = self._ask(owner, (call,), timeout, deadline, connect_timeout, budget)[0]
        if not is_elsewhere(result):
            return result
        deadline += budget.overdrawn
        hurried = {owner} if budget.hurried else set()
        return self._go_on((call,), [result], [0], routes, timeout, deadline, connect_timeout, hurried)[0]

    def exchange(self, calls: Sequence[Call], timeout: float, deadline: float, connect_timeout: float) -> list[object]:
        """See :class:`~ckv.client.endpoint.Way`."""
        parts = in_turn(calls) if len(calls) > 1 else [calls]
        if len(parts) > 1:
            return self._one_after_the_other(parts, timeout, deadline, connect_timeout)
        results: list[object] = [None] * len(calls)
        return self._go_on(calls, results, (), self._routes, timeout, deadline, connect_timeout, set())

    def _one_after_the_other(
        self, parts: Sequence[Sequence[Call]], timeout: float, deadline: float, connect_timeout: float
    ) -> list[object]:
        """The same for parts of which each one waits for those before it."""
        pack = new_packer().pack
        for part in parts[1:]:
            for call in part:
                pack(call.params)  # What cannot be packed has to be found before anything is sent.
        results: list[object] = []
        for part in parts:
            try:
                answers = self.exchange(part, timeout, deadline, connect_timeout)
            except Unreachable as error:
                answers = [type(error)(*error.args) for _ in part]
            results += answers
            if any(map(is_answer, answers)):
                deadline = max(deadline, time.monotonic() + timeout)
        raise_if_unreachable(results)
        return results

    def retire(self) -> None:
        """See :class:`~ckv.client.endpoint.Way`."""
        for endpoint in self._endpoints():
            endpoint.retire()

    def close(self) -> None:
        """See :class:`~ckv.client.endpoint.Way`."""
        for endpoint in self._endpoints():
            endpoint.close()

    def _endpoints(self) -> list[Endpoint]:
        with self._know:
            return [self._primary, *self._known]

    def forked(self) -> Direct:
        """See :class:`~ckv.client.endpoint.Way`."""
        self._is_forked = True
        # The lock may be had by a thread that is not here.
        for endpoint in list(self._known):
            endpoint.forked()
        return Direct(self._primary.forked(), self._size)

    # --- rounds ------------------------------------------------------------------------------------------------------

    def _go_on(
        self,
        calls: Sequence[Call],
        results: list[object],
        refused: Collection[int],
        routes: Routes | None,
        timeout: float,
        deadline: float,
        connect_timeout: float,
        hurried: set[Owner],
    ) -> list[object]:
        """Makes the calls, or those that were ``refused`` by ``routes``, until each has an answer that counts.
        ``hurried``: owners that had too little time to be reached."""
        pending: Collection[int] = refused or range(len(calls))
        by_primary: set[int] = set()
        """Slots that the primary is asked for."""
        for attempt in range(1, ROUNDS + 1):
            if refused:
                if self._is_forked:
                    break  # of a copy that a fork has made, the original makes the calls
                before, is_over = routes, time.monotonic() >= deadline
                routes = self._routes if is_over else self._learn(routes, timeout, deadline, connect_timeout)
                # Also when it is over: the next call must not find the same.
                by_primary |= self._same(calls, results, refused, before, routes, hurried)
                if is_over:
                    break
            elif time.monotonic() >= self._ask_at and (self._is_stale or lacks_owner(calls, routes)):
                routes = self._learn(routes, timeout, deadline, connect_timeout, wait=routes is None)
            asked: dict[Owner | None, list[int]] = {}
            for index in pending:
                slot = slot_of_call(calls[index])
                owner = None
                if slot is not None and slot not in by_primary and routes is not None and attempt < ROUNDS:
                    owner = routes.owner(slot)
                asked.setdefault(owner, []).append(index)
            for owner in [owner for owner in asked if owner is not None and not owner.endpoint.may_be_asked()]:
                asked.setdefault(None, []).extend(asked.pop(owner))
                asked[None].sort()
            budget, hurried = Budget(), set()
            groups = {owner: [calls[index] for index in indices] for owner, indices in asked.items()}
            answered = self._ask_each(groups, timeout, deadline, connect_timeout, budget, hurried)
            deadline += budget.overdrawn
            again: set[int] = set()
            for owner, indices in asked.items():
                for index, answer in zip(indices, answered[owner], strict=True):
                    results[index] = answer
                    if owner is not None and is_elsewhere(answer):
                        again.add(index)
            if len(calls) > 1 and any(is_answer(results[index]) for index in pending):
                deadline = max(deadline, time.monotonic() + timeout)  # each answer puts it off
            refused = pending = in_order(calls, again)
            if not pending:
                break
        raise_if_unreachable(results)
        return results

    def _ask_each(
        self,
        groups: Mapping[Owner | None, Sequence[Call]],
        timeout: float,
        deadline: float,
        connect_timeout: float,
        budget: Budget,
        hurried: set[Owner],
    ) -> dict[Owner | None, list[object]]:
        """Asks several owners, and the primary (None), at the same time; their results. Those that could not be reached
        for want of time are put into ``hurried``. Raises nothing but what msgpack raises, before anything is sent."""
        if len(groups) == 1:
            ((owner, calls),) = groups.items()
            answers = self._ask(owner, calls, timeout, deadline, connect_timeout, budget)
            if owner is not None and budget.hurried:
                hurried.add(owner)
            return {owner: answers}
        results: dict[Owner | None, list[object]] = {}
        with ExitStack() as stack:
            under_way: dict[Owner | None, Generator[None]] = {}
            for owner in sorted(groups, key=lambda owner: (owner.endpoint if owner else self._primary).order):
                steps = self._conversation(owner, groups[owner], timeout, deadline, connect_timeout, budget)
                under_way[owner] = stack.enter_context(closing(steps))
            for then in ("packed", "sent", "answered"):
                for owner, steps in list(under_way.items()):
                    try:
                        next(steps)
                        while then == "answered":
                            next(steps)
                    except StopIteration:
                        results[owner] = self._heard(owner, [call.result for call in groups[owner]])
                        del under_way[owner]
                    except Unreachable as error:
                        results[owner] = [type(error)(*error.args) for _ in groups[owner]]
                        del under_way[owner]
                    if then == "sent" and owner is not None and budget.hurried:
                        hurried.add(owner)
        return results

    def _conversation(
        self,
        owner: Owner | None,
        calls: Sequence[Call],
        timeout: float,
        deadline: float,
        connect_timeout: float,
        budget: Budget,
    ) -> Generator[None]:
        if owner is None:
            return self._primary.conversation(calls, timeout, deadline, connect_timeout)
        return owner.endpoint.conversation(calls, timeout, deadline, connect_timeout, owner.introduction, budget)

    def _ask(
        self,
        owner: Owner | None,
        calls: Sequence[Call],
        timeout: float,
        deadline: float,
        connect_timeout: float,
        budget: Budget,
    ) -> list[object]:
        """Asks an owner, or the primary; the results. Raises nothing but what msgpack raises."""
        try:
            if owner is None:
                return self._primary.exchange(calls, timeout, deadline, connect_timeout)
            endpoint, introduction = owner
            results = endpoint.exchange(calls, timeout, deadline, connect_timeout, introduction, budget)
        except Unreachable as error:
            return [type(error)(*error.args) for _ in calls]
        return self._heard(owner, results)

    def _heard(self, owner: Owner | None, results: list[object]) -> list[object]:
        """Notes what the results say about whoever was asked."""
        if owner is not None:
            if owner.endpoint.failures and (not is_elsewhere(results[0]) or isinstance(results[0], OF_SLOTS)):
                owner.endpoint.failures = 0
            if any(isinstance(result, UNANSWERED) for result in results):
                self._is_stale = True
        return results

    def _same(
        self,
        calls: Sequence[Call],
        results: Sequence[object],
        refused: Collection[int],
        before: Routes | None,
        now: Routes | None,
        hurried: Collection[Owner],
    ) -> set[int]:
        """The slots of these calls that still have the owner which has refused them. It is avoided from now on if it
        could not be asked, but not if it was one of the ``hurried``."""
        same: set[int] = set()
        failed: dict[Endpoint, object] = {}
        for index in refused:
            slot = slot_of_call(calls[index])
            if slot is None or before is None or now is None:
                continue
            owner = now.owner(slot)
            if owner is not None and owner == before.owner(slot):
                same.add(slot)
                error = results[index]
                if not isinstance(error, OF_SLOTS) and (owner not in hurried or not isinstance(error, Unreachable)):
                    failed[owner.endpoint] = error
        for endpoint, error in failed.items():
            endpoint.avoid()
            if endpoint.failures >= FAILURES_TOLD:
                self._warn(f"{endpoint.host}:{endpoint.port} cannot be asked from here ({error})")
        return same

    # --- who owns what -----------------------------------------------------------------------------------------------

    def _learn(
        self, seen: Routes | None, timeout: float, deadline: float, connect_timeout: float, *, wait: bool = True
    ) -> Routes | None:
        """Other routes than those ``seen``, if the primary tells them, or has told others meanwhile. Without ``wait``
        not if somebody else asks it now."""
        now = time.monotonic()
        left = max(0.0, deadline - now)
        if seen is not None:
            # The rest is for the call, which another node may answer while the primary hangs.
            left = min(left / 2, OWNERS_TIMEOUT)
        if not (self._lock.acquire(timeout=left) if wait else self._lock.acquire(blocking=False)):
            return self._routes
        try:
            if self._routes is seen and self._ask_at <= time.monotonic() < now + left:
                self._ask_primary(timeout if seen is None else left, now + left, min(connect_timeout, left))
            return self._routes
        finally:
            self._lock.release()

    def _ask_primary(self, timeout: float, deadline: float, connect_timeout: float) -> None:
        pause, is_new = max(FIRST_PAUSE, min(2 * self._pause, LONGEST_PAUSE)), False
        try:
            told = self._primary.single(Call(OWNERS, (), as_it_is), timeout, deadline, connect_timeout)
            if isinstance(told, CkvError):
                raise told
            is_new = self._take(Directory.unpack(told, SLOTS))
        except (Refused, ValueError) as error:
            if not (isinstance(error, Refused) and error.transient):
                pause = ASK_THE_DEAF
                self._warn(f"it does not say who owns which keys ({type(error).__name__}: {error})")
        except CkvError:
            pass  # whoever makes a call hears of it
        finally:
            self._pause = 0.0 if is_new else pause
            self._ask_at = time.monotonic() + self._pause

    def _take(self, directory: Directory) -> bool:
        """Goes by what the primary tells now, whether that is a new one. One of an earlier version too: it is what the
        primary itself goes by, perhaps of a cluster that was set up anew. Nodes know what they serve."""
        self._is_stale = False
        before = self._routes
        if before is not None and before.directory == directory:
            return False
        routes = Routes(directory, before, self._new_endpoint)
        self._routes = routes
        if before is not None:
            for place in before.endpoints.keys() - routes.endpoints.keys():
                before.endpoints[place].discard()
        return True

    def _new_endpoint(self, host: str, port: int) -> Endpoint:
        endpoint = Endpoint(host, port, self._size, self._primary.login, self._primary.tls)
        with self._know:
            self._known.add(endpoint)
        return endpoint

    def _warn(self, why: str) -> None:
        """Says once that not all goes directly."""
        if not self._has_warned:
            self._has_warned = True
            primary = f"{self._primary.host}:{self._primary.port}"
            log.warning(events.CLIENT_INDIRECT, primary, why)
