"""As whom a client logs in, and addresses that say so: ``ckv://user:secret@host:port``, or ``ckvs://`` by TLS."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from ckv.values import Value, to_text

SCHEME: Final = "ckv://"
SCHEME_OF_TLS: Final = "ckvs://"

DEFAULT_PORT: Final = 8080
DEFAULT_USER: Final = "default"
"""Who is meant where a secret stands alone."""

AUTH: Final = "AUTH"
"""The method."""


class Login(NamedTuple):
    """A user and its secret, which its ``repr`` does not show."""

    user: str
    secret: Value

    def __repr__(self) -> str:
        return f"<Login {self.user}>"


def login(user: str | None, password: Value | None) -> Login | None:
    """As whom to log in; None for nobody. Raises ValueError for a user without a secret."""
    if password is None:
        if user is not None:
            raise ValueError("a user without a password")
        return None
    return Login(user or DEFAULT_USER, password)


def parse(url: str) -> tuple[str, int, Login | None]:
    """Host, port and login of ``ckv://[[user:]secret@]host[:port]``, whose user and secret are percent-decoded, or the
    same with ``ckvs://``. Raises ValueError, whose text quotes nothing of it.

    >>> parse("ckv://bob:a%40b@localhost"), parse("ckv://[::1]:8081")
    (('localhost', 8080, <Login bob>), ('::1', 8081, None))
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit(SCHEME)
    if (
        not url.startswith((SCHEME, SCHEME_OF_TLS))
        or not host
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError("not an address: allowed is ckv://user:secret@host:port")
    user, secret = parts.username, parts.password
    if secret is None and user is not None:
        user, secret = None, user
    if secret is None:
        return host, port or DEFAULT_PORT, None
    name = to_text(unquote_to_bytes(user)) if user else None
    return host, port or DEFAULT_PORT, login(name, unquote_to_bytes(secret))
