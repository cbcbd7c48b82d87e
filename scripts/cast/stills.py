"""Pictures of a terminal of 80 columns: the panel of `up`, `why` after a deploy that failed, and `logs`.

python -m scripts.cast.stills [DOCS]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.text import Text
from scripts.cast.drawing import Screen, draw
from scripts.cast.film import cut
from scripts.cast.recording import PROMPT, Frame, shell

COLUMNS: Final = 80
PICTURES: Final = {
    "panel": (
        "remora up tone --yes",
        "remora up, and the panel with the endpoint's address",
    ),
    "logs": ("remora logs tone --since 10m", "remora logs, a line for each event with its time and level"),
    "why": (
        "remora why tone",
        "remora why after a failed deploy: timeline, cause, way out",
    ),
}
FAULT: Final = "remora cloud faults on crash_loop"


def main() -> int:
    images = Path(sys.argv[1] if len(sys.argv) > 1 else "docs") / "images"
    with shell(COLUMNS) as (screen, place):
        for name, (command, title) in PICTURES.items():
            if name == "why":
                screen.run(FAULT)
                _change(place / "tone" / "remora.toml")
                screen.run("remora deploy tone")
            screen.run(command)
            rows = since(command, screen.frames[-1].rows)
            path = images / f"{name}.svg"
            path.write_text(still(rows, title, command), encoding="utf-8")
            print(f"wrote {path}: {len(rows)} rows")
    return 0


def still(rows: Sequence[Text], title: str, command: str) -> str:
    """The SVG of these rows."""
    drawn = Screen(COLUMNS, len(rows), f"A terminal: {title}", command)
    return draw(cut([Frame(0, tuple(rows))], 1), 1, drawn)


def since(command: str, rows: Sequence[Text]) -> list[Text]:
    """The last run of a command: its prompt, and what it printed."""
    typed = [index for index, row in enumerate(rows) if row.plain.rstrip() == PROMPT + command]
    return list(rows[typed[-1] : -1])


def _change(settings: Path) -> None:
    """Another setting of the replica, so that a deploy makes a revision."""
    text = settings.read_text("utf-8")
    settings.write_text(f"{text}\n[serve]\nmax_queued_requests = 63\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
