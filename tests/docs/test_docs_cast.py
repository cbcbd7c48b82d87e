"""The recorded terminal is small, well-formed text that follows its reader, and types only real commands.

`make cast` records it anew, which takes a minute and needs tmux; nothing is recorded here.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from scripts.cast.__main__ import FILE
from scripts.cast.recording import COMMANDS, PROMPT
from scripts.cast.stills import COLUMNS, PICTURES
from tests.docs.blocks import ROOT, Block
from tests.docs.test_docs_blocks import problems

PATH = ROOT / "docs" / FILE
SVG = PATH.read_text("utf-8")
NAMESPACE = "{http://www.w3.org/2000/svg}"
MOST_BYTES = 150_000
DRAWN = ElementTree.fromstring(SVG)  # noqa: S314 - our own file


def rows() -> list[str]:
    """The text of each row that is ever shown."""
    return ["".join(row.itertext()) for row in DRAWN.iter(f"{NAMESPACE}text")]


def test_it_is_small_and_asks_for_nothing() -> None:
    assert len(SVG.encode()) < MOST_BYTES
    assert not re.search(r"href|url\(|@import|<script|<image", SVG)


def test_it_has_words_for_those_who_do_not_see_it_and_stands_still_where_that_is_wished() -> None:
    assert DRAWN.get("role") == "img"
    assert DRAWN.findtext(f"{NAMESPACE}title")
    before, _, moving = SVG.partition("@media (prefers-reduced-motion: no-preference)")
    assert "animation" not in before
    assert "animation" in moving
    assert "@media (prefers-color-scheme: dark)" in before


def test_every_typed_command_is_one_that_works() -> None:
    typed = {row.removeprefix(PROMPT) for row in rows() if row.startswith(PROMPT)}
    assert set(COMMANDS) <= typed
    assert [each for each in typed if not any(command.startswith(each) for command in COMMANDS)] == []
    assert list(problems(Block("images/cast.svg", 1, "sh", "", "\n".join(COMMANDS)))) == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_still_is_eighty_columns_of_a_command(name: str) -> None:
    text = (ROOT / "docs" / "images" / f"{name}.svg").read_text("utf-8")
    drawn = ElementTree.fromstring(text)  # noqa: S314 - our own file
    shown = ["".join(row.itertext()) for row in drawn.iter(f"{NAMESPACE}text")]
    command = PICTURES[name][0]
    assert shown[0] == PROMPT + command
    assert list(problems(Block(f"images/{name}.svg", 1, "sh", "", command))) == []
    assert max(map(len, shown)) <= COLUMNS
    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"href|url\(|@import|<script|<image", text)
    assert not [row for row in shown if re.search(r"rk-|/home/|/tmp/|/root|/work/", row)]


def test_it_shows_neither_a_key_nor_a_path_of_a_machine() -> None:
    assert [row for row in rows() if re.search(r"rk-|/home/|/tmp/|/root|/work/", row)] == []
