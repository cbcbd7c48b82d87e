"""What MkDocs does besides its own work: lists the decisions, brings scripts along, writes llms.txt.

MkDocs calls these functions by their names (`hooks` in mkdocs.yml). `make docs-site` installs the scripts.
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

MODULES: Final = Path("build/site-tools/node_modules")
MERMAID: Final = "assets/mermaid.js"
NAMED_SEARCH: Final = 'data-md-component="search" role="dialog" aria-label="Search"'
BROUGHT: Final = {  # what the theme would ask another server for: its place on the site, and its origin
    MERMAID: MODULES / "mermaid/dist/mermaid.min.js",
    "assets/iframe-worker.js": MODULES / "iframe-worker/shim/index.js",
}
DECISIONS: Final = "decisions/"


def on_config(config: Any, **_: Any) -> Any:
    """Every decision has its entry, by the first line of its page."""
    docs = Path(config.docs_dir)
    entries = [
        {path.read_text("utf-8").partition("\n")[0].removeprefix("# "): path.relative_to(docs).as_posix()}
        for path in sorted((docs / DECISIONS).glob("*.md"))
    ]
    for section in config.nav:
        for pages in section.values():
            for page in pages if isinstance(pages, list) else ():
                page.update({title: entries for title, target in page.items() if target == DECISIONS})
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The repository's own pages are not on the site: its first page stands for the README."""
    return markdown.replace("](../../README.md)", "](../index.md)").replace(
        "](../../CONTRIBUTING.md)", "](../index.md)"
    )


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Name the search for a screen reader; a page with a diagram loads Mermaid from this site."""
    output = output.replace('data-md-component="search" role="dialog"', NAMED_SEARCH, 1)
    if 'class="mermaid"' not in output:
        return output
    path = posixpath.relpath(MERMAID, posixpath.dirname(page.url) or ".")
    return output.replace("</head>", f'<script src="{path}"></script></head>', 1)


def on_nav(nav: Any, config: Any, **_: Any) -> Any:
    """Write llms.txt: the site's pages for programs, one a line (https://llmstxt.org)."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for item in nav.items:
        lines += [*([f"## {item.title}", ""] if item.children else []), *_links(item), ""]
    config.extra["llms"] = "\n".join(lines)
    return nav


def on_post_build(config: Any, **_: Any) -> None:
    site = Path(config.site_dir)
    (site / "llms.txt").write_text(config.extra["llms"].rstrip() + "\n", encoding="utf-8")
    for name, origin in BROUGHT.items():
        shutil.copyfile(origin, site / name)


def _links(item: Any) -> Iterator[str]:
    for child in item.children or ([item] if item.is_page else []):
        if child.children:
            yield from _links(child)
        else:
            yield f"- [{child.title}]({child.url})"
