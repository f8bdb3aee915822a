"""What a node takes from its file of options again, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from ckv import events
from ckv.cluster.leader import Leader
from ckv.cluster.options import Options
from ckv.node.node import Node
from ckv.node.reloading import Reloading, of_primary, of_secondary
from ckv.protocol.limits import Limits
from ckv.protocol.slow import SlowLog
from ckv.roles import RoleName
from ckv.settings import roles
from ckv.settings.table import settings_of
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from ckv.store.waiting import Waiting

WORDS: dict[str, dict[str, Any]] = {
    "secondary": {"<primary>": "localhost:8080", "<port>": "8081"},
    "primary": {"<port>": "8080", "<secondary>": []},
}


class Parts:
    """What there is of a node that reads its settings again."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.logs: list[tuple[str, str]] = []
        monkeypatch.setattr("ckv.logs.configure", lambda *arguments: self.logs.append(arguments))
        self.node: Any = SimpleNamespace(limits=Limits(), slow=SlowLog(1, float, float), drain_timeout=30)
        self.joining: Any = SimpleNamespace(drain_timeout=30)
        self.leading: Any = SimpleNamespace(leader=Leader(Options()))
        environment = Environment(clock=float, load_timeout=1, pending_wait=1)
        self.store = MODES["behind"](POLICIES["lru"](10, 0), Pending(5, 2**30), environment)

    def changes(self, role: RoleName) -> Any:
        if role == "primary":
            return of_primary(self.node, self.leading)
        return of_secondary(self.node, self.store, self.joining)

    def reloading(self, role: RoleName, text: str, **options: str) -> Reloading[Any]:
        self.path.write_text(text)
        words = {name.replace("_", "-"): value for name, value in options.items()}
        arguments = WORDS[role] | {"--config": str(self.path)} | {f"--{name}": value for name, value in words.items()}
        return Reloading(roles.read(role, arguments, {}), self.changes(role))


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Parts:
    caplog.set_level("INFO")
    return Parts(tmp_path / "ckv.toml", monkeypatch)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    """The events that were logged, and their last fields."""
    found: list[tuple[object, ...]] = [
        (record.msg, record.args[-1]) for record in caplog.records if isinstance(record.args, tuple)
    ]
    caplog.clear()
    return found


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_there_is_one_for_each_setting_that_changes(parts: Parts, role: RoleName) -> None:
    assert parts.changes(role).keys() == {setting.name for setting in settings_of(role) if setting.changes}


def test_all_that_a_secondary_changes(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    reloading = parts.reloading("secondary", "")
    parts.path.write_text(
        'log-level = "debug"\nlog-format = "json"\nslow-time = "2s"\ndrain-timeout = "3s"\nmax-connections = 4\n'
        '[secondary]\npending-max = 5\npending-max-bytes = "6MiB"\n'
    )
    reloading.reload()
    assert set(parts.logs) == {("debug", "json")}
    node, settings = parts.node, reloading.settings
    assert (node.slow.seconds, node.drain_timeout, node.limits.max_connections) == (2, 3, 4)
    assert parts.joining.drain_timeout == 3
    assert (settings.pending_max, settings.pending_max_bytes, settings.log_level) == (5, 6 * 2**20, "debug")
    ((event, changed),) = told(caplog)
    assert (event, str(changed).count("=")) == (events.SETTINGS_READ, 7)
    assert "--pending-max=5" in str(changed)
    reloading.reload()
    assert told(caplog) == [(events.SETTINGS_READ, "nothing is another")]


def test_a_bound_on_what_waits_holds_at_once(parts: Parts) -> None:
    reloading = parts.reloading("secondary", "[secondary]\npending-max = 5\n")
    pending = parts.store.pending
    for number in range(5):
        pending.add(f"key {number}", "value", 0.0, number + 1)
    full = [pending.full]
    parts.path.write_text("[secondary]\npending-max = 6\n")
    reloading.reload()
    full.append(pending.full)
    pending.add("one more", "value", 0.0, 9)
    assert [*full, pending.full] == [True, False, True]


def test_who_waits_for_room_goes_on_when_there_is_more_though_nothing_can_be_flushed(parts: Parts) -> None:
    store, done = parts.store, []
    reloading = parts.reloading("secondary", "[secondary]\npending-max = 5\n")
    for number in range(5):
        store.put(f"key {number}", "value")
    step = store.together({"other": False}, lambda _look: store.put("other", "value"))
    write = store.put("one more", "value")
    for waiting in (step, write):
        assert isinstance(waiting, Waiting)
        waiting.wait(lambda _, error: done.append(error))
    parts.path.write_text("[secondary]\npending-max = 7\n")
    reloading.reload()
    gevent.sleep(0)
    assert (done, len(store.pending)) == ([None, None], 7)


def test_what_a_primary_changes(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    reloading = parts.reloading("primary", "settle = 5\n")
    parts.path.write_text('settle = "1m"\nmove-slots = 7\n')
    reloading.reload()
    options = parts.leading.leader.options
    assert options == Options(settle=60, move_slots=7)
    assert told(caplog) == [(events.SETTINGS_READ, "--settle=1m --move-slots=7")]


def test_what_needs_a_restart_is_named_each_time_and_the_rest_is_taken(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    reloading = parts.reloading("secondary", "")
    parts.path.write_text('keys-max = 5\nallow-flush = true\nslow-time = "2s"\n[secondary]\nload-timeout = "9s"\n')
    for changed in ("--slow-time=2s", "nothing is another"):
        reloading.reload()
        fixed = "--load-timeout --keys-max --allow-flush"
        assert told(caplog) == [(events.SETTINGS_READ, changed), (events.SETTINGS_FIXED, fixed)]
    assert (reloading.settings.keys_max, reloading.settings.slow_time) == (100_000, 2)


def test_what_is_given_elsewhere_beats_the_file_as_before(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    reloading = parts.reloading("secondary", "", slow_time="7s")
    parts.path.write_text('slow-time = "2s"\n')
    reloading.reload()
    assert told(caplog) == [(events.SETTINGS_READ, "nothing is another")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("slow-time = \n", "no TOML"),
        ("slow-tim = 5\n", "no such option"),
        ('slow-time = "2s"\ndrain-timeout = "long"\n', "drain-timeout: 'long' is not"),
        ('slow-time = "2s"\nbind = "0.0.0.0"\n', "without users"),
        # Fine together, but the first one needs a restart.
        ('slow-time = "2s"\nmax-value-bytes = 9\n[secondary]\npending-max-bytes = 9\n', "less than the longest value"),
    ],
)
def test_all_stays_when_anything_is_wrong(parts: Parts, caplog: pytest.LogCaptureFixture, text: str, why: str) -> None:
    reloading = parts.reloading("secondary", "")
    before = reloading.settings
    parts.path.write_text(text)
    reloading.reload()
    ((event, reason),) = told(caplog)
    assert event == events.SETTINGS_KEPT
    assert why in str(reason)
    assert (reloading.settings, parts.node.slow.seconds) == (before, 1)
    parts.path.unlink()
    reloading.reload()
    assert "No such file" in str(told(caplog)[0][1])


@pytest.mark.parametrize("broken", ["settings", "users", "certificates", "login at other nodes"])
def test_what_one_part_raises_keeps_no_other_from_being_read(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """Or a secret that is no more would stay good."""
    done: list[str] = []

    def part(name: str) -> Callable[[], None]:
        def read() -> None:
            if name == broken:
                raise RuntimeError("nobody has thought of it")
            done.append(name)

        return read

    node: Any = SimpleNamespace(
        reread=part("settings"),
        address=1,
        _server=SimpleNamespace(logins=SimpleNamespace(reload=part("users"))),
        _handshakes=SimpleNamespace(reload=part("certificates")),
        when_reloaded=part("login at other nodes"),
    )
    Node._reload(node)
    assert {*done, broken} == {"settings", "users", "certificates", "login at other nodes"}
    (record,) = caplog.records
    assert (record.msg, record.args) == (events.RELOAD_DEFECT, (broken,))
    assert record.exc_info is not None
