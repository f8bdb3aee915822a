"""The example of README.md is one of the scenarios, so it runs."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent


def test_the_example_is_a_scenario() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    assert example in (FOLDER / "test_scenarios.py").read_text()
