"""`python -m scripts.reference [DOCS]`: writes the pages that are made from the code."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.reference.pages import PAGES


def main() -> int:
    docs = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, text in PAGES.items():
        (docs / name).write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
