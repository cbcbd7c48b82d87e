"""The part of docs/reference/clients.md that the matrix writes: rows of the clients, their count, reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.clients.installed import CLIENTS, Client, version

BEGIN, END = "<!-- matrix: begin (make test-clients writes this) -->", "<!-- matrix: end -->"
WORKS, FAILS, CANNOT = "✓", "**fails**", "none"
ROW, REASON = "| {} |", "- {}: {}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one case: what went wrong, or why the client has no such call. Neither: it works."""

    problem: str = ""
    cannot: str = ""

    @property
    def cell(self) -> str:
        return FAILS if self.problem else CANNOT if self.cannot else WORKS


def write_rows(page: Path, client: Client, outcomes: Mapping[str, Outcome]) -> None:
    """The row of this client, and its reasons. Those of others stay, in the order of CLIENTS."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    made, _, after = rest.partition(END)
    lines = made.splitlines()
    shown = f"{client.name} {version(client)}".strip()
    row = ROW.format(" | ".join([shown, *(each.cell for each in outcomes.values())]))
    rows = _kept(lines, "| ", client, row)
    reasons = _kept(lines, "- ", client, REASON.format(client.name, _reasons(outcomes)))
    head = [ROW.format(" | ".join(["Client", *(case.replace("_", " ") for case in outcomes)]))]
    head.append("|---" * (len(outcomes) + 1) + "|")
    body = "\n".join([count(rows), "", *head, *rows, "", "Why there is `none`:", "", *reasons])
    page.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", "utf-8")


def _kept(lines: Sequence[str], mark: str, client: Client, line: str) -> list[str]:
    """The lines of all clients that begin with this mark, this one's replaced."""
    of_client = dict(by_client(lines, mark)) | {client.name: line}
    return [of_client[each.name] for each in CLIENTS if each.name in of_client]


def by_client(lines: Sequence[str], mark: str) -> Iterator[tuple[str, str]]:
    """Whose each line with this mark is. A name may begin with another: the longest one is meant."""
    for line in lines:
        names = [
            each.name for each in CLIENTS if line.startswith((f"{mark}{each.name} ", f"{mark}{each.name}:"))
        ]
        if names:
            yield max(names, key=len), line


def _reasons(outcomes: Mapping[str, Outcome]) -> str:
    """Cases of one reason together."""
    cannot = sorted(
        (each.cannot, place, case) for place, (case, each) in enumerate(outcomes.items()) if each.cannot
    )
    parts = [
        f"{', '.join(case.replace('_', ' ') for _, _, case in group)}: {reason}"
        for reason, group in groupby(cannot, key=lambda each: each[0])
    ]
    return "; ".join(parts) or "can all of it"


def count(rows: Sequence[str]) -> str:
    """The sentence above the rows. One is that of a stand-in: Python that sends what Java's client sends."""
    cells = [cell.strip() for row in rows for cell in row.split("|")]
    works, fails = cells.count(WORKS), cells.count(FAILS)
    made = works + fails
    share = 100 * works / made
    return f"{works} of {made} calls work ({share:.1f} %), by {len(rows) - 1} clients and a stand-in."
