"""``python -m ckv`` and the console script: the same as ``ckv.py`` beside the package."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from ckv.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
