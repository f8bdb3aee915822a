"""That a run fails where a test ends otherwise than ``docs/clients.md`` says, which is made of the same lists."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.clients import conftest, page
from tests.clients.expected import EXPECTED
from tests.clients.lacks import CLIENTS
from tests.clients.server import OTHER_SERVER

pytestmark = pytest.mark.skipif(bool(OTHER_SERVER), reason="nothing is expected to fail with another server")


def running(test: str) -> Any:
    """The hook around a test of limits, at the point where the test runs."""
    item: Any = SimpleNamespace(module=SimpleNamespace(__name__="tests.clients.test_limits"), originalname=test)
    hook = conftest.pytest_pyfunc_call(item)
    next(hook)
    return hook


def ended(test: str, error: Exception) -> BaseException:
    """What a test ends with that raises the error. An expected failure that went on from here would pass for one."""
    try:
        running(test).throw(error)
    except (ValueError, pytest.fail.Exception, pytest.xfail.Exception) as end:
        return end
    raise AssertionError("it goes on")


def test_a_row_that_says_no_and_works() -> None:
    with pytest.raises(pytest.fail.Exception, match="it passes now"):
        running("test_moving_window").send(None)


def test_a_row_that_says_no_and_fails_otherwise() -> None:
    error = ValueError("no connection")
    assert ended("test_moving_window", error) is error


def test_a_row_that_says_no_and_fails_so() -> None:
    assert isinstance(ended("test_moving_window", ValueError("ckv runs no Lua")), pytest.xfail.Exception)


def test_a_row_that_says_works_and_does_not() -> None:
    error = ValueError("ckv runs no Lua")
    assert ended("test_fixed_window", error) is error


def test_every_test_has_its_row() -> None:
    text = page.page()
    for file in CLIENTS:
        tests = dict(page.tests_of(file))
        assert tests
        assert not EXPECTED.get(file, {}).keys() - tests.keys()
        for name, said in tests.items():
            lack = EXPECTED.get(file, {}).get(name)
            assert said, f"{file}.py: {name} has no docstring"
            assert f"| {said} | {'works' if lack is None else f'no: ckv lacks {lack.reason}'} |" in text
