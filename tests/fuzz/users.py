"""Any bytes as a file of users: the target that hypothesis (in the tests) and atheris drive.

make fuzz FUZZ_TARGET=users FUZZ_SECONDS=600     # coverage-guided, as tests.fuzz.wire
"""

from __future__ import annotations

import re
from typing import Final

from ckv.errors import BadSetting
from ckv.security.users import parse
from tests.fuzz.search import search

HASH: Final = "ab" * 32
SALT: Final = "cd" * 16
SEEDS: Final = (
    f"# remark\n\nbob write sha256:{HASH},scrypt:{SALT}:{HASH} ~orders:* ~s:* rate=1000 bytes=16MiB connections=9\n",
    f"ann admin sha256:{HASH}\neve node sha256:{HASH}\n",
)
"""Well-formed files."""

GARBLED: Final = f"bob write sha256:{HASH} ~orders:* rate=1000 bytes=16Me=1{HASH} ~orders:*\n"
"""Two lines that have become one."""

_HEX: Final = re.compile("[0-9a-f]{9}")
"""A piece of a hash; the longest number in a message has eight digits."""


def _without_name(told: str, text: str) -> str:
    """What is said of a file, without the name of the user, which stands behind the number of the line."""
    number = told.split(":")[1]
    if not number.isdecimal():
        return told
    name = text.splitlines()[int(number) - 1].split()[0]
    return told.replace(f": {name}: ", ": ", 1).removesuffix(f" a second user {name}")


def one_input(data: bytes) -> bool:
    """Reads the bytes; raises when anything but users or one line of refusal comes of it. Returns which."""
    text = data.decode(errors="ignore")
    try:
        users = parse(text, "users")
    except BadSetting as error:
        told = str(error)
        assert told.startswith("users:"), told
        assert "\n" not in told, told
        assert len(told) < 10 * len(text) + 300, told
        assert told.isascii(), told
        assert not _HEX.search(_without_name(told, text)), f"a piece of a hash is shown: {told}"
        return False
    written = "\n".join(map(str, users.by_name.values()))
    assert parse(written, "users").by_name == users.by_name
    for name, user in users.by_name.items():
        assert users.find(name) == (user, True)
        assert all(user.rights.may_name(prefix) for prefix in user.rights.prefixes)
    return True


if __name__ == "__main__":
    search(one_input, map(str.encode, (*SEEDS, GARBLED)))
