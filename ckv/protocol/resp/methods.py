"""What all RESP sessions of a server share: the commands, their limits, and who is connected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ckv import errors
from ckv.protocol.defects import meant
from ckv.protocol.limits import Limits
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import ReplyError, error, error_of
from ckv.protocol.slow import NEVER, SlowLog

CarryOut = Callable[[Any, Request], Any]
"""Carries out a command, given the session (:class:`~ckv.protocol.resp.session.RespSession`) and the whole request.

Returns the bytes of its answer, or what the session's ``wait()`` returned; raises
:class:`~ckv.protocol.resp.replies.ReplyError` or a :class:`~ckv.errors.CkvError`.
"""


@dataclass(slots=True)
class Transaction:
    """What a client has sent since MULTI."""

    requests: list[Request] = field(default_factory=list)
    """Those that EXEC is to carry out."""

    size: int = 0
    """The memory that they take, in bytes, about."""

    is_aborted: bool = False
    """Whether there was one that cannot be carried out, so that EXEC will carry out none."""


MAX_SHOWN: Final = 64
"""Characters of what somebody has sent that an error repeats."""


@dataclass(frozen=True, slots=True)
class RespCommand:
    """A command of Redis as the session sees it."""

    carry_out: CarryOut
    needs: frozenset[str]
    """The methods of the node without which it cannot be carried out."""


@dataclass(slots=True)
class Connected:
    """The :class:`~ckv.protocol.resp.session.RespSession` of each client of a node, in the order in which they came."""

    sessions: dict[int, Any] = field(default_factory=dict)
    last: int = 0

    def add(self, session: object) -> int:
        """Notes that it is there; its number, which no other one has or had."""
        self.last += 1
        self.sessions[self.last] = session
        return self.last

    def drop(self, number: int) -> None:
        """Notes that it is gone."""
        self.sessions.pop(number, None)


class RespMethods:
    """The commands, which may be refused for a time."""

    def __init__(
        self,
        commands: Mapping[str, RespCommand],
        limits: Limits,
        connected: Connected,
        no_command: Callable[[Request], str],
        slow: SlowLog = NEVER,
        keys_of: Callable[[Request], int] | None = None,
    ) -> None:
        """``commands`` by their names in lower case. ``no_command`` says what is wrong with one that is not there.
        ``slow``: where is noted what took long. ``keys_of``: how many keys a request names, where they are counted."""
        self.limits = limits
        self.slow = slow
        self.connected = connected
        self.no_command = no_command
        self._rows = dict(commands)
        self._all = _spelled({name: row.carry_out for name, row in commands.items()})
        self.commands = self._all
        """By the two usual spellings of their names."""
        self.requests = 0
        """Requests that came to the sessions."""
        self.more_keys = 0
        """Keys that they named beyond one each, where these are counted."""
        self._keys_of = keys_of
        self._refusal: errors.Refused | None = None
        self._kept: frozenset[str] = frozenset()
        """The methods that are not refused."""

    def count(self, requests: Sequence[Request]) -> None:
        """Takes note that these came to a session."""
        self.requests += len(requests)
        if self._keys_of is not None:
            self.more_keys += sum(max(0, self._keys_of(request) - 1) for request in requests)

    def find(self, name: bytes) -> CarryOut | None:
        """The command with this name, however it is spelled."""
        return self.commands.get(name.lower())

    def refuse_everything(self, refusal: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on every command is answered with this error, but those that need none of the node's methods, or
        only these."""
        self._refusal = refusal
        self._kept = kept = frozenset(but)

        def refuse(_session: object, _request: Request) -> bytes:
            raise refusal

        self.commands = _spelled(
            {name: row.carry_out if row.needs <= kept else refuse for name, row in self._rows.items()}
        )

    def refuse_nothing(self) -> None:
        """Takes that back."""
        self._refusal = None
        self.commands = self._all

    def refusal_of(self, name: bytes) -> errors.Refused | None:
        """What the command with this name is refused with at this time, if it is."""
        command = self._rows.get(shown(name).lower())
        return None if command is None or command.needs <= self._kept else self._refusal

    def failed(self, raised: Exception, request: Request) -> bytes:
        """The answer to a request whose command raised this."""
        if isinstance(raised, ReplyError):
            return error(str(raised))
        return error_of(errors.to_wire(meant(raised, shown(request[0]))))


def unknown(session: Any, request: Request) -> bytes:
    """In the place of a command that is not there."""
    return error(session.no_command(request))


def nothing(_session: Any, _request: Request) -> bytes:
    """In the place of one that is not answered."""
    return b""


def shown(data: bytes) -> str:
    """What somebody has sent, in an error."""
    text = data[:MAX_SHOWN].decode("utf-8", "replace")
    return text if len(data) <= MAX_SHOWN else f"{text}..."


def _spelled(commands: dict[str, CarryOut]) -> dict[bytes, CarryOut]:
    return {spelled.encode(): command for name, command in commands.items() for spelled in (name, name.upper())}
