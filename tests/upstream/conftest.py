"""Leaves out the tests of Redis and Valkey where they are not unpacked."""

from __future__ import annotations

from tests.upstream.suites import FOLDER

collect_ignore = [] if FOLDER.exists() else ["test_suites.py"]
