"""``ckv config``: checks a file of options, shows what nodes would be started with, or prints a sample."""

from __future__ import annotations

import os

from ckv.exits import Exit
from ckv.masking import masked
from ckv.settings import file
from ckv.settings.roles import ConfigSettings, given, parsed


def run(settings: ConfigSettings) -> int:
    """Prints what was asked for; the exit code. Raises BadSetting."""
    if settings.file is None:  # sample, which takes none
        print(file.sample(), end="")
        return Exit.FINE
    found = file.read(settings.file)
    lines = []
    for role in file.NODES:
        lines += ["", f"[{role}]"]
        for setting in file.options_of(role).values():
            # What the environment says is checked too where it is shown: a node would be started with it.
            environ = os.environ if settings.action == "show" else {}
            source, value = given(setting, {}, environ, found[role], settings.file)
            parsed(setting, source, value)
            shown = masked(str(value)) if setting.unit else bool(value)
            origin = "default" if source == setting.name else source.partition(": ")[0]
            lines.append(f"{file.written(setting, shown)}  # {origin}")
    print("\n".join(lines[1:]) if settings.action == "show" else f"{settings.file}: no mistake was found")
    return Exit.FINE
