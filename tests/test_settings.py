"""Settings: what is allowed, what is refused and in which words, and where a value comes from."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv.address import Address, parse_address
from ckv.errors import BadSetting
from ckv.settings import parsers, roles
from ckv.settings.roles import DemoSettings
from ckv.settings.table import SETTINGS, Setting

SECONDARY: dict[str, Any] = {"<primary>": "localhost:8080", "<port>": "8081"}
PRIMARY: dict[str, Any] = {"<port>": "8080", "<secondary>": ["localhost:8081", "localhost:8082"]}
SHELL: dict[str, Any] = {"<host>": "localhost", "<port>": "8080"}


def secondary(arguments: dict[str, Any], **environ: str) -> roles.SecondarySettings:
    chosen: roles.SecondarySettings = roles.read("secondary", {**SECONDARY, **arguments}, environ)
    return chosen


def refusal(arguments: dict[str, Any], **environ: str) -> str:
    with pytest.raises(BadSetting) as caught:
        secondary(arguments, **environ)
    return str(caught.value)


# --- whole roles -----------------------------------------------------------------------------------------------------


def test_a_primary() -> None:
    assert roles.read("primary", PRIMARY, {}) == roles.PrimarySettings(
        port=8080,
        secondaries=(Address("localhost", 8081), Address("localhost", 8082)),
        bind="127.0.0.1",
        http=None,
        call_timeout=8.0,
        node_wait=2.0,
        settle=30.0,
        move_slots=1024,
        cluster_clients=False,
        coordinator="-",
        advertise="",
        follow=None,
        max_connections=10_000,
        max_value_bytes=1_048_576,
        keys_max=100_000,
        slow_time=0.01,
        allow_flush=False,
        drain_timeout=30.0,
        log_level="info",
        log_format="text",
        config=None,
    )


def test_a_secondary() -> None:
    assert secondary({}) == roles.SecondarySettings(
        primaries=(Address("localhost", 8080),),
        port=8081,
        name="",
        persistent="-",
        capacity=1_000_000,
        memory_max=0,
        policy="lru",
        pool_size=1,
        bind="127.0.0.1",
        http=None,
        write_mode="evict",
        write_delay=1.0,
        write_batch=500,
        load_timeout=3.0,
        pending_max=1_000_000,
        pending_max_bytes=2**30,
        pending_wait=1.0,
        warm_rate=16 * 2**20,
        max_connections=10_000,
        max_value_bytes=1_048_576,
        keys_max=100_000,
        slow_time=0.01,
        allow_flush=False,
        drain_timeout=30.0,
        log_level="info",
        log_format="text",
        config=None,
    )


def test_a_secondary_of_several_primaries() -> None:
    chosen = roles.read("secondary", {"<primary>": "a:1,[::1]:2", "<port>": "8081"}, {})
    assert chosen.primaries == (Address("a", 1), Address("::1", 2))
    with pytest.raises(BadSetting, match=r"^<primary>: '' is not an address"):
        roles.read("secondary", {"<primary>": "a:1,", "<port>": "8081"}, {})


def test_a_coordinator_is_named_without_its_password_where_it_cannot_be() -> None:
    for words, why in (
        ({"--coordinator": "sqlite://me:secret@x"}, "^--coordinator: 'sqlite://\\*\\*\\*@x' is not a coordinator"),
        (PRIMARY | {"--coordinator": "mysql://me:secret@x"}, "^--coordinator: 'mysql://\\*\\*\\*@x' with a list"),
        (PRIMARY | {"--coordinator": "zk://me:secret@x,y/z"}, "^--coordinator: 'zk://\\*\\*\\*@x,y/z' with a list"),
        ({"--advertise": "a b"}, "^--advertise: 'a b' is not a host"),
    ):
        with pytest.raises(BadSetting, match=why):
            roles.read("primary", {"<port>": "8080", "<secondary>": []} | words, {})


def test_a_primary_follows_one_or_has_another_way_to_know() -> None:
    chosen = roles.read("primary", {"<port>": "8080", "<secondary>": [], "--follow": "a:1"}, {})
    assert chosen.follow == Address("a", 1)
    for words, why in (
        ({"--follow": "a"}, "^--follow: 'a' is not an address"),
        (PRIMARY | {"--follow": "a:1"}, "^--follow: 'a:1' with a list of secondaries"),
        ({"--follow": "a:1", "--coordinator": "mysql://x"}, "^--follow: 'a:1' with --coordinator"),
    ):
        with pytest.raises(BadSetting, match=why):
            roles.read("primary", {"<port>": "8080", "<secondary>": []} | words, {})


def test_a_secondary_with_everything() -> None:
    given_ = {
        "<persistent-node>": "localhost:3306",
        "<capacity>": "5",
        "<eviction-policy>": "2",
        "<thread-pool-size>": "4",
        "--drain-timeout": "500ms",
        "--max-value-bytes": "64k",
        "--log-format": "json",
    }
    chosen = secondary(given_)
    assert (chosen.persistent, chosen.capacity, chosen.policy, chosen.pool_size) == ("localhost:3306", 5, "lfu", 4)
    assert (chosen.drain_timeout, chosen.max_value_bytes, chosen.log_format) == (0.5, 64_000, "json")


def test_a_shell() -> None:
    chosen = roles.read("shell", SHELL, {"HOME": "/"})
    assert chosen.address == Address("localhost", 8080)
    assert chosen.timeout == 10.0
    assert chosen.history == Path.home() / ".ckv_history"
    assert roles.read("shell", SHELL, {"CKV_HISTORY": "/tmp/typed"}).history == Path("/tmp/typed")


def test_a_demo() -> None:
    assert roles.read("demo", {"<host>": None, "<port>": None}, {}) == DemoSettings(None)
    assert roles.read("demo", {"<host>": "::1", "<port>": "1"}, {}) == DemoSettings(Address("::1", 1))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        secondary({}).capacity = 7  # type: ignore[misc]


# --- where a value comes from ----------------------------------------------------------------------------------------


def test_the_option_beats_the_environment_which_beats_the_default() -> None:
    assert secondary({}).drain_timeout == 30
    assert secondary({}, CKV_DRAIN_TIMEOUT="7").drain_timeout == 7
    assert secondary({"--drain-timeout": "8"}, CKV_DRAIN_TIMEOUT="7").drain_timeout == 8


def test_a_bad_twin_does_not_matter_beside_the_option() -> None:
    assert secondary({"--drain-timeout": "8"}, CKV_DRAIN_TIMEOUT="soon").drain_timeout == 8


VALUED = [setting for setting in SETTINGS if setting.unit]


@pytest.mark.parametrize("setting", VALUED, ids=lambda it: it.name)
def test_a_bad_value_is_named_as_it_was_given(setting: Setting) -> None:
    role = setting.roles[0]
    own = {"primary": PRIMARY, "secondary": SECONDARY, "verify": {**SHELL, "<persistent-node>": "localhost:3306"},
           "user": {"<action>": "add", "<file>": "users", "<user>": "bob"}}  # fmt: skip
    arguments = own.get(role, SHELL)
    twin = "CKV_" + setting.name.removeprefix("--").upper().replace("-", "_")
    files = ("--history", "--config", "--users", "--node-password-file", "--password-file",
             "--tls-cert", "--tls-key", "--tls-ca")  # fmt: skip
    # What is behind a colon in the place of a user is not shown: it may be the secret.
    bad = "" if setting.name in files else "no such" if setting.parse is parsers.user else "no such:thing"
    with pytest.raises(BadSetting) as caught:
        roles.read(role, {**arguments, setting.name: bad}, {})
    assert str(caught.value).startswith(f"{setting.name}: {bad!r} is ")
    with pytest.raises(BadSetting) as caught:
        roles.read(role, arguments, {twin: bad})
    assert str(caught.value).startswith(f"{twin}: {bad!r} is ")
    assert "\n" not in str(caught.value)


def test_arguments_have_no_twin() -> None:
    assert secondary({}, CKV_CAPACITY="7", CKV_PORT="9").capacity == 1_000_000


def test_every_default_is_allowed() -> None:
    for setting in SETTINGS:
        if setting.default is not None:
            setting.parse(setting.default)


# --- what is allowed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "low", "high", "refused"),
    [
        ("<port>", "0", "65535", ["65536", "-1", "", "http", "80.0", "+80", " 80", "8_0", "\u0661"]),
        ("<capacity>", "1", "4294967280", ["0", "-1", "4294967281", "many", "1.5", "1e3", "1K", "1KiB"]),
        ("<thread-pool-size>", "1", "1024", ["0", "1025"]),
        ("--max-connections", "1", "1000000", ["0", "1000001"]),
        ("--max-value-bytes", "1", "64MiB", ["0", "67108865", "65MiB", "1MB", "1 MiB", "MiB"]),
        ("--pending-max", "1", "1099511627776", ["0", "1099511627777"]),
        ("--memory-max", "0", "1024GiB", ["-1", "1025GiB", "1MB"]),
        ("--pending-max-bytes", "1MiB", "1024GiB", ["0", "1025GiB"]),
        ("--drain-timeout", "0", "60m", ["61m", "-1", "1h", "3600.1s", "nan", "inf", "1e1", ".5", "soon", ""]),
        ("--load-timeout", "10ms", "10m", ["9ms", "0", "601"]),
        ("--pending-wait", "0", "10m", ["601"]),
    ],
)
def test_ranges(name: str, low: str, high: str, refused: list[str]) -> None:
    secondary({name: low})
    secondary({name: high})
    for text in refused:
        line = refusal({name: text})
        assert line.startswith(f"{name}: {text!r} is not ")
        assert ": allowed is " in line


def test_the_call_time_out_of_a_primary() -> None:
    assert roles.read("primary", {**PRIMARY, "--call-timeout": "10ms"}, {}).call_timeout == 0.01
    for text in ("9ms", "601"):
        with pytest.raises(BadSetting, match=r"^--call-timeout: .* allowed is 0\.01 to 600 seconds"):
            roles.read("primary", {**PRIMARY, "--call-timeout": text}, {})


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("5", 5), ("2.5", 2.5), ("250ms", 0.25), ("5s", 5), ("1.5m", 90), ("0.001", 0.001)]
)
def test_durations(text: str, seconds: float) -> None:
    assert secondary({"--drain-timeout": text}).drain_timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("7", 7), ("2k", 2000), ("2KiB", 2048), ("3M", 3_000_000), ("3MiB", 3 * 2**20)],
)
def test_sizes(text: str, size: int) -> None:
    assert secondary({"--max-value-bytes": text}).max_value_bytes == size


def test_large_sizes_and_counts() -> None:
    assert secondary({"--pending-max-bytes": "2G"}).pending_max_bytes == 2 * 10**9
    assert secondary({"--pending-max-bytes": "2GiB"}).pending_max_bytes == 2 * 2**30
    assert secondary({"<capacity>": "2M"}).capacity == 2_000_000


@pytest.mark.parametrize(
    ("text", "policy"),
    [("1", "lru"), ("2", "lfu"), ("3", "fifo"), ("4", "s3fifo"), ("lru", "lru"), ("LFU", "lfu"), ("S3Fifo", "s3fifo")],
)
def test_policies(text: str, policy: str) -> None:
    assert secondary({"<eviction-policy>": text}).policy == policy


@pytest.mark.parametrize("text", ["0", "5", "arc", ""])
def test_a_policy_that_there_is_not(text: str) -> None:
    line = refusal({"<eviction-policy>": text})
    allowed = "1 or lru, 2 or lfu, 3 or fifo, 4 or s3fifo"
    assert line == f"<eviction-policy>: {text!r} is not an eviction policy: allowed is {allowed}"


@pytest.mark.parametrize("mode", ["behind", "through"])
def test_a_write_mode_that_needs_a_persistent_node(mode: str) -> None:
    assert secondary({"--write-mode": mode, "<persistent-node>": "localhost:3306"}).write_mode == mode
    with pytest.raises(BadSetting, match=f"--write-mode: '{mode}' needs a persistent node"):
        secondary({"--write-mode": mode})


def test_names_of_log_levels_and_formats() -> None:
    assert secondary({"--log-level": "WARNING"}).log_level == "warning"
    assert refusal({"--log-level": "loud"}).endswith("allowed is debug, info, warning, error")
    assert refusal({"--log-format": "xml"}).endswith("allowed is text, json")


def test_a_value_must_fit_what_may_be_pending() -> None:
    line = refusal({"--pending-max-bytes": "1000"})
    assert line == (
        "--pending-max-bytes: 1000 is less than the longest value: allowed is --max-value-bytes, 1MiB, and more"
    )
    assert secondary({"--pending-max-bytes": "1MiB"}).pending_max_bytes == 2**20


def test_a_value_must_fit_into_memory() -> None:
    line = refusal({"--memory-max": "1000"})
    assert line == (
        "--memory-max: 1000 is less than the longest value: allowed is 0, or --max-value-bytes, 1MiB, and more"
    )
    assert secondary({"--memory-max": "1MiB"}).memory_max == 2**20


def test_a_secondary_twice() -> None:
    with pytest.raises(BadSetting, match=r"^<secondary>: 'a:1' is given twice"):
        roles.read("primary", {"<port>": "1", "<secondary>": ["a:1", "b:1", "a:1"]}, {})


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:8080", Address("localhost", 8080)),
        ("10.0.0.1:1", Address("10.0.0.1", 1)),
        ("ckv-secondary-0.ckv.default.svc:8081", Address("ckv-secondary-0.ckv.default.svc", 8081)),
        ("my_host:65535", Address("my_host", 65535)),
        ("[::1]:8080", Address("::1", 8080)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "localhost", "8080", ":8080", "localhost:", "localhost:0", "localhost:65536", "localhost:http",
        "::1:8080", "::1", "[::1]", "[::1:8080", "[localhost]:8080", "[10.0.0.1]:80", "a b:80", "http://a:80", "-a:80",
        "a\n:80", "a:80\n", "a:80 ",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadSetting) as caught:
        parse_address(text)
    assert str(caught.value) == (
        f"{text!r} is not an address: allowed is host:port or [IPv6]:port, the port from 1 to 65535"
    )


@given(st.ip_addresses().map(str) | st.from_regex(r"[a-z]([a-z0-9.-]{0,20})", fullmatch=True), st.integers(1, 65535))
def test_an_address_reads_as_it_is_shown(host: str, port: int) -> None:
    assert parse_address(str(Address(host, port))) == Address(host, port)


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_a_bad_setting(text: str) -> None:
    try:
        address = parse_address(text)
    except BadSetting:
        return
    assert 1 <= address.port <= 65535
    assert address.host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "localhost", "127.0.0.1"])
def test_where_a_node_may_listen(host: str) -> None:
    bind = secondary({"--bind": host, "--insecure": True}).bind
    assert bind == host.strip("[]")
    if ":" in bind:
        ipaddress.IPv6Address(bind)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_loopback_needs_no_users(host: str) -> None:
    assert secondary({"--bind": host}).users is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "this-machine", "localhost.example"])
def test_whoever_listens_elsewhere_has_users_or_says_that_it_has_none(host: str, tmp_path: Path) -> None:
    why = f"--bind: {host!r} without users: whoever reaches the node may do everything: allowed with --users, or with"
    assert refusal({"--bind": host}).startswith(why)
    users = tmp_path / "users"
    users.touch(0o600)
    users.write_text(f"bob read sha256:{'0' * 64}\n")
    assert secondary({"--bind": host, "--users": str(users)}).bind == host


@pytest.mark.parametrize("host", ["localhost:80", "", "*", "[x]"])
def test_where_a_node_may_not_listen(host: str) -> None:
    assert refusal({"--bind": host}).startswith(f"--bind: {host!r} is not a host: allowed is")
