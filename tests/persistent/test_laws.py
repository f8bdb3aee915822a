"""The laws of the contract, for every tier."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckv.errors import RowsRefused, TierUnavailable, WriteFailed
from ckv.persistent import Session, Tier
from ckv.persistent.opening import open_tier
from ckv.values import MAX_KEY_BYTES, Value, to_text
from tests.persistent.conftest import TierUnderTest, mysql_tier
from tests.support.mariadb import MariaDB

ALL_BYTES = bytes(range(256))

RECORDS: dict[str, dict[str, Value]] = {
    "a str beside a bin": {"s": "text", "b": b"text"},
    "empty values": {"s": "", "b": b""},
    "text beyond ASCII": {"ключ": "значение", "🔑": "🎉", "é": "e\u0301"},
    "bytes that are not UTF-8": {to_text(b"\xff\xfe"): to_text(ALL_BYTES), to_text(b"\xed\xa0\x80"): ALL_BYTES},
    "every byte in a key": {to_text(bytes([byte])): bytes([byte]) for byte in range(256)},
    "cases": {"Bob": "1", "bob": "2", "BOB": "3", "böb": "4"},
    "spaces and zeros at the end": {"a": "1", "a ": "2 ", "a\0": "3\0", "a  ": "4  ", " a": "5", "\0": "6", " ": "7"},
    "what SQL gives a meaning to": {"'": "\\", '"; --': "'); DROP TABLE CelonisData; --", "%s": "%(x)s", "?": "X''"},
    "an empty key": {"": "nothing"},
    "a key of the greatest length": {"k" * MAX_KEY_BYTES: "1", "k" * (MAX_KEY_BYTES - 1): "2"},
    "values of 1 MiB": {"s": "x" * 2**20, "b": ALL_BYTES * 2**12},
    "a batch of 500": {f"key-{number:04}": f"value-{number}" for number in range(500)},
    "more than a statement takes": {f"key-{number:04}": b"%d" % number for number in range(1201)},
}


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
def test_what_was_saved_is_loaded(tier: Tier, session: Session, records: dict[str, Value]) -> None:
    session.save_many(list(records.items()))
    assert session.count() == len(records)
    another = tier.connect()
    found = another.load_many([*records, "missing"])
    another.close()
    assert found == records  # A str never equals a bin, so this is also about types.


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.binary(max_size=3).map(to_text), st.binary(max_size=20).map(to_text) | st.binary()))
    )
)
def test_a_session_is_a_dict(session: Session, batches: list[list[tuple[str, Value]]]) -> None:
    model: dict[str, Value] = {}
    for batch in batches:
        session.save_many(batch)
        model |= dict(batch)
    assert session.load_many(list(model)) == model
    session.delete_many([*model, "never there"])
    assert session.count() == 0


def test_a_save_replaces_value_and_type(session: Session) -> None:
    session.save_many([("k", "long first value"), ("other", "stays")])
    for value in (b"second", "third", b"", ""):
        session.save_many([("k", value)])
        assert session.load_many(["k", "other"]) == {"k": value, "other": "stays"}


def test_the_last_one_wins_within_a_batch(session: Session) -> None:
    session.save_many([("k", "z"), ("j", "1"), ("k", b"a")])
    assert session.load_many(["k", "j"]) == {"k": b"a", "j": "1"}


def test_delete_takes_exactly_the_named_ones(session: Session) -> None:
    session.save_many([(key, "1") for key in ("a", "a ", "A", "b")])
    session.delete_many(["a", "missing", "b", "a"])
    assert session.load_many(["a", "a ", "A", "b"]) == {"a ": "1", "A": "1"}


def test_a_thousand_rows_go_at_once(session: Session) -> None:
    keys = [f"key-{number}" for number in range(1001)]
    session.save_many([(key, key) for key in [*keys, "stays"]])
    session.delete_many(keys)
    assert session.load_many([*keys, "stays"]) == {"stays": "stays"}


def test_empty_batches(session: Session) -> None:
    session.save_many([])
    session.delete_many([])
    assert session.load_many([]) == {}
    assert session.count() == 0


def test_other_sessions_see_a_write_at_once(tier: Tier, session: Session) -> None:
    reader = tier.connect()
    try:
        for value in ("1", "2"):
            session.save_many([("k", value)])
            assert reader.load_many(["k"]) == {"k": value}  # The second time: no snapshot is left over.
        session.delete_many(["k"])
        assert reader.load_many(["k"]) == {}
    finally:
        reader.close()


def test_refused_rows_leave_nothing_behind(under_test: TierUnderTest) -> None:
    session = under_test.tier.connect()
    session.save_many([("old", "kept")])
    under_test.shrink()
    # Enough rows before the bad one that they fill a statement of their own.
    batch: list[tuple[str, Value]] = [(f"k{number:04}", "fine") for number in range(700)]
    with pytest.raises(RowsRefused):
        session.save_many([("old", "new"), *batch, ("z", "more than ten bytes")])
    assert session.count() == 1
    assert session.load_many(["old"]) == {"old": "kept"}
    # The session goes on.
    session.save_many([("k", "fine")])
    assert session.load_many(["old", "k", "z"]) == {"old": "kept", "k": "fine"}
    session.close()


@pytest.mark.parametrize(("shared", "batch", "turns"), [(60, 40, 30), (1500, 1100, 5)])
def test_sessions_side_by_side_meet_no_error(tier: Tier, shared: int, batch: int, turns: int) -> None:
    # Shared keys in random orders, some of them missing, in one statement or several: what makes deadlocks.
    keys = [f"key-{number}" for number in range(shared)]
    tier.connect().close()

    def work(number: int) -> None:
        order = random.Random(number)
        session = tier.connect()
        for turn in range(turns):
            session.save_many([(key, f"{number}.{turn}") for key in order.sample(keys, batch)])
            session.delete_many(order.sample(keys, batch))
            assert set(session.load_many(keys)) <= set(keys)
        session.close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result(60)


def test_four_first_connects_at_once(tier: Tier) -> None:
    def work(number: int) -> None:
        session = tier.connect()
        session.save_many([(str(number), b"x")])
        session.close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result(60)
    session = tier.connect()
    assert session.count() == 4
    session.close()


def test_a_closed_session_is_unavailable(tier: Tier) -> None:
    session = tier.connect()
    session.close()
    session.close()
    with pytest.raises(TierUnavailable):
        session.count()
    with pytest.raises(TierUnavailable):
        session.save_many([("k", "v")])


def test_a_connect_that_prepares_nothing_creates_nothing(mariadb: MariaDB, tmp_path: Path) -> None:
    path = tmp_path / "ckv.db"
    for tier in (mysql_tier(mariadb), open_tier(f"sqlite:{path}")):
        with pytest.raises(TierUnavailable):
            tier.connect(prepare=False)
    assert not path.exists()
    assert ("celonis",) not in mariadb.query("SHOW DATABASES")
    for tier in (mysql_tier(mariadb), open_tier(f"sqlite:{path}")):
        tier.connect().close()
        session = tier.connect(prepare=False)
        assert session.count() == 0
        session.close()


def test_values_that_are_too_long_come_as_their_length(session: Session) -> None:
    records: dict[str, Value] = {
        "empty": "",
        "fits": b"x" * 10,
        "text": "ä" * 5,
        "longer": "x" * 11,
        "bin": b"\x00" * 5000,
    }
    session.save_many(list(records.items()))
    found, larger, _ = session.load_some([*records, "missing"], 10)
    assert found == {key: records[key] for key in ("empty", "fits", "text")}
    assert larger == {"longer": 11, "bin": 5000}
    assert session.load_some(["bin", "missing"], 0) == ({"bin": records["bin"]}, {}, {})
    assert session.load_some([], 10) == ({}, {}, {})


def test_an_error_that_says_nothing_about_the_data(under_test: TierUnderTest) -> None:
    session = under_test.tier.connect()
    session.save_many([("old", "kept")])
    under_test.spoil("NEW.kv_key = 'bad'" if "mysql" in under_test.tier.name else "NEW.kv_key = CAST('bad' AS BLOB)")
    with pytest.raises(WriteFailed):
        session.save_many([("a", "before it"), ("bad", "itself"), ("old", "new")])
    # Nothing was written, and the session goes on.
    assert session.load_many(["a", "bad", "old"]) == {"old": "kept"}
    session.probe()
    session.save_many([("old", "new")])
    assert session.load_many(["old"]) == {"old": "new"}


def test_a_probe_leaves_nothing_behind(under_test: TierUnderTest) -> None:
    session, other = under_test.tier.connect(), under_test.tier.connect()
    session.probe()
    assert session.count() == other.count() == 0
    other.save_many([("k", "v")])
    session.probe()
    assert session.load_many(["k"]) == {"k": "v"}


def test_a_probe_fails_where_nothing_can_be_written(under_test: TierUnderTest) -> None:
    session = under_test.tier.connect()
    under_test.spoil("1 = 1")
    with pytest.raises(TierUnavailable) as caught:
        session.probe()
    assert type(caught.value) is TierUnavailable
