"""The page on clients: all of them are in it, and it says of itself what its rows say."""

from __future__ import annotations

from pathlib import Path

from tests.clients.installed import CLIENTS
from tests.clients.matrix import CASES
from tests.clients.page import BEGIN, CANNOT, END, by_client, count

PAGE = Path(__file__).parents[2] / "docs/reference/clients.md"
LINES = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].splitlines()
ROWS = dict(by_client(LINES, "| "))
REASONS = dict(by_client(LINES, "- "))


def test_every_client_has_a_row_and_reasons() -> None:
    names = [client.name for client in CLIENTS]
    assert list(ROWS) == names
    assert list(REASONS) == names


def test_the_sentence_counts_the_rows() -> None:
    assert [line for line in LINES if "calls work" in line] == [count(list(ROWS.values()))]


def test_every_none_has_a_reason() -> None:
    for name, line in REASONS.items():
        parts = [part.partition(": ") for part in line.removeprefix(f"- {name}: ").split("; ")]
        explained = {case for cases, colon, _ in parts if colon for case in cases.split(", ")}
        assert explained == {case for case, cell in cells_of(name).items() if cell == CANNOT}, name


def cells_of(name: str) -> dict[str, str]:
    _, _, *cells, _ = (cell.strip() for cell in ROWS[name].split("|"))
    return dict(zip((case.replace("_", " ") for case in CASES), cells, strict=True))
