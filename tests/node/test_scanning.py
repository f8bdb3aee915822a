"""SCAN and DBSIZE at a secondary, over a tier that the test plays; and at a primary, over nodes that it plays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckv import errors
from ckv.cluster.slots import SlotMap, number_of_owner, slot_of
from ckv.node.everywhere import NODES, Asked, Everywhere
from ckv.node.scanning import IDLE, MAX_COUNT, MAX_CURSOR, MAX_SCANS, PLACES, Scans
from ckv.node.walking import Ask, Question, Walker
from ckv.persistent import Session
from ckv.protocol.greeting import Share
from ckv.protocol.handler import LATER, Caller
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from tests.store.world import World


class Told:
    """A caller that keeps what it is told."""

    is_open = True

    def __init__(self) -> None:
        self.results: dict[int, object] = {}
        self.held: set[object] = set()
        self.settled = 0

    def respond(self, msgid: int, error: object, result: object) -> None:
        assert msgid not in self.results
        self.results[msgid] = error if error is not None else result

    def settle(self) -> None:
        self.settled += 1

    def hold(self, reason: Any) -> None:
        self.held.add(reason)

    def release(self, reason: Any) -> None:
        self.held.discard(reason)


class Later(Walker):
    """Asks the tier of a world when the test says so."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.away = ""
        self.waiting: list[Question] = []

    def ask(self, ask: Ask) -> Question:
        if self.away:
            raise errors.TierUnavailable(self.away)
        self.waiting.append(Question(ask, 0.0))
        return self.waiting[-1]

    def answer(self, error: errors.CkvError | None = None) -> None:
        question = self.waiting.pop(0)
        session: Any = self
        question.tell(None if error else question.ask(session), error)

    # --- as a session ---

    def next_keys(self, after: str | None, count: int, prefix: bytes) -> list[tuple[str, int]]:
        found = sorted(
            key for key in self.world.tier if (after is None or key > after) and key.startswith(prefix.decode())
        )
        return [(key, self.world.tier[key][1]) for key in found[:count]]

    def estimate(self) -> int:
        return len(self.world.tier)


class Node:
    """A secondary's scans over a world."""

    def __init__(self, capacity: int = 10, mode: str = "evict") -> None:
        self.world = World("lru", capacity, 1000, mode)
        self.now = 0.0
        self.share: Share | None = None
        self.walker = Later(self.world)
        self.scans = Scans(self.world.store, self.walker, lambda: self.share, lambda: self.now)

    def put(self, *keys: str) -> None:
        for key in keys:
            self.world.put(key)

    def scan(self, cursor: int, match: str | bytes = "*", count: int = 10) -> Any:
        """The result; an error as it travels, if it comes later."""
        caller = Told()
        result = self.scans.scan(caller, 7, (cursor, match, count))
        if result is not LATER:
            assert not caller.results
            return result
        while self.walker.waiting:
            self.walker.answer()
        return caller.results[7]

    def scan_all(self, match: str | bytes = "*", count: int = 10) -> list[str]:
        cursor, found = 0, []
        while True:
            cursor, keys = self.scan(cursor, match, count)
            found += keys
            if cursor == 0:
                return found


def test_few_keys_are_one_answer() -> None:
    node = Node()
    assert node.scan(0) == [0, []]
    node.put("a", "b", "c")
    cursor, keys = node.scan(0)
    assert (cursor, sorted(keys)) == (0, ["a", "b", "c"])
    node.world.settle()
    assert sorted(node.scan(0)[1]) == ["a", "b", "c"]


@pytest.mark.parametrize("count", [1, 7, 10, 100, MAX_COUNT])
def test_all_keys_of_both_tiers(count: int) -> None:
    node = Node()
    keys = [f"key {number:03}" for number in range(300)]
    node.put(*keys[:200])
    node.world.settle()
    node.put(*keys[200:])
    assert sorted(node.scan_all(count=count)) == keys


def test_what_matches() -> None:
    node = Node()
    node.put(*(f"{name}:{number}" for name in ("user", "used", "cart") for number in range(50)))
    node.world.settle()
    assert sorted(node.scan_all("user:*")) == sorted(f"user:{number}" for number in range(50))
    assert sorted(node.scan_all("use?:7")) == ["used:7", "user:7"]
    assert node.scan_all(b"cart:4") == ["cart:4"]
    assert node.scan_all("nobody*") == []


def test_a_scan_that_gives_way_while_it_waits_for_rows_leaves_nothing_behind() -> None:
    node = Node(capacity=5000)
    node.world.put("k", 1000.0)  # something expires, so that a scan looks at memory once more, and notes commits
    node.world.settle()
    caller = Told()
    assert node.scans.scan(caller, 7, (0, "*", 10)) is LATER
    for other in range(MAX_SCANS):
        node.scans.scan(Told(), other, (0, "*", 10))
    node.put(*(f"key {number}" for number in range(100)))
    node.walker.answer()
    assert str(caller.results[7]).startswith("Refused: ")
    while node.walker.waiting:
        node.walker.answer()
    assert len(node.world.store.motion._logs) <= len(node.scans._open)


def test_an_answer_has_no_more_than_a_client_takes() -> None:
    node = Node(capacity=2000)
    keys = [f"key {number:04}" for number in range(4000)]
    node.put(*keys)
    node.world.settle()
    cursor, found = 0, []
    while True:
        cursor, keys_told = node.scan(cursor, count=MAX_COUNT)
        assert len(keys_told) <= MAX_COUNT
        assert cursor <= MAX_CURSOR
        found += keys_told
        if cursor == 0:
            break
    assert sorted(found) == keys


def test_the_last_cursors_can_be_asked_for_again() -> None:
    node = Node(capacity=100)
    node.put(*(f"key {number:03}" for number in range(100)))
    cursors = [0]
    answers = []
    for _ in range(PLACES + 1):
        cursor, keys = node.scan(cursors[-1], count=5)
        answers.append(keys)
        cursors.append(cursor)
    assert node.scan(cursors[-2], count=5)[1] == answers[-1]
    with pytest.raises(errors.Refused, match=f"there is no scan with the cursor {cursors[1]}: begin again with 0"):
        node.scan(cursors[1], count=5)


def test_a_cursor_comes_back_after_the_tier_was_away() -> None:
    node = Node()
    keys = [f"key {number:03}" for number in range(500)]
    node.put(*keys)
    node.world.settle()
    cursor, found = 0, []
    failures = 0
    while True:
        if cursor and failures < 3:
            failures += 1
            node.walker.away = "it is away"
            with pytest.raises(errors.TierUnavailable):
                node.scan(cursor, count=50)
            node.walker.away = ""
            caller = Told()
            assert node.scans.scan(caller, 1, (cursor, "*", 50)) is LATER
            node.walker.answer(errors.TierUnavailable("it broke"))
            assert caller.results == {1: "TierUnavailable: it broke"}
        cursor, told = node.scan(cursor, count=50)
        found += told
        if cursor == 0:
            break
    assert failures == 3
    assert sorted(found) == keys


def test_scans_are_bounded_in_number_and_time() -> None:
    node = Node(capacity=100)
    node.put(*(f"key {number}" for number in range(50)))
    first, _ = node.scan(0)
    second, _ = node.scan(0)
    first, _ = node.scan(first)  # now the second one was used longest ago
    others = [node.scan(0)[0] for _ in range(MAX_SCANS - 1)]
    with pytest.raises(errors.Refused, match="begin again with 0"):
        node.scan(second)
    node.now = IDLE - 1
    node.scans.expire()
    first, _ = node.scan(first)
    node.now = IDLE
    node.scans.expire()
    assert node.scan(first)[1]
    with pytest.raises(errors.Refused):
        node.scan(others[0])


def test_whoever_begins_one_scan_after_the_other_ends_nobody_elses() -> None:
    node = Node(capacity=100)
    node.put(*(f"key {number}" for number in range(50)))
    cursor, _ = node.scan(0)
    cursor, _ = node.scan(cursor)
    for _ in range(2 * MAX_SCANS):
        node.scan(0)
    assert len(node.scans._open) == MAX_SCANS
    cursor, _ = node.scan(cursor)
    assert cursor
    # Where all go on, the one that was used longest ago has to go all the same.
    for _ in range(MAX_SCANS - 1):
        node.scan(node.scan(0)[0])
    node.scan(0)
    with pytest.raises(errors.Refused, match="begin again with 0"):
        node.scan(cursor)


def test_those_that_were_given_up_in_the_middle_end_none_that_begins() -> None:
    node = Node(capacity=100)
    node.put(*(f"key {number}" for number in range(50)))
    for _ in range(MAX_SCANS):
        node.scan(node.scan(0)[0])
    one, _ = node.scan(0)
    other, _ = node.scan(0)
    assert node.scan(one)[1]
    assert node.scan(other)[1]


def test_no_scan_goes_on_in_another_database() -> None:
    node = Node(capacity=100)
    node.put(*(f"key {number}" for number in range(50)))
    cursor, _ = node.scan(0)
    node.world.store.distrust()
    with pytest.raises(errors.Refused, match="the database was replaced meanwhile: begin again with 0"):
        node.scan(cursor)
    assert len(node.scan_all()) == 50


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ((), "0 arguments; it is SCAN cursor match count"),
        ((0, "*"), "2 arguments"),
        (("0", "*", 10), "whole numbers"),
        ((0, "*", True), "whole numbers"),
        ((0, "*", 0), "count is 0: allowed is 1 to 1000"),
        ((0, "*", MAX_COUNT + 1), "allowed is 1 to 1000"),
        ((-1, "*", 1), "cursor is -1"),
        ((0, 5, 1), "must be a str or a bin"),
        ((0, "*" * 5000, 1), "4096 are allowed"),
        ((5, "*", 1), "there is no scan with the cursor 5"),
        ((2**63, "*", 1), "there is no scan"),
    ],
)
def test_bad_arguments(params: tuple[object, ...], error: str) -> None:
    node = Node()
    for handler in (node.scans.scan, Everywhere([Fake()]).scan):
        caller = Told()
        if params[0:1] in ((5,), (2**63,)) and handler != node.scans.scan:  # the node says so
            continue
        with pytest.raises(errors.Refused, match=error):
            handler(caller, 1, params)


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
def test_each_node_tells_the_rows_of_its_share(nodes: int) -> None:
    node = Node(mode="behind")
    keys = [f"key {number}" for number in range(500)]
    node.put(*keys)
    node.world.settle()
    for key in keys:
        node.world.memory.remove(key)
    told = []
    for number in range(nodes):
        node.share = Share(number + 1, nodes)
        own = node.scan_all(count=100)
        assert all(SlotMap(range(nodes)).owner(key) == number_of_owner(key, nodes) == number for key in own)
        told += own
    assert sorted(told) == sorted(keys)


def test_a_scan_ends_where_other_keys_are_the_nodes_own() -> None:
    node = Node(mode="behind")
    node.put(*(f"key {number}" for number in range(30)))
    node.world.settle()
    node.share = Share(1, 2)
    cursor, _ = node.scan(0, count=5)
    caller = Told()
    assert node.scans.scan(caller, 7, (0, "*", 1000)) is LATER
    node.share = Share(2, 2)
    with pytest.raises(errors.Refused, match="slots have moved meanwhile: begin again with 0"):
        node.scan(cursor, count=5)
    node.walker.answer()
    assert caller.results == {7: "Refused: slots have moved meanwhile: begin again with 0"}


def test_without_a_tier() -> None:
    records: Records = MemoryStore(POLICIES["lru"](100))
    scans = Scans(records, None, lambda: None, lambda: 0.0)
    for number in range(50):
        records.put(f"{number}", "x")
    caller = Told()
    cursor, found = 0, []
    while True:
        result: Any = scans.scan(caller, 1, (cursor, "*", 7))
        cursor, keys = result
        found += keys
        if cursor == 0:
            break
    assert sorted(map(int, found)) == list(range(50))
    assert scans.size(caller, 1, ()) == 50


# --- DBSIZE ----------------------------------------------------------------------------------------------------------


def size(node: Node) -> object:
    caller = Told()
    assert node.scans.size(caller, 3, ()) is LATER
    node.walker.answer()
    return caller.results[3]


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_how_many_records(mode: str) -> None:
    node = Node(mode=mode)
    assert size(node) == 0
    node.put(*(f"key {number}" for number in range(30)))
    if mode != "through":
        assert size(node) == 30
    node.world.settle()
    assert size(node) == 30
    for number in range(5):
        node.world.get(f"key {number}")
        node.world.delete(f"key {29 - number}")
    node.world.settle()
    assert size(node) == 25


def test_how_many_records_of_a_share() -> None:
    node = Node(mode="behind")
    node.put(*(f"key {number}" for number in range(31)))
    node.world.settle()
    node.world.memory.clear()
    sizes = []
    for number in range(3):
        node.share = Share(number + 1, 3)
        sizes.append(size(node))
    assert sizes == [10, 10, 11]


def test_how_many_when_the_tier_is_away() -> None:
    node = Node()
    caller = Told()
    node.scans.size(caller, 3, ())
    node.walker.answer(errors.TierUnavailable("it is away"))
    assert caller.results == {3: "TierUnavailable: it is away"}
    with pytest.raises(errors.BadArguments):
        node.scans.size(caller, 4, (1,))


# --- at a primary ----------------------------------------------------------------------------------------------------


class Fake:
    """A node that keeps what it is asked."""

    def __init__(self, error: errors.Refused | None = None) -> None:
        self.asked: list[tuple[str, tuple[object, ...], Callable[[object, object], None]]] = []
        self.error = error

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, /) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append((method, params, lambda error, result: caller.respond(msgid, error, result)))
        self.caller = caller


def nodes_of(*nodes: Asked) -> Everywhere:
    return Everywhere(nodes)


def test_a_scan_goes_through_all_nodes() -> None:
    nodes = [Fake(), Fake(), Fake()]
    everywhere = nodes_of(*nodes)
    inner: dict[int, list[tuple[int, list[str]]]] = {
        0: [(17, ["a"]), (0, ["b"])],
        1: [(0, [])],
        2: [(MAX_CURSOR, ["c"]), (0, [])],
    }
    cursor = 0
    found: list[str] = []
    while True:
        caller = Told()
        assert everywhere.scan(caller, 9, (cursor, "x*", 5)) is LATER
        (number,) = [number for number, node in enumerate(nodes) if node.asked]
        method, params, answer = nodes[number].asked.pop()
        following, keys = inner[number].pop(0)
        assert (method, params[1:]) == ("SCAN", (b"x*", 5))
        answer(None, (following, tuple(keys)))
        result: Any = caller.results[9]
        cursor, told = result
        found += told
        assert cursor < 2**53
        if cursor == 0:
            break
    assert found == ["a", "b", "c"]
    assert not any(inner.values())


def test_a_scan_of_an_unknown_node_or_one_that_cannot_be_asked() -> None:
    everywhere = nodes_of(Fake(), Fake(errors.NodeDown("it is down")))
    for cursor in (2, NODES - 1, NODES + 2):
        with pytest.raises(errors.Refused, match="begin again with 0"):
            everywhere.scan(Told(), 9, (cursor, "*", 5))
    with pytest.raises(errors.NodeDown):
        everywhere.scan(Told(), 9, (1, "*", 5))


def test_errors_of_a_node_are_passed_on() -> None:
    node = Fake()
    caller = Told()
    nodes_of(node).scan(caller, 9, (0, "*", 5))
    node.asked.pop()[2]("Refused: there is no scan", None)
    assert caller.results == {9: "Refused: there is no scan"}
    caller = Told()
    nodes_of(node).scan(caller, 9, (0, "*", 5))
    node.asked.pop()[2](None, 5)
    assert str(caller.results[9]).startswith("ServerError: ")


def test_sizes_are_added() -> None:
    nodes = [Fake(), Fake(), Fake()]
    caller = Told()
    assert nodes_of(*nodes).size(caller, 4, ()) is LATER
    for node, number in zip(nodes, (1, 20, 300), strict=True):
        assert not caller.results
        node.asked.pop()[2](None, number)
    assert caller.results == {4: 321}


def test_sizes_with_an_error() -> None:
    nodes = [Fake(), Fake()]
    caller = Told()
    nodes_of(*nodes).size(caller, 4, ())
    nodes[1].asked.pop()[2]("NodeLost: it broke", None)
    nodes[0].asked.pop()[2](None, 5)
    assert caller.results == {4: "NodeLost: it broke"}
    assert not caller.settled


def test_sizes_where_a_node_is_down() -> None:
    nodes = [Fake(), Fake(errors.NodeDown("it is down"))]
    caller = Told()
    with pytest.raises(errors.NodeDown):
        nodes_of(*nodes).size(caller, 4, ())
    assert not nodes[0].caller.is_open
    nodes[0].asked.pop()[2](None, 5)
    nodes[0].caller.settle()
    assert not caller.results
    assert not caller.settled


def test_a_node_that_is_slow_holds_the_client() -> None:
    node = Fake()
    caller = Told()
    nodes_of(node).scan(caller, 9, (0, "*", 5))
    node.caller.hold(node)
    assert caller.held == {node}
    node.caller.release(node)
    assert not caller.held
    node.caller.settle()
    assert caller.settled == 1


def test_a_session_has_what_is_asked_of_it() -> None:
    """The test's own tier above has no more methods than one."""
    assert {"next_keys", "estimate"} <= set(dir(Session))


class Member:
    """What a node knows of the cluster that it has joined."""

    def __init__(self, *keys: str) -> None:
        self.joined = True
        self.version = (1, 1)
        self.owned = frozenset(map(slot_of, keys))
        self.is_apart = False


def joined(*keys: str) -> tuple[Node, Member]:
    """A node that owns these keys alone, of those that the tier has."""
    node, member = Node(), Member(*keys)
    node.scans = Scans(node.world.store, node.walker, lambda: None, lambda: node.now, member)
    return node, member


def test_of_what_all_nodes_have_saved_a_node_that_has_joined_tells_its_own() -> None:
    node, member = joined("a", "c")
    node.put(*"abcdef")
    node.put(*(f"key {number}" for number in range(30)))
    node.world.settle()
    for key in list(node.world.memory.keys()):
        node.world.memory.remove(key)
    assert sorted(node.scan_all(count=3)) == ["a", "c"]
    member.joined = False
    assert len(node.scan_all()) == len(node.world.tier) > 2


def test_a_scan_ends_where_another_map_begins() -> None:
    node, member = joined("a", "c")
    node.put(*(f"key {number}" for number in range(30)))
    cursor, _ = node.scan(0, count=5)
    assert node.scan(cursor, count=5)[0]
    member.version = (1, 2)
    with pytest.raises(errors.Refused, match="slots have moved meanwhile: begin again with 0"):
        node.scan(cursor, count=5)
    node.world.settle()
    caller = Told()
    assert node.scans.scan(caller, 7, (0, "*", 1000)) is LATER
    member.version = (1, 3)
    node.walker.answer()
    assert "begin again with 0" in str(caller.results[7])
