"""The program ``ckv``: patches the sockets before anything else is imported, then runs the command line."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from ckv.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
