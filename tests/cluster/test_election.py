"""When a primary stands for leader, and for how long it is sure to be the one."""

from __future__ import annotations

import pytest

from ckv.cluster.election import CERTAIN, PATIENCE, Beat, Election, Look, Row, Stand

ROW = Row(3, "other", 7)


def watching() -> Election:
    """One that has seen the row at 0."""
    election = Election()
    election.tick(0.0)
    assert election.take() == [Look()]
    election.seen(ROW, 0.0)
    return election


def leading() -> Election:
    election = Election()
    election.won(4, 10.0)
    return election


def test_it_stands_when_the_beat_has_stood_still_for_long_enough() -> None:
    election = watching()
    election.seen(ROW, PATIENCE)
    assert election.take() == []
    election.seen(ROW, PATIENCE + 0.1)
    assert election.take() == [Stand(ROW)]


def test_it_does_not_stand_while_the_beat_moves() -> None:
    election = watching()
    for second in range(1, 20):
        election.seen(ROW._replace(beat=second), float(second))
    assert election.take() == []


def test_where_nobody_leads_it_stands_at_once_and_again_when_that_was_in_vain() -> None:
    election = Election()
    election.seen(Row(0, "", 0), 5.0)
    assert election.take() == [Stand(Row(0, "", 0))]
    election.seen(Row(0, "", 0), 5.0 + PATIENCE)
    assert election.take() == []
    election.seen(Row(0, "", 0), 5.0 + PATIENCE + 0.1)
    assert election.take() == [Stand(Row(0, "", 0))]


def test_who_has_lost_watches_anew() -> None:
    election = watching()
    election.seen(ROW, PATIENCE + 0.1)
    election.take()
    election.seen(ROW, PATIENCE + 1)
    assert election.take() == []


def test_it_is_certain_from_when_it_asked_and_for_less_time_than_others_wait() -> None:
    assert CERTAIN < PATIENCE
    election = leading()
    assert election.certain_until == 10.0 + CERTAIN
    election.tick(10.5)
    assert election.take() == [Beat(4)]
    election.beaten(4, accepted=True, asked_at=10.5)
    assert election.certain_until == 10.5 + CERTAIN


@pytest.mark.parametrize("term", [3, 5])
def test_an_answer_about_another_term_changes_nothing(term: int) -> None:
    election = leading()
    election.beaten(term, accepted=False, asked_at=11.0)
    election.beaten(term, accepted=True, asked_at=99.0)
    assert (election.term, election.certain_until) == (4, 10.0 + CERTAIN)


def test_a_beat_that_is_refused_ends_the_lead() -> None:
    election = leading()
    election.beaten(4, accepted=False, asked_at=11.0)
    assert election.term is None
    election.tick(12.0)
    assert election.take() == [Look()]


def test_one_that_hears_nothing_of_its_beats_leads_no_more() -> None:
    election = leading()
    election.tick(10.0 + CERTAIN + PATIENCE)
    assert election.take() == [Beat(4)]
    election.tick(10.1 + CERTAIN + PATIENCE)
    assert election.term is None
    election.tick(11.0 + CERTAIN + PATIENCE)
    assert election.take() == [Look()]


def test_who_leads_does_not_stand() -> None:
    election = leading()
    for second in range(20):
        election.seen(ROW, float(second))
    assert election.take() == []


def test_nobody_is_less_patient_than_that() -> None:
    election = Election(patience=0.1)
    election.seen(ROW, 0.0)
    election.seen(ROW, PATIENCE)
    assert election.take() == []
