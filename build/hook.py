"""A hook of Hatchling: a wheel has ``ckv/core`` compiled where that can be done, and is pure elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

import extension


class CompiledCore(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling calls it before it packs; ``version`` is ``standard`` or ``editable``."""
        if extension.missing() is not None:
            return
        work = Path(self.directory) / ".core"
        for file in extension.compile_core(work / "modules", work / "c").values():
            build_data["force_include"][str(file)] = str(extension.CORE / file.name)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
