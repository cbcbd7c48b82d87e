"""Records the commands and writes `images/cast.svg`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from scripts.cast.drawing import draw
from scripts.cast.film import cut
from scripts.cast.recording import record

FILE: Final = "images/cast.svg"
SECONDS: Final = 40.0


def main() -> int:
    docs = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    svg = draw(cut(record(), SECONDS), SECONDS)
    (docs / FILE).write_text(svg, encoding="utf-8")
    print(f"wrote {docs / FILE}: {len(svg.encode()):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
