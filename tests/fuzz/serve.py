"""A secondary with the serve loops beside one without compiled code: the same bytes, the same answers and records.

Each client speaks one of the two protocols, over the same records.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from itertools import zip_longest
from typing import NamedTuple

from ckv import errors
from ckv.node.handlers import pong
from ckv.node.secondary import handlers, serve_loops
from ckv.protocol.handler import NO_CORES, Handler
from ckv.protocol.msgpackrpc import RpcMethods
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.loading import Query
from ckv.store.memory import PLAIN, TABLES, Memory
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.row import Write
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.values import Value
from tests.core.nodes import LIMITS, Client, receive_all
from tests.core.resp import RespClient, resp_methods
from tests.fuzz.choices import Choices
from tests.fuzz.resp_traffic import RespTraffic
from tests.fuzz.traffic import Traffic, client_answers, cut, damaged, depends_on_cuts, stopped_apart

ALONE = "alone"
"""The mode of a node without a persistent tier."""

EXACT = "ASAN_OPTIONS" in os.environ
"""Whether two tables with the same records count the same bytes: malloc gives more than was asked for now and then."""

LOADED: list[Value | None] = [None, "loaded", b"loaded", "\udcff", "x" * 17_000]
LONG_PAST = 1000.0
MOST_TURNS = 300


class Setup(NamedTuple):
    """What both nodes are."""

    policy: str
    mode: str
    capacity: int
    max_bytes: int
    """A bound that needs both to have a compiled table; 0 without."""
    most_absent: int
    most_pending: int
    resp: list[bool]
    """For each client whether it speaks RESP."""


class Node:
    """A secondary without sockets and without a persistent tier, of which a driver says what it answers."""

    def __init__(self, setup: Setup, *, quick: bool) -> None:
        self.now = 0.0
        self.queries: list[Query] = []
        self.batches: list[list[Write]] = []
        tables = TABLES["compiled"] if quick or setup.max_bytes else PLAIN
        memory = tables[setup.policy](setup.capacity, setup.max_bytes)
        self.absent: Memory = (TABLES["compiled"] if quick else PLAIN)["lru"](setup.most_absent)
        environment = Environment(
            clock=lambda: self.now, load_timeout=1.0, pending_wait=1.0, write_delay=0.5, absent=self.absent
        )
        self.store: Records
        if setup.mode == ALONE:
            self.store = MemoryStore(memory)
        else:
            self.store = MODES[setup.mode](memory, Pending(setup.most_pending, 10**9), environment)
        table: dict[str, Handler] = {**handlers(self.store, LIMITS.max_value_bytes), "PING": pong}
        methods = RpcMethods(table, LIMITS)
        self._cores = serve_loops(self.store, LIMITS.max_value_bytes) if quick else NO_CORES
        commands = resp_methods(self.store)
        self.clients = [
            RespClient(commands, self._cores.resp) if resp else Client(methods, self._cores.rpc) for resp in setup.resp
        ]

    @property
    def tiers(self) -> Store:
        """The store, where there is a persistent tier."""
        assert isinstance(self.store, Store)
        return self.store

    def received(self, pieces: list[tuple[int, bytes]]) -> None:
        """Serves what clients with these numbers have sent."""
        sent = [(self.clients[number], piece) for number, piece in pieces]
        receive_all(self._cores.rpc, [one for one in sent if isinstance(one[0], Client)])
        receive_all(self._cores.resp, [one for one in sent if isinstance(one[0], RespClient)])

    def go_on(self) -> None:
        """Has the sessions go on, as far as they were released."""
        for client in self.clients:
            client.served(b"")

    def figures(self) -> dict[str, object]:
        """What is counted, but for bytes, which the two tables count each in its own way."""
        figures = asdict(self.store.measured())
        return {name: figure for name, figure in figures.items() if not name.endswith("_bytes")}

    def end(self) -> None:
        """Lets the time of everything be over that waits."""
        for _ in range(MOST_TURNS):
            self.now += LONG_PAST
            self.store.expire()
            self.go_on()
            if not any(client.session.in_flight for client in self.clients):
                break


def one_input(data: bytes) -> None:
    """Raises AssertionError when the two differ."""
    choices = Choices(data)
    if choices.once_in(3):
        _at_once(choices)
    else:
        _in_turn(choices)


def _traffic(choices: Choices, resp: bool, prefix: bytes = b"") -> Traffic | RespTraffic:
    return RespTraffic(choices, prefix) if resp else Traffic(choices, prefix)


def _protocols(choices: Choices, sessions: int) -> list[bool]:
    kind = choices.below(3)
    return [choices.below(2) == 1 if kind == 2 else kind == 1 for _ in range(sessions)]


def _in_turn(choices: Choices) -> None:
    """One client at a time, so that all requests have one order, and everything has to be the same."""
    mode = choices.one_of([ALONE, "evict", "behind", "through", ALONE, "evict"])
    most_pending = choices.one_of([1000, 1, 4])
    setup = Setup(
        choices.one_of(list(PLAIN)),
        mode,
        choices.one_of([4, 1, 2, 17, 100, 2000]),
        choices.one_of([0, 0, 0, 300, 3000, 100_000, 1_000_000]) * EXACT,
        choices.one_of([1000, 1, 3]),
        # Where pending is full, the store has a new record wait, also if its victim is clean; compiled code does not.
        1000 if mode == "evict" else most_pending,
        _protocols(choices, choices.one_of([1, 1, 2, 3])),
    )
    quick, plain = Node(setup, quick=True), Node(setup, quick=False)
    while choices.left:
        for number, resp in enumerate(setup.resp):
            sent = _traffic(choices, resp).stream(choices.below(12))
            if choices.once_in(6):
                sent = damaged(sent, choices, 1 + choices.below(3))
            for piece in cut(sent, choices):
                for node in (quick, plain):
                    node.received([(number, piece)])
                one, other = quick.clients[number].session, plain.clients[number].session
                if depends_on_cuts(one, other) or stopped_apart(one, other):
                    return
                if setup.mode != ALONE and choices.once_in(2):
                    _step(choices, quick, plain)
    if not _ended_the_same(quick, plain):
        return
    assert quick.figures() == plain.figures()
    assert quick.store.memory.new_version() == plain.store.memory.new_version(), "the versions"
    assert _rows(quick) == _rows(plain), "what is pending"
    _check_tables(quick.store.memory, plain.store.memory)
    _check_tables(quick.absent, plain.absent)


def _at_once(choices: Choices) -> None:
    """Many clients in one turn, each with keys of its own, as nobody says who of them comes first."""
    mode = choices.one_of([ALONE, "evict", ALONE, "behind"])
    sessions = choices.one_of([2, 3, 31, 32, 33, 60])
    resp = _protocols(choices, sessions)
    setup = Setup(choices.one_of(list(PLAIN)), mode, 100_000, 0, 100_000, 100_000, resp)
    quick, plain = Node(setup, quick=True), Node(setup, quick=False)
    traffics = [_traffic(choices, resp[number], bytes([65 + number]) * 3) for number in range(sessions)]
    while choices.left:
        to_come: list[list[bytes]] = []
        for number, traffic in enumerate(traffics):
            sent = traffic.stream(1 if choices.below(4) else choices.below(6))
            if number == 0 and choices.once_in(4):
                sent = damaged(sent, choices, 1 + choices.below(2))
            to_come.append(cut(sent, choices))
        for turn in zip_longest(*to_come):
            pieces = [(number, piece) for number, piece in enumerate(turn) if piece]
            for node in (quick, plain):
                node.received(pieces)
            if mode != ALONE and choices.once_in(2):
                for node in (quick, plain):
                    _load_all(node)
    if not _ended_the_same(quick, plain):
        return
    assert quick.figures() == plain.figures()
    assert _places(quick) == _places(plain), "the records"


def _ended_the_same(quick: Node, plain: Node) -> bool:
    """Ends both, and compares what they were asked. False when that is no more to be compared."""
    for node in (quick, plain):
        node.end()
        node.store.check()
    for one, other in zip(quick.clients, plain.clients, strict=True):
        if depends_on_cuts(one.session, other.session):
            return False
        if isinstance(one, Client) and isinstance(other, Client):
            assert client_answers(one) == client_answers(other)
        else:
            assert isinstance(one, RespClient)
            assert isinstance(other, RespClient)
            assert one.sent == other.sent
        assert bool(one.session.failed) == bool(other.session.failed), f"{one.session.failed} {other.session.failed}"
        assert one.session.in_flight == other.session.in_flight
        if not other.session.failed:
            assert one.session.ended() == other.session.ended()
    return True


def _check_tables(quick: Memory, plain: Memory) -> None:
    """Empties both."""
    assert sorted(quick.records(), key=lambda record: record[0]) == sorted(
        plain.records(), key=lambda record: record[0]
    )
    while len(plain):
        assert quick.evict() == plain.evict(), "the order of the victims"
    quick.check()
    assert len(quick) == quick.bytes == quick.clean == 0


def _rows(node: Node) -> dict[str, object]:
    return {key: (row.value, row.version) for key, row in node.tiers.pending} if isinstance(node.store, Store) else {}


def _places(node: Node) -> list[tuple[str, object]]:
    return [(key, node.store.locate(key)) for key in sorted(node.store.keys())]


# --- the persistent tier ---------------------------------------------------------------------------------------------


def _load_all(node: Node) -> None:
    """Loads what is asked for; whether there is such a record depends on its key alone."""
    while (query := node.tiers.load_begin()) is not None:
        keys = [load.key for load in query.loads]
        node.tiers.load_end(query, {key: "loaded" for key in keys if len(key) % 2})
    node.go_on()


def _step(choices: Choices, quick: Node, plain: Node) -> None:
    """Something happens between the tiers, the same in both."""
    act = choices.one_of(STEPS)
    act(choices, quick, plain)
    for node in (quick, plain):
        node.go_on()


def _load_begins(choices: Choices, quick: Node, plain: Node) -> None:
    max_bytes = choices.one_of([4 * 2**20, 1, 100_000])
    one, other = quick.tiers.load_begin(max_bytes), plain.tiers.load_begin(max_bytes)
    if one is None or other is None:
        assert one is other, "something to load"
        return
    assert [load.key for load in one.loads] == [load.key for load in other.loads]
    quick.queries.append(one)
    plain.queries.append(other)


def _load_ends(choices: Choices, quick: Node, plain: Node) -> None:
    if not quick.queries:
        return
    number = choices.below(len(quick.queries))
    kind = choices.below(8)
    keys = [load.key for load in quick.queries[number].loads]
    made = [(key, choices.one_of(LOADED)) for key in keys]
    found = {key: value for key, value in made if value is not None}
    for node in (quick, plain):
        query = node.queries.pop(number)
        if kind == 0:
            node.tiers.load_failed(query, errors.TierUnavailable("gone"))
        elif kind == 1:
            node.tiers.load_locked(query, errors.TierUnavailable("locked"))
        else:
            node.tiers.load_end(query, found)


def _flush_begins(_choices: Choices, quick: Node, plain: Node) -> None:
    one, other = quick.tiers.flush_begin(), plain.tiers.flush_begin()
    assert one == other, "what is flushed"
    if one:
        quick.batches.append(one)
        plain.batches.append(other)


def _flush_ends(choices: Choices, quick: Node, plain: Node) -> None:
    if not quick.batches:
        return
    number, kind = choices.below(len(quick.batches)), choices.below(8)
    bad = choices.below(4)
    for node in (quick, plain):
        batch = node.batches.pop(number)
        if kind == 0:
            node.tiers.flush_failed(batch, errors.SessionLost("gone"))
        elif kind == 1:
            refused = {write.key: errors.RowsRefused("no") for write in batch[bad:]}
            node.tiers.flush_end(batch, refused)
        else:
            node.tiers.flush_end(batch)
        node.tiers.admit()


def _time_passes(choices: Choices, quick: Node, plain: Node) -> None:
    seconds = choices.one_of([0.1, 1.0, 3.0])
    for node in (quick, plain):
        node.now += seconds
        node.store.expire()


def _operated(choices: Choices, quick: Node, plain: Node) -> None:
    kind = choices.below(4)
    for node in (quick, plain):
        store = node.tiers
        if kind == 0:
            store.distrust()
        elif kind == 1:
            store.retry_parked()
        elif kind == 2:
            store.loads_refused(errors.TierUnavailable("away"))
        else:
            store.loads_accepted()


STEPS: list[Callable[[Choices, Node, Node], None]] = [
    *(_load_begins, _load_ends, _load_begins, _load_ends),
    *(_flush_begins, _flush_ends, _time_passes, _operated),
]
