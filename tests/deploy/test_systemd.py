"""The units of systemd: what they start is a command line that ckv takes, and what they say agrees with it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from ckv.exits import Exit
from ckv.settings.table import SETTINGS
from ckv.units import duration
from tests.deploy.commandline import parse
from tests.support.nodes import ROOT

UNITS = sorted((ROOT / "deploy/systemd").iterdir())


def lines(unit: Path) -> list[tuple[str, str]]:
    """Names and values, in their order."""
    found = (line.partition("=") for line in unit.read_text().splitlines() if line and line[0] not in "#[")
    return [(name, value) for name, _, value in found]


def values(unit: Path, name: str) -> list[str]:
    return [value for each, value in lines(unit) if each == name]


def environment(unit: Path) -> dict[str, str]:
    pairs = (pair.partition("=") for value in values(unit, "Environment") for pair in value.split())
    return {name: value for name, _, value in pairs}


def words(unit: Path) -> list[str]:
    """What is started, with all that systemd puts in."""
    (command,) = values(unit, "ExecStart")
    known = environment(unit)
    return [
        re.sub(r"\$\{(\w+)\}", lambda match: known[match[1]], word).replace("%i", "8081") for word in command.split()
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit(unit: Path) -> None:
    program, *arguments = words(unit)
    assert program == "/usr/local/bin/ckv"
    options = {name: value for name, value in environment(unit).items() if name.startswith("CKV_")}
    assert options.pop("CKV_CONFIG") == "/etc/ckv/ckv.toml"
    settings = parse(arguments, options)
    assert float(values(unit, "TimeoutStopSec")[0]) > settings.drain_timeout
    assert str(int(Exit.BAD_SETTING)) in values(unit, "RestartPreventExitStatus")[0].split()
    assert values(unit, "Type") == ["notify"], "it tells when it is ready"
    assert float(values(unit, "WatchdogSec")[0]) > 5
    assert int(values(unit, "LimitNOFILE")[0]) > settings.max_connections
    assert values(unit, "DynamicUser") == ["yes"]


def test_a_secondary_that_was_given_up_joins_again() -> None:
    (unit,) = (unit for unit in UNITS if "@" in unit.name)
    assert str(int(Exit.FENCED)) not in values(unit, "RestartPreventExitStatus")[0].split()
    (credential,) = values(unit, "LoadCredential")
    assert environment(unit)["CKV_MYSQL_PASSWORD_FILE"] == f"%d/{credential.partition(':')[0]}"


def test_the_page_names_what_is_there() -> None:
    page = (ROOT / "docs/systemd.md").read_text()
    for unit in UNITS:
        assert unit.name in page
    (default,) = (setting.default for setting in SETTINGS if setting.name == "--drain-timeout")
    assert default is not None
    assert duration(0, 3600)(default) < 45


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_drop_in_of_the_page_gives_a_unit_users(unit: Path, tmp_path: Path) -> None:
    (section,) = re.findall(r"(?ms)^  ```ini\n(.*?)^  ```", (ROOT / "docs/systemd.md").read_text())
    drop_in = tmp_path / "users.conf"
    drop_in.write_text(textwrap.dedent(section))
    credentials = [value.partition(":")[0] for value in values(drop_in, "LoadCredential")]
    for name in credentials:
        (tmp_path / name).touch(0o400)
    (tmp_path / "users").chmod(0o600)
    (tmp_path / "users").write_text(f"bob read sha256:{'0' * 64}\n")
    options = {name: value.replace("%d", str(tmp_path)) for name, value in environment(drop_in).items()}
    settings = parse(words(unit)[1:], options | {"CKV_BIND": "0.0.0.0"})
    assert len(settings.users.users) == 1
    assert settings.account is not None
    assert credentials == ["users", "node-password"]
