"""`python -m tests.docs.site SITE TOOLS`: looks at the built site in a browser, from its folder, offline.

Checks that nothing is asked of another server, that search finds, that diagrams are drawn, that pages fit a
telephone, that llms.txt is right, and what axe-core says of three pages. Leaves screenshots in TOOLS.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.e2e.conftest import ARGUMENTS, CHROMIUM

PAGES = ("index.html", "tutorial.html", "reference/commands.html")
DIAGRAM = "explanation/architecture.html"
WIDTHS = (390, 1280)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
HEIGHT = 900
THE_THEMES = "['.md-code__nav']"  # the theme's script puts a landmark without a name into each block of code


def main() -> int:
    site, tools = (Path(word).absolute() for word in sys.argv[1:3])
    if CHROMIUM is None:
        sys.stdout.write("no chromium here: the site is built, and nobody looked at it\n")
        return 0
    found = [f"llms.txt names {name}" for name in _named(site) if not (site / name).is_file()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        for scheme in SCHEMES:
            found += _looked_at(browser, site, tools, scheme)
        browser.close()
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


def _looked_at(browser: Browser, site: Path, tools: Path, scheme: Literal["light", "dark"]) -> list[str]:
    """What is wrong in one color scheme."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": WIDTHS[-1], "height": HEIGHT})
    page, asked, found = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    for name in PAGES:
        page.goto(f"file://{site / name}")
        found += _accessible(page, tools, f"{name}, {scheme}")
    _draws(page, f"file://{site / DIAGRAM}")
    _finds(page, f"file://{site / PAGES[0]}", "rollback")
    for width in WIDTHS:
        found += _fits(page, site, tools / "screens", width, scheme)
    context.close()
    return found + [
        f"{scheme}: asks {url}" for url in asked if not url.startswith(("file:", "blob:", "data:"))
    ]


def _named(site: Path) -> list[str]:
    """The pages that llms.txt names. Raises ValueError where there are none."""
    names = re.findall(r"^- \[.+\]\((.+)\)$", (site / "llms.txt").read_text("utf-8"), re.MULTILINE)
    if len(names) < len(PAGES):
        raise ValueError("llms.txt names no pages")
    return names


def _accessible(page: Page, tools: Path, where: str) -> list[str]:
    """What axe-core finds, a line each."""
    page.add_script_tag(path=tools / "node_modules/axe-core/axe.min.js")
    results: dict[str, Any] = page.evaluate(f"axe.run({{exclude: [{THE_THEMES}]}})")
    return [
        f"{where}: {each['id']} ({each['impact']}): {node['target']}"
        for each in results["violations"]
        for node in each["nodes"]
    ]


def _draws(page: Page, url: str) -> None:
    """The theme draws a diagram into a closed shadow root: the text of its source is gone then."""
    page.goto(url)
    expect(page.locator("div.mermaid").first).to_be_visible()
    expect(page.locator("pre.mermaid")).to_have_count(0)


def _finds(page: Page, url: str, word: str) -> None:
    page.goto(url)
    page.keyboard.press("/")
    page.keyboard.type(word)
    expect(page.locator(".md-search-result__item").first).to_be_visible()


def _fits(page: Page, site: Path, screens: Path, width: int, scheme: str) -> list[str]:
    """Takes a picture of each page; a page that is wider than the screen is a fault."""
    screens.mkdir(exist_ok=True)
    page.set_viewport_size({"width": width, "height": HEIGHT})
    wide = []
    for name in (*PAGES, DIAGRAM):
        page.goto(f"file://{site / name}")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=screens / f"{Path(name).stem}-{width}-{scheme}.png")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(f"{name} is wider than {width}")
    return wide


if __name__ == "__main__":
    sys.exit(main())
