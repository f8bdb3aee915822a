"""Every error that ckv raises or answers, one class each: when it is raised, and what is known afterwards.

An error travels over the wire as one string, ``Code: text``, where the code is the name of the class. Whoever catches
one needs to know a single thing: *was it written?* Each class says so in :attr:`CkvError.written`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

__all__ = [
    "BadArguments", "CallTimeout", "CkvError", "CommitTimeout", "CrossNode", "Draining", "KeyTooLong",
    "LoginFailed", "LoginNeeded", "Moving", "NoRoom", "NodeDown", "NodeLost", "NotANumber", "NotAllowed",
    "NotOwner", "OutcomeUnknown", "Overloaded", "PoolExhausted", "ProtocolError", "Refused", "RowsRefused",
    "ServerError", "Starting", "TierError", "TierUnavailable", "UnknownMethod", "Unreachable", "ValueTooLarge",
    "ValueUnknown",
]  # fmt: skip
"""What a client can meet: ``ckv`` has these too."""


class CkvError(Exception):
    """The root of all of them."""

    written: ClassVar[Literal["no", "yes", "unknown"]] = "unknown"
    """Whether the call that failed took effect: ``no``, ``yes`` or ``unknown``."""

    transient: ClassVar[bool] = False
    """Whether the same call may succeed a moment later."""


class BadSetting(CkvError):
    """An argument, an option or an environment variable has a value that is not allowed. Nothing was started."""

    written = "no"


class Refused(CkvError):
    """A node understood the request and did not carry it out. Nothing was written; asking again is safe."""

    written = "no"


class LoginNeeded(Refused):
    """The node has users, and nobody has logged in over this connection."""


class LoginFailed(Refused):
    """There is no user of this name with this secret."""


class NotAllowed(Refused):
    """The user who has logged in may not do this, or not with this key."""


class UnknownMethod(Refused):
    """The method is not in the command table (:mod:`ckv.commands`)."""


class BadArguments(Refused):
    """The count or the types of the arguments are not those of the command."""


class KeyTooLong(Refused):
    """The key has more bytes than a key may have."""


class ValueTooLarge(Refused):
    """The value has more bytes than ``--max-value-bytes`` allows."""


class NotANumber(Refused):
    """The value, or the amount, is not a number that INCRBY or INCRBYFLOAT takes, or their sum would be none."""


class CrossNode(Refused):
    """The request has to be one step, or compares before it writes, and its keys are on several nodes."""


class Draining(Refused):
    """The node, or the owner of the key, was told to stop and takes no further requests."""

    transient = True


class Starting(Refused):
    """Another process of the node's name has still something to save, or may have: the node waits for its end."""

    transient = True


class WrongNode(Refused):
    """The node has records of another share of the keys than the one for which the primary takes it. Between nodes."""


class NotOwner(Refused):
    """The node does not serve the slot of the key now. The text begins with the version of its map. Between nodes, and
    towards clients that ask a secondary of a registered cluster by themselves."""


class Moving(Refused):
    """The slot of the key is on its way from one node to another one, for longer than a request may wait for it."""

    transient = True


class NoRoom(Refused):
    """The records that wait for the persistent tier fill their bound, and no room came free in time."""

    transient = True


class ValueUnknown(Refused):
    """An update needs the value, which only the persistent tier has, and that could not be asked, or not in time.

    In the write mode ``through`` also: a write of the same key did not come to an end in time.
    """

    transient = True


class Overloaded(Refused):
    """Too much is on its way already: to a node that does not keep up, or to a client that does not read."""

    transient = True


class NodeDown(Refused):
    """The owner of the key is not connected, and was not within ``--node-wait``. The request was not sent to it."""

    transient = True


class OutcomeUnknown(CkvError):
    """The request was sent and no answer came. A GET can be repeated; a PUT or DEL may or may not have happened."""

    transient = True


class NodeLost(OutcomeUnknown):
    """The connection to the owner of the key broke while the request was on its way."""


class CallTimeout(OutcomeUnknown):
    """No answer came within the time-out."""


class CommitTimeout(OutcomeUnknown):
    """In the write mode ``through``: the persistent tier did not commit in time.

    The write stays queued, and is committed when the persistent tier can be reached again.
    """


class TierError(CkvError):
    """The root of what the persistent tier raises."""


class TierUnavailable(TierError):
    """The persistent tier cannot be asked now: unreachable, restarting, deadlocked, out of connections.

    Raised towards a client by a GET that only the persistent tier could answer (nothing is known about the record),
    and by a DEL of a record that was only there: it *is* deleted, and whether there was one is not known. Raised
    towards the store by a write, it says that the batch may or may not have been committed; writing it again is safe.
    """

    transient = True
    number = 0
    """The server's or its driver's number of the reason; 0 where there is none."""
    silent = False
    """No answer came in time: nothing says whether it is there."""
    login_refused = False
    """The server does not let the account in. Trying often may get it blocked."""


class WriteFailed(TierUnavailable):
    """The persistent tier answered a write with an error of which nobody can tell whose fault it is.

    Nothing was written, and the session can be used further. The write may be too much at once, a row may be refused
    under a number that is not known as such, or nothing can be written at all.
    """


class SessionLost(TierUnavailable):
    """The connection broke, or nothing was heard for too long, while the persistent tier had something to do."""


class Fenced(TierUnavailable):
    """Another process has taken the name of this node: nothing that this one has not saved can be saved any more.

    It stays inside of the node, which ends.
    """

    written = "no"
    transient = False


class Forbidden(TierUnavailable):
    """The account may not do what comes before everything else: somebody has to grant it.

    It stays inside of the node, which says so and serves nobody.
    """

    transient = False


class RowsRefused(TierError):
    """The persistent tier refuses the data itself (a row too long for its column); trying again cannot help.

    Nothing of the batch was written, and the store bisects it to find the row. A client meets it in the write mode
    ``through``.
    """

    written = "no"


class ProtocolError(CkvError):
    """The bytes that arrived are not msgpack-RPC. The connection is closed; calls in flight have an unknown outcome."""


class Unreachable(CkvError):
    """No connection could be made, or it broke before the request was sent whole."""

    written = "no"
    transient = True


class PoolExhausted(Unreachable):
    """All connections of the client were in use until the time of the call was over."""


class ServerError(CkvError):
    """A node answered with an error that this version of the client does not know."""


def to_wire(error: CkvError) -> str:
    """The string that stands for the error in a response."""
    return f"{type(error).__name__}: {error}"


def from_wire(answer: object) -> CkvError:
    """The error that an error response stands for; :class:`ServerError` for one that is not ours."""
    if isinstance(answer, bytes):
        answer = answer.decode("utf-8", "replace")
    if isinstance(answer, str):
        code, colon, text = answer.partition(": ")
        known = globals().get(code)
        if colon and isinstance(known, type) and issubclass(known, CkvError):
            return known(text)
    return ServerError(str(answer))
