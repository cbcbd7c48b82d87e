"""`python -m scripts.picture [DOCS]`: base and adapters, by the recorded answers of examples/tone.

`golden.toml` has what the models really answered; every deploy of the example is checked against it. The SVG
needs no package, has real text, and follows the light or dark theme of the reader.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from remora.rollout.golden.prompts import GoldenPrompt, read_golden

EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "tone"
FILE: Final = "images/base-and-adapters.svg"
QUESTION: Final = "My sister won the chess tournament."
MODELS: Final = (("tone-base", "base model"), ("tone", "adapter"), ("pirate", "adapter"))
WIDTH: Final = 880
LINE: Final = 24
TEXT_WIDTH: Final = 66  # characters of a line of an answer
STYLE: Final = """
    text { font: 16px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; }
    .small { font-size: 13px; fill: #57606a; }
    .name { font-weight: 700; }
    .card { fill: #f6f8fa; stroke: #d0d7de; }
    .adapter { fill: #e6f6f4; stroke: #00796b; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .small { fill: #9198a1; }
      .card { fill: #161b22; stroke: #30363d; }
      .adapter { fill: #0f2b28; stroke: #4db6ac; }
    }
"""


def main() -> int:
    docs = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (docs / FILE).write_text(picture(), encoding="utf-8")
    return 0


def picture() -> str:
    answers = {each.model: each for each in read_golden(EXAMPLE).prompts if each.user == QUESTION}
    rows: list[str] = []
    top = 64
    for model, kind in MODELS:
        card, height = _card(answers[model], kind, top)
        rows.append(card)
        top += height + 12
    said = "; ".join(f"{model}: {answers[model].answer}" for model, _ in MODELS)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">',
            f"  <title>{escape(f'Asked: {QUESTION} {said}')}</title>",
            f"  <style>{STYLE}  </style>",
            '  <text x="16" y="26" class="small">one endpoint, one question, three values of "model"</text>',
            f'  <text x="16" y="50" class="name">“{escape(QUESTION)}”</text>',
            *rows,
            "</svg>\n",
        ]
    )


def _card(answer: GoldenPrompt, kind: str, top: int) -> tuple[str, int]:
    lines = textwrap.wrap(answer.answer, TEXT_WIDTH)
    height = max(2, len(lines)) * LINE + 22
    look = "card" if kind == "base model" else "card adapter"
    digest = f" {answer.digest[:8]}" if answer.digest else ""
    parts = [
        f'  <rect class="{look}" x="8" y="{top}" width="{WIDTH - 16}" height="{height}" rx="8"/>',
        f'  <text x="24" y="{top + 30}" class="name">{escape(answer.model)}</text>',
        f'  <text x="24" y="{top + 52}" class="small">{kind}{digest}</text>',
    ]
    parts += [
        f'  <text x="200" y="{top + 30 + number * LINE}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return "\n".join(parts), height


if __name__ == "__main__":
    sys.exit(main())
