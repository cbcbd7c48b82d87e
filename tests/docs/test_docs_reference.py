"""The pages that are made from the code are current and complete. `make docs` makes them current."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts.comparison import README, with_comparison
from scripts.picture import FILE, picture
from scripts.reference.commands import command_object
from scripts.reference.environment import VARIABLES
from scripts.reference.exit_codes import MEANINGS as EXIT_CODES
from scripts.reference.pages import PAGES
from scripts.reference.share import LAYOUT

from remora.cli.help.explanations import error_types
from remora.cli.help.setting_meanings import MEANINGS
from remora.cli.main import COMMANDS
from remora.project.settings import OPTIONS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "remora"
READ = re.compile(
    r"""(?:environ(?:ment)?(?:\.get)?[\[(]\s*|envvar=|VARIABLE[\w: ]*= )"([A-Z][A-Z0-9_]+)\""""
    r"""|"(REMORA_[A-Z0-9_]+)\""""
)
MOST_README_LINES = 120
NOT_FOR_PEOPLE = {"PATH", "PYTHONPATH", "HOME"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == PAGES[name](), "run: make docs"


def test_the_readmes_table_and_picture_are_made_from_what_was_measured_and_recorded() -> None:
    page = README.read_text("utf-8")
    assert with_comparison(page) == page, "run: make docs"
    assert (ROOT / "docs" / FILE).read_text("utf-8") == picture(), "run: make docs"
    assert page.count("\n") < MOST_README_LINES


def test_every_flag_has_a_meaning() -> None:
    lacking = [
        f"{name} {parameter.name}"
        for name, command in _commands()
        for parameter in command.params
        if not getattr(parameter, "hidden", False) and not parameter.help
    ]
    assert lacking == []


def test_every_command_has_an_example() -> None:
    wrong = [name for name, command in _commands() if f"remora {name}" not in (command.epilog or "")]
    assert wrong == []


def test_every_setting_has_a_meaning() -> None:
    assert MEANINGS.keys() == {option.key for option in OPTIONS}


def test_every_variable_that_the_code_reads_is_listed() -> None:
    found = {
        name
        for path in SOURCE.rglob("*.py")
        for match in READ.finditer(path.read_text("utf-8"))
        if (name := match[1] or match[2])
    }
    assert "REMORA_HOME" in found
    assert found - VARIABLES - NOT_FOR_PEOPLE == set()


def test_every_exit_code_has_a_meaning() -> None:
    assert {error.exit_code for error in error_types()} <= EXIT_CODES.keys()


def test_every_path_on_the_share_is_listed() -> None:
    used = {
        match[1]
        for path in SOURCE.rglob("*.py")
        for match in re.finditer(r'(?:ROOT|"\.remora") / "([\w.-]+)"', path.read_text("utf-8"))
    }
    assert {"manifest.json", "releases"} <= used
    assert used <= {path.split("/")[1] for path in LAYOUT}


def _commands() -> Iterator[tuple[str, Any]]:
    for group in COMMANDS.values():
        for command in group:
            yield from _below(command.name, command_object(command.module))


def _below(name: str, made: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(made, "commands", {})
    for child, inner in children.items():
        yield from _below(f"{name} {child}", inner)
    if not children:
        yield name, made
