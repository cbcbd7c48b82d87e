"""A film as an SVG: text as text, moved by CSS alone, in light and dark; without motion, the last screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from rich.style import Style
from rich.text import Text
from scripts.cast.film import Film, Piece
from scripts.cast.recording import COLUMNS, COMMANDS

ROW: Final = 18.0
CHARACTER: Final = 7.8
MARGIN: Final = 14.0
COLOURS: Final = {  # by ANSI's number: on light, on dark
    1: ("#b3261e", "#ff8a80"),
    2: ("#1a6e2e", "#7ee787"),
    3: ("#7a5900", "#e3b341"),
    4: ("#0550ae", "#79c0ff"),
    5: ("#8250df", "#d2a8ff"),
    6: ("#00695c", "#4db6ac"),
    8: ("#57606a", "#9198a1"),
}
STYLE: Final = """
    text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre;
           fill: #1f2328; }
    .screen { fill: #f6f8fa; stroke: #d0d7de; }
    .bold { font-weight: 700; }
    .dim { fill: #57606a; }
"""
DARK: Final = """
      text { fill: #e6edf3; }
      .screen { fill: #0d1117; stroke: #30363d; }
      .dim { fill: #9198a1; }
"""


@dataclass(frozen=True, slots=True)
class Screen:
    """How much of a terminal is drawn, and its words for those who do not see it."""

    columns: int
    rows: int
    title: str
    description: str

    @property
    def width(self) -> int:
        return round(self.columns * CHARACTER + 2 * MARGIN)

    @property
    def height(self) -> int:
        return round(self.rows * ROW + 2 * MARGIN)


CAST: Final = Screen(
    COLUMNS,
    26,
    "A terminal: remora up deploys two adapters to the local cloud; base model and adapters answer",
    "; ".join(COMMANDS) + ". Waiting is shortened.",
)


def draw(film: Film, seconds: float, screen: Screen = CAST) -> str:
    """The SVG."""
    width, height = screen.width, screen.height
    names = {
        span: f"k{number}" for number, span in enumerate(sorted({(p.start, p.end) for p in film.pieces}))
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"  <title>{escape(screen.title)}</title>",
        f"  <desc>{escape(screen.description)}</desc>",
        f"  <style>{_style(film, names, seconds, screen.rows)}  </style>",
        f'  <rect class="screen" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="8"/>',
        f'  <svg x="{MARGIN:g}" y="{MARGIN:g}" width="{width - 2 * MARGIN:g}" '
        f'height="{screen.rows * ROW:g}">',
        '  <g class="rows" xml:space="preserve">',
        *(_row(piece, names[piece.start, piece.end], seconds) for piece in film.pieces),
        "  </g>",
        "  </svg>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style(film: Film, names: dict[tuple[float, float], str], seconds: float, shown: int) -> str:
    light = "".join(f"    .c{number} {{ fill: {on_light}; }}\n" for number, (on_light, _) in COLOURS.items())
    dark = "".join(f"      .c{number} {{ fill: {on_dark}; }}\n" for number, (_, on_dark) in COLOURS.items())
    motion = "".join(
        f"      .{name} {{ animation: {name} {seconds:g}s step-end infinite; }}\n"
        f"      @keyframes {name} {{ {_appearance(start, end, seconds)} }}\n"
        for (start, end), name in names.items()
    )
    steps = " ".join(
        f"{_percent(time, seconds)} {{ transform: {_scrolled(rows, shown)}; }}"
        for time, rows in _scrolls(film, shown)
    )
    return (
        f"{STYLE}{light}    .past {{ visibility: hidden; }}\n"
        f"    .rows {{ transform: {_scrolled(film.heights[-1][1], shown)}; }}\n"
        f"    @media (prefers-color-scheme: dark) {{{DARK}{dark}    }}\n"
        f"    @media (prefers-reduced-motion: no-preference) {{\n{motion}"
        f"      .rows {{ animation: rows {seconds:g}s step-end infinite; }}\n"
        f"      @keyframes rows {{ {steps} }}\n    }}\n"
    )


def _appearance(start: float, end: float, seconds: float) -> str:
    """The keyframes of what is shown from `start` to `end`."""
    hidden, shown = "visibility: hidden;", "visibility: visible;"
    before = f"0% {{ {hidden} }} " if start > 0 else ""
    after = f" {_percent(end, seconds)} {{ {hidden} }}" if end < seconds else ""
    last = hidden if end < seconds else shown
    return f"{before}{_percent(start, seconds)} {{ {shown} }}{after} 100% {{ {last} }}"


def _scrolls(film: Film, shown: int) -> Iterator[tuple[float, int]]:
    """When the screen moves, and how many rows there are then."""
    moved = -1
    for time, rows in film.heights:
        if max(rows, shown) != moved:
            moved = max(rows, shown)
            yield time, rows


def _scrolled(rows: int, shown: int) -> str:
    return f"translateY({-max(0, rows - shown) * ROW:g}px)"


def _percent(time: float, seconds: float) -> str:
    return f"{100 * time / seconds:.2f}%"


def _row(piece: Piece, name: str, seconds: float) -> str:
    """A row; its length is given, because fonts differ in the width of what is not a letter."""
    text = piece.text
    length = f' textLength="{text.cell_len * CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs"'
    past = " past" if piece.end < seconds else ""
    place = f'x="0" y="{piece.row * ROW + 13:g}"'
    return f'  <text class="{name}{past}" {place}{length}>{"".join(_parts(text))}</text>'


def _parts(text: Text) -> Iterator[str]:
    """The text with its styles."""
    borders = sorted({0, len(text), *(edge for span in text.spans for edge in (span.start, span.end))})
    for start, end in pairwise(borders):
        styles = [span.style for span in text.spans if span.start <= start and span.end >= end]
        words = _words(Style.combine([Style.null(), *(each for each in styles if isinstance(each, Style))]))
        part = escape(text.plain[start:end])
        yield f'<tspan class="{words}">{part}</tspan>' if words else part


def _words(style: Style) -> str:
    """The classes of a style."""
    number = style.color.number if style.color is not None else None
    found = [f"c{number}"] if number in COLOURS else []
    return " ".join([*found, *(["bold"] if style.bold else []), *(["dim"] if style.dim else [])])
