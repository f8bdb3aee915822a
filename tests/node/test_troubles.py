"""What a primary says of a row that does not work."""

from __future__ import annotations

import pytest

from ckv.errors import Forbidden, TierUnavailable
from ckv.node.troubles import SAY_AFTER, Troubles


def test_what_somebody_has_to_mend_is_logged_once_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles("the row")
    for _ in range(3):
        troubles.failed("write", Forbidden("UPDATE denied"), 0.0)
    assert caplog.text.count("UPDATE denied") == 1
    troubles.worked("write")
    troubles.failed("write", Forbidden("UPDATE denied"), 1.0)
    assert caplog.text.count("UPDATE denied") == 2


def test_what_others_write_says_nothing_of_what_is_forbidden() -> None:
    troubles = Troubles("the row")
    troubles.failed("write", Forbidden("UPDATE denied"), 0.0)
    troubles.others_write()
    troubles.worked("read")
    assert troubles.reason == "UPDATE denied"
    troubles.worked("write")
    assert troubles.reason == ""


def test_who_can_write_can_read(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level("INFO")
    troubles = Troubles("the row")
    troubles.failed("read", TierUnavailable("it is away"), 0.0)
    troubles.failed("read", TierUnavailable("it is far away"), SAY_AFTER)
    troubles.say("1.2", SAY_AFTER)
    assert not caplog.records, "as it may be back in a moment"
    troubles.say("1.2", SAY_AFTER + 0.1)
    troubles.say("1.2", SAY_AFTER + 0.2)
    assert caplog.text.count("cannot be asked (it is far away)") == 1
    monkeypatch.setattr("ckv.outage.REMIND_AFTER", 0.0)
    troubles.say("1.2", SAY_AFTER + 60)
    assert caplog.text.count("cannot be asked (it is far away)") == 2
    troubles.worked("write")
    assert (troubles.reason, caplog.text.count("answers again")) == ("", 1)
