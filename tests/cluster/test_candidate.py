"""A primary that may lead: what it asks of the row that primaries share, and what it makes of the answers."""

from __future__ import annotations

from array import array

import pytest

from ckv.cluster.candidate import BELIEVED, Candidate, Put, StepDown
from ckv.cluster.election import BEAT_EVERY, CERTAIN, PATIENCE, Beat, Election, Look, Row, Stand
from ckv.cluster.gathering import LOOK
from ckv.cluster.leader import Leader
from ckv.cluster.map import NO_VERSION, Map, Node
from ckv.cluster.messages import Again, Beaten, Elsewhere, Join, Joined, Sight
from ckv.cluster.messages import Beat as NodeBeat
from ckv.cluster.options import Options
from ckv.cluster.outputs import Lead, Publish, Replace

SLOTS = 4
ME = "me:8080"
NODES = [Node("a", 1, "h", 1, 100)]
WORLD = Map((7, 3), NODES, array("H", [0] * SLOTS))
JOIN = Join("b", 1, 1, "h", 2, 100, "evict", "db", None)


class Rig:
    """One of them, with its leader."""

    def __init__(self) -> None:
        self.leader = Leader(Options(), SLOTS)
        self.candidate = Candidate(self.leader, Election(ME))
        self.now = 0.0

    def look(self) -> Look | Beat | Stand | Put | StepDown:
        """The last thing that it asks of the row."""
        return self.candidate.take()[-1]

    def elect(self, world: Map = WORLD, *, is_new: bool = False) -> None:
        self.candidate.tick(self.now)
        assert self.look() == Look()
        self.candidate.looked(Row(6, "", 0), self.now)
        assert self.look() == Stand(Row(6, "", 0))
        self.candidate.stood(world, is_new, self.now, self.now)

    def join(self) -> Put:
        """A node joins, and knows all who can write, so that another map is wanted; what is asked of the row then."""
        assert isinstance(self.leader.join(JOIN, self.now), Joined)
        self.now += LOOK
        self.leader.beat(NodeBeat("b", 1, 1, NO_VERSION, {}, (Sight("b", 1, 1, True),)), self.now)
        (following,) = [out.following for out in self.leader.take() if isinstance(out, Replace)]
        self.candidate.replace(following, self.now)
        asked = self.look()
        assert isinstance(asked, Put)
        return asked

    def leads(self) -> bool:
        assert (self.candidate.instead() is None) >= self.leader.leads
        return self.leader.leads


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_who_is_elected_leads_by_the_map_that_is_there(rig: Rig) -> None:
    rig.elect()
    assert rig.leads()
    assert rig.leader.take() == [Publish(WORLD)]
    assert rig.leader.certain_until == CERTAIN


def test_who_is_second_does_not_lead(rig: Rig) -> None:
    rig.candidate.looked(Row(6, "", 0), 0.0)
    rig.candidate.stood(None, False, 0.0, 0.0)
    assert not rig.leads()
    assert rig.candidate.instead() == Again()


def test_a_map_counts_when_the_row_has_it(rig: Rig) -> None:
    rig.elect()
    asked = rig.join()
    assert (asked.expected, asked.following.version) == ((7, 3), (7, 4))
    assert rig.leader.map.version == (7, 3)
    rig.candidate.put(asked, True, rig.now, rig.now)
    assert rig.leads()
    assert rig.leader.map.version == (7, 4)


@pytest.mark.parametrize("outcome", [False, None])
def test_a_map_that_is_refused_or_of_which_nobody_knows_ends_the_lead(rig: Rig, outcome: bool | None) -> None:
    rig.elect()
    asked = rig.join()
    rig.candidate.put(asked, outcome, rig.now, rig.now)
    assert not rig.leads()
    assert rig.candidate.instead() == Again()
    assert rig.candidate.lost == 1


def test_an_answer_of_an_earlier_time_changes_nothing(rig: Rig) -> None:
    rig.elect()
    asked = rig.join()
    rig.candidate.beaten(Beat(7), False, rig.now)
    assert not rig.leads()
    rig.now = 20.0
    rig.elect(WORLD.successor(term=9))
    rig.candidate.put(asked, False, 0.0, rig.now)
    assert rig.leads()
    later = rig.join()
    rig.candidate.put(asked, True, 0.0, rig.now)
    assert rig.leader.map.version == (9, 4)
    rig.candidate.put(later, True, rig.now, rig.now)
    assert rig.leader.map.version == (9, 5)


def test_it_is_certain_for_as_long_as_its_beats_say(rig: Rig) -> None:
    rig.elect()
    rig.candidate.beaten(Beat(7), True, 5.0)
    assert rig.leader.certain_until == 5.0 + CERTAIN
    rig.candidate.beaten(Beat(7), False, 6.0)
    assert not rig.leads()


def test_it_ends_by_its_own_clock_where_the_row_does_not_answer(rig: Rig) -> None:
    rig.elect()
    rig.candidate.tick(CERTAIN + PATIENCE)
    assert rig.leads()
    rig.candidate.tick(CERTAIN + PATIENCE + 0.1)
    assert not rig.leads()
    assert rig.candidate.instead() == Again(), "its nodes look for another one"


def test_secondaries_are_sent_to_who_leads(rig: Rig) -> None:
    assert rig.candidate.instead() == Again()
    for leader, said in {
        "other:8081": Elsewhere("other", 8081),
        "[::1]:8081": Elsewhere("::1", 8081),
        ME: Again(),
        "": Again(),
        "who knows": Again(),
    }.items():
        rig.candidate.looked(Row(6, leader, 1), 0.0)
        assert rig.candidate.instead() == said, leader


def test_who_leads_no_more_does_not_send_them_to_the_one_before(rig: Rig) -> None:
    rig.candidate.looked(Row(6, "before:8080", 1), 0.0)
    rig.candidate.looked(Row(6, "before:8080", 1), PATIENCE + 0.1)
    rig.candidate.stood(WORLD, False, 4.0, 4.0)
    rig.candidate.beaten(Beat(7), False, 5.0)
    assert rig.candidate.instead() == Again()


@pytest.mark.parametrize(("remembered", "version"), [(None, (7, 4)), ((5, 20), (7, 21)), ((90, 20), (91, 21))])
def test_where_nobody_has_made_a_map_the_nodes_are_asked(
    rig: Rig, remembered: tuple[int, int] | None, version: tuple[int, int]
) -> None:
    rig.elect(Map((7, 3), (), Map.empty(SLOTS).owners), is_new=True)
    assert not rig.leads()
    assert rig.candidate.instead() is None, "it is the one to join"
    known = Map(remembered, NODES, array("H", [0] * SLOTS), rebalances=False) if remembered is not None else None
    rig.leader.join(JOIN._replace(name="a", port=1, map=known), 0.0)
    for second in (1, 3):
        rig.leader.beat(NodeBeat("a", 1, 1, NO_VERSION, {}, (Sight("a", 1, second, True),)), float(second))
    (lead,) = [out for out in rig.leader.take() if isinstance(out, Lead)]
    rig.candidate.lead(lead.remembered, 3.0)
    asked = rig.look()
    assert isinstance(asked, Put)
    assert (asked.expected, asked.following.version) == ((7, 3), version)
    rig.candidate.put(asked, True, 3.0, 3.1)
    assert rig.leads()
    assert rig.candidate.election.term == version[0]
    assert rig.leader.map.owners == (known.owners if known is not None else Map.empty(SLOTS).owners)
    assert rig.leader.map.rebalances == (known is None)
    rig.candidate.tick(4.0)
    assert rig.look() == Beat(version[0])


OTHERS = [*NODES, Node("b", 1, "h", 2, 100)]


@pytest.mark.parametrize("version", [(7, 9), (1006, 2), (6, 3)])
def test_where_a_node_knows_another_map_than_the_row_all_of_them_are_asked(rig: Rig, version: tuple[int, int]) -> None:
    """A later one; or one of the term before, which that of the row does not follow: then the row has lost it."""
    rig.elect()
    known = Map(version, OTHERS, array("H", [1] * SLOTS))
    joined = rig.leader.join(JOIN._replace(map=known), 0.0)
    assert isinstance(joined, Joined)
    assert joined.map.version == NO_VERSION
    assert not rig.leads()
    assert rig.candidate.instead() is None, "it is the one to join"
    said = rig.leader.beat(NodeBeat("b", 1, 1, version, {}, (Sight("b", 1, 1, True),)), 0.5)
    assert isinstance(said, Beaten)
    assert (said.confirmed, said.map) == (False, None)
    rig.leader.join(JOIN._replace(name="a", port=1, map=Map((6, 2), NODES, WORLD.owners)), 1.0)
    for second in (1, 3):
        sights = (Sight("a", 1, second, True), Sight("b", 1, second, True))
        rig.leader.beat(NodeBeat("a", 1, 1, (6, 2), {}, sights), float(second))
    (lead,) = [out for out in rig.leader.take() if isinstance(out, Lead)]
    rig.candidate.lead(lead.remembered, 3.0)
    asked = rig.look()
    assert isinstance(asked, Put)
    assert asked.expected == (7, 3)
    assert asked.following.version == (max(7, version[0] + 1), max(3, version[1]) + 1)
    rig.candidate.put(asked, True, 3.0, 3.1)
    assert rig.leads()
    assert rig.leader.map.owners == known.owners


def test_a_map_that_is_on_its_way_to_the_row_is_no_other_one(rig: Rig) -> None:
    """Those who read the row may have told a node of it before its leader knows that it was taken."""
    rig.elect()
    following = rig.join().following
    rig.leader.beat(NodeBeat("b", 1, 1, following.version, {}, ()), rig.now)
    assert rig.leads()


def test_a_map_that_was_asked_for_before_another_one_was_found_does_not_make_it_lead(rig: Rig) -> None:
    rig.elect()
    asked = rig.join()
    rig.leader.join(JOIN._replace(name="a", port=1, map=Map((90, 1), NODES, WORLD.owners)), rig.now)
    rig.candidate.put(asked, True, rig.now, rig.now)
    assert not rig.leads()
    assert rig.leader.gathers
    rig.candidate.lead(Map((90, 1), NODES, WORLD.owners), rig.now + LOOK)
    again = rig.look()
    assert isinstance(again, Put)
    assert (again.expected, again.following.version) == ((7, 4), (91, 5))


def test_who_loses_the_lead_while_it_asks_the_nodes_begins_anew(rig: Rig) -> None:
    rig.elect(Map((7, 3), (), Map.empty(SLOTS).owners), is_new=True)
    rig.leader.join(JOIN, 0.0)
    rig.candidate.beaten(Beat(7), False, 1.0)
    assert rig.candidate.instead() == Again()
    assert rig.leader.join(JOIN, 2.0) == Again()
    rig.now = 20.0
    rig.elect(Map((8, 4), (), Map.empty(SLOTS).owners), is_new=True)
    assert isinstance(rig.leader.join(JOIN, 20.0), Joined)


def test_who_is_about_to_end_stands_no_more(rig: Rig) -> None:
    rig.candidate.step_down()
    rig.candidate.looked(Row(6, "", 0), 0.0)
    rig.candidate.looked(Row(6, "", 0), 2 * PATIENCE)
    assert rig.candidate.take() == []
    assert rig.candidate.election.row == Row(6, "", 0)


def test_who_is_elected_when_it_is_about_to_end_says_that_it_does_not_lead(rig: Rig) -> None:
    rig.candidate.looked(Row(6, "", 0), 0.0)
    assert rig.look() == Stand(Row(6, "", 0))
    rig.candidate.step_down()
    rig.candidate.stood(WORLD, False, 0.0, 0.1)
    assert rig.look() == StepDown(7)
    assert not rig.leads()


def test_who_ends_says_so_and_confirms_nobody(rig: Rig) -> None:
    rig.elect()
    rig.candidate.step_down()
    assert not rig.leads()
    assert rig.look() == StepDown(7)
    rig.candidate.step_down()
    assert rig.candidate.take() == []


# --- which map to route by -------------------------------------------------------------------------------------------


def test_a_later_map_of_the_row_is_routed_by(rig: Rig) -> None:
    assert rig.candidate.believes(Row(6, "", 0), (6, 4), (6, 3), 0.0)
    assert not rig.candidate.believes(Row(6, "", 0), (6, 3), (6, 3), 0.0)


def looks_often(rig: Rig, row: Row, until: float, *, since: float = 0.0) -> bool:
    """Finds an earlier map in the row twice a second; whether that is believed at the end, and was not before."""
    found = [
        rig.candidate.believes(row, (6, 3), (9, 1), since + BEAT_EVERY * look)
        for look in range(int((until - since) / BEAT_EVERY) + 1)
    ]
    return found[-1] and not any(found[:-1])


def test_an_earlier_one_is_when_another_primary_has_led_by_it_for_long(rig: Rig) -> None:
    """Whoever knew the later one is gone then."""
    row = Row(6, "other:1", 0)
    assert not looks_often(rig, row, BELIEVED)
    assert rig.candidate.believes(row, (6, 5), (9, 1), BELIEVED + 0.1)


@pytest.mark.parametrize("leader", ["", ME], ids=["nobody", "itself"])
def test_not_while_nobody_else_leads(rig: Rig, leader: str) -> None:
    looks_often(rig, Row(6, "other:1", 0), BELIEVED)
    assert not looks_often(rig, Row(6, leader, 0), 2 * BELIEVED, since=BELIEVED)
    assert not rig.candidate.believes(Row(6, "other:1", 0), (6, 3), (9, 1), 2 * BELIEVED + 0.1)


def test_not_when_it_was_interrupted_by_a_later_one(rig: Rig) -> None:
    row = Row(6, "other:1", 0)
    looks_often(rig, row, BELIEVED)
    assert rig.candidate.believes(row, (9, 2), (9, 1), BELIEVED)
    assert not rig.candidate.believes(row, (6, 3), (9, 2), BELIEVED + 0.1)


def test_not_for_time_in_which_nobody_has_looked(rig: Rig) -> None:
    row = Row(6, "other:1", 0)
    looks_often(rig, row, BELIEVED)
    awake = BELIEVED + PATIENCE + 0.5
    assert not looks_often(rig, row, awake + BELIEVED, since=awake)
    assert rig.candidate.believes(row, (6, 3), (9, 1), awake + BELIEVED + 0.1)
