"""Writes to ZooKeeper of which nobody knows whether they were done, or still will be: they harm nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ckv.errors import TierUnavailable
from ckv.persistent.coordinator import Coordinator
from ckv.persistent.zookeeper.coordinator import ZooKeeperCoordinator
from tests.failures.proxy import Cut, Proxy
from tests.persistent.coordinators import NOTHING, ONE, OTHER, Primaries, again, path_of
from tests.support.eventually import eventually
from tests.support.zookeeper import ZooKeeper


@pytest.fixture
def primaries(primaries_by_zookeeper: Primaries) -> Primaries:
    return primaries_by_zookeeper


@pytest.fixture
def proxy(shared_zookeeper: ZooKeeper) -> Iterator[Proxy]:
    with Proxy(shared_zookeeper.port) as made:
        yield made


@pytest.fixture
def cut_off(primaries: Primaries, proxy: Proxy) -> Coordinator:
    """A primary whose way leads through the proxy."""
    return primaries.new(f"zk://{proxy.address}{path_of(primaries)}")


def cut_at(word: bytes, how: Cut) -> Callable[[bytes], Cut]:
    return lambda piece: how if word in piece else Cut.NOT


def test_an_election_whose_answer_is_lost_is_looked_up(
    primaries: Primaries, proxy: Proxy, cut_off: Coordinator
) -> None:
    seen = cut_off.look(NOTHING)
    proxy.cut = cut_at(ONE.encode(), Cut.AFTER)
    with pytest.raises(TierUnavailable):
        cut_off.stand(ONE, *seen[:3])
    proxy.heal()
    found = again(lambda: cut_off.look(NOTHING))
    assert found[:2] == (seen.term + 1, ONE)
    assert again(lambda: cut_off.beat(ONE, found.term))
    assert primaries.other.stand(OTHER, *seen[:3]) is None


def test_a_beat_whose_answer_is_lost_ends_no_term(primaries: Primaries, proxy: Proxy, cut_off: Coordinator) -> None:
    first = primaries.elect(cut_off, ONE)
    proxy.cut = cut_at(ONE.encode(), Cut.AFTER)
    with pytest.raises(TierUnavailable):
        cut_off.beat(ONE, first.term)
    assert primaries.other.look(NOTHING).beat == first.beat + 1
    proxy.heal()
    assert again(lambda: cut_off.beat(ONE, first.term))


def test_a_beat_that_arrives_between_two_halves_of_the_next_one(
    primaries: Primaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = primaries.elect(primaries.one, ONE)
    assert isinstance(primaries.one, ZooKeeperCoordinator)
    write, late = primaries.one._write, [primaries.new()]

    def write_late(*arguments: Any) -> bool:
        while late:
            assert late.pop().beat(ONE, first.term)
        return write(*arguments)

    monkeypatch.setattr(primaries.one, "_write", write_late)
    assert primaries.one.beat(ONE, first.term)
    assert primaries.other.look(NOTHING).beat == first.beat + 2


@pytest.mark.parametrize("what", ["map", "beat", "end"])
@pytest.mark.parametrize("elected", [True, False])
def test_what_arrives_late_changes_nothing(
    primaries: Primaries, proxy: Proxy, cut_off: Coordinator, what: str, elected: bool
) -> None:
    """The server gets it after another primary was elected. Where none was, it is done."""
    first = primaries.elect(cut_off, ONE)
    following = (first.term, first.epoch + 1)
    proxy.late = 1.0
    proxy.cut = cut_at(b'"term": ', Cut.LATE)  # what is read has no such word
    with pytest.raises(TierUnavailable):
        match what:
            case "map":
                cut_off.replace(ONE, (first.term, first.epoch), following, b"old")
            case "beat":
                cut_off.beat(ONE, first.term)
            case _:
                cut_off.step_down(ONE, first.term)
    proxy.hold()  # its session goes on: the server takes what comes over the first connection
    before = primaries.elect(primaries.other, OTHER) if elected else primaries.other.look(NOTHING)
    assert proxy.arrived_late == 0
    eventually(lambda: proxy.arrived_late, what="it arrives")
    if elected:
        assert primaries.other.beat(OTHER, before.term), "which comes after it"
        assert primaries.other.look(NOTHING) == before._replace(beat=before.beat + 1)
    else:
        eventually(lambda: primaries.other.look(NOTHING) != before, what="it is done")
