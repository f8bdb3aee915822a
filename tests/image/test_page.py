"""The commands of docs/containers.md: they are for this version, and what they have ckv do, ckv can do."""

from __future__ import annotations

import re
import shlex

import pytest

import ckv
from tests.deploy.commandline import parse, unknown_variables
from tests.image.container import read_dockerfile
from tests.support.nodes import ROOT

PAGE = ROOT / "docs" / "containers.md"
IMAGE = f"ckv:{ckv.__version__}"
PROGRAM = read_dockerfile().entrypoint[0]


def commands() -> list[list[str]]:
    """The words of every command that has something to do with an engine."""
    blocks = re.findall(r"^```console\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.partition("docker ")[2]) for line in lines if line.startswith("$ ") and "docker " in line]


def environ(words: list[str]) -> dict[str, str]:
    """What a container is given with ``--env``."""
    pairs = (word.removeprefix("--env=").split("=", 1) for word in words if word.startswith("--env="))
    return {pair[0]: pair[1] for pair in pairs}


RUN = [words for words in commands() if words[0] == "run"]
EXEC = [words for words in commands() if words[0] == "exec"]


def test_there_are_commands() -> None:
    assert RUN
    assert EXEC
    assert {words[0] for words in commands()} == {"exec", "logs", "network", "rm", "run", "stop"}


@pytest.mark.parametrize("words", RUN, ids=lambda words: words[1])
def test_what_a_container_is_started_with(words: list[str]) -> None:
    at = words.index(IMAGE)
    assert all(word.startswith(("--", "$safe")) for word in words[1:at])
    assert not unknown_variables(environ(words[:at]))
    given = {name: value for name, value in environ(words[:at]).items() if not name.startswith("CKV_MYSQL_")}
    settings = parse(words[at + 1 :], given)
    stops_after = [int(word.partition("=")[2]) for word in words if word.startswith("--stop-timeout=")]
    if words[at + 1] != "demo":
        assert stops_after[0] > settings.drain_timeout
    if "--network=ckv" in words:
        # Where others reach it, and where the health check of the image looks.
        assert (settings.bind, settings.port) == ("0.0.0.0", int(read_dockerfile().health[-1]))
    elif "--network=host" in words:
        assert "--no-healthcheck" in words


@pytest.mark.parametrize("words", EXEC, ids=lambda words: " ".join(words[1:4]))
def test_what_is_done_in_a_container(words: list[str]) -> None:
    at = words.index(PROGRAM)
    end = words.index("&&") if "&&" in words else len(words)
    parse(words[at + 1 : end], {})
    names = {word.partition("=")[2] for run in RUN for word in run if word.startswith("--name=")}
    assert words[at - 1] in names


def test_every_version_on_the_page_is_this_one() -> None:
    assert set(re.findall(r"\bckv:(\d[\w.]*)", PAGE.read_text())) == {ckv.__version__}
