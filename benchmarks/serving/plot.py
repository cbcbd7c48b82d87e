"""Tokens a second of each server as bars, a group for each load, as an SVG. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.serving.report import OURS, Row

WIDTH, LABEL_WIDTH, FIGURE_WIDTH = 720, 190, 60
BAR_HEIGHT, GROUP_HEAD, GROUP_GAP = 18, 26, 14
OUR_COLOUR, THEIR_COLOUR = "#d9480f", "#868e96"
STYLE = "text{font:12px sans-serif;fill:#495057}.load{font-weight:bold}"


def svg(rows: Sequence[Row]) -> str:
    """Bars are to scale within a load."""
    parts: list[str] = []
    top = 0
    for load in dict.fromkeys(row.load for row in rows):
        group = [row for row in rows if row.load == load]
        parts.append(_text(0, top + 16, f"{load}, tokens/s", "load"))
        parts += _bars(group, top + GROUP_HEAD)
        top += GROUP_HEAD + BAR_HEIGHT * len(group) + GROUP_GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}">'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", background, *parts, "</svg>"]) + "\n"


def _bars(rows: Sequence[Row], top: int) -> Iterator[str]:
    fastest = max(row.tokens_per_second for row in rows)
    for number, row in enumerate(rows):
        width = row.tokens_per_second / fastest * (WIDTH - LABEL_WIDTH - FIGURE_WIDTH)
        y = top + number * BAR_HEIGHT
        colour = OUR_COLOUR if row.server.startswith(OURS) else THEIR_COLOUR
        yield _text(0, y + 12, row.server)
        box = f'x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT - 4}"'
        yield f'<rect {box} fill="{colour}"/>'
        yield _text(round(LABEL_WIDTH + width + 6), y + 12, f"{row.tokens_per_second:.1f}")


def _text(x: int, y: int, words: str, kind: str = "server") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(words)}</text>'
