"""The states of a tier, by a clock that the test moves."""

from __future__ import annotations

from typing import Literal

import pytest

from ckv.node.health import CALM, NOT_SLOW, SLOW_AFTER, STARTING, TELL_AGAIN, Change, Health, Reason

HUNG_AFTER = 3.0

REFUSED = Reason("Connection refused", 2003)
LOST = Reason("Lost connection", 2013)
SILENT = Reason("timed out", 2003, silent=True)
LOGIN = Reason("Access denied", 1045)


class Tier:
    """A tier that a test plays."""

    def __init__(self) -> None:
        self.now = 100.0
        self.health = Health(lambda: self.now, HUNG_AFTER)
        self.changes: list[Change] = []

    def connect(self, kind: Literal["read", "write"] = "read", reason: Reason | None = None) -> None:
        attempt = self.health.begins(kind, connects=True)
        if reason is None:
            self.health.succeeded(attempt)
        else:
            self.health.failed(attempt, reason, again=True)
        self.look()

    def run(
        self,
        kind: Literal["read", "write"] = "read",
        reason: Reason | None = None,
        *,
        seconds: float = 0.0,
        again: bool = False,
    ) -> None:
        attempt = self.health.begins(kind)
        self.pass_by(seconds)
        if reason is None:
            self.health.succeeded(attempt)
        else:
            self.health.failed(attempt, reason, again=again)
        self.look()

    def pass_by(self, seconds: float) -> None:
        """As time goes by, somebody looks."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 0.1)
            self.look()

    def look(self) -> None:
        change = self.health.look()
        if change is not None:
            self.changes.append(change)

    @property
    def state(self) -> str:
        return self.health.state

    @property
    def states(self) -> list[str]:
        return [change.after for change in self.changes]


@pytest.fixture
def tier() -> Tier:
    return Tier()


@pytest.fixture
def up(tier: Tier) -> Tier:
    tier.connect("read")
    tier.connect("write")
    tier.changes.clear()
    return tier


def test_it_is_up_once_it_is_connected(tier: Tier) -> None:
    assert tier.state == "connecting"
    tier.connect()
    assert (tier.state, tier.health.reason, tier.states) == ("up", "", ["up"])


def test_loads_wait_for_a_tier_that_starts_as_well_but_not_for_ever(tier: Tier) -> None:
    tier.connect(reason=REFUSED)
    assert (tier.state, tier.health.reads_away) == ("down", "")
    tier.pass_by(STARTING)
    assert tier.health.reads_away == REFUSED.text
    assert tier.states == ["down"]
    assert tier.health.losses == 0  # for it was never there


def test_a_session_that_breaks_is_not_an_outage_yet(up: Tier) -> None:
    up.run(reason=LOST)
    assert up.state == "up"
    up.health.closed("read")
    up.connect(reason=REFUSED)
    assert (up.state, up.health.reason, up.health.reads_away) == ("down", REFUSED.text, REFUSED.text)
    assert up.health.losses == 1


def test_what_fails_on_a_new_session_is_an_outage_until_the_same_succeeds(up: Tier) -> None:
    up.run("write", Reason("The table is full", 1114), again=True)
    assert (up.state, up.health.reads_away) == ("down", "")  # reads go on
    up.connect("write")
    up.run("read")
    assert up.state == "down"
    up.run("write")
    assert up.state == "up"


def test_an_outage_of_writes_alone_is_one_in_which_reads_are_answered(up: Tier) -> None:
    up.run("read")
    up.pass_by(0.1)
    up.run("write", Reason("The table is full", 1114), again=True)
    assert (up.state, up.health.is_read) == ("down", False), "nobody knows: no read was tried"
    up.pass_by(0.1)
    up.run("read")
    assert (up.state, up.health.is_read) == ("down", True)
    up.run("read", reason=LOST, again=True)
    assert (up.state, up.health.is_read) == ("down", False)


def test_an_outage_shows_its_current_reason(up: Tier) -> None:
    up.run(reason=LOST, again=True)
    up.health.closed("read")
    for reason in (REFUSED, REFUSED, LOGIN):
        up.connect(reason=reason)
    assert [(change.before, change.after, change.reason) for change in up.changes] == [
        ("up", "down", LOST.text),
        ("down", "down", REFUSED.text),
        ("down", "down", LOGIN.text),
    ]
    assert (up.health.reason, up.health.reads_away) == (LOGIN.text, LOGIN.text)


def test_reasons_that_take_turns_are_not_told_each_time(up: Tier) -> None:
    up.health.closed("read")
    for _ in range(10):
        up.connect(reason=REFUSED)
        up.connect(reason=LOST)
    assert len(up.changes) == 2
    up.pass_by(TELL_AGAIN)
    up.connect(reason=REFUSED)
    assert len(up.changes) == 3


def test_a_trouble_is_told_again_each_minute_and_nothing_else_is(tier: Tier) -> None:
    tier.pass_by(3 * TELL_AGAIN)
    assert tier.changes == [], "nothing is known of it"
    tier.connect("read")
    tier.connect("write")
    tier.pass_by(3 * TELL_AGAIN)
    assert tier.states == ["up"]
    tier.health.closed("read")
    tier.connect(reason=REFUSED)
    tier.pass_by(2 * TELL_AGAIN + 1)
    assert [(change.before, change.after) for change in tier.changes[1:]] == [("up", "down"), *2 * [("down", "down")]]
    assert tier.changes[-1].trouble_seconds == pytest.approx(2 * TELL_AGAIN, abs=0.5)


def test_the_end_of_an_outage_says_how_long_it_was(up: Tier) -> None:
    up.health.closed("read")
    up.connect(reason=SILENT)
    up.pass_by(4)
    up.connect(reason=REFUSED)
    up.pass_by(6)
    up.connect()
    end = up.changes[-1]
    assert up.states == ["hung", "down", "up"]
    assert (end.before, end.reason) == ("down", "")
    assert end.seconds == pytest.approx(6)
    assert end.trouble_seconds == pytest.approx(10)
    assert up.health.losses == 1


def test_a_statement_without_an_answer_hangs_after_a_while(up: Tier) -> None:
    attempt = up.health.begins("read")
    up.pass_by(HUNG_AFTER - 0.2)
    assert (up.state, up.health.reads_away) == ("slow", "")
    up.pass_by(0.4)
    assert up.state == "hung"
    assert "a read has been under way" in up.health.reads_away
    up.health.succeeded(attempt)
    up.look()
    assert (up.state, up.health.reads_away) == ("slow", "")
    assert up.states == ["slow", "hung", "slow"]


def test_it_does_not_hang_while_others_are_answered(up: Tier) -> None:
    up.health.begins("read")
    for _ in range(10):
        up.run("read", seconds=0.5)
    assert up.states == ["slow"]


def test_a_write_that_hangs_stops_no_reads(up: Tier) -> None:
    up.health.begins("write")
    up.pass_by(HUNG_AFTER + 1)
    assert (up.state, up.health.reads_away) == ("hung", "")


def test_it_stays_hung_when_the_statement_and_connections_time_out(up: Tier) -> None:
    up.run(reason=SILENT, seconds=HUNG_AFTER + 1)
    up.health.closed("read")
    up.connect(reason=SILENT)
    up.pass_by(1)
    up.connect(reason=SILENT)
    assert up.states == ["slow", "hung"] or up.states == ["slow", "hung", "hung"]
    assert up.state == "hung"


def test_a_connection_without_an_answer_hangs(tier: Tier) -> None:
    tier.health.begins("read", connects=True)
    tier.pass_by(HUNG_AFTER + 0.1)
    assert tier.state == "hung"


def test_a_connection_that_is_one_too_many_is_no_outage(up: Tier) -> None:
    up.connect("read", Reason("Too many connections", 1040))
    assert (up.state, up.changes) == ("up", [])


def test_a_connection_that_is_being_made_holds_up_no_statement(up: Tier) -> None:
    up.health.begins("read", connects=True)
    up.pass_by(2 * HUNG_AFTER)
    assert (up.state, up.health.stuck("read", HUNG_AFTER)) == ("up", False)


def test_slow_comes_at_once_and_goes_after_a_while(up: Tier) -> None:
    up.run(seconds=SLOW_AFTER)
    assert up.state == "slow"
    up.pass_by(CALM - 1)
    up.run(seconds=NOT_SLOW + 0.01)  # quick enough not to become slow, not to be up again
    up.pass_by(CALM - 1)
    assert up.state == "slow"
    up.pass_by(1.1)
    assert up.states == ["slow", "up"]


def test_an_attempt_that_was_given_up_teaches_nothing(up: Tier) -> None:
    attempt = up.health.begins("read")
    up.health.gave_up(attempt)
    up.pass_by(2 * HUNG_AFTER)
    assert up.changes == []
