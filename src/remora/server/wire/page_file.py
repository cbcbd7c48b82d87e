"""A page as one file, so that a page and its script are always of the same release. Serves nothing."""

from __future__ import annotations

from importlib.resources import files

HERE = files("remora.server.ui")  # resources, since in a container this package is a zip


def page_file(name: str, **parts: tuple[str, ...]) -> str:
    """The page's HTML with the files of each part in the place of its comment, `css` for `/* css */`."""
    text = _read(name)
    for part, names in parts.items():
        text = text.replace(f"/* {part} */", "".join(map(_read, names)))
    return text


def _read(name: str) -> str:
    return HERE.joinpath(name).read_text("utf-8")
