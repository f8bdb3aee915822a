"""The Python client: blocking calls to a primary or a secondary, one at a time or many in one write.

It needs msgpack and nothing else, whatever the rest of the program needs.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeVar, overload

from ckv.client.calls import Call, as_it_is, deleted, found, stored
from ckv.client.direct import Direct
from ckv.client.endpoint import Endpoint, Way
from ckv.client.expiring import Expiring, expires_in
from ckv.client.login import DEFAULT_PORT, SCHEME, SCHEME_OF_TLS, login, parse
from ckv.client.pipeline import Pipeline
from ckv.client.retries import Retries
from ckv.client.scanning import Scanning
from ckv.client.updates import Updates
from ckv.errors import BadSetting, CkvError, ProtocolError, Unreachable
from ckv.values import Value

if TYPE_CHECKING:
    from ckv.tls import Tls

__all__ = ["Client", "Pipeline"]

T = TypeVar("T")


class Client(Updates, Expiring, Scanning):
    """A client of one node. This docstring is its manual.

        from ckv import Client

        with Client("localhost", 8080) as client:
            client.put("bob", "bob@gmail.com")
            client.get("bob")           # 'bob@gmail.com'
            client.get("alice")         # None
            client.delete("bob")        # True
            client.incr("visits")       # 1
            client.put("code", "123456", expire=60)
            client.ttl("code")          # 59.99
            client.put_many({"a": "1", "b": "2"})
            client.get_many(["a", "x"]) # {'a': '1'}
            list(client.scan("b*"))     # ['b', 'bob']

    *Keys and values.* Both are ``str`` or ``bytes``. The keys ``"a"`` and ``b"a"`` are the same key. A value comes back
    with the type and the bytes that it was put with. A ``str`` travels as UTF-8; bytes in one that are not UTF-8 (from
    another client) are lone surrogates in Python and the same bytes on the wire (PEP 383, ``surrogateescape``). A key
    has at most 1,024 bytes and a value as many as the node allows, 1 MiB by default; the node refuses longer ones and
    other types. What msgpack cannot pack raises its ``TypeError`` or ``OverflowError`` before anything is sent.

    *Logging in.* ``Client("ckv://user:secret@host:port")``, with user and secret percent-encoded, or ``user`` and
    ``password``, which is ``default``'s where no user is named. Each connection begins with it. ``LoginFailed``: there
    is no such user with this secret; ``LoginNeeded``: the node has users; ``NotAllowed``: the user may not do this, or
    not with this key. All are kinds of ``Refused``. A node without users takes anybody.

    *TLS.* With ``ckvs://`` in the place of ``ckv://``, or with ``tls``, the connections are by TLS, and begin only
    where the node's certificate is one of the host, from an authority that the system trusts; or another one, with
    ``tls=ckv.Tls(ca=Path("ca.pem"))``. Its ``cert`` and ``key`` are the client's own, where nodes want to see one,
    and ``name`` is the name in the node's certificate where that is not the host. Otherwise it is ``Unreachable``.

    *Connecting.* The first call connects. ``connect_timeout`` (seconds) bounds that, for each address of the host.
    :meth:`close`, or the end of a ``with`` block, closes the connections; a later call makes a new one.

    *Time-outs.* ``timeout`` (seconds) bounds a call from its beginning to the end of its answer, with the wait for a
    free connection and all repeats, and without the time that connecting takes. In a pipeline it bounds the wait for
    the next answer. A late answer is never taken for another one: after a time-out the connection is dropped, or
    kept, where greenlets share it and others are answered.

    *Errors.* All of them are :class:`ckv.CkvError`, and can be imported from ``ckv``; ``error.written`` says what is
    known afterwards:

    - ``Unreachable``: there was no connection, and none could be made; or it broke, or time ran out, before the call
      was sent whole. Not written.
    - ``PoolExhausted``, a kind of ``Unreachable``: all connections were in use until the time was over. Not written.
    - ``Refused`` and its kinds (``KeyTooLong``, ``ValueTooLarge``, ``NodeDown``, ``NoRoom``, ...): the node said no.
      Not written; the connection lives on, but for ``Draining``.
    - ``CallTimeout``, ``NodeLost``: the call was sent, or perhaps a part of it, and no answer came. A PUT or DEL may or
      may not have happened, and may still happen, after calls that were made later.
    - ``ProtocolError``: the other end does not speak msgpack-RPC. Unknown.
    - ``TierUnavailable``: the database could not be asked. What that means for a GET and a DEL its docstring says.
    - ``ServerError``: an error that this client does not know. Unknown.

    *Reconnecting.* After a time-out, a loss, a protocol error or an exception from outside (Ctrl-C) the connection is
    dropped and the next call makes a new one. A connection that broke while nothing was being called (a node that was
    restarted) is replaced without an error, unless it broke within 20 ms of the call before and took the next one.

    *Repeating.* With ``retries=N`` a call that failed is sent again up to N times, after a pause of random length that
    grows from at most 50 ms to at most 1 s; no repeat begins after ``timeout``. It is sent again only if
    ``error.written`` is ``no`` and another try may help: ``Unreachable``, ``Draining``, ``NodeDown``, ``NoRoom``,
    ``Overloaded``, ``ValueUnknown``. With ``retries=10`` a node may be restarted, and most calls meanwhile only take
    longer. With 0, the default, no call is ever sent twice.

    ``retry_unknown`` names the methods that are also sent again when their outcome is unknown, because the connection
    broke. ``("GET",)`` is always safe. ``("GET", "PUT")`` is for keys with one writer at a time, or where the order of
    writers does not matter: the first PUT may have happened, or may still happen, and another client's PUT in between
    would be overwritten with the older value. DEL cannot be named, for its second answer would not be true, and no
    update, for it might be carried out twice. A call that
    got no answer in all of ``timeout`` is not sent again. In a pipeline no call is sent again that would overtake a
    later one on the same key.

    *Updates.* :meth:`incr`, :meth:`incr_float`, :meth:`append`, :meth:`add`, :meth:`replace`, :meth:`compare_and_put`,
    :meth:`get_and_put`, :meth:`pop` and :meth:`delete_if` read a record and write it in one step, which nothing comes
    between. They are sent again only when they were not carried out, whatever ``retry_unknown`` says: nothing is
    counted twice. ``ValueUnknown``, a kind of ``Refused``: the value could not be read, and nothing was written.

    *Records that expire.* With ``expire`` (seconds from now, above 0, by the clock of this machine) a record is gone
    after that; without, or with ``None``, it stays. Whatever stores a value sets that anew, so a :meth:`put` without it
    ends an expiry; :meth:`incr`, :meth:`incr_float` and :meth:`append` leave it as it is. :meth:`expire`,
    :meth:`persist` and :meth:`ttl` are about a record that is there.

    *Going to the owners.* With ``direct=True`` the client asks the primary who owns which keys, and calls about one key
    go to its owner, which spares the primary and is quicker; pipelines and :meth:`get_many` are divided, and all owners
    are asked at the same time. What an owner refuses, because the key is another one's by now or is on its way, was not
    carried out and is asked of the new owner, or of the primary, within ``timeout``; so are the keys of a node that is
    gone or cannot be reached from here: to reach owners takes half of the time at most. What is too large to leave,
    or to arrive, at once (some MiB) may have to wait until other owners have answered, and has its ``timeout`` from
    then on. The errors mean what they do without; ``max_connections`` counts for each node. The order of calls is
    the same, also between clients with and without: a call of a pipeline that is about no one key, such as ``EXEC`` or
    ``DBSIZE``, is sent when all before it are answered, and those behind it when it is, which costs round trips. Where
    the node does not say who owns what (it is a secondary, or older than that) all calls go there, which is logged
    once.

    *Pipelining.* :meth:`pipeline` collects calls and sends them in one go: many calls cost one round trip.

    *Threads and gevent.* A client may be shared by threads. Each call, and each pipeline, takes a connection for
    itself; when all ``max_connections`` (32 by default) are taken, callers wait in a queue. A connection is made only
    when no other one is free, and kept until :meth:`close`, or until the node closes it. The calls of a thread happen
    in its order. Where gevent has patched the sockets (``gevent.monkey.patch_all()``, before this module is imported)
    the same holds for greenlets, which *share* one of the connections for calls of up to 16 KiB, unless there is only
    one, or TLS: many calls leave in one write, and none waits for another one's answer. When it breaks, all of them
    are lost.

    *Forks.* A process that is forked (``os.fork``, ``multiprocessing``, a web server that loads the program before it
    forks) may go on with the client, over connections of its own. Those of the parent are closed in the child and not
    shut down, so the parent does not notice. Calls of other threads exist in the parent alone.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        user: str | None = None,
        password: Value | None = None,
        tls: Tls | None = None,
        timeout: float = 10.0,
        connect_timeout: float = 5.0,
        max_connections: int = 32,  # as many as a ThreadPoolExecutor has threads by default, at most
        retries: int = 0,
        retry_unknown: Collection[str] = (),
        direct: bool = False,
    ) -> None:
        """Raises ValueError for a number out of its range, an address that is none, a file of ``tls`` that is
        none, or a method that cannot be repeated."""
        account = login(user, password)
        if host.startswith(SCHEME_OF_TLS) and tls is None:
            from ckv.tls import Tls

            tls = Tls()
        if host.startswith((SCHEME, SCHEME_OF_TLS)):
            if account is not None or port is not None:
                raise ValueError("an address with all of it, and a part of it beside: allowed is either")
            host, port, account = parse(host)
        if port is None:
            port = DEFAULT_PORT
        # "not" also for what is no number.
        if not 0 < timeout <= threading.TIMEOUT_MAX or not 0 < connect_timeout <= threading.TIMEOUT_MAX:
            raise ValueError("a time-out is a number of seconds above 0")
        if not 0 < port < 2**16:
            raise ValueError(f"port={port!r}: allowed is 1 to 65535")
        if max_connections < 1:
            raise ValueError(f"max_connections={max_connections!r}: allowed is 1 or more")
        self.host: Final = host
        self.port: Final = port
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self._retries: Final = Retries(retries, retry_unknown)
        if tls is not None:
            try:
                _ = tls.context  # which reads the files
            except BadSetting as error:
                raise ValueError(str(error)) from None
        node = Endpoint(host, port, max_connections, account, tls)
        self._way: Way = Direct(node, max_connections) if direct else node
        _clients.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if (way := getattr(self, "_way", None)) is not None:
            way.retire()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.host}:{self.port}: {self._way!r}>"

    @overload
    def get(self, key: Value, default: None = None) -> Value | None: ...

    @overload
    def get(self, key: Value, default: T) -> Value | T: ...

    def get(self, key: Value, default: object = None) -> object:
        """The value of the key; ``default`` if there is none."""
        return self._one("GET", (key,), lambda result: found(result, default))

    def put(self, key: Value, value: Value, *, expire: float | None = None) -> None:
        """Store the value under the key, replacing what was there."""
        if expire is None:
            self._one("PUT", (key, value), stored)
        else:
            self._one("PUTEX", (key, value, expires_in(expire)), stored)

    def delete(self, key: Value) -> bool:
        """Delete the key; whether there was one."""
        return bool(self._one("DEL", (key,), deleted))

    def ping(self) -> None:
        """Return if the node itself answers; it asks no other node."""
        if (answer := self.call("PING")) != "PONG":
            raise ProtocolError(f"a PING was answered with {type(answer).__name__}, not PONG")

    def call(self, method: str, *params: object) -> object:
        """Call any method; its result as msgpack gives it. For what this class has no method for."""
        return self._one(method, params, as_it_is)

    def pipeline(self) -> Pipeline:
        """A new, empty :class:`Pipeline` on this client."""
        return Pipeline(self._exchange)

    def close(self) -> None:
        """Close the connections, without waiting: one that another thread has a call on is closed when that is over."""
        self._way.close()

    def _one(self, method: str, params: tuple[object, ...], read: Callable[[object], object]) -> object:
        call = Call(method, params, read)
        result: object
        if self._retries.count:
            (result,) = self._exchange([call])
        else:
            result = self._way.single(call, self.timeout, time.monotonic() + self.timeout, self.connect_timeout)
        if isinstance(result, CkvError):
            raise result
        return result

    def _exchange(self, calls: Sequence[Call]) -> list[object]:
        """The result of each call, or its :class:`CkvError`; raises only ``Unreachable``, when nothing was sent."""
        way, deadline = self._way, time.monotonic() + self.timeout
        results: list[object] = [None] * len(calls)
        pending = list(range(len(calls)))
        reached = False
        for attempt in range(self._retries.count + 1):
            unreachable = None
            try:
                again = [calls[index] for index in pending]
                answers = way.exchange(again, self.timeout, deadline, self.connect_timeout)
                reached = True
            except Unreachable as error:
                unreachable = error
                answers = [type(error)(*error.args) for _ in pending]
            for index, answer in zip(pending, answers, strict=True):
                results[index] = answer
            if attempt == self._retries.count:
                break
            pending = self._retries.again(calls, results, pending)
            pause = self._retries.pause(attempt)
            # A fork meanwhile: the original repeats this call, and a copy must not.
            if not pending or time.monotonic() + pause >= deadline or way is not self._way:
                break
            time.sleep(pause)
        if unreachable is not None and not reached:
            raise unreachable
        return results


_clients: Final[weakref.WeakSet[Client]] = weakref.WeakSet()
"""All of this process, to be told of a fork."""


def _forked() -> None:
    """In a process that was forked just now, before anything else runs in it.

    It would share its connections with its parent, and read the answers to the other's calls. To compare the process
    id at each call would find that out as well, but not free a lock that a thread held that is not here any more.
    """
    for client in list(_clients):
        client._way = client._way.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
