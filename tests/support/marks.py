"""Marks for tests, and for single parameters of them."""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.support.products import MYSQL_FOLDER

ONLY_MARIADB: Final = pytest.mark.skipif(MYSQL_FOLDER in os.environ, reason="MySQL has no such thing")
ONLY_MYSQL: Final = pytest.mark.skipif(MYSQL_FOLDER not in os.environ, reason="MariaDB has no such thing")
