"""The command line: pages, exit codes, one clear line for what is bad, and the dispatch to a role."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import docopt
import pytest

from ckv import __version__, cli
from ckv.address import Address
from ckv.errors import BadSetting
from ckv.exits import Exit
from ckv.roles import ROLES, RoleName
from ckv.settings.roles import CLASSES
from ckv.settings.table import SETTINGS, settings_of
from ckv.tools import about
from tests.support.nodes import ckv_environment, run_ckv

ROOT = Path(__file__).resolve().parents[1]

FakeRoles = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        if setting.environment:
            monkeypatch.delenv(setting.environment, raising=False)


@pytest.fixture
def fake_roles(monkeypatch: pytest.MonkeyPatch) -> FakeRoles:
    """Puts roles in place that only note the settings they are run with, and return or raise what they are told."""

    def install(outcome: int | BaseException = 0) -> list[Any]:
        seen: list[Any] = []

        def run(chosen: Any) -> int:
            seen.append(chosen)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        for role in ROLES.values():
            fake = types.ModuleType(role.module)
            fake.run = run  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, role.module, fake)
        monkeypatch.setattr("ckv.logs.configure", lambda *_: None)
        return seen

    return install


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that the words are refused with."""
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ckv: ")
    assert shown.err.count("\n") == 1
    return shown.err.removeprefix("ckv: ").rstrip("\n")


def test_every_role_has_a_row_settings_and_a_module() -> None:
    assert list(ROLES) == list(CLASSES) == list(get_args(RoleName))
    for role in ROLES.values():
        assert importlib.util.find_spec(role.module) is not None


# --- pages -----------------------------------------------------------------------------------------------------------


def test_without_arguments_the_page_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 1
    shown = capsys.readouterr()
    assert shown.out == cli.MAIN_PAGE
    assert shown.err == ""


@pytest.mark.parametrize("role", ["primary", "secondary", "status", "ping", "verify"])
def test_a_role_without_arguments_its_page_and_exit_code_1(role: RoleName, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([role]) == 1
    shown = capsys.readouterr()
    assert shown.out == cli.page(role)
    assert shown.err == ""


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["secondary", "localhost:8080"], "<port>"),
        (["secondary", "--bind=::1"], "<primary>"),
        (["primary", "--bind=::1"], "<port>"),
        (["status", "localhost"], "<port>"),
        (["demo", "localhost"], "<port>"),
        (["verify", "localhost", "8081"], "<persistent-node>"),
    ],
)
def test_a_missing_argument_its_name_the_page_and_exit_code_1(
    words: list[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith(f"ckv {words[0]}, ")
    assert shown.err == f"ckv: {missing}: missing\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], *([role, "--help"] for role in ROLES), ["primary", "x", "-h"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert not left.value.code
    page = cli.MAIN_PAGE if words[0].startswith("-") else cli.page(words[0])  # type: ignore[arg-type]
    assert capsys.readouterr().out.strip() == page.strip()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert not left.value.code
    assert capsys.readouterr().out == f"{about.line()}\n"


def entries(page: str) -> dict[str, str]:
    """What a page says of each argument and option, read without any help from the program."""
    found: dict[str, str] = {}
    name = None
    for line in page.splitlines():
        title = re.fullmatch(r"  (?:-\w, )?(--[a-z-]+|<[a-z-]+>)(?:=[A-Z:]+)?", line)
        if title:
            name = title[1]
            found[name] = ""
        elif name and line.startswith("      "):
            found[name] += " " + line.strip()
        else:
            name = None
    return found


@pytest.mark.parametrize("role", ROLES)
def test_the_page_of_a_role_shows_the_table_of_settings(role: RoleName) -> None:
    shown = entries(cli.page(role))
    known = {setting.name: setting for setting in SETTINGS if role in setting.roles}
    assert set(shown) == set(known) | {"--help"}
    for name, setting in known.items():
        default = re.search(r"\(default (\S+?)[,)]", shown[name])
        assert (default and default[1]) == setting.default, name
        twin = re.search(r"environment (CKV_\w+)\)$", shown[name])
        assert (twin and twin[1]) == setting.environment, name


def test_the_defaults_on_the_page_of_a_secondary() -> None:
    # The table made the page. This is what the page has to say, whatever the table does.
    defaults = {
        "<persistent-node>": "-", "<capacity>": "1000000", "--memory-max": "0", "<eviction-policy>": "1",
        "<thread-pool-size>": "1",
        "--bind": "127.0.0.1", "--max-connections": "10000", "--max-value-bytes": "1MiB", "--drain-timeout": "30s",
        "--log-level": "info", "--log-format": "text", "--write-mode": "evict", "--load-timeout": "3s",
        "--name": "HOSTNAME:PORT", "--write-delay": "1s", "--write-batch": "500",
        "--pending-max": "1000000", "--pending-max-bytes": "1GiB", "--pending-wait": "1s",
        "--http": "-",
        "--keys-max": "100000", "--slow-time": "10ms", "--config": "-", "--warm-rate": "16MiB",
        "--users": "-", "--node-user": "node", "--node-password-file": "-",
        "--tls-cert": "-", "--tls-key": "-", "--tls-ca": "-", "--tls-name": "-",
        "--tls-clients": "no", "--tls-plain": "no",
    }  # fmt: skip
    shown = entries(cli.page("secondary"))
    assert {name: re.search(r"\(default (\S+?)[,)]", text)[1] for name, text in shown.items() if "default" in text} == (  # type: ignore[index]
        defaults
    )


@pytest.mark.parametrize("role", ROLES)
def test_docopt_reads_from_the_page_what_the_table_has(role: RoleName) -> None:
    options = {option.longer for option in docopt.parse_options(cli.page(role))}
    assert options == {setting.name for setting in settings_of(role) if setting.is_option} | {"--help"}


@pytest.mark.parametrize("page", [cli.MAIN_PAGE, *(cli.page(role.name) for role in ROLES.values())])
def test_pages_have_all_exit_codes_and_fit_a_screen(page: str) -> None:
    codes = [int(code) for code in re.findall(r"^  (\d+) ", page, re.MULTILINE)]
    assert codes == list(Exit)
    assert max(map(len, page.splitlines())) <= 120


def test_usage_is_as_the_design_says() -> None:
    assert (
        "ckv secondary [options] <primary> <port> [<persistent-node> [<capacity> [<eviction-policy> " in cli.MAIN_PAGE
    )
    for role in ROLES:
        assert f"\n  ckv {role} " in cli.MAIN_PAGE


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["kubectl"], "kubectl: no such role: allowed is primary, secondary, shell, status, ping, verify, slots, "),
        (["--verbose"], "--verbose: unknown option: "),
        (["-x"], "-x: unknown option: "),
        (["--bind=::1", "primary"], "--bind=::1: unknown option: "),
        (["secondary", "a:1", "8080", "--verbose"], "--verbose: unknown option: allowed is --allow-flush, --bind, "),
        (["primary", "8080", "a:1", "--verbose=3"], "--verbose: unknown option: "),
        (["primary", "--log=3"], "--log: unknown option: "),
        (
            ["shell", "-y", "a", "1"],
            "-y: unknown option: allowed is --help, --history, --json, --password-file, --stdin, ",
        ),
        (["shell", "-x", "a", "1"], "--stdin: there is no command: "),
        (["shell", "GTE", "bob"], "'GTE' is no command: did you mean GET?"),
        (["shell", "a", "99999", "PING"], "<port>: '99999' is not a whole number in range: allowed is 1 to 65535"),
        (["shell", "-5"], "<port>: '-5' is not a whole number in range: allowed is 1 to 65535"),
        (["shell", "--timeout"], "--timeout: requires argument"),
        (["stauts", "a", "1"], "stauts: no such role: did you mean status? allowed is primary, "),
        (["primary", "8080", "a:1", "--log-levle=info"], "--log-levle: unknown option: did you mean --log-level? "),
        (["primary", "8080", "a:1", "--bind"], "--bind: requires argument"),
        (["primary", "8080", "a:1", "--help=yes"], "--help: must not have an argument"),
        (["primary", "8080", "a:1", "--bind=::1", "--bind=::"], "--bind: given twice"),
        (["status", "a", "1", "b"], "b: unexpected argument: allowed is ckv status [options] <host> <port>"),
        (["demo", "a", "1", "b"], "b: unexpected argument: "),
        (["secondary", "a:1", "1", "-", "1", "1", "1", "7"], "7: unexpected argument: "),
        (["primary", "8080", "--move-slots=0"], "--move-slots: '0' is not a whole number in range: "),
        (["drain", "a", "1", "b c"], "<name>: 'b c' is not "),
        (["rebalance", "a", "1", "perhaps"], "<switch>: 'perhaps' is not a switch: allowed is on, off"),
        (["primary", "http", "a:1"], "<port>: 'http' is not a whole number in range: allowed is 0 to 65535"),
        (["primary", "8080", "a:1", "b"], "<secondary>: 'b' is not an address: "),
        (["secondary", "a", "1"], "<primary>: 'a' is not an address: "),
        (["secondary", "a:1", "1", "-", "0"], "<capacity>: '0' is not a whole number in range: "),
        (["secondary", "a:1", "1", "-", "-5"], "<capacity>: '-5' is not a whole number in range: "),
        (["secondary", "a:1", "1", "", "5"], "<persistent-node>: '' is not "),
        (["secondary", "a:1", "1", "--write-mode=behind"], "--write-mode: 'behind' needs a persistent node: "),
        (["shell", "a", "0"], "<port>: '0' is not a whole number in range: allowed is 1 to 65535"),
        (["status", "a", "1", "--format=xml"], "--format: 'xml' is not known: allowed is text, json"),
        (["verify", "a", "1", "-"], "<persistent-node>: '-' is no persistent node: "),
        (["verify", "a", "1", "b:2", "--sample=0"], "--sample: '0' is not a whole number in range: "),
        (["demo", "a b", "1"], "<host>: 'a b' is not a host: "),
    ],
)
def test_what_is_bad_is_named_in_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *words).startswith(line)


def test_a_bad_variable_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKV_DRAIN_TIMEOUT", "soon")
    line = refused(capsys, "primary", "8080", "a:1")
    assert line == "CKV_DRAIN_TIMEOUT: 'soon' is not a duration in range: allowed is 0 to 3600 seconds, with ms, s or m"


# --- dispatch --------------------------------------------------------------------------------------------------------


def test_every_role_is_run_with_its_settings(fake_roles: FakeRoles) -> None:
    seen = fake_roles()
    assert cli.main(["primary", "8080", "localhost:8081", "localhost:8082", "--call-timeout", "7s"]) == 0
    assert cli.main(["secondary", "localhost:8080", "8081", "localhost:3306", "5", "fifo", "--bind=::1"]) == 0
    assert cli.main(["secondary", "localhost:8080", "8081", "-"]) == 0
    assert cli.main(["shell", "localhost", "8080"]) == 0
    assert cli.main(["demo"]) == 0
    assert cli.main(["demo", "localhost", "8080"]) == 0
    assert cli.main(["status", "localhost", "8080", "--format=JSON"]) == 0
    assert cli.main(["ping", "localhost", "8081", "--timeout=200ms"]) == 0
    assert cli.main(["ping", "localhost", "8081"]) == 0
    assert cli.main(["top", "localhost", "8081", "--once"]) == 0
    assert cli.main(["top", "localhost", "8081", "--clients"]) == 0
    assert cli.main(["verify", "localhost", "8081", "sqlite:x", "--sample=1k", "--timeout=7s"]) == 0
    primary, secondary, alone, shell, demo, live, status, hasty, ping, top, clients, verify = seen
    assert primary.secondaries == (Address("localhost", 8081), Address("localhost", 8082))
    assert primary.call_timeout == 7
    assert (secondary.primaries, secondary.port, secondary.persistent) == (
        (Address("localhost", 8080),), 8081, "localhost:3306",
    )  # fmt: skip
    assert (secondary.capacity, secondary.policy, secondary.bind) == (5, "fifo", "::1")
    assert alone.persistent == "-"
    assert shell.address == live.address == Address("localhost", 8080)
    assert demo.address is None
    assert (status.address, status.format, status.timeout) == (Address("localhost", 8080), "json", 10)
    assert (hasty.address, hasty.timeout, ping.timeout) == (Address("localhost", 8081), 0.2, 1)
    assert [(each.once, each.clients) for each in (top, clients)] == [(True, False), (False, True)]
    assert (verify.address, verify.persistent) == (Address("localhost", 8081), "sqlite:x")
    assert (verify.sample, verify.timeout) == (1000, 7)


@pytest.mark.parametrize(
    ("words", "address", "command"),
    [
        ([], "localhost:8080", ()),
        (["node"], "node:8080", ()),
        (["node", "81"], "node:81", ()),
        (["81"], "localhost:81", ()),
        (["::1", "81"], "[::1]:81", ()),
        (["GET", "bob"], "localhost:8080", ("GET", "bob")),
        (["get", "8081"], "localhost:8080", ("get", "8081")),
        (["81", "ping"], "localhost:81", ("ping",)),
        (["node", "PING"], "node:8080", ("PING",)),
        (["node", "81", "PUT", "-5", "--json"], "node:81", ("PUT", "-5", "--json")),
        (["node", "81", "PUT", "k", "--", "-x"], "node:81", ("PUT", "k", "--", "-x")),
        (["--", "node", "81", "GET", "--help"], "node:81", ("GET", "--help")),
        (["node", "81", "--", "GET", "k"], "node:81", ("GET", "k")),
        (["node", "81", "?", "PUT"], "node:81", ("?", "PUT")),
        (["node", "81", "FETCH"], "node:81", ("FETCH",)),
        (["node", "81", ""], "node:81", ("",)),
        (["--timeout", "7", "node", "81", "GET", "k"], "node:81", ("GET", "k")),
        (["node", "--timeout=7", "81", "GET", "--timeout", "9"], "node:81", ("GET", "--timeout", "9")),
        (["node", "81", "--time", "7", "GET", "k"], "node:81", ("GET", "k")),
    ],
)
def test_where_the_command_of_the_shell_begins(
    fake_roles: FakeRoles, words: list[str], address: str, command: tuple[str, ...]
) -> None:
    seen = fake_roles()
    assert cli.main(["shell", *words]) == 0
    assert (str(seen[0].address), seen[0].command) == (address, command)
    assert seen[0].timeout == (7 if any("time" in word for word in words[:3]) else 10)
    assert (seen[0].json, seen[0].stdin) == (False, False)


@pytest.mark.parametrize("flags", [["--json", "-x"], ["-x", "--json"], ["--stdin", "--js"]])
def test_the_flags_of_the_shell(fake_roles: FakeRoles, flags: list[str]) -> None:
    seen = fake_roles()
    assert cli.main(["shell", *flags, "PUT", "k"]) == 0
    assert (seen[0].json, seen[0].stdin, seen[0].command) == (True, True, ("PUT", "k"))


def test_the_environment_reaches_a_role(fake_roles: FakeRoles, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = fake_roles()
    monkeypatch.setenv("CKV_CALL_TIMEOUT", "7s")
    assert cli.main(["primary", "8080", "a:1"]) == 0
    assert seen[0].call_timeout == 7


@pytest.mark.parametrize("code", list(Exit))
def test_the_exit_code_of_a_role_is_that_of_the_program(fake_roles: FakeRoles, code: int) -> None:
    fake_roles(code)
    assert cli.main(["demo"]) == code


def test_a_bad_setting_that_a_role_finds(fake_roles: FakeRoles, capsys: pytest.CaptureFixture[str]) -> None:
    fake_roles(BadSetting("<persistent-node>: 'x' is not an address"))
    assert refused(capsys, "demo") == "<persistent-node>: 'x' is not an address"


def test_ctrl_c_is_no_traceback(fake_roles: FakeRoles, capsys: pytest.CaptureFixture[str]) -> None:
    fake_roles(KeyboardInterrupt())
    assert cli.main(["demo"]) == 130
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


# --- the program -----------------------------------------------------------------------------------------------------


def test_the_program_as_a_process() -> None:
    done = run_ckv()
    assert (done.returncode, done.stdout, done.stderr) == (1, cli.MAIN_PAGE, "")
    done = run_ckv("secondary")
    assert (done.returncode, done.stdout, done.stderr) == (1, cli.page("secondary"), "")
    assert run_ckv("--help").returncode == 0
    assert run_ckv("secondary", "--help").returncode == 0
    assert run_ckv("--version").stdout.startswith(f"ckv {__version__} (commit ")
    done = run_ckv("secondary", "a:1", "1", "-", "0")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_bad_persistent_node_is_one_line() -> None:
    done = run_ckv("secondary", "localhost:8080", "0", "mysql://root@localhost:none/celonis")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ckv: ")
    assert done.stderr.count("\n") == 1


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60, env=ckv_environment()
    )


def test_python_m_is_the_same_program() -> None:
    done = run_python("-m", "ckv", "--version")
    assert (done.returncode, done.stdout) == (0, f"{about.line()}\n")


@pytest.mark.parametrize("module", ["ckv.__main__", "ckv.cli"])
def test_what_starts_the_program(module: str) -> None:
    # The console script imports ckv.__main__, which must have patched the sockets before anything else came to use
    # them; and no role is loaded before it is asked for.
    code = (
        f"import {module}, sys, gevent.monkey as monkey, ckv.roles\n"
        "loaded = [role.name for role in ckv.roles.ROLES.values() if role.module in sys.modules]\n"
        "print(monkey.is_module_patched('socket'), loaded)"
    )
    assert run_python("-c", code).stdout == f"{module == 'ckv.__main__'} []\n"


@pytest.mark.parametrize("role", ROLES)
def test_who_asks_one_thing_at_a_time_loads_no_gevent(role: str) -> None:
    code = f"import sys; sys.argv = ['ckv', {role!r}]; import ckv.__main__; print('gevent' in sys.modules)"
    without = (
        "ping",
        "shell",
        "status",
        "slots",
        "drain",
        "rebalance",
        "owner",
        "hot",
        "big",
        "flush",
        "export",
        "import",
        "top",
        "completion",
        "config",
        "user",
    )
    assert run_python("-c", code).stdout == f"{role not in without}\n"
