"""Every link and picture leads somewhere, every page is in the site's list, and the Hindi pages keep up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.blocks import BLOCK, ROOT, blocks_of, pages

LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z]+:")
TRANSLATED = {"README.md": "docs/hi/README.md", "docs/tutorial.md": "docs/hi/tutorial.md"}
ON_THE_SITE_AS_INDEX = ("../../README.md", "../../CONTRIBUTING.md")  # `scripts/site.py`
ENGLISH = {hindi: english for english, hindi in TRANSLATED.items()}


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [target for target in links_of(page) if not leads_somewhere(page, target)] == []


def test_a_broken_link_and_a_broken_anchor_are_found() -> None:
    page = ROOT / "README.md"
    assert not leads_somewhere(page, "docs/no-such-page.md")
    assert not leads_somewhere(page, "docs/tutorial.md#no-such-heading")
    assert leads_somewhere(page, "docs/tutorial.md#3-start-the-endpoint")


def test_a_page_of_the_site_links_to_nothing_that_is_not_on_it() -> None:
    docs = ROOT / "docs"
    leaving = [
        f"{page.relative_to(docs)}: {target}"
        for page in docs.rglob("*.md")
        for target in links_of(page)
        if not ELSEWHERE.match(target) and target not in ON_THE_SITE_AS_INDEX
        if not (page.parent / target.partition("#")[0]).resolve().is_relative_to(docs)
    ]
    assert leaving == []


def test_every_page_is_in_the_list_of_the_site() -> None:
    listed = (ROOT / "mkdocs.yml").read_text("utf-8")
    docs = ROOT / "docs"
    names = [path.relative_to(docs).as_posix() for path in docs.rglob("*.md")]
    assert [name for name in names if f": {name}" not in listed and not name.startswith("decisions/")] == []


@pytest.mark.parametrize(("english", "hindi"), TRANSLATED.items())
def test_the_hindi_page_has_the_same_commands_and_links(english: str, hindi: str) -> None:
    assert _blocks(hindi) == _blocks(english)
    assert list(_targets(hindi)) == list(_targets(english))


def links_of(page: Path) -> list[str]:
    return LINK.findall(BLOCK.sub("", page.read_text("utf-8")))


def leads_somewhere(page: Path, target: str) -> bool:
    if ELSEWHERE.match(target):
        return True
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    return path.exists() and (not anchor or anchor in _anchors(path))


def _anchors(page: Path) -> set[str]:
    """As GitHub and the site make them of headings."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def _blocks(page: str) -> list[tuple[str, str, str]]:
    return [(block.mark, block.language, block.text) for block in blocks_of(ROOT / page)]


def _targets(page: str) -> Iterator[str]:
    """Links by their place in the repository; a translated page counts as its original."""
    for target in links_of(ROOT / page):
        path = (ROOT / page).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
        yield ENGLISH.get(path, path)
