"""What a secondary says to its primary: it joins the cluster, says each second that it lives, and takes its leave.

:class:`ckv.cluster.member.Member` decides what is said. Here is the connection over which it goes, one message after
the other: an answer that is late keeps nothing waiting but the next message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import gevent
import gevent.socket
import msgpack
from gevent.queue import SimpleQueue

from ckv import errors
from ckv.address import Address
from ckv.cluster.member import Member
from ckv.cluster.messages import (
    BEAT,
    JOIN,
    LEAVE,
    Answer,
    Beat,
    Join,
    Joined,
    Leave,
    NoEntry,
    Static,
    unpack_answer,
)
from ckv.net.connecting import connect
from ckv.protocol.greeting import calls
from ckv.protocol.limits import RECV_BYTES, Limits
from ckv.protocol.messages import new_answers_unpacker
from ckv.protocol.packing import REQUEST, RESPONSE, new_packer

log = logging.getLogger(__name__)

ANSWER_TIMEOUT: Final = 2.0
"""Seconds for an answer. The connection is made anew after that."""

_METHODS: Final = {Join: JOIN, Beat: BEAT, Leave: LEAVE}


class Membership:
    """The way to the primary."""

    def __init__(self, member: Member, primary: Address, limits: Limits, carry_out: Callable[[], None]) -> None:
        """``carry_out``: is called after whatever may have changed what the ``member`` wants to have done."""
        self._member = member
        self._primary = primary
        self._limits = limits
        self._carry_out = carry_out
        self._said: SimpleQueue[Join | Beat | Leave] = SimpleQueue()
        self._sock: Any = None
        self._to = primary
        self._unpacker: msgpack.Unpacker
        self._number = 0
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._why = ""
        """What was logged last about not being taken in."""

    def start(self) -> None:
        """Sends what there is to say from now on, until :meth:`close`."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def close(self) -> None:
        """Says nothing more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._disconnect()

    def tell(self, message: Join | Beat | Leave) -> None:
        """Sends it, when what came before it is answered."""
        self._said.put(message)

    def _run(self) -> None:
        while True:
            message = self._said.get()
            asked_at, answer = self._exchange(message)
            now = time.monotonic()
            was_joined = self._member.joined
            self._member.answered(message, answer, asked_at, now)
            if answer is None:
                self._member.lost(now)
            self._note(answer, was_joined)
            self._carry_out()

    def _note(self, answer: Answer | None, was_joined: bool) -> None:
        """What the log says of it."""
        match answer:
            case Joined(incarnation):
                self._why = ""
                log.info(
                    "%s the cluster of %s as %s, incarnation %d",
                    *("known again in" if was_joined else "joined", self._to, self._member.identity.name, incarnation),
                )
            case NoEntry(why) if why != self._why:
                self._why = why
                log.error("%s does not take this node in: %s", self._to, why)
            case Static():
                self._disconnect()
                if was_joined:
                    log.error(
                        "%s has a list of its secondaries now, and this node is of a cluster without one", self._to
                    )
                else:
                    log.debug("%s has a list of its secondaries", self._to)

    def _exchange(self, message: Join | Beat | Leave) -> tuple[float, Answer | None]:
        """When it was sent, and the answer; None if there was none, or an error."""
        asked_at = time.monotonic()
        try:
            self._connect()
            if isinstance(message, Join) and not message.host:
                # Where this node is reached: as it is seen from there.
                self._member.identity.host = self._sock.getsockname()[0]
                message = message._replace(host=self._member.identity.host)
            asked_at = time.monotonic()
            with gevent.Timeout(ANSWER_TIMEOUT, errors.CallTimeout(f"no answer within {ANSWER_TIMEOUT:g} s")):
                return asked_at, unpack_answer(self._call(_METHODS[type(message)], message.pack()))
        except errors.UnknownMethod:
            return asked_at, Static()  # it is older than clusters
        except errors.Refused as error:
            log.debug("%s did not answer %s: %s", self._to, type(message).__name__, error)
        except (errors.CkvError, OSError, ValueError, msgpack.UnpackException) as error:
            log.debug("%s did not answer %s: %s", self._to, type(message).__name__, error)
            self._disconnect()
            self._member.leader = None  # the primary may know another one
        return asked_at, None

    # --- the connection ----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Raises Unreachable."""
        to = Address(*self._member.leader) if self._member.leader is not None else self._primary
        if self._sock is not None and to == self._to:
            return
        self._disconnect()
        self._to = to
        plain = connect(to, self._limits, calls()).sock
        self._sock = gevent.socket.socket(plain.family, plain.type, fileno=plain.detach())
        self._sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        self._unpacker = new_answers_unpacker(self._limits)

    def _disconnect(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _call(self, method: str, params: list[object]) -> object:
        """The result. Raises what the primary answers, NodeLost, ProtocolError, OSError and what msgpack raises."""
        self._number += 1
        self._sock.sendall(new_packer().pack((REQUEST, self._number, method, params)))
        while True:
            for message in self._unpacker:
                match message:
                    case (kind, number, error, result) if kind == RESPONSE and number == self._number:
                        if error is not None:
                            raise errors.from_wire(error)
                        return result
                raise errors.ProtocolError("not the answer to what was asked")
            data = self._sock.recv(RECV_BYTES)
            if not data:
                raise errors.NodeLost("closed by the peer")
            self._unpacker.feed(data)
