"""A line that is too long for its terminal is broken between words, and nowhere else."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from remora.cli.output.hanging import Hanging
from remora.cli.output.terminal import Terminal


def shown(line: Hanging, columns: int, *, on_terminal: bool = True) -> list[str]:
    terminal = Terminal(file=io.StringIO(), color_system=None, width=columns, force_terminal=on_terminal)
    with terminal.capture() as printed:
        terminal.print(line)
    return printed.get().splitlines()


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        (Hanging(Text("Cause  "), "the container ends again"), ["Cause  the container ends", "       again"]),
        (
            Hanging(Text("(✓) "), "uploaded 14 files of the project", indent=2),
            ["(✓) uploaded 14 files of the", "  project"],
        ),
        (
            Hanging(Text("Next "), "remora open tone · remora logs tone", between=" · "),
            ["Next remora open tone ·", "     remora logs tone"],
        ),
        (Hanging(Text("Is "), "first\nsecond"), ["Is first", "   second"]),
        (Hanging(Text("To "), f"see {'x' * 40}"), ["To see", f"   {'x' * 40}"]),
        (Hanging(Text("Is "), "red \x1b[31m"), ["Is red \\x1b[31m"]),
    ],
)
def test_it_goes_on_below_its_text(line: Hanging, rows: list[str]) -> None:
    assert shown(line, 28) == rows


def test_elsewhere_and_on_a_tiny_terminal_it_is_one_line() -> None:
    line = Hanging(Text("Cause  "), "the container ends again and again")
    assert shown(line, 28, on_terminal=False) == ["Cause  the container ends again and again"]
    assert shown(line, 24) == ["Cause  the container ends again and again"]


@given(st.lists(st.text("ab界", min_size=1, max_size=12), min_size=1), st.integers(27, 90))
def test_no_word_is_lost_or_broken(words: list[str], columns: int) -> None:
    rows = shown(Hanging(Text("Cause: "), " ".join(words)), columns)
    assert " ".join(rows).split() == ["Cause:", *words]
    assert all(Text(row).cell_len <= columns for row in rows)
