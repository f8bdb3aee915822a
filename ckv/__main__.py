"""The program ``ckv``: makes streams and sockets fit before anything else is imported, and runs the command line.

``python -m ckv``, the console script and ``ckv.py`` beside the package all come here.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from ckv import stderr, streams

# Before anything opens a file: it would get the number of a stream that is closed.
streams.prepare()

from ckv.exits import Exit  # noqa: E402 - see above
from ckv.roles import ROLES  # noqa: E402


@contextmanager
def _packages() -> Iterator[None]:
    """Ends with one line where a package is missing: who installs the Python client alone has this program too."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "ckv":
            raise  # a mistake in here, and nothing that could be installed
        why = f'the package {error.name} is missing: the command needs the extra "server"'
        print(f"ckv: {why}: in a checkout, pip install '.[server]'", file=sys.stderr)
        sys.exit(Exit.CANNOT_START)


with _packages():
    _role = ROLES.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if _role is None or _role.on_gevent:
        if _role is not None and _role.is_node:
            stderr.never_wait()

        import gevent
        from gevent import monkey

        monkey.patch_all()

        from ckv.net.resolver import Resolver

        # Ctrl-C ends the program, and is no failure of the loop: without this it prints a traceback.
        gevent.hub.Hub.NOT_ERROR = (*gevent.hub.Hub.NOT_ERROR, KeyboardInterrupt)
        if "GEVENT_RESOLVER" not in os.environ:  # gevent's own setting
            gevent.config.resolver = Resolver

    from ckv import cli


def main() -> NoReturn:
    """Run the program, and end the process with its exit code."""
    with _packages():  # A role's modules are imported when it is run.
        code = cli.main()
    # Not by Python's own way out, which takes modules, the loop and the heap apart under threads of gevent's pool and
    # greenlets that still use them: a node that had drained could crash there, and its exit code was a signal's.
    atexit._run_exitfuncs()
    with suppress(streams.OutputLost):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
