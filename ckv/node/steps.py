"""EXEC at a secondary: requests of several keys as one step of its store; and DIGEST, by which it knows a record."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from ckv import errors
from ckv.cluster.slots import slot_of
from ckv.commands import COMMANDS, STEP_METHODS
from ckv.node.answers import answer_update
from ckv.node.auditing import digest
from ckv.protocol.defects import meant
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import MIB
from ckv.protocol.session import Session
from ckv.protocol.steps import PRESENT, WATCHED, Asked, Told, packed_answers, requests_of
from ckv.store import Records
from ckv.store.change import Look, kept
from ckv.store.waiting import Waiting
from ckv.values import Value, checked_key, to_bytes

_NEEDS_NO_VALUE: Final = frozenset({"PUT", "PUTEX"})

_TELLS_VALUE: Final = frozenset(name for name, command in COMMANDS.items() if command.reply == "value")
"""What answers with a value; SET does if it is asked."""

ANSWER_BYTES: Final = 24
"""What an answer takes beside a value, at most; and an error that is its code alone."""

HEADS_BYTES: Final = 32 * 1024
ERRORS_BYTES: Final = 16 * 1024
"""What of the 64 KiB that a message may have beside values is for that, and for what errors say further."""

DIGESTED_BYTES: Final = 64 * MIB
"""Values that one step digests: a node serves nobody meanwhile."""

SEVERAL_VALUES: Final = 3
"""The values that the answers to one step may have, in times the longest. One that comes then is answered still; so all
are fewer bytes than a message may have."""


def digest_of(value: Value | None, expires: int) -> bytes:
    """Tells one record of a key from another; no bytes where there is none."""
    return b"" if value is None else digest(value, expires)


def step_handlers(store: Records, methods: Mapping[str, Handler], max_value_bytes: int) -> dict[str, Handler]:
    """EXEC over these ``methods``, and DIGEST."""
    asked = {name: handler for name, handler in methods.items() if name in STEP_METHODS} | _reads(store)
    most_bytes = SEVERAL_VALUES * max_value_bytes

    def exec_(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        is_packed, watched, requests = asked_of(params)
        step = _Step(asked, watched, requests, most_bytes)
        outcome = store.together(step.keys, step.run, writes=step.writes)

        def shown(is_done: object) -> object:
            return told(step.answers if is_done else [], bool(is_done), is_packed=is_packed)

        if not isinstance(outcome, Waiting):
            if outcome and step.left:
                step.when_done = lambda: caller.respond(msgid, None, shown(True))
                return LATER
            return shown(outcome)
        # Requests of one connection for one key take effect in their order, which its answers have to have as well.
        holds = isinstance(caller, Session) and caller.in_order
        if holds:
            caller.hold(step)

        def begun(is_done: Any, error: errors.CkvError | None) -> None:
            if holds:
                caller.release(step)
            if error is not None:
                caller.respond(msgid, errors.to_wire(error), None)
            elif is_done and step.left:
                step.when_done = lambda: caller.respond(msgid, None, shown(True))
            else:
                caller.respond(msgid, None, shown(is_done))

        outcome.wait(begun)
        return LATER

    return {"EXEC": exec_, "DIGEST": asked["DIGEST"]}


def asked_of(params: tuple[Any, ...]) -> tuple[bool, list[tuple[str, bytes]], list[Asked]]:
    """What an EXEC asks: whether it is packed, and what is watched, and the others. Raises a Refused."""
    if len(params) != 1:
        raise COMMANDS["EXEC"].wrong_count(params)
    (given,) = params
    # Within this process they are not packed, and neither are their answers.
    is_packed = type(given) is not list
    return is_packed, *taken_apart(requests_of(given) if is_packed else given)


def slots_of_step(params: tuple[object, ...]) -> frozenset[int]:
    """Those of all keys that an EXEC asks for, as far as they are keys: it answers the others by itself."""
    _, watched, requests = asked_of(params)
    keys = [key for key, _ in watched] + [arguments[0] for _, arguments in requests if arguments]
    return frozenset(slot_of(checked_key(key)) for key in keys if _is_key(key))


def _is_key(key: object) -> bool:
    try:
        checked_key(key)
    except errors.CkvError:
        return False
    return True


def told(answers: list[Any], is_done: bool, *, is_packed: bool) -> list[object]:
    """What EXEC answers. A list, which no session gives up when too much is unread: it was carried out."""
    return [is_done, packed_answers(answers) if is_packed else answers]


def taken_apart(requests: list[Asked]) -> tuple[list[tuple[str, bytes]], list[Asked]]:
    """What is watched, and the others, of which each is a method that a step may ask. Raises a Refused."""
    watched: list[tuple[str, bytes]] = []
    others: list[Asked] = []
    for request in requests:
        method, params = request
        if method in STEP_METHODS:
            others.append(request)
        elif method != WATCHED:
            raise errors.BadArguments(
                f"{method[:64]!r} is no method of a step; there are {', '.join(sorted(STEP_METHODS))}"
            )
        elif len(params) != 2 or not isinstance(params[1], (str, bytes)):
            raise errors.BadArguments(f"{WATCHED} is a key and a digest")
        else:
            watched.append((checked_key(params[0]), to_bytes(params[1])))
    return watched, others


class _Step:
    """One EXEC, which takes the answers to its requests: it is their caller."""

    is_open = True
    """Also when nobody waits for its answer any more: it is carried out as a whole."""

    def __init__(
        self, methods: Mapping[str, Handler], watched: list[tuple[str, bytes]], requests: list[Asked], most_bytes: int
    ) -> None:
        self._methods = methods
        self._watched = watched
        self._requests = requests
        self._left_bytes = most_bytes - max(0, ANSWER_BYTES * len(requests) - HEADS_BYTES)
        self._left_for_errors = ERRORS_BYTES
        if self._left_bytes < 0:
            raise errors.BadArguments(f"{len(requests)} requests have too many bytes of answers")
        self._left_to_digest = DIGESTED_BYTES
        self.answers: list[Told | None] = [None] * len(requests)
        self.left = 0
        """Requests that were carried out and have no answer yet."""
        self.when_done: Callable[[], None] | None = None
        """Is called when the last one has its answer, if some come later."""
        self.keys: dict[str, bool] = {key: True for key, _ in watched}
        self.writes = False
        for number, (method, params) in enumerate(requests):
            try:
                if not params:
                    raise COMMANDS[method].wrong_count(params)
                key = checked_key(params[0])
            except errors.Refused as error:
                self.answers[number] = (errors.to_wire(error), None)
                continue
            self.keys[key] = self.keys.get(key, False) or method not in _NEEDS_NO_VALUE
            self.writes = self.writes or COMMANDS[method].access == "writer"

    def run(self, look: Look) -> bool:
        """Carries it out; whether it was, which it is not when something that is watched has changed."""
        for key, known in self._watched:
            found = look(key)
            if found.value is None if known == PRESENT else digest_of(*found) != known:
                return False
        for number, (method, params) in enumerate(self._requests):
            if self.answers[number] is None:
                self._carry_out(number, method, params, look)
        return True

    def _carry_out(self, number: int, method: str, params: tuple[Any, ...], look: Look) -> None:
        self.left += 1
        try:
            self._count(method, params, look)
            result = self._methods[method](self, number, params)
        except Exception as error:  # noqa: BLE001 - one bad request must not lose the others
            self.respond(number, errors.to_wire(meant(error, method)), None)
        else:
            if result is not LATER:
                self.respond(number, None, result)

    def _count(self, method: str, params: tuple[Any, ...], look: Look) -> None:
        """Looks at the key, if its value is needed. Raises BadArguments when there are too many bytes of answers for
        one more value, before that is read, for it may be gone afterwards."""
        if method in _NEEDS_NO_VALUE:
            return
        found = look(checked_key(params[0]))
        if method == "DIGEST" and found.value is not None:
            if self._left_to_digest < 0:
                raise errors.BadArguments("not carried out: the values to digest before it are too many bytes")
            self._left_to_digest -= len(found.value)
        if found.value is not None and (method in _TELLS_VALUE or (method == "SET" and params[-1])):
            if self._left_bytes <= 0:
                raise errors.BadArguments("not carried out: the answers before it are too many bytes")
            self._left_bytes -= len(to_bytes(found.value))

    # --- as the caller -------------------------------------------------------------------------------------------

    def respond(self, msgid: int, error: object, result: object) -> None:
        if isinstance(error, str):
            self._left_for_errors -= len(error.encode(errors="replace"))
            if self._left_for_errors < 0:
                error = error[: error.find(": ") + 2]  # its code alone, which ANSWER_BYTES has room for
        self.answers[msgid] = (error, result)
        self.settle()

    def settle(self) -> None:
        self.left -= 1
        if not self.left and self.when_done is not None:
            self.when_done()

    def hold(self, reason: Hashable) -> None:
        """Nothing more comes from it."""

    def release(self, reason: Hashable) -> None:
        """As it holds nothing."""


def _reads(store: Records) -> dict[str, Handler]:
    """What only reads: in a step it is told of the latest write, which may be of the same step, and in the mode
    ``through`` it is answered when that is committed."""

    def read(name: str, shown: Callable[[Value | None, int], object]) -> Handler:
        def handle(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            if len(params) != 1:
                raise COMMANDS[name].wrong_count(params)
            key = checked_key(params[0])
            outcome = store.update_record(key, lambda value, expires: kept(shown(value, expires)))
            if not isinstance(outcome, Waiting):
                return outcome
            answer_update(caller, msgid, outcome, None)
            return LATER

        return handle

    return {
        "GET": read("GET", lambda value, _: (False, "") if value is None else (True, value)),
        "EXISTS": read("EXISTS", lambda value, _: value is not None),
        "STRLEN": read("STRLEN", lambda value, _: 0 if value is None else len(to_bytes(value))),
        "EXPIRETIME": read("EXPIRETIME", lambda value, expires: -2 if value is None else expires or -1),
        "DIGEST": read("DIGEST", digest_of),
    }
