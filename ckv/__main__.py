"""The program ``ckv``: patches the sockets before anything else is imported, then runs the command line.

``python -m ckv``, the console script and ``ckv.py`` beside the package all come here.
"""

from __future__ import annotations

import os
import sys

# All but one role live on gevent. A ping asks one question, and loading gevent would be most of what it costs.
if sys.argv[1:2] != ["ping"]:
    import gevent
    from gevent import monkey

    monkey.patch_all()

    from ckv.resolver import Resolver

    if "GEVENT_RESOLVER" not in os.environ:  # gevent's own setting
        gevent.config.resolver = Resolver

from ckv.cli import main

if __name__ == "__main__":
    sys.exit(main())
