"""Every error code has an explanation, in the terminal and on its page."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.command import User

from remora.cli.help.explanations import EXPLANATIONS, PAGE, error_types, page
from remora.cli.output.console import ERRORS_PAGE

DOCS = Path(__file__).parents[2] / "docs"


def test_every_code_has_one_explanation() -> None:
    assert {error.code for error in error_types()} == EXPLANATIONS.keys()


def test_the_page_is_current() -> None:
    """Run `make docs` where this fails."""
    assert (DOCS / PAGE).read_text() == page()


def test_a_code_is_explained_offline(tmp_path: Path) -> None:
    told = User(tmp_path).run("explain", "locked")
    assert (told.code, told.document["exit_code"], told.document["http_status"]) == (0, 9, 409)
    assert told.document["cause"] in page()


def test_a_code_that_does_not_exist_names_the_nearest(tmp_path: Path) -> None:
    refused = User(tmp_path).run("explain", "lock")
    assert refused.code == 3
    assert "locked" in refused.message


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_an_explanation_is_whole_sentences(code: str) -> None:
    told = EXPLANATIONS[code]
    assert told.cause.endswith(".")
    assert told.remedy.endswith(".")


def test_at_a_terminal_an_error_ends_with_the_command_that_explains_it(tmp_path: Path) -> None:
    user = User(tmp_path, {"REMORA_OUTPUT": "human"})
    terminal = user.at_terminal("explain", "lock")
    lines = terminal.finish().stderr.splitlines()
    assert lines[-2].startswith("  → ")
    assert lines[-1] == "\x1b[2m  more: remora explain not_found\x1b[0m"  # dim


def test_in_a_log_an_error_is_as_short_as_it_was(tmp_path: Path) -> None:
    stderr = User(tmp_path, {"REMORA_OUTPUT": "human"}).run("explain", "lock").stderr
    assert "→" in stderr
    assert "more:" not in stderr


def test_an_error_as_a_document_names_its_section(tmp_path: Path) -> None:
    docs = User(tmp_path).run("explain", "lock").document["error"]["docs"]
    assert docs == f"{ERRORS_PAGE}#not_found"
    assert (DOCS.parent / ERRORS_PAGE).samefile(DOCS / PAGE)
    assert "## not_found" in page().splitlines()
