"""The program ``ckv``, started from a checkout or compiled: the same as ``python -m ckv``."""

from __future__ import annotations

from ckv.__main__ import main

if __name__ == "__main__":
    main()
