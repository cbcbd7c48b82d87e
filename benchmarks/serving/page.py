"""What of docs/performance.md is made from results: all between its two marks, and the plot.

python -m benchmarks.serving.page [RESULTS] [DOCS]
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.serving import plot, records, report

BEGIN = "<!-- made by `python -m benchmarks.serving.page`: begin -->\n"
END = "<!-- end -->\n"
RESULTS, DOCS = Path("docs/performance.jsonl"), Path("docs")
PLOT = "images/performance.svg"


def main() -> None:
    given = [Path(word) for word in sys.argv[1:]]
    results, docs = [*given, *(RESULTS, DOCS)[len(given) :]]
    write(results, docs)


def write(results: Path, docs: Path) -> None:
    """Raises ValueError where the page has no marks."""
    turns = records.read(results)
    page = docs / "performance.md"
    page.write_text(with_results(page.read_text(encoding="utf-8"), report.text(turns)), encoding="utf-8")
    (docs / "images").mkdir(exist_ok=True)
    (docs / PLOT).write_text(plot.svg(report.rows(report.by_machine(turns)[0])), encoding="utf-8")


def with_results(page: str, results: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"performance.md has no {BEGIN.strip()} before an {END.strip()}")
    return f"{before}{BEGIN}\n{results}\n![Tokens per second of each server]({PLOT})\n\n{END}{after}"


if __name__ == "__main__":
    main()
