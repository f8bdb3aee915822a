"""Where the MySQL server is and who logs in: the address and the environment in, a :class:`Server` out.

What the address leaves out comes from the variables below, else it is ``root``, ``password`` and ``celonis``, and
encrypted where the server can (:mod:`ckv.persistent.mysql.encryption`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes

from ckv.address import Address, parse_address
from ckv.errors import BadSetting
from ckv.masking import quoted

if TYPE_CHECKING:
    from ckv.persistent.mysql.encryption import Encryption

USER: Final = "CKV_MYSQL_USER"
PASSWORD: Final = "CKV_MYSQL_PASSWORD"
PASSWORD_FILE: Final = "CKV_MYSQL_PASSWORD_FILE"
DATABASE: Final = "CKV_MYSQL_DATABASE"
TLS: Final = "CKV_MYSQL_TLS"
TLS_CA: Final = "CKV_MYSQL_TLS_CA"

VARIABLES: Final = (USER, PASSWORD, PASSWORD_FILE, DATABASE, TLS, TLS_CA)
"""All that are read."""

DEFAULT_USER: Final = "root"
DEFAULT_PASSWORD: Final = b"password"
DEFAULT_DATABASE: Final = "celonis"
DEFAULT_PORT: Final = 3306

_SCHEME = "mysql://"
_MAX_NAME_CHARACTERS = 64  # MySQL's own bound for the name of a database; a user's is shorter, and the server says so.

_PARAMETERS: Final = {"tls": TLS, "tls-ca": TLS_CA}
"""What may stand behind the name of the database, and the variable in whose place."""

_FORMS = (
    "allowed are host:port (the port from 1 to 65535), mysql://user:password@host:port/database, sqlite:PATH"
    " and - for none"
)

_BEHIND = (
    "behind the name of the database, allowed are ?tls=... and &tls-ca=FILE, once each; an @ in them is written %40"
)


@dataclass(frozen=True, slots=True)
class Server:
    """One database on one server, and an account. Its ``repr`` and its :attr:`name` do not show the password."""

    address: Address
    user: str
    database: str
    encryption: Encryption
    _password: bytes | Path = field(repr=False)

    @property
    def name(self) -> str:
        """``mysql://user@host:port/database``."""
        return f"{_SCHEME}{quote(self.user, safe='')}@{self.address}/{quote(self.database, safe='')}"

    def password(self) -> bytes:
        """The password, read anew from its file each time, for secrets rotate. Raises OSError when that fails."""
        if isinstance(self._password, Path):
            return self._password.read_bytes().removesuffix(b"\n")
        return self._password


def parse(text: str, environ: Mapping[str, str], what: str = "persistent node") -> Server:
    """The server at ``host:port`` or ``mysql://[user[:password]@]host[:port][/database][?tls=MODE&tls-ca=FILE]``, whose
    user, password, database and parameters are percent-decoded. ``what``: what texts call it. Raises
    :class:`~ckv.errors.BadSetting`."""
    account, host, database, query = _split(text, what)
    user, colon, password = account.partition(":")
    try:
        address = parse_address(host)
    except BadSetting:
        # Without its reason, which quotes what may be a password: mysql://root:secret has one where the port belongs.
        raise BadSetting(f"{what} {quoted(text)}: {_FORMS}") from None
    parameters = _parameters(query, f"{what} {quoted(text)}")
    tls, tls_ca = (parameters.get(name, environ.get(variable, "")) for name, variable in _PARAMETERS.items())
    server = Server(
        address=address,
        user=_name("user", unquote_to_bytes(user)) or _preset(environ, USER, DEFAULT_USER),
        database=_name("database", unquote_to_bytes(database)) or _preset(environ, DATABASE, DEFAULT_DATABASE),
        encryption=_encryption(tls, tls_ca),
        _password=unquote_to_bytes(password) if colon else _password_from_environment(environ),
    )
    try:
        server.password()
    except OSError as error:
        raise BadSetting(f"{PASSWORD_FILE}: {error.strerror}: {server._password!s}") from None
    return server


def _encryption(mode: str, ca: str) -> Encryption:
    from ckv.persistent.mysql.encryption import parse as parse_encryption  # it loads OpenSSL

    try:
        return parse_encryption(mode, ca)
    except BadSetting as error:
        raise BadSetting(f"TLS to MySQL (in the address, or {TLS} and {TLS_CA}): {error}") from None


def _split(text: str, what: str) -> tuple[str, str, str, str]:
    """Account, ``host:port``, database and parameters, each of them possibly empty."""
    if not text.startswith(_SCHEME):
        if "@" in text or "/" in text:
            raise BadSetting(f"{what} {quoted(text)}: {_FORMS}")
        return "", text, "", ""
    # The last "@", so that a password that should have been percent-encoded is taken for what it is, and not shown.
    account, _, rest = text.removeprefix(_SCHEME).rpartition("@")
    place, _, query = rest.partition("?")
    host, _, database = place.partition("/")
    # It would send the login to the host that is behind an "@" in the name of a file, and without these parameters.
    swallowed = any(f"{sign}{name}=" in account for sign in "?&" for name in _PARAMETERS)
    if swallowed or any(sign in host + database for sign in "#/"):
        raise BadSetting(f"{what} {quoted(text)}: {_BEHIND}")
    has_port = ":" in host.rpartition("]")[2]
    return account, host if has_port else f"{host}:{DEFAULT_PORT}", database, query


def _parameters(query: str, address: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for parameter in query.split("&") if query else ():
        name, _, value = parameter.partition("=")
        if name not in _PARAMETERS or name in found or not value:
            raise BadSetting(f"{address}: {_BEHIND}")
        found[name] = os.fsdecode(unquote_to_bytes(value))
    return found


def _preset(environ: Mapping[str, str], variable: str, default: str) -> str:
    return _name(variable, os.fsencode(environ.get(variable, ""))) or default


def _name(what: str, data: bytes) -> str:
    """A user or a database; empty when there is none."""
    try:
        name = data.decode()
    except UnicodeDecodeError:
        raise BadSetting(f"{what} {data!r} is not UTF-8") from None
    # A NUL would end the name early inside of the login, and no name needs the others.
    if not name.isprintable() or len(name) > _MAX_NAME_CHARACTERS:
        raise BadSetting(f"{what} {name!r}: allowed are up to {_MAX_NAME_CHARACTERS} printable characters")
    return name


def _password_from_environment(environ: Mapping[str, str]) -> bytes | Path:
    if PASSWORD in environ and environ.get(PASSWORD_FILE):
        raise BadSetting(f"{PASSWORD} and {PASSWORD_FILE} are both set; keep one")
    if environ.get(PASSWORD_FILE):
        return Path(environ[PASSWORD_FILE])
    return os.fsencode(environ[PASSWORD]) if PASSWORD in environ else DEFAULT_PASSWORD
