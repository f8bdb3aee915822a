"""Any mix of requests, alone and in BATCHes, through a real primary: one answer for each, and the right one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ckv.protocol.batch import BATCH_RESULT_CHARACTERS
from ckv.protocol.limits import BULKY_BYTES, MAX_PARTS_BYTES
from tests.support.nodes import Cluster, Nodes
from tests.support.wire import RawClient, pack

CLIENTS = 3

Answer = tuple[Any, Any]
"""(the code of the error, the result)"""

sizes = st.sampled_from([
    0, 1, 20, 1000, BULKY_BYTES - 10, BULKY_BYTES, BULKY_BYTES + 1, BATCH_RESULT_CHARACTERS, 2 * MAX_PARTS_BYTES,
])  # fmt: skip
letters = st.sampled_from(["x", "é", "\U0001f600", b"\xff"])
requests = st.one_of(
    st.tuples(st.just("PUT"), st.integers(0, 30), sizes, letters),
    st.tuples(st.just("GET"), st.integers(0, 30)),
    st.tuples(st.just("DEL"), st.integers(0, 30)),
    st.tuples(st.sampled_from(["PING", "AUDIT", "NONE", "SHORT"])),
)
groups = st.tuples(st.integers(0, CLIENTS - 1), st.booleans(), st.lists(requests, min_size=1, max_size=60))
"""Requests that one client sends, in one BATCH or each by itself."""

examples = itertools.count()


class Model:
    """What one client's keys hold."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._records: dict[str, Any] = {}
        self._touched: set[str] = set()
        self._written = 0

    def new_round(self) -> None:
        self._touched.clear()

    def fresh(self, request: tuple[Any, ...]) -> bool:
        """Whether no other request of this round was for the same key."""
        if len(request) == 1:
            return True
        fresh = request[1] not in self._touched
        self._touched.add(request[1])
        return fresh

    def expect(self, request: tuple[Any, ...]) -> tuple[str, list[Any], Answer]:
        """The request as it is sent, and its answer."""
        method = request[0]
        match request:
            case "PUT", number, size, letter:
                key = f"{self._prefix}{number}"
                self._written += 1
                mark: Any = f"{self._written}:" if isinstance(letter, str) else b"%d:" % self._written
                self._records[key] = (mark + letter * size)[: max(size, len(mark))]
                return method, [key, self._records[key]], (None, True)
            case "GET", number:
                key = f"{self._prefix}{number}"
                return method, [key], (None, [True, self._records[key]] if key in self._records else [False, ""])
            case "DEL", number:
                key = f"{self._prefix}{number}"
                return method, [key], (None, self._records.pop(key, None) is not None)
            case ("PING",):
                return method, [], (None, "PONG")
            case ("AUDIT",):
                return method, [0, 1], ("Refused", None)
            case ("SHORT",):
                return "PUT", ["only a key"], ("BadArguments", None)
        return method, [], ("UnknownMethod", None)


class Client:
    """Sends messages, and pairs the answers with the requests."""

    def __init__(self, address: str) -> None:
        self.raw = RawClient(address)
        self._msgid = 0
        self._batches: dict[int, int] = {}
        self._open: set[int] = set()
        self._messages: list[bytes] = []
        self.expected: dict[int, Answer] = {}

    def add(self, group: list[tuple[str, list[Any], Answer]], in_batch: bool) -> None:
        """To be sent next: in one BATCH, or in several if the node would not take one of that length."""
        inner = [part for method, params, _ in group for part in (method, params)]
        if in_batch and len(pack(inner)) > MAX_PARTS_BYTES:
            half = len(group) // 2
            self.add(group[:half], half > 0)
            self.add(group[half:], half > 0)
            return
        if in_batch:
            own = self._next()
            self._batches[own] = len(group)
            self._messages.append(pack([0, own, "BATCH", inner]))
        for method, params, answer in group:
            msgid = self._next()
            self.expected[msgid] = answer
            if not in_batch:
                self._open.add(msgid)
                self._messages.append(pack([0, msgid, method, params]))

    def _next(self) -> int:
        self._msgid += 1
        return self._msgid

    def send(self) -> threading.Thread:
        """All of it in one go, while somebody reads."""
        messages, self._messages = self._messages, []
        thread = threading.Thread(target=self.raw.send, args=(b"".join(messages),))
        thread.start()
        return thread

    def answers(self) -> dict[int, Answer]:
        """One answer for each request; fails when there is one more, or one that nothing had announced."""
        got: dict[int, Answer] = {}

        def take(msgid: int, error: Any, result: Any) -> None:
            assert msgid not in got, "answered twice"
            got[msgid] = (error if error is None else error.split(":")[0], result)

        while len(got) < len(self.expected):
            msgid, error, result = self.raw.recv_response()
            if msgid in self._batches:
                assert error is None
                assert len(result) == self._batches.pop(msgid)
                for own, each in enumerate(result, msgid + 1):
                    if each is None:
                        self._open.add(own)
                    elif isinstance(each, list) and len(each) == 1:
                        take(own, each[0], None)
                    else:
                        take(own, None, each)
            else:
                self._open.remove(msgid)
                take(msgid, error, result)
        fence = self._next()
        self.raw.send(pack([0, fence, "PING", []]))
        assert self.raw.recv_response() == (fence, None, "PONG"), "one answer too many"
        self.expected.clear()
        return got


@pytest.fixture(scope="module", params=["memory", "database"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two secondaries; with a database, most records are in it, so that many answers come later."""
    with Nodes() as nodes:
        if request.param == "memory":
            yield nodes.start_cluster(2)
        else:
            path: Path = tmp_path_factory.mktemp("batch") / "ckv.db"
            yield nodes.start_cluster(2, persistent=f"sqlite:{path}", capacity=5)


# Not shrunk: an answer that is lost takes its time to be missed, each time.
@settings(max_examples=50, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(st.lists(groups, min_size=1, max_size=6), min_size=1, max_size=3))
def test_every_request_has_one_answer_and_the_right_one(
    cluster: Cluster, rounds: list[list[tuple[int, bool, list[tuple[Any, ...]]]]]
) -> None:
    # Requests of one round that wait for the database may overtake each other; what they are told is known when each
    # is for another key.
    waits = "sqlite" in " ".join(cluster.secondaries[0].log)
    clients = [Client(cluster.address) for _ in range(CLIENTS)]
    example = next(examples)
    models = [Model(f"{example} {number} ") for number in range(CLIENTS)]
    for groups in rounds:
        for model in models:
            model.new_round()
        for number, in_batch, wanted in groups:
            kept = [request for request in wanted if not waits or models[number].fresh(request)]
            clients[number].add([models[number].expect(request) for request in kept], in_batch)
        threads = [client.send() for client in clients]
        for client in clients:
            expected = dict(client.expected)
            assert client.answers() == expected
        for thread in threads:
            thread.join()
    for client in clients:
        client.raw.close()
