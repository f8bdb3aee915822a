"""The row that primaries share in ZooKeeper: what only that has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.handlers.gevent import SequentialGeventHandler

from ckv.errors import Forbidden, TierUnavailable
from ckv.persistent.coordinator import ANSWER_TIMEOUT, Coordinator
from ckv.persistent.zookeeper.connection import SESSION
from ckv.persistent.zookeeper.coordinator import LARGEST_MAP, ZooKeeperCoordinator
from tests.persistent.coordinators import NOTHING, ONE, OTHER, Primaries, again, path_of
from tests.support.eventually import eventually
from tests.support.zookeeper import Ensemble, ZooKeeper

AWAY = "no connection to a server that is one of a majority"


@pytest.fixture
def primaries(primaries_by_zookeeper: Primaries) -> Primaries:
    return primaries_by_zookeeper


@pytest.fixture
def at_private(private_zookeeper: ZooKeeper) -> Iterator[Primaries]:
    with ExitStack() as stack:
        yield Primaries(f"zk://{private_zookeeper.address}", stack)


@pytest.fixture
def at_ensemble(ensemble: Ensemble) -> Iterator[Primaries]:
    with ExitStack() as stack:
        yield Primaries(f"zk://{ensemble.addresses}", stack)


def expire(coordinator: Coordinator) -> None:
    """Has the servers forget the session, as after a long pause."""
    assert isinstance(coordinator, ZooKeeperCoordinator)
    with coordinator._own.use() as client:
        hosts, session = ",".join(f"{host}:{port}" for host, port in client.hosts), client.client_id
    twin = KazooClient(hosts, client_id=session, handler=SequentialGeventHandler())
    assert twin.start_async().wait(10)
    twin.stop()
    twin.close()


# --- sessions and connections -----------------------------------------------------------------------------------------


def test_no_leader_is_lost_with_its_session(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    primaries.one.attend(ONE)
    expire(primaries.one)
    assert again(lambda: primaries.one.beat(ONE, first.term))
    primaries.one.attend(ONE)
    assert primaries.other.attend(OTHER) == [ONE, OTHER]


def test_a_primary_that_has_ended_is_not_there(primaries: Primaries) -> None:
    primaries.one.attend(ONE)
    primaries.one.close()
    assert primaries.other.attend(OTHER) == [OTHER]


def test_a_server_that_is_away(at_private: Primaries, private_zookeeper: ZooKeeper) -> None:
    first = at_private.elect(at_private.one, ONE)
    assert at_private.one.replace(ONE, (first.term, first.epoch), (first.term, 2), b"map")
    private_zookeeper.kill()
    with pytest.raises(TierUnavailable, match="ConnectionLoss"):
        at_private.one.beat(ONE, first.term)
    for each in (at_private.one, at_private.new()):
        asked_at = time.monotonic()
        with pytest.raises(TierUnavailable, match=AWAY) as raised:
            each.beat(ONE, first.term)
        assert not raised.value.silent
        assert time.monotonic() - asked_at < ANSWER_TIMEOUT + 0.5
    private_zookeeper.start()
    assert again(lambda: at_private.one.beat(ONE, first.term))
    assert again(lambda: at_private.other.look(NOTHING)).map == b"map", "it is on the disk"


@pytest.mark.parametrize("answer_timeout", [1.0, 10.0], ids=["ours-ends-first", "kazoos-ends-first"])
def test_a_server_that_is_silent(
    at_private: Primaries, private_zookeeper: ZooKeeper, monkeypatch: pytest.MonkeyPatch, answer_timeout: float
) -> None:
    first = at_private.elect(at_private.one, ONE)
    monkeypatch.setattr("ckv.persistent.zookeeper.connection.ANSWER_TIMEOUT", answer_timeout)
    private_zookeeper.pause()
    asked_at = time.monotonic()
    with pytest.raises(TierUnavailable, match=r"^no answer within [0-9.]+ s$") as raised:
        at_private.one.beat(ONE, first.term)
    assert raised.value.silent
    assert time.monotonic() - asked_at < min(answer_timeout, SESSION) + 0.5
    monkeypatch.undo()
    with pytest.raises(TierUnavailable):
        at_private.one.beat(ONE, first.term)
    private_zookeeper.resume()
    assert again(lambda: at_private.one.beat(ONE, first.term))


def test_a_client_whose_connection_has_ended_by_an_error_is_replaced(
    primaries: Primaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = primaries.elect(primaries.one, ONE)
    assert isinstance(primaries.one, ZooKeeperCoordinator)
    with primaries.one._own.use() as client:
        monkeypatch.setattr(client._connection, "_read_socket", lambda _timeout: 1 / 0)
    with pytest.raises(TierUnavailable):
        primaries.one.beat(ONE, first.term)
    assert again(lambda: primaries.one.beat(ONE, first.term))


def test_nothing_is_left_in_a_queue_while_no_server_is_there(
    at_private: Primaries, private_zookeeper: ZooKeeper
) -> None:
    first = at_private.elect(at_private.one, ONE)
    private_zookeeper.kill()
    assert isinstance(at_private.one, ZooKeeperCoordinator)
    for _ in range(3):
        with pytest.raises(TierUnavailable):
            at_private.one.step_down(ONE, first.term)
    private_zookeeper.start()
    assert again(lambda: at_private.other.look(NOTHING)).leader == ONE, "nothing was sent late"


# --- what is read -----------------------------------------------------------------------------------------------------


def test_who_was_overtaken_before_it_has_read_the_map_does_not_lead(
    primaries: Primaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(primaries.one, ZooKeeperCoordinator)
    seen, write = primaries.one.look(NOTHING), primaries.one._write

    def write_and_wait(*arguments: Any) -> bool:
        written = write(*arguments)
        primaries.elect(primaries.other, OTHER)
        return written

    monkeypatch.setattr(primaries.one, "_write", write_and_wait)
    assert primaries.one.stand(ONE, *seen[:3]) is None


def test_a_map_that_is_replaced_while_it_is_read_is_told_under_its_own_version(
    primaries: Primaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = primaries.elect(primaries.one, ONE)
    versions = [(first.term, first.epoch + number) for number in range(3)]
    assert primaries.one.replace(ONE, versions[0], versions[1], b"first")
    assert isinstance(primaries.other, ZooKeeperCoordinator)
    read, following = primaries.other._map, [versions[2]]

    def read_late(*arguments: Any) -> bytes | None:
        while following:
            assert primaries.one.replace(ONE, versions[1], following.pop(), b"second")
        return read(*arguments)

    monkeypatch.setattr(primaries.other, "_map", read_late)
    seen = primaries.other.look(NOTHING)
    assert (seen.term, seen.epoch, seen.map) == (*versions[2], b"second")


def test_a_server_that_is_behind_is_asked_to_catch_up(primaries: Primaries, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(primaries.one, ZooKeeperCoordinator)
    read = primaries.one._read
    with primaries.one._own.use() as client:
        old = [read(client)]
    first = primaries.elect(primaries.one, ONE)
    monkeypatch.setattr(primaries.one, "_read", lambda client: old.pop() if old else read(client))
    assert primaries.one.beat(ONE, first.term), "it does not take the row of before for the current one"


def test_the_path_is_taken_away(primaries: Primaries, shared_zookeeper: ZooKeeper) -> None:
    first = primaries.elect(primaries.one, ONE)
    assert primaries.one.replace(ONE, (first.term, first.epoch), (first.term, 9), b"map")
    with shared_zookeeper.client() as client:
        client.delete(path_of(primaries), recursive=True)
    assert not primaries.one.beat(ONE, first.term)
    seen = primaries.other.look(NOTHING)
    assert (seen.leader, seen.is_new, seen.map) == ("", True, None)
    found = primaries.other.stand(OTHER, *seen[:3], (first.term + 60, 9))
    assert found is not None
    assert (found.term, found.epoch) == (first.term + 61, 10), "later than what is known"
    assert primaries.other.attend(OTHER) == [OTHER]


@pytest.mark.parametrize("what", ["is taken away", "is of another time"])
def test_the_map_alone(primaries: Primaries, shared_zookeeper: ZooKeeper, what: str) -> None:
    first = primaries.elect(primaries.one, ONE)
    assert primaries.one.replace(ONE, (first.term, first.epoch), (first.term, 9), b"map")
    with shared_zookeeper.client() as client:
        if what == "is taken away":
            client.delete(f"{path_of(primaries)}/map")
        else:
            client.set(f"{path_of(primaries)}/map", b"%d.8 map" % first.term)
    seen = primaries.other.look(NOTHING)
    assert (seen.leader, seen.is_new, seen.map) == (ONE, True, None), "as if it were new: the nodes are asked"
    found = primaries.other.stand(OTHER, *seen[:3])
    assert found is not None
    assert (found.is_new, found.map, found.epoch) == (True, None, 10)
    assert primaries.other.replace(OTHER, (found.term, 10), (found.term, 11), b"again")
    assert primaries.one.look(NOTHING).map == b"again"


@pytest.mark.parametrize(
    "row", [b"", b"row", b"[]", b'{"term": 1}', b'{"term": 1, "leader": "", "epoch": 1, "map": 7}']
)
def test_what_is_no_row(primaries: Primaries, shared_zookeeper: ZooKeeper, row: bytes) -> None:
    primaries.one.look(NOTHING)
    with shared_zookeeper.client() as client:
        client.set(f"{path_of(primaries)}/leader", row)
    with pytest.raises(TierUnavailable, match=f"at {path_of(primaries)}/leader is no row"):
        primaries.one.look(NOTHING)


def test_the_row_can_be_read_by_people(primaries: Primaries, shared_zookeeper: ZooKeeper) -> None:
    first = primaries.elect(primaries.one, ONE)
    with shared_zookeeper.client() as client:
        data, _ = client.get(f"{path_of(primaries)}/leader")
    assert json.loads(data) == {"term": first.term, "leader": ONE, "epoch": 1, "map": None}


def test_a_map_near_what_a_request_may_have(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    with pytest.raises(Forbidden, match="a map of 1000001 bytes, and ZooKeeper takes 1000000 at most: too many nodes"):
        primaries.one.replace(ONE, (first.term, first.epoch), (first.term, 2), b"x" * (LARGEST_MAP + 1))
    largest = b"x" * LARGEST_MAP
    assert primaries.one.replace(ONE, (first.term, first.epoch), (first.term, 2), largest)
    assert primaries.other.look(NOTHING).map == largest
    assert primaries.one.beat(ONE, first.term)


# --- who may ----------------------------------------------------------------------------------------------------------


def test_who_may_not_is_told_so(primaries: Primaries) -> None:
    server, path = primaries.address.removeprefix("zk://").partition("/")[0], path_of(primaries)
    own = primaries.new(f"zk://ann:quite-secret@{server}{path}")
    first = primaries.elect(own, ONE)
    assert own.attend(ONE) == [ONE]
    assert own.name == f"zk://ann@{server}{path}"
    for account, who in (("", "who has no account"), ("ann:quite-wrong@", "the account 'ann'")):
        stranger = primaries.new(f"zk://{account}{server}{path}")
        calls: list[Callable[[], object]] = [
            partial(stranger.look, NOTHING),
            partial(stranger.beat, ONE, first.term),
            partial(stranger.attend, OTHER),
        ]
        for call in calls:
            with pytest.raises(Forbidden, match=f"{who} may not do this: give it all rights .* on {path}") as raised:
                call()
            assert "quite" not in str(raised.value)
    assert own.beat(ONE, first.term)


# --- an ensemble ------------------------------------------------------------------------------------------------------


def test_the_leader_of_the_ensemble_stops(ensemble: Ensemble, at_ensemble: Primaries) -> None:
    """Terms and maps go on where they were, whatever the server that leads has answered last."""
    first = at_ensemble.elect(at_ensemble.one, ONE)
    assert at_ensemble.one.replace(ONE, (first.term, first.epoch), (first.term, 2), b"map")
    for stop in (ZooKeeper.pause, ZooKeeper.kill):
        stopped = ensemble.leader()
        stop(stopped)
        assert again(lambda: at_ensemble.one.beat(ONE, first.term), 40), "as soon as another server leads"
        assert again(lambda: at_ensemble.other.look(NOTHING), 40).map == b"map"
        if stop is ZooKeeper.pause:
            stopped.resume()
            stopped.wait_ready()
    seen = again(lambda: at_ensemble.other.look(NOTHING))
    second = again(lambda: at_ensemble.other.stand(OTHER, *again(lambda: at_ensemble.other.look(NOTHING))[:3]))
    assert second is not None
    assert (second.term, second.map) == (seen.term + 1, b"map")
    assert not again(lambda: at_ensemble.one.beat(ONE, first.term))


def test_a_server_without_a_majority_decides_nothing(ensemble: Ensemble, at_ensemble: Primaries) -> None:
    """One of them serves those who only read, and to primaries it is away."""
    first = at_ensemble.elect(at_ensemble.one, ONE)
    left, *others = ensemble.servers
    for server in others:
        server.kill()
    eventually(lambda: left.mode() == "read-only", 30, "it knows that it is alone")
    with pytest.raises(TierUnavailable):
        at_ensemble.one.beat(ONE, first.term)
    for each in (at_ensemble.one, at_ensemble.new()):
        with pytest.raises(TierUnavailable, match=AWAY):
            each.beat(ONE, first.term)
