"""A command line of ckv, read as ckv reads it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import docopt

from ckv import cli
from ckv.errors import BadSetting
from ckv.persistent.mysql import address
from ckv.roles import ROLES
from ckv.security import account, editing, secrets
from ckv.security.rights import Rights
from ckv.security.users import User
from ckv.settings import roles as settings
from ckv.settings.table import SETTINGS
from tests.support.certificate import Authority

PASSWORD_FILE = address.PASSWORD_FILE
USERS = "CKV_USERS"
NODE_PASSWORD_FILE = f"{account.NODE_PASSWORD}_FILE"
TLS = ("CKV_TLS_CERT", "CKV_TLS_KEY", "CKV_TLS_CA")
DATABASE_CA = address.TLS_CA
"""Variables with the path of a file of a Secret."""


def parse(words: Sequence[str], environ: Mapping[str, str]) -> Any:
    """The settings of the role that the first word names. Raises BadSetting."""
    role: Any = words[0] if words else ""
    if role not in ROLES:
        raise BadSetting(f"{role!r} is not a role")
    try:
        arguments = docopt.docopt(cli.page(role), list(words))
    except docopt.DocoptExit as error:
        raise BadSetting(f"{' '.join(words)}: {error.collected or 'arguments are missing'}") from None
    return settings.read(role, arguments, {**environ, **_stand_ins(environ)})


def _stand_ins(environ: Mapping[str, str]) -> dict[str, str]:
    """Files that are here, for those of a Secret that are read at once."""
    found = {name: os.devnull for name in (f"{account.PASSWORD}_FILE", NODE_PASSWORD_FILE) if name in environ}
    if environ.get(USERS, "-") != "-":
        found[USERS] = _users()
    files = _certificate()
    return found | {name: file for name, file in zip(TLS, files, strict=True) if environ.get(name, "-") != "-"}


@cache
def _users() -> str:
    path = _folder() / "users"
    editing.add(path, User("node", Rights("node"), (secrets.kept(b"", "sha256"),)))
    return str(path)


@cache
def _certificate() -> tuple[str, str, str]:
    """With its key, and its authority."""
    authority = Authority(_folder())
    found = authority.issue("node")
    return str(found.path), str(found.key_path), str(authority.path)


def _folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="ckv-secrets-"))
    atexit.register(shutil.rmtree, path)
    return path


def server(place: str, environ: Mapping[str, str]) -> address.Server:
    """The database that a node would ask, whose password it would find in a file. Raises BadSetting."""
    if PASSWORD_FILE not in environ:
        raise BadSetting(f"{PASSWORD_FILE} is not set")
    stand_ins = {PASSWORD_FILE: os.devnull}
    if DATABASE_CA in environ:
        *_, stand_ins[DATABASE_CA] = _certificate()
    return address.parse(place, {**environ, **stand_ins})


def unknown_variables(environ: Mapping[str, str]) -> set[str]:
    """Variables that look like ckv's and that it does not know: it would not read them."""
    known = {setting.environment for setting in SETTINGS} | set(address.VARIABLES)
    return {variable for variable in environ if variable.startswith("CKV_")} - known
