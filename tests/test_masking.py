"""No password in an address is shown, wherever somebody has typed the address, and however."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from ckv import cli
from ckv.errors import BadSetting
from ckv.masking import masked
from ckv.settings import file, parsers
from ckv.settings.roles import parsed
from ckv.settings.table import SETTINGS, Setting

WITH_SECRETS: Final = (
    "mysql://me:secret@db/ckv",
    "mysql://me:a://secret@db",
    "mysql://me:secret",
    "mysql://me:secret/ckv",
    "mysql://me:a@b:secret",
    "mysql://db:1?secret",
    "mysql://me:12/x?secret",
    "zk://me:secret@a,b:1/x",
    "zk://me:secret,b",
    "me:secret@db:3306",
    "me:a://secret",
    "ckv://bob:secret@localhost",
)


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_what_may_be_a_password_is_hidden(text: str) -> None:
    assert "secret" not in masked(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://me:secret@db:1/x?tls=verify&tls-ca=/ca.pem", "mysql://***@db:1/x?tls=verify&tls-ca=/ca.pem"),
        ("zk://me:secret@a,b:1,[::1]:2/x", "zk://***@a,b:1,[::1]:2/x"),
        ("mysql://[::1]:3306/x", "mysql://[::1]:3306/x"),
        ("mysql://db/x?charset=latin1", "mysql://db/x"),
        ("http://a:80", "http://a:80"),
        ("localhost:http", "localhost:http"),
        ("16Me", "16Me"),
        ("", ""),
    ],
)
def test_what_is_none_is_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


def said(setting: Setting, text: str) -> str:
    """What is said of this value; nothing where it is taken."""
    try:
        parsed(setting, setting.name, text)
    except BadSetting as error:
        return str(error)
    return ""


# A file that is read at once is named by its path.
@pytest.mark.parametrize(
    "setting", [it for it in SETTINGS if it.parse not in (bool, str, parsers.users)], ids=lambda it: it.name
)
def test_no_setting_shows_it(setting: Setting) -> None:
    assert not [text for text in WITH_SECRETS if "secret" in said(setting, text)]


@pytest.mark.parametrize("line", ["coordinator = ['{}']", "[primary]\ncoordinator = {{ a = '{}' }}", "insecure = '{}'"])
@pytest.mark.parametrize("text", WITH_SECRETS)
def test_no_file_of_options_shows_it(line: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "ckv.toml"
    path.write_text(line.format(text))
    with pytest.raises(BadSetting) as caught:
        file.read(path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_no_word_too_many_shows_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([text], ["secondary", "a:1", "1", "-", "1", "1", "1", text]):
        assert cli.main(words) == 2
        assert "secret" not in capsys.readouterr().err
