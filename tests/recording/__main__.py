"""``python -m tests.recording``: types all of it, and writes docs/recording.svg."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.recording.picture import PICTURE, arranged, draw
from tests.recording.scene import play
from tests.support.nodes import ROOT
from tests.support.products import MariaDBProduct, make_template


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ckv-mariadb-") as folder:
        lines = arranged(play(make_template(Path(folder), MariaDBProduct())))
    PICTURE.write_text(draw(lines))
    print("\n".join(line.text for line in lines))
    print(f"\nwritten: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
