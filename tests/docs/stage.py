"""`python -m tests.docs.stage FOLDER`: an AI Toolkit project as its fine-tuning job leaves it.

The job's group, account and share are on the local cloud; base model and adapter are on the share only.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.cli.command import User
from tests.cli.stock_project import TUNED, tune
from tests.project.stock_layout import LAYOUTS, write_stock_project


def main(folder: Path) -> int:
    layout = LAYOUTS[5]
    with tempfile.TemporaryDirectory() as trained:
        tune(User(Path.home() / ".remora"), layout, Path(trained))
    write_stock_project(folder, layout, finetuning=TUNED)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
