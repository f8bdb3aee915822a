"""Many calls in one write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from ckv.client.calls import Call, as_it_is, deleted, found, stored
from ckv.client.expiring import expires_in
from ckv.errors import CkvError
from ckv.values import Value


class Pipeline:
    """Calls that are collected and then sent in one go; made by :meth:`Client.pipeline`.

        with client.pipeline() as batch:
            batch.put("a", "1")
            batch.get("b")
            stored, value = batch.execute()     # [None, None]: a PUT has no result, and there is no "b"

    The calls have the arguments and results of the methods of :class:`Client`. They are no transaction: some may work
    and others fail, and calls on different keys may take effect in any order. A ``with`` block that ends without an
    exception executes what was not executed yet.

    A pipeline belongs to one thread, and takes one connection while it is executed, with ``direct=True`` one to each
    owner. A fork copies what was collected, as it copies a list: whoever executes it sends it.
    """

    def __init__(self, send: Callable[[list[Call]], list[Any]]) -> None:
        self._send = send
        self._calls: list[Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.execute()

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._calls)} calls>"

    def get(self, key: Value, default: object = None) -> None:
        """Add a GET; its result is the value, or ``default``."""
        self._calls.append(Call("GET", (key,), lambda result: found(result, default)))

    def put(self, key: Value, value: Value, *, expire: float | None = None) -> None:
        """Add a PUT; its result is ``None``. The time until it expires begins now."""
        if expire is None:
            self._calls.append(Call("PUT", (key, value), stored))
        else:
            self._calls.append(Call("PUTEX", (key, value, expires_in(expire)), stored))

    def delete(self, key: Value) -> None:
        """Add a DEL; its result is whether there was one."""
        self._calls.append(Call("DEL", (key,), deleted))

    def call(self, method: str, *params: object) -> None:
        """Add a call of any method; its result is as msgpack gives it."""
        self._calls.append(Call(method, params, as_it_is))

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Send the calls, and return their results in the order in which they were added; then it is empty again.

        All answers are awaited. Then the first error is raised, or, with ``raise_on_error=False``, each one stands in
        the place of its result. When the connection is lost on the way, the calls without an answer have that error,
        and those that were not sent whole have ``Unreachable``. If no connection could be had at all, ``Unreachable``
        is raised either way.
        """
        calls, self._calls = self._calls, []
        results = self._send(calls) if calls else []
        failed = next((result for result in results if isinstance(result, CkvError)), None)
        if failed is not None and raise_on_error:
            raise failed
        return results
