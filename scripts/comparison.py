"""`python -m scripts.comparison`: the README's table of servers, from the kept results of the comparison.

Owns which rows a reader of the README sees. `docs/performance.md` has all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.serving import records
from benchmarks.serving.records import Turn
from benchmarks.serving.report import MIXED, Row, rows
from scripts.reference.table import table

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "docs" / "performance.jsonl"
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- comparison: begin (make docs writes this from docs/performance.jsonl) -->\n"
END: Final = "<!-- comparison: end -->"


def main() -> int:
    README.write_text(with_comparison(README.read_text("utf-8")), encoding="utf-8")
    return 0


def with_comparison(page: str) -> str:
    """The page, with a new table between the marks. Raises ValueError where it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{README.name} lacks {BEGIN!r} or {END!r}")
    head = ("Server", "Precision", "Tokens/s", "First token, p95", "Memory", "Measured")
    return f"{before}{BEGIN}{table(head, _rows(records.read(RESULTS)))}{END}{after}"


def _rows(turns: Sequence[Turn]) -> Iterator[tuple[str, ...]]:
    for row in rows(turns):
        if row.load == MIXED:
            yield (
                row.server,
                row.precision,
                f"{row.tokens_per_second:.0f}",
                f"{row.first_p95_seconds:.1f} s",
                f"{row.peak_memory_mib / 1024:.1f} GiB",
                " to ".join(_days(turns, row)),
            )


def _days(turns: Sequence[Turn], row: Row) -> list[str]:
    """The first and the last day on which this was measured; one, where they are the same."""
    own = (turn for turn in turns if (turn.server, turn.load) == (row.server, row.load) and turn.measurement)
    days = sorted({turn.run[:10] for turn in own})
    return list(dict.fromkeys((days[0], days[-1])))


if __name__ == "__main__":
    sys.exit(main())
