"""When a record expires, as the client says it to nodes."""

from __future__ import annotations

import time

import pytest

from ckv.client.expiring import MAX_SECONDS, expires_in


@pytest.mark.parametrize(
    ("now", "seconds", "moment"), [(100.0004, 1, 101_000), (100.9996, 0.0003, 100_999), (0.5, None, 0)]
)
def test_no_more_time_is_left_than_was_given(
    now: float, seconds: float | None, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: now)
    assert expires_in(seconds) == moment


@pytest.mark.parametrize("seconds", [0, -1, MAX_SECONDS + 1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_named(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"^expire={seconds!r}: allowed is a number"):
        expires_in(seconds)
