"""One connection that greenlets share, where gevent has patched the sockets.

What they ask in one turn of the loop leaves in one write, and one read brings the answers to many of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.hub import Waiter

from ckv.client.calls import Call
from ckv.client.connection import CHUNK_BYTES, STALE_AFTER, SURELY_FITS, Connection
from ckv.client.sockets import is_stale
from ckv.errors import CkvError, NodeLost
from ckv.protocol.packing import MSGIDS, REQUEST

_READ: Final = 1
_WRITE: Final = 2


class Shared:
    """Takes a connection over that has answered, and has it until all is answered after it was :attr:`retired`.

    A call that it does not take, or could not send, is left to whoever calls, for another connection.
    """

    def __init__(self, connection: Connection, give_back: Callable[[Connection], None]) -> None:
        assert connection.socket is not None
        self._connection: Final = connection
        self.introduction: Final = connection.introduced
        """What the node was told over it."""
        self._give_back: Final = give_back
        self._socket: Final = connection.socket
        self._socket.settimeout(0)
        self._hub: Any = gevent.get_hub()
        loop = self._hub.loop
        # None of them keeps a program from its end; that does the timer, as long as somebody waits.
        self._reads: Any = loop.io(self._socket.fileno(), _READ, ref=False)
        self._writes: Any = loop.io(self._socket.fileno(), _WRITE, ref=False)
        self._timer: Any = loop.timer(0)
        self._waiting: Final[dict[int, Call]] = {}
        """Also those that have left and that nobody waits for any more: their answers will come."""
        self._callers = 0
        self._unsent: Final[dict[int, bytes]] = {}
        """What the system has not taken yet, by msgid: nobody can have carried it out."""
        self._begun: int | None = None
        """Of which call a part has left, if it is among the unsent: it is the first."""
        self._idle = False
        """Whether nothing was under way before what is unsent."""
        self._due = 0.0
        """When the timer comes."""
        self.retired = False
        self._reads.start(self._read)

    def takes(self, call: Call, timeout: float, deadline: float) -> bool:
        """Makes the call, if it takes it and can send it: whether it is over.

        It may take ``timeout`` seconds, until the deadline of the monotonic clock.
        """
        if gevent.get_hub() is not self._hub:
            return False
        connection = self._connection
        msgid = connection.last_id = (connection.last_id + 1) % MSGIDS
        request = connection.packer.pack((REQUEST, msgid, call.method, call.params))
        if len(request) > SURELY_FITS:
            return False
        if not self._unsent:
            self._idle = not self._waiting
            self._hub.loop.run_callback(self._send)
        self._unsent[msgid] = request
        call.msgid, call.timeout, call.deadline = msgid, timeout, deadline
        waiter: Any = Waiter(self._hub)
        call.waiter = waiter
        self._waiting[msgid] = call
        self._callers += 1
        if self._callers == 1 or deadline < self._due:
            self._watch(deadline)
        try:
            return bool(waiter.get())
        except BaseException:  # a kill, or a gevent time-out around the call
            self._abandon(call)
            raise
        finally:
            call.waiter = None
            self._callers -= 1
            if not self._callers:
                self._timer.stop()
                if self.retired:
                    self.retire()

    def retire(self) -> None:
        """Takes no more calls, and ends when those under way are over. Safe to call twice."""
        self.retired = True
        if not self._callers and self._connection.connected:
            self._end(NodeLost("the client was closed"))

    def forked(self) -> None:
        """Lets go of everything in the process that a fork has made, where copies of the callers may be."""
        self._break_off(NodeLost("the process was forked during the call"))

    # --- callbacks of the loop -------------------------------------------------------------------------------------

    def _send(self) -> None:
        if not self._unsent:  # it has ended, or nobody waits any more for what there was
            self._writes.stop()
            return
        data, count = b"".join(self._unsent.values()), 0
        try:
            if self._idle and time.monotonic() - self._connection.used > STALE_AFTER and is_stale(self._socket):
                raise NodeLost("it broke while it was idle")
            count = self._socket.send(data)
        except BlockingIOError:
            pass
        except (CkvError, OSError) as error:
            self._end(error)
            return
        self._idle = False
        if count == len(data):
            self._unsent.clear()
            self._writes.stop()
            return
        self._took_off(count)
        if not self._writes.active:
            self._writes.start(self._send)

    def _took_off(self, count: int) -> None:
        """The system took so many bytes of what was unsent, and not all."""
        for msgid, request in list(self._unsent.items()):
            if count < len(request):
                if count:
                    self._unsent[msgid], self._begun = request[count:], msgid
                return
            del self._unsent[msgid]
            count -= len(request)

    def _read(self) -> None:
        settled: list[Call] = []
        try:
            data = self._socket.recv(CHUNK_BYTES)
            if not data:
                raise NodeLost(f"{self._connection.name} closed the connection")
            self.retired |= self._connection.settle(data, self._waiting, settled)
            self._connection.used = time.monotonic()
        except BlockingIOError:
            return
        except (CkvError, OSError) as error:
            self._end(error)
        for call in settled:
            if call.waiter is not None:
                call.waiter.switch(True)
        if self.retired:
            self.retire()

    def _watch(self, deadline: float) -> None:
        self._due = deadline
        self._timer.stop()
        self._timer = self._hub.loop.timer(max(0.0, deadline - time.monotonic()))
        self._timer.start(self._expire)

    def _expire(self) -> None:
        """Ends the calls whose time is over."""
        now, first = time.monotonic(), float("inf")
        for call in list(self._waiting.values()):
            if call.waiter is None:
                continue
            if call.deadline > now:
                first = min(first, call.deadline)
                continue
            self._fail(call, TimeoutError(), self._abandon(call))
        if first < float("inf"):
            self._watch(first)

    def _abandon(self, call: Call) -> bool:
        """Nobody waits for this call any more: whether it may be carried out, as a part of it, or all, has left.

        If nothing has left, nothing will, for its caller is told so and may make it again. Of one that has begun to
        leave the rest follows, for those of others come after it.
        """
        # If nothing came since it was made, perhaps nobody is there.
        self.retired |= self._connection.used < call.deadline - call.timeout
        if call.msgid not in self._unsent or call.msgid == self._begun:
            return True
        del self._unsent[call.msgid], self._waiting[call.msgid]
        return False

    # --- the end ---------------------------------------------------------------------------------------------------

    def _fail(self, call: Call, error: CkvError | OSError, sent: bool) -> None:
        waiter, call.waiter = call.waiter, None
        if waiter is not None:
            call.result = self._connection.failure(error, sent, call.timeout)
            # Not at once: this may be anybody's greenlet.
            self._hub.loop.run_callback(waiter.switch, sent or isinstance(error, TimeoutError))

    def _end(self, error: CkvError | OSError) -> None:
        self._break_off(error)
        self._give_back(self._connection)

    def _break_off(self, error: CkvError | OSError) -> None:
        self.retired = True
        for watcher in (self._reads, self._writes, self._timer):
            watcher.stop()
        self._connection.drop()
        for call in self._waiting.values():
            self._fail(call, error, call.msgid not in self._unsent)
        self._waiting.clear()
        self._unsent.clear()
